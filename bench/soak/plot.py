"""A run over time: memory, objects, descriptors, tables, lag, latency, failures; faults shaded."""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from bench.soak import sampler
from bench.soak.judge import WARM_SHARE, Key

MINUTE_S: Final = 60.0
KIB: Final = 1024
COLORS: Final = ("tab:blue", "tab:orange", "tab:green", "tab:red")
BANDS: Final = {
    "silent": "#c6dbef", "all silent": "#6baed6", "servfail": "#fdd0a2", "slow": "#e5f5e0",
    "lossy": "#c7e9c0", "partition": "#dadaeb", "slave killed": "#fcbba1",
    "slave stopped": "#fee0d2", "node down": "#969696",
}  # fmt: skip
TABLE: Final = "codns_cache_entries"
STARTING: Final = 3  # samples of a young process, which do not stretch the axis
MARGIN: Final = 0.05

Points = list[tuple[float, float]]


def draw(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    """One figure, panels below each other with the same time."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    series = sampler.series(rows, quiet_only=False)
    seconds = next(float(row["settings"]["seconds"]) for row in rows if "settings" in row)
    panels: list[tuple[str, Callable[[Any], None]]] = [
        ("RSS, MiB\nmasters", lambda ax: lines(ax, series, "master", "rss", 1 / KIB)),
        ("RSS, MiB\nslaves", lambda ax: lines(ax, series, "slave", "rss", 1 / KIB)),
        ("objects,\nthousands", lambda ax: lines(
            ax, series, "master", "codns_memory_blocks", 0.001)),
        ("cache entries", lambda ax: lines(ax, series, "master", TABLE, 1)),
        ("descriptors\nmasters", lambda ax: lines(ax, series, "master", "fds", 1)),
        ("descriptors\nslaves", lambda ax: lines(ax, series, "slave", "fds", 1)),
        ("lag, mean ms", lambda ax: lag(ax, series)),
        ("p50, p99\nms", lambda ax: latency(ax, series)),
        ("failed\n% of questions", lambda ax: failed(ax, rows)),
    ]  # fmt: skip
    figure, axes = pyplot.subplots(
        len(panels), 1, figsize=(15, 1.75 * len(panels)), sharex=True, layout="constrained"
    )
    for ax, (label, fill) in zip(axes, panels, strict=True):
        shade(ax, rows)
        fill(ax)
        ax.set_ylabel(label)
        ax.axvline(WARM_SHARE * seconds / MINUTE_S, color="black", lw=1, ls=":")
        ax.grid(axis="y", color="0.9", lw=0.5)
    axes[-1].set_xlabel("minutes; judged from the dotted line on")
    axes[-1].set_xlim(0, seconds / MINUTE_S)
    legend(figure, pyplot, matplotlib, rows)
    figure.savefig(file, dpi=100)
    pyplot.close(figure)


def shade(ax: Any, rows: Sequence[dict[str, Any]]) -> None:
    """The faults."""
    for row in rows:
        if "fault" in row:
            start, end = row["at"] / MINUTE_S, row["end"] / MINUTE_S
            ax.axvspan(start, end, color=BANDS[row["fault"]], lw=0)


def legend(figure: Any, pyplot: Any, matplotlib: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Nodes and faults, above all."""
    patches = [
        matplotlib.patches.Patch(
            color=BANDS[row["fault"]],
            label=f"{row['fault']} ({'all' if len(row['nodes']) > 1 else row['nodes'][0] + 1})",
        )
        for row in {row["fault"]: row for row in rows if "fault" in row}.values()
    ]
    nodes = [
        pyplot.Line2D([], [], color=color, label=f"node {i + 1}") for i, color in enumerate(COLORS)
    ]
    figure.legend(handles=[*nodes, *patches], loc="outside upper center", ncols=7, frameon=False)


def lines(
    ax: Any, series: dict[Key, Points], role: str, name: str, factor: float, **style: Any
) -> None:
    """A line for each process, in its node's colour."""
    settled: list[float] = []
    for key, points in series.items():
        if key.role == role and key.name == name:
            minutes = [at / MINUTE_S for at, _ in points]
            values = [value * factor for _, value in points]
            ax.plot(minutes, values, color=COLORS[key.node], **{"lw": 1, **style})
            settled += values[STARTING:]
    if settled and "log" not in ax.get_yscale():
        margin = MARGIN * (max(settled) - min(settled) or 1.0)
        ax.set_ylim(min(settled) - margin, max(settled) + margin)


def lag(ax: Any, series: dict[Key, Points]) -> None:
    """Of the event loops."""
    ax.set_yscale("log")
    lines(ax, series, "master", "lag_ms", 1)


def latency(ax: Any, series: dict[Key, Points]) -> None:
    """Both, in one panel."""
    ax.set_yscale("log")
    lines(ax, series, "clients", "p50_ms", 1)
    lines(ax, series, "clients", "p99_ms", 1, lw=0.5)


def failed(ax: Any, rows: Sequence[dict[str, Any]]) -> None:
    """The share of questions that failed, in each sample."""
    for node, color in enumerate(COLORS):
        own = [row for row in rows if row.get("role") == "clients" and row["node"] == node]
        minutes = [row["at"] / MINUTE_S for row in own]
        ax.plot(
            minutes, [100 * row["failed"] / max(1, row["asked"]) for row in own],
            color=color, lw=1,
        )  # fmt: skip
    ax.set_ylim(bottom=0)
