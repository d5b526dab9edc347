"""`codns top`: the daemon live: rate, latency, who answers, what is slow, how the peers are.

On a terminal one picture that changes; elsewhere a picture an interval, one after the other; with
--json one object a line. The first one is the average since the daemon was started.
"""

import itertools
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from codns.cli import control, rates
from codns.cli.output import Common, duration
from codns.cli.peers import HEADER, RIGHT, table
from codns.cli.rates import Rates
from codns.cli.screen import Cell, Row, Section, plain, render
from codns.cli.status import PATH_STYLES, SOURCES
from codns.cli.words import count, lasted, share, took
from codns.wire.text import qtype_text

if TYPE_CHECKING:
    from rich.console import Group

Told = dict[str, Any]

INTERVAL_MIN_S: Final = 0.1  # more often tells nothing that a person could read
SLOW_MAX: Final = 10  # slow names shown: half a small terminal
HISTORY_MAX: Final = 60  # bars of the rate, one an interval
_BARS: Final = " ▁▂▃▄▅▆▇█"


@click.command(
    params=[
        *control.common_options(),
        click.Option(
            ["-i", "--interval"],
            default="1s",
            callback=duration,
            metavar="TIME",
            help="Look so often [1s].",
        ),
        click.Option(
            ["-n", "--count", "looks"], type=click.IntRange(1), help="End after N looks."
        ),
    ]
)
@click.pass_obj
def top(common: Common, path: Path | None, interval: float, looks: int | None) -> None:
    """Show what the daemon does, live. Ctrl-C ends it."""
    if interval < INTERVAL_MIN_S:
        raise click.BadParameter("0.1 s is the least", param_hint="--interval")
    daemon = control.daemon(common, path)
    before: Told = {"uptime_s": 1e18}  # later than ever: the first look counts from 0
    history: list[float] = []
    live = None
    try:
        for number in itertools.count(1):
            told = daemon.get("/v1/summary")
            seen = rates.between(before, told)
            before = told
            history = [*history, seen.queries][-HISTORY_MAX:]
            if common.json:
                click.echo(json.dumps(_as_json(told, seen)))
            else:
                near = daemon.get("/v1/peers", neighbours=1)
                sections = _sections(told, seen, near, history)
                live = _put(live, sections)
            sys.stdout.flush()
            if number == looks:
                return
            time.sleep(interval)
    except KeyboardInterrupt:
        return
    finally:
        if live is not None:
            live.stop()


def _put(live: Any, sections: list[Section]) -> Any:
    if not sys.stdout.isatty():
        for section in sections:
            click.echo("\n".join(plain(section)))
        click.echo()
        return None
    picture: Group = render(sections)
    if live is None:
        from rich.live import Live  # noqa: PLC0415 - for terminals only

        live = Live(picture, auto_refresh=False, screen=True)
        live.start()
    live.update(picture, refresh=True)
    return live


def _sections(told: Told, seen: Rates, near: list[Told], history: list[float]) -> list[Section]:
    said = told["cooperation"]
    slow = sorted(told["slow"], key=lambda lookup: -lookup["took_s"])[:SLOW_MAX]
    sections = [
        Section(f"codns {told['version']}", _now(told, seen, history)),
        Section("answers", _answers(seen), ("", "a second", "share", ""), (1, 2)),
    ]
    if said is not None:
        sections.append(Section("peers", _cooperation(said, seen)))
        sections.append(Section("", table(near), HEADER, RIGHT))
    header = ("name", "type", "took", "answered by", "ago")
    sections.append(Section("slowest of the last lookups", _slow(slow), header, (2, 4)))
    return [section for section in sections if section.rows]


def _now(told: Told, seen: Rates, history: list[float]) -> list[Row]:
    problems = [*told["ailing"], *told["unready"]]
    well: Cell = ("; ".join(problems), "bad") if problems else ("ready", "good")
    highest = max(history) or 1.0
    bars = "".join(_BARS[round(value / highest * (len(_BARS) - 1))] for value in history)
    rate = f"{seen.queries:,.1f} a second"
    return [
        ("state", well),
        ("queries", f"{rate}  {bars}" if sys.stdout.isatty() else rate),
        ("median, p99", f"{took(seen.p50_s)}, {took(seen.p99_s)}"),
        ("waiting", f"{told['clients']['outstanding']} clients"),
        ("cache", f"{count(told['cache']['entries'])} entries"),
        ("loop", f"{took(told['loop']['turn_s'])} longest turn lately"),
    ]


def _answers(seen: Rates) -> list[Row]:
    whole = sum(seen.answers.values())
    rows: list[Row] = []
    for source, meaning in SOURCES.items():
        rate = seen.answers.get(source, 0.0)
        style = "weak" if not rate else "bad" if source == "error" else "strong"
        rows.append(((source, style), f"{rate:,.1f}", share(rate, whole), (meaning, "weak")))
    return rows


def _cooperation(said: Told, seen: Rates) -> list[Row]:
    path = said["path"]
    style = PATH_STYLES.get(path["state"], "")
    return [
        ("local path", (f"{path['state']} ({path['why']})", style)),
        ("initial delay", took(said["initial_delay_s"])),
        ("asked peers", f"{seen.remote:,.1f} a second, {seen.remote_won:,.1f} won"),
    ]


def _slow(lookups: list[Told]) -> list[Row]:
    return [
        (
            lookup["name"],
            qtype_text(lookup["type"]),
            took(lookup["took_s"]),
            lookup["source"],
            lasted(lookup["ago_s"]),
        )
        for lookup in lookups
    ]


def _as_json(told: Told, seen: Rates) -> Told:
    said = told["cooperation"]
    return {
        **seen._asdict(),
        "outstanding": told["clients"]["outstanding"],
        "path": None if said is None else said["path"]["state"],
        "initial_delay_s": None if said is None else said["initial_delay_s"],
        "slow": told["slow"],
    }
