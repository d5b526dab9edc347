"""The demo on a terminal, 80 columns by 24 lines or more: one picture that changes.

Above, what happens now; below, a row for each node: how it does of late, the whole run as a row of
bars (the slowest lookup of each moment), and who answers. Node 1 stands above the same load
without peers, so that the two can be compared at a glance.
"""

from typing import Any, Final

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from codns.cli import demo_story
from codns.cli.demo_figures import Bin, Measured
from codns.cli.demo_fleet import HOSTS, NAMES
from codns.cli.demo_plan import ALONE, MEMBERS, NODES, SICK
from codns.cli.words import NOTHING, took

LEFT: Final = 41  # columns before the timeline: name, median, p99, failed
TIMELINE_MIN: Final = 16  # columns
TIMELINE_MAX: Final = 240  # columns: half of what is kept (demo_figures.FINE)

# Slowest lookup of a moment, in seconds: which bar, and how it is judged
LEVELS: Final = (0.010, 0.020, 0.050, 0.100, 0.200, 0.500, 1.0)
BARS: Final = "▁▂▃▄▅▆▇█"
BARS_ASCII: Final = "_.-:=+*#"
FAILED: Final = "X"
_GOOD_S: Final = 0.050
_FAIR_S: Final = 0.200

_STATES: Final = {"healthy": "green", "recovering": "yellow", "failing": "bold red"}
_SOURCES: Final = {"peer": "bold cyan", "error": "bold red", "stale": "yellow"}

_CAST: Final = "Four nodes with a nameserver each are peers; 'without peers' is node 1 alone."

Told = dict[str, Any]


class Screen:
    """A live picture; nothing of it stays when it is closed."""

    def __init__(self, seconds: float, console: Console | None = None) -> None:
        self._seconds = seconds
        self._console = console or Console(highlight=False)
        self._live = Live(
            console=self._console, auto_refresh=False, transient=True, vertical_overflow="crop"
        )
        self._live.start()

    def starting(self, up: int, acquainted: int) -> None:
        """Show how far the start is."""
        self._show(starting(up, acquainted, self._seconds))

    def update(self, measured: Measured, port: int) -> None:
        """Show what is going on."""
        console = self._console
        ascii_only = console.options.ascii_only
        self._show(
            picture(measured, self._seconds, port, console.width - 1, ascii_only=ascii_only)
        )

    def close(self) -> None:
        """Give the terminal back."""
        self._live.stop()

    def _show(self, shown: Group) -> None:
        self._live.update(shown, refresh=True)


def starting(up: int, acquainted: int, seconds: float) -> Group:
    """Return the picture of the start."""
    return Group(
        _title(0.0, seconds, 79),
        Text(),
        Text("Four nodes on this machine play four sites, each with a nameserver of its own."),
        Text("They are peers: when one's nameserver fails, the others help it. A fifth node"),
        Text("has site 1's nameserver too, and no peers: that is life without codns' help."),
        Text(),
        Text(f"{up} of {MEMBERS} nodes are up, {acquainted} of {NODES} have met the others ..."),
    )


def picture(
    measured: Measured, seconds: float, port: int, width: int, *, ascii_only: bool = False
) -> Group:
    """Return the picture of a moment."""
    columns = min(max(width - LEFT, TIMELINE_MIN), TIMELINE_MAX)
    bars = BARS_ASCII if ascii_only else BARS
    scene = demo_story.scene(measured)
    trouble = "bold red" if measured.silent else "bold green"
    lines = [
        _title(measured.now, seconds, width),
        Text(_CAST, style="dim"),
        Text(),
        Text(scene.event, style=trouble),
        Text(scene.node),
        Text(scene.alone),
        Text(),
        _header(measured, seconds, columns),
    ]
    for member in (SICK, ALONE, *(node for node in range(NODES) if node != SICK)):
        lines += _member(measured, member, columns, bars)
        if member == ALONE:
            lines.append(Text())
    lines += [Text(), _legend(bars)]
    lines.append(Text(f"Ask it: dig @{HOSTS[SICK]} -p {port} any.name    Ctrl-C ends it", "dim"))
    for line in lines:
        line.no_wrap, line.overflow = True, "crop"
    return Group(*lines)


def _title(now: float, seconds: float, width: int) -> Text:
    left = Text("codns demo", style="bold")
    right = f"{min(now, seconds):.0f} of {seconds:.0f} s"
    return left.append(right.rjust(width - len(left)), style="dim")


def _header(measured: Measured, seconds: float, columns: int) -> Text:
    """Return the columns' titles, and the phases above their part of the timeline."""
    line = Text(f"{'the last 5 s':16}{'median':>7}{'p99':>8}{'failed':>8}  ", style="dim")
    current = measured.phase()
    at = 0
    for phase in measured.phases:
        end = round(columns * phase.end / seconds)
        word = f"|{phase.key}"[: end - at].ljust(end - at)
        line.append(word, style="bold" if phase == current else "dim")
        at = end
    return line


def _member(measured: Measured, member: int, columns: int, bars: str) -> list[Text]:
    """Return the two lines of a node."""
    p50, p99 = measured.recent(member)
    failed = measured.failed(member)
    line = Text(f"{NAMES[member]:16}", style="bold" if member in (SICK, ALONE) else "")
    line.append(f"{took(p50):>7}", style="")
    line.append(f"{took(p99):>8}", style=_judged(p99))
    line.append(f"{failed:>8}  ", style="bold red" if failed else "dim")
    for each in measured.timeline(member, columns):
        line.append(*_bar(each, bars))
    return [line, _who(measured, member)]


def _bar(moment: Bin, bars: str) -> tuple[str, str]:
    if moment.worst is None:
        return " ", ""
    if moment.failed:
        return FAILED, "bold red"
    level = sum(moment.worst > bound for bound in LEVELS)
    return bars[level], _judged(moment.worst)


def _judged(seconds: float | None) -> str:
    if seconds is None:
        return "dim"
    return "green" if seconds <= _GOOD_S else "yellow" if seconds <= _FAIR_S else "red"


def _who(measured: Measured, member: int) -> Text:
    """Return the line that tells who answers a node's clients, and how it judges its path."""
    line = Text("  ")
    told = measured.cooperation(member)
    if told is None:
        line.append("no peers", style="dim")
    else:
        state = told["path"]["state"]
        line.append(state, style=_STATES.get(state, ""))
        delay_s = told["initial_delay_s"]
        line.append(f", delay {took(delay_s) if delay_s else '0 ms'}", style="dim")
    line.append("; answered by ", style="dim")
    shares = demo_story.share_text(measured.shares(member))
    for number, (source, text) in enumerate(shares):
        line.append(", " if number else "", style="dim")
        line.append(text, style=_SOURCES.get(source, "dim" if text == NOTHING else ""))
    return line


def _legend(bars: str) -> Text:
    line = Text("bars: the slowest lookup; ", style="dim")
    for index in (0, 2, 4, 6):
        bound = LEVELS[index]
        line.append(bars[index], style=_judged(bound))
        line.append(f" {took(bound)}  ".replace(".00", ""), style="dim")
    line.append(bars[-1], style="red")
    line.append(" longer  ", style="dim")
    line.append(FAILED, style="bold red")
    return line.append(" failed", style="dim")
