"""Outcomes of simulations as people read them: a line a run, and a line a kind of site."""

from collections.abc import Sequence
from typing import Any, Final

from codns.sim.beside import beside
from codns.sim.runs import Outcome

HEADINGS: Final = (
    "misses",
    "mean",
    "p50",
    "p90",
    "p99",
    "p99.9",
    "> 1 s",
    "failed",
    "available",
    "sent",
    "won",
    "wasted",
    "first peer",
    "ns q/s",
    "busiest",
    "peer q/s",
    "busiest",
)


def rows(outcomes: Sequence[Outcome], axes: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the table. `axes` are the settings in which the runs differ."""
    found: list[tuple[str, ...]] = [("run", "nodes", *HEADINGS)]
    several = len(outcomes) > 1
    for outcome in outcomes:
        if outcome.report is None:
            continue
        settings = dict(outcome.settings)
        name = " ".join(f"{axis.rpartition('.')[2]}={settings[axis]}" for axis in axes)
        name = name or str(outcome.report["policy"])
        for group, values in outcome.report["groups"].items():
            if group == "all":
                found.append((name, str(values["nodes"]), *_cells(values)))
            elif not several or len(outcome.report["groups"]) <= 5:
                found.append((f"  {group}", str(values["nodes"]), *_cells(values)))
    return found


def _cells(values: dict[str, Any]) -> list[str]:
    remote, servers, served = values["remote"], values["nameservers"], values["served"]
    return [
        f"{values['misses']}",
        *(_time(values[key]) for key in ("mean", "p50", "p90", "p99", "p99_9")),
        _percent(values["over_1s"]),
        _percent(values["failed"]),
        _percent(values["availability"]["mean"], 3),
        _percent(remote["sent"]),
        _percent(remote["won"]),
        _percent(remote["wasted"]),
        _percent(remote["first_peer"], 0),
        f"{servers['mean']:.2f}",
        f"{servers['busiest']:.2f}",
        f"{served['mean']:.2f}",
        f"{served['busiest']:.2f}",
    ]


def compared(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """Return the table of what was measured elsewhere and what is simulated; empty: nothing."""
    reports = [outcome.report for outcome in outcomes if outcome.report is not None]
    lines = [tuple(line) for line in beside(reports)]
    return [("policy", "figure", "measured", "simulated"), *lines] if lines else []


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 0.1:
        return f"{seconds * 1000:.1f}ms"
    return f"{seconds * 1000:.0f}ms" if seconds < 10 else f"{seconds:.1f}s"


def _percent(share: float | None, digits: int = 1) -> str:
    if share is None:
        return "-"
    if digits == 1 and 0 < share < 0.01:
        digits = 2
    return f"{share * 100:.{digits}f}%"
