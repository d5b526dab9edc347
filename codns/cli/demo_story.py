"""The demo in words: what happens now, what a phase came to, what the whole of it shows.

Every sentence is made from what was planned, measured or told by a node; none of them is written
in the hope that it is true. Does a run not show what it should, it says that.
"""

from typing import Any, Final, NamedTuple

from codns.cli.demo_figures import Figures, Measured, Verdict
from codns.cli.demo_plan import ALONE, SICK, Phase, silences
from codns.cli.screen import Row, Section
from codns.cli.words import NOTHING, took

WAITING_S: Final = 0.2  # who waits for less would not say so
LATE_S: Final = 0.05  # a load that was so late has measured itself

Told = dict[str, Any]


class Scene(NamedTuple):
    """What happens now, in three sentences."""

    event: str
    node: str
    alone: str


def scene(measured: Measured) -> Scene:
    """Tell what happens now."""
    return Scene(_event(measured), _node(measured.cooperation(SICK)), _alone(measured))


def _event(measured: Measured) -> str:
    key = measured.phase().key
    if measured.silent:
        what = "is dead" if key == "dead" else "has stalled"
        return f"Site 1's nameserver {what}: it answers nobody."
    if key == "well":
        return "All is well: every site's nameserver answers within 10 ms."
    if key == "back":
        return "Site 1's nameserver is back; node 1 returns to it step by step, on purpose."
    return "Site 1's nameserver answers again, for a moment: it comes and goes."


def _node(told: Told | None) -> str:
    if told is None:
        return ""
    state, share = told["path"]["state"], told["path"]["share"]
    if state == "failing":
        return "Node 1 has noticed: it asks its peers at once, its nameserver now and then."
    if state == "recovering":
        return f"Node 1 returns to it step by step: {100 * share:.0f} % of its lookups for now."
    delay = took(told["initial_delay_s"])
    return f"Node 1 asks it first, and a peer as well when no answer came in {delay}."


def _alone(measured: Measured) -> str:
    waiting, longest_s = measured.waiting(ALONE)
    failed = measured.failed(ALONE)
    so_far = f"; {failed} have failed so far" if failed else ""
    if longest_s < WAITING_S:
        return f"Without peers nobody waits for long{so_far}."
    who = "1 lookup waits" if waiting == 1 else f"{waiting} lookups wait"
    return f"Without peers {who}, the first for {longest_s:.1f} s{so_far}."


def announcement(phase: Phase, seconds: float) -> str:
    """Tell what a phase is."""
    if phase.key == "stalls":
        first = silences(seconds)[0]
        gap = took(first.end - first.start)
        return f"Site 1's nameserver stalls: it answers nobody for {gap}, then again for as long."
    return {
        "well": "All is well: every node asks its own site's nameserver.",
        "dead": "Site 1's nameserver is dead: it answers nobody.",
        "back": "Site 1's nameserver is back; node 1 returns to it step by step, on purpose.",
    }[phase.key]


def outcome(measured: Measured, phase: Phase) -> str:
    """Tell what a phase came to."""
    mine, other = (measured.of_phases(node, [phase]) for node in (SICK, ALONE))
    return f"node 1: {_in_words(mine)}; without peers: {_in_words(other)}"


def _in_words(figures: Figures) -> str:
    waiting = f", {figures.waiting} still waiting" if figures.waiting else ""
    return f"p99 {took(figures.p99)}, {figures.failed} of {figures.lookups} failed{waiting}"


# -- the summary --------------------------------------------------------------------------------


def summary(measured: Measured) -> Section:
    """Return the table."""
    header = ("nameserver 1", "", "lookups", "mean", "p99", "worst", "failed", "to peers")
    rows: list[Row] = []
    for phase in measured.phases:
        mine, other = (measured.of_phases(node, [phase]) for node in (SICK, ALONE))
        asked = f"{measured.remote_of(phase):,}"
        rows.append((phase.title, ("node 1", "strong"), *_cells(mine), asked))
        rows.append(("", "without peers", *_cells(other), ""))
    return Section("", rows, header, tuple(range(2, 8)))


def _cells(figures: Figures) -> Row:
    return (
        f"{figures.lookups:,}",
        took(figures.mean),
        took(figures.p99),
        took(figures.worst),
        (f"{figures.failed:,}", "bad" if figures.failed else ""),
    )


def conclusion(measured: Measured) -> str:
    """Return what the run shows, in figures."""
    verdict = measured.verdict()
    alone = _without(verdict.alone)
    if verdict.masked:
        return (
            f"In the {verdict.seconds:.0f} s in which site 1's nameserver stalled and was dead,"
            f" node 1 answered all its {verdict.with_peers.lookups:,} lookups, 99 % of them within"
            f" {took(verdict.with_peers.p99)}, with {verdict.remote:,} questions to its peers;"
            f" without peers {alone}."
        )
    return (
        "This run does not show that peers mask a sick nameserver: in"
        f" {verdict.seconds:.0f} s of trouble node 1 had {_in_words(verdict.with_peers)};"
        f" without peers {alone}.{_excuse(measured)}"
    )


def _without(figures: Figures) -> str:
    lost = f"{figures.failed:,} of them failed, and " if figures.failed else ""
    return f"{lost}the slowest took {took(figures.worst)}"


def _excuse(measured: Measured) -> str:
    late, worst = measured.lateness()
    if late < LATE_S:
        return ""
    return (
        f" The machine was too busy to tell: 1 % of the lookups left {took(late)} late or more,"
        f" the last {took(worst)}."
    )


def lateness(measured: Measured) -> str:
    """Tell how far the figures can be believed, and how the helpers did."""
    late, worst = measured.lateness()
    helpers = measured.helpers()
    return (
        f"The slowest of nodes 2 to 4 meanwhile: p99 {took(helpers.p99)},"
        f" {helpers.failed} failed. Lookups left {took(late)} late (p99; worst {took(worst)})."
    )


# -- for programs -------------------------------------------------------------------------------


def as_json(measured: Measured, seconds: float) -> Told:
    """Return all figures. Times in seconds, instants since the load began."""
    verdict = measured.verdict()
    late, worst = measured.lateness()
    return {
        "seconds": seconds,
        "masked": verdict.masked,
        "conclusion": conclusion(measured),
        "trouble": _both(verdict),
        "helpers_p99_s": measured.helpers().p99,
        "late_p99_s": late,
        "late_worst_s": worst,
        "phases": [
            {
                "phase": phase.key,
                "from_s": phase.start,
                "to_s": phase.end,
                "trouble": phase.trouble,
                "node1": _numbers(measured.of_phases(SICK, [phase])),
                "without_peers": _numbers(measured.of_phases(ALONE, [phase])),
                "remote_queries": measured.remote_of(phase),
            }
            for phase in measured.phases
        ],
    }


def _both(verdict: Verdict) -> Told:
    return {
        "seconds": verdict.seconds,
        "node1": _numbers(verdict.with_peers),
        "without_peers": _numbers(verdict.alone),
        "remote_queries": verdict.remote,
    }


def _numbers(figures: Figures) -> Told:
    return {
        "lookups": figures.lookups,
        "failed": figures.failed,
        "waiting": figures.waiting,
        "mean_s": figures.mean,
        "p99_s": figures.p99,
        "worst_s": figures.worst,
    }


def share_text(shares: dict[str, float]) -> list[tuple[str, str]]:
    """Return (source, "cache 70 %") for all that answered of late; those with nothing left out."""
    if not shares:
        return [("", NOTHING)]
    return [
        (source, f"{word} {100 * shares[source]:.0f} %")
        for source, word in _SOURCES.items()
        if shares.get(source, 0.0) >= 0.005
    ]


_SOURCES: Final = {
    "cache": "cache",
    "local": "nameserver",
    "peer": "peers",
    "stale": "expired",
    "error": "error",
}
