"""Latency over time, the fault's windows shaded."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench.masking.faults import FAULTY, windows
from bench.masking.figures import Figures
from bench.masking.fleet import Cell
from bench.masking.systems import System

ALWAYS: Final = (System("codns", "adaptive"), System("codns", "off"))
SHOWN_S_MAX: Final = 60.0  # more is a carpet of dots
FLOOR_MS: Final = 0.1


class PlotError(Exception):
    """No matplotlib."""


def check() -> None:
    """Say so before an hour's run and not after it."""
    try:
        importlib.import_module("matplotlib")
    except ImportError as error:
        raise PlotError("--plot needs matplotlib: pip install 'codns[bench]'") from error


def chosen(cells: Sequence[Cell], rows: Mapping[System, Mapping[str, Figures]]) -> list[System]:
    """codns adaptive and off, and the best alternative of each kind over all faults."""
    there = {cell.system for cell in cells}
    found = [system for system in ALWAYS if system in there]
    for variant in ("one site", "all sites"):
        others = [s for s in rows if s.variant == variant]
        if others:
            found.append(min(others, key=lambda s: sum(f.p99.value for f in rows[s].values())))
    return found or sorted(there)


def draw(file: Path, cells: Sequence[Cell], rows: Mapping[System, Mapping[str, Figures]]) -> None:
    """A row for each system, a column for each fault."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    by_key = {(cell.system, cell.fault): cell for cell in cells}
    faults = [fault for fault in FAULTY if any(cell.fault == fault for cell in cells)]
    faults = faults or sorted({cell.fault for cell in cells})
    systems = chosen(cells, rows)
    figure, axes = pyplot.subplots(
        len(systems), len(faults), figsize=(4.6 * len(faults), 2.1 * len(systems)),
        sharex=True, sharey=True, squeeze=False, layout="constrained",
    )  # fmt: skip
    for system, line in zip(systems, axes, strict=True):
        for fault, ax in zip(faults, line, strict=True):
            panel(ax, by_key.get((system, fault)), fault)
        line[0].set_ylabel(f"{system.label}\nms")
    for fault, ax in zip(faults, axes[0], strict=True):
        ax.set_title(fault)
    for ax in axes[-1]:
        ax.set_xlabel("seconds of load")
    figure.suptitle("Node 1's lookups; grey: its nameserver fails; red: failed; line: 30 ms")
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


def panel(ax: Any, cell: Cell | None, fault: str) -> None:
    """One system under one fault."""
    if cell is None:
        return
    shown = min(cell.seconds, SHOWN_S_MAX)
    for start, end in windows(fault, shown):
        ax.axvspan(start, min(end, shown), color="0.85", lw=0)
    own = [lookup for lookup in cell.measured() if lookup.node == 0 and lookup.at_s < shown]
    for failed, color in ((False, "tab:blue"), (True, "tab:red")):
        points = [lookup for lookup in own if lookup.failed is failed]
        heights = [max(FLOOR_MS, lookup.latency_s * 1000) for lookup in points]
        ax.plot([lookup.at_s for lookup in points], heights, ".", ms=2, color=color)
    ax.axhline(30, color="0.4", lw=0.6)
    ax.set_yscale("log")
    ax.set_xlim(0, shown)
