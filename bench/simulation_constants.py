"""What each constant of `adaptive` is worth, on scenarios that pull in different directions.

One constant at a time takes other values; everything else stays. A value is better if times go
down and load does not go up. `--only delay` and so on choose the constants.

    rule        how the initial delay follows local times: the rule that is (`SPENT`), a quantile,
                a quantile bounded by a multiple of another, and constants
    spent       the part of the budget that `adaptive` plans to spend
    lately      paid queries that say whether help pays
    clamp       its least and greatest value
    budget      tokens a miss
    trickle     every so many lookups go to a failing nameserver
    probe       seconds between probes of a busy nameserver
    neighbours  peers that are watched
    remote      remote queries for one lookup
"""

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench import common
from codns.core import initial_delay
from codns.core.initial_delay import Adaptive
from codns.sim import load
from codns.sim.report import report
from codns.sim.simulation import Simulation

SCENARIOS: Final = Path(__file__).resolve().parent.parent / "conf" / "simulations"
ON: Final = (
    "healthy", "outage", "sporadic", "overload", "slow-authority", "flaky-peer",
    "shared-failure",
)  # fmt: skip
MARGIN: Final = 0.03  # less is chance: p99 of 13,000 misses rests on 130
HEADINGS: Final = (
    "mean", "p50", "p90", "p95", "p99", "p99.9", "> 1 s", "failed", "sent", "won", "wasted",
    "ns q/s", "busiest",
)  # fmt: skip

Row = dict[str, float]


def row(simulation: Simulation) -> Row:
    """The figures of a run."""
    values: dict[str, Any] = report(simulation)["groups"]["all"]
    times = ("mean", "p50", "p90", "p95", "p99", "p99_9", "over_1s", "failed")
    return (
        {key: values[key] for key in times}
        | {key: values["remote"][key] for key in ("sent", "won", "wasted")}
        | {"ns": values["nameservers"]["mean"], "busiest": values["nameservers"]["busiest"]}
    )


def mean(rows: Sequence[Row]) -> Row:
    """Over seeds."""
    return {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}


def cells(figures: Row) -> list[str]:
    """For a table."""
    times = [f"{1000 * figures[key]:.1f}" for key in ("mean", "p50", "p90", "p95", "p99", "p99_9")]
    shares = [
        f"{100 * figures[key]:.2f}%" for key in ("over_1s", "failed", "sent", "won", "wasted")
    ]
    return [*times, *shares, f"{figures['ns']:.2f}", f"{figures['busiest']:.2f}"]


def worse(name: str, adaptive: Row, codns2004: Row) -> list[str]:
    """In what adaptive is worse by more than chance."""
    return [
        f"{name}: {key} {adaptive[key]:.4g}, not {codns2004[key]:.4g}"
        f" ({adaptive[key] / codns2004[key] - 1:+.1%})"
        for key in ("mean", "p95", "p99", "ns")
        if adaptive[key] > codns2004[key] * (1 + MARGIN)
    ]


class Variant(NamedTuple):
    """One value of one constant. `rule` is another for the initial delay than core's."""

    label: str
    settings: tuple[tuple[str, object], ...] = ()
    rule: tuple[float, float] | None = None


def rules(*given: tuple[float, float]) -> list[Variant]:
    """The quantile that leaves a share above it; at most a factor x the median."""
    return [
        Variant(f"p{100 - 100 * above:g}" + (f", {factor:g} x p50" if factor else ""),
                rule=(above, factor))
        for above, factor in given
    ]  # fmt: skip


def fixed(*delays: str) -> list[Variant]:
    """The same delay always: both clamps at it."""
    return [
        Variant(delay, (("race.initial_delay", delay), ("race.initial_delay_min", delay)))
        for delay in delays
    ]


def values(key: str, *given: object) -> list[Variant]:
    """Settings or constants."""
    return [Variant(f"{key.rpartition('.')[2]}={value}", ((key, value),)) for value in given]


SWEEPS: Final[dict[str, list[Variant]]] = {
    "rule": [
        Variant("budget"),
        *rules((0.03, 3), (0.03, 0), (0.05, 0), (0.08, 0), (0.15, 0)),
        *fixed("10ms", "50ms", "200ms"),
    ],
    "spent": values("constants.initial_delay.SPENT", 0.3, 0.5, 0.8, 0.9, 1.0),
    "lately": values("constants.budget._FADING", 1 - 1 / 8, 1 - 1 / 32, 1 - 1 / 128),
    "clamp": [
        *values("race.initial_delay_min", "1ms", "10ms", "20ms", "50ms"),
        *values("race.initial_delay", "100ms", "200ms", "400ms"),
    ],
    "budget": values("race.budget", "0%", "2%", "5%", "10%", "20%", "100%"),
    "trickle": values("constants.local_path.TRICKLE", 2, 4, 8, 16, 64),
    "probe": values("constants.probe.BUSY_S", 0.5, 1, 2, 5),
    "neighbours": values("peers.neighbours", 2, 5, 10, 20),
    "remote": values("race.max_remote", 1, 2, 3, 5),
}  # fmt: skip


@contextmanager
def ruled(rule: tuple[float, float] | None) -> Iterator[None]:
    """Let `adaptive` follow another rule meanwhile."""
    if rule is None:
        yield
        return
    usual: Callable[[Adaptive, float], None] = Adaptive._refresh
    above, factor = rule

    def refresh(self: Adaptive, now: float) -> None:
        share, self._budget = self._budget, _Planned(above)  # type: ignore[assignment]
        usual(self, now)
        self._budget = share
        if factor and self._samples >= initial_delay.SAMPLES_MIN:
            self._delay = self._clamped(min(self._delay, factor * self._median))

    Adaptive._refresh = refresh  # type: ignore[method-assign]
    try:
        yield
    finally:
        Adaptive._refresh = usual  # type: ignore[method-assign]


class _Planned:
    """Stands for a budget that makes `adaptive` leave this share above its delay."""

    def __init__(self, above: float) -> None:
        self.share = above / initial_delay.SPENT

    def pays(self, _now: float) -> float:
        """As far as the delay is concerned, help never pays."""
        return 0.0


def one(job: tuple[str, str, Variant, int]) -> Row:
    """One run of a scenario."""
    name, policy, variant, seed = job
    overrides = {**dict(variant.settings), "seed": seed}
    scenario = load.load(SCENARIOS / f"{name}.yaml", overrides)
    with ruled(variant.rule):
        return row(Simulation(scenario, policy=policy, checked=False).run())


def main(argv: Sequence[str]) -> int:
    """Print a table for each constant: figures against codns2004, over all scenarios."""
    parser = argparse.ArgumentParser(prog="python -m bench.simulation constants")
    parser.add_argument("--only", help=f"of {', '.join(SWEEPS)}")
    parser.add_argument("--scenarios", default=",".join(ON))
    parser.add_argument("--seeds", type=int, default=2)
    args = parser.parse_args(argv)
    names, seeds = args.scenarios.split(","), range(1, args.seeds + 1)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        base = dict(
            zip(names, measured(pool, names, "codns2004", Variant(""), seeds), strict=True)
        )
        for sweep in args.only.split(",") if args.only else SWEEPS:
            lines = []
            for variant in SWEEPS[sweep]:
                rows = measured(pool, names, "adaptive", variant, seeds)
                lines += [summary(variant.label, names, rows, base)]
            header = ["", *(f"{name} p99" for name in names), "mean", "p99", "wasted", "ns q/s"]
            print(f"{sweep}: p99 in ms by scenario; then, against codns2004, all scenarios")
            print(common.table(header, lines), flush=True)
    return 0


def measured(
    pool: ProcessPoolExecutor,
    names: Sequence[str],
    policy: str,
    variant: Variant,
    seeds: Sequence[int],
) -> list[Row]:
    """The figures of each scenario, over seeds."""
    jobs = [(name, policy, variant, seed) for name in names for seed in seeds]
    rows = list(pool.map(one, jobs))
    size = len(seeds)
    return [mean(rows[i * size : (i + 1) * size]) for i in range(len(names))]


def summary(
    label: str, names: Sequence[str], rows: Sequence[Row], base: dict[str, Row]
) -> list[str]:
    """A line: p99 of each scenario, and the geometric means of ratios."""
    cells = [f"{1000 * row['p99']:.0f}" for row in rows]
    for key in ("mean", "p99"):
        product = 1.0
        for name, figures in zip(names, rows, strict=True):
            product *= figures[key] / base[name][key]
        cells.append(f"{product ** (1 / len(names)):.3f}")
    cells.append(f"{sum(row['wasted'] for row in rows) / len(rows):.3f}")
    load_ratio = 1.0
    for name, figures in zip(names, rows, strict=True):
        load_ratio *= figures["ns"] / base[name]["ns"]
    return [label, *cells, f"{load_ratio ** (1 / len(names)):.3f}"]
