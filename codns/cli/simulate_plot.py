"""The tails of lookups' times, a line a run: how many take longer than so much."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from codns.sim.runs import Outcome

FLOOR_S: Final = 0.0005  # faster than half a millisecond is all the same


def check(file: Path) -> None:
    """Say that it cannot be done before an hour's work and not after it."""
    if not file.parent.is_dir() or file.is_dir():
        raise click.UsageError(f"--plot: {file} cannot be written: no such folder")
    try:
        importlib.import_module("matplotlib")
    except ImportError:
        text = "--plot needs matplotlib: pip install 'codns[bench]'"
        raise click.UsageError(text) from None


def draw(file: Path, outcomes: Sequence[Outcome], axes: Sequence[str]) -> None:
    """Write the picture."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    figure, ax = pyplot.subplots(figsize=(8, 5), layout="constrained")
    title = ""
    for outcome in outcomes:
        if outcome.report is None:
            continue
        title = outcome.report["title"]
        settings = dict(outcome.settings)
        label = ", ".join(f"{axis}={settings[axis]}" for axis in axes)
        tail = outcome.report["groups"]["all"]["tail"]
        times = [max(seconds, FLOOR_S) * 1000 for _, seconds in tail]
        ax.plot(times, [share for share, _ in tail], label=label or outcome.report["policy"])
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("ms")
    ax.set_ylabel("share of misses that take longer")
    ax.set_title(title)
    ax.grid(visible=True, which="both", lw=0.3)
    ax.legend()
    try:
        figure.savefig(file, dpi=110)
    except (OSError, ValueError) as error:
        raise click.UsageError(f"--plot: {file} cannot be written: {error}") from None
    finally:
        pyplot.close(figure)
