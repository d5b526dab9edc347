"""What the simulator can do, and what it says of the policies.

python -m bench.simulation speed       events a second by size of fleet; 1,000 nodes, 10 min
python -m bench.simulation abstract    abstract heartbeats against full ones, to 5 %
python -m bench.simulation policies    off, codns2004 and adaptive on all scenarios
python -m bench.simulation constants   what each constant of `adaptive` is worth
python -m bench.simulation faithful    virtual time against real daemons on loopback
"""

import argparse
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from bench import common, simulation_constants, simulation_faithful
from codns.sim import load
from codns.sim.report import report
from codns.sim.runs import Run
from codns.sim.simulation import Simulation

SCENARIOS: Final = Path(__file__).resolve().parent.parent / "conf" / "simulations"
POLICIES: Final = ("off", "codns2004", "adaptive")

FLEET: Final = """
title: {nodes} nodes at one lookup a second
warm_up: 30s
duration: {seconds}s
heartbeats: {heartbeats}
sites: {{all: {{count: {nodes}}}}}
nameservers:
  good:
    failures:
      - {{kind: short, every: 10m, lasts: 3s}}
      - {{kind: long, every: 4h, lasts: 5m}}
"""


def fleet(nodes: int, seconds: int, heartbeats: str = "full", **overrides: object) -> Simulation:
    """A fleet like many."""
    text = FLEET.format(nodes=nodes, seconds=seconds, heartbeats=heartbeats)
    return Simulation(load.parse(text, overrides))


def speed(argv: Sequence[str]) -> int:
    """Events a second and memory, by size: is it linear?"""
    parser = argparse.ArgumentParser(prog="python -m bench.simulation speed")
    parser.add_argument("--nodes", default="100,300,1000")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--heartbeats", default="full")
    parser.add_argument("--processes", type=int, default=1)
    args = parser.parse_args(argv)
    lines = []
    for word in args.nodes.split(","):
        nodes = int(word)
        seconds = args.seconds if nodes == 1000 else min(args.seconds, 120)
        text = FLEET.format(nodes=nodes, seconds=seconds, heartbeats=args.heartbeats)
        wall = time.monotonic()
        outcome = Run(text, "fleet.yaml", ()).carry_out(None, args.processes)
        wall = time.monotonic() - wall
        if outcome.report is None:
            raise SystemExit(outcome.violation or "\n".join(map(str, outcome.problems)))
        events = outcome.report["events"]
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        memory += (args.processes - 1) * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        cells = [
            f"{events:,}",
            f"{outcome.report['groups']['all']['lookups']:,}",
            f"{outcome.seconds:.0f}",
            f"{wall:.0f}",
            f"{events / outcome.seconds:,.0f}",
        ]
        lines.append([f"{nodes:,} nodes, {seconds} s", *cells, f"{memory / 1024:,.0f}"])
    header = ["", "events", "lookups", "CPU s", "wall s", "events/CPU s", "MiB at most"]
    print(common.table(header, lines))
    return 0


def abstract(argv: Sequence[str]) -> int:
    """Both forms on one scenario, pooled over seeds."""
    parser = argparse.ArgumentParser(prog="python -m bench.simulation abstract")
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=4)
    args = parser.parse_args(argv)
    figures: dict[str, dict[str, float]] = {}
    for heartbeats in ("full", "abstract"):
        runs = [
            fleet(args.nodes, args.seconds, heartbeats, seed=seed).run()
            for seed in range(args.seeds)
        ]
        groups: list[dict[str, Any]] = [report(run)["groups"]["all"] for run in runs]
        figures[heartbeats] = {
            key: sum(group[key] for group in groups) / len(groups)
            for key in ("mean", "p50", "p90", "p95", "p99", "over_1s")
        } | {
            f"remote {key}": sum(group["remote"][key] for group in groups) / len(groups)
            for key in ("sent", "won", "wasted")
        }
        events = sum(run.cluster.kernel.events for run in runs)
        print(f"{heartbeats}: {events:,} events")
    worst = 0.0
    lines = []
    for key, full in figures["full"].items():
        other = figures["abstract"][key]
        apart = other / full - 1
        worst = max(worst, abs(apart))
        lines.append([key, f"{full:.5f}", f"{other:.5f}", f"{apart:+.1%}"])
    print(common.table(["", "full", "abstract", "apart"], lines))
    return 0 if worst <= 0.05 else 1


def policies(argv: Sequence[str]) -> int:
    """Every scenario under every policy; what is worse with adaptive than with codns2004?"""
    parser = argparse.ArgumentParser(prog="python -m bench.simulation policies")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", help="scenarios, e.g. outage,healthy")
    args = parser.parse_args(argv)
    names = args.only.split(",") if args.only else sorted(p.stem for p in SCENARIOS.glob("*.yaml"))
    jobs = [(n, p, seed) for n in names for p in POLICIES for seed in range(1, args.seeds + 1)]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        found = dict(zip(jobs, pool.map(one, jobs), strict=True))
    lines, worse = [], []
    for name in names:
        rows = {
            policy: simulation_constants.mean(
                [found[name, policy, seed] for seed in range(1, args.seeds + 1)]
            )
            for policy in POLICIES
        }
        lines += [[name, policy, *simulation_constants.cells(row)] for policy, row in rows.items()]
        worse += simulation_constants.worse(name, rows["adaptive"], rows["codns2004"])
    print(common.table(["scenario", "policy", *simulation_constants.HEADINGS], lines))
    for line in worse:
        print(f"WORSE than codns2004: {line}")
    return 1 if worse else 0


def one(job: tuple[str, str, int]) -> simulation_constants.Row:
    """One run of a scenario."""
    name, policy, seed = job
    scenario = load.load(SCENARIOS / f"{name}.yaml", {"seed": seed})
    return simulation_constants.row(Simulation(scenario, policy=policy).run())


PARTS: Final[dict[str, Callable[[Sequence[str]], int]]] = {
    "speed": speed,
    "abstract": abstract,
    "policies": policies,
    "constants": simulation_constants.main,
    "faithful": simulation_faithful.main,
}


def main() -> int:
    """Do one part."""
    parser = argparse.ArgumentParser(prog="python -m bench.simulation", description=__doc__)
    parser.add_argument("part", choices=PARTS)
    args, rest = parser.parse_known_args()
    return PARTS[args.part](rest)


if __name__ == "__main__":
    sys.exit(main())
