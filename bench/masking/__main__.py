"""codns beside others when a nameserver fails: `python -m bench.masking [--quick]`.

Four nodes, each with its own emulated nameserver (4 ms in the median, 1 % at 150 ms), node 1's
failing in three ways, and for comparison in none; 30 % of names unique. The systems run one after
the other, each under all three faults at once, with the same lookups at the same times. Prints
tables with ratios to the best alternative and what was aimed at; exit code 1: a batch is void,
because an echo process beside it had to wait longer than 10 ms at the 99.9th percentile, twice.

The full run takes 65 minutes: 102 lookups a second and node for 200 s. `--quick`: 40 for 25 s, in
8 minutes. What to do with a figure that surprises: `--worst 10` tells what became of the slowest.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.masking import faults, load, plot, report, systems, worst
from bench.masking.figures import Figures, figures
from bench.masking.fleet import Batch, Cell, Quality, run_batch
from bench.masking.systems import NODES, System
from bench.servers import StartError

PROGRAMS: Final = ("codns", *systems.ALTERNATIVES)
RATE: Final = 102.0  # a hundred, and enough for 20,000 lookups of node 1 in 200 s
QUICK_RATE: Final = 40.0
WARM_S: Final = 6.0  # caches, estimators; not counted
TRIES: Final = 2  # of a void batch


def progress(text: str) -> None:
    """For whoever watches."""
    print(text, file=sys.stderr, flush=True)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.masking", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="40 lookups/s and node for 25 s")
    parser.add_argument("--only", default=",".join(PROGRAMS), help="e.g. codns,smartdns")
    parser.add_argument("--policy", default=",".join(systems.POLICIES), help="e.g. adaptive,off")
    parser.add_argument("--fault", default=",".join(faults.NAMES), help="e.g. none,periodic")
    parser.add_argument("--rate", type=float, help="lookups a second and node")
    parser.add_argument("--seconds", type=float, help="how long each batch is measured")
    parser.add_argument("--warm", type=float, default=WARM_S, help="seconds before that")
    parser.add_argument("--seed", type=int, default=1, help="of who asks for what, and when")
    parser.add_argument("--worst", type=int, default=0, metavar="N", help="tell of the N slowest")
    parser.add_argument("--json", type=Path, help="also write every figure to this file")
    parser.add_argument("--plot", type=Path, help="also draw latency over time (matplotlib)")
    parser.add_argument("--codns", help="another build's executable, e.g. the compiled one's")
    args = parser.parse_args(argv)
    for option, known in (
        ("only", PROGRAMS),
        ("policy", systems.POLICIES),
        ("fault", faults.NAMES),
    ):
        chosen = [word.strip() for word in getattr(args, option).split(",")]
        unknown = [word for word in chosen if word not in known]
        if unknown:
            parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
        setattr(args, option, [word for word in known if word in chosen])
    args.rate = args.rate or (QUICK_RATE if args.quick else RATE)
    args.seconds = args.seconds or (25.0 if args.quick else 200.0)
    return args


Pairs = list[tuple[System, str]]


def batches(chosen: Sequence[System], asked: Sequence[str], quick: bool) -> list[Pairs]:
    """What runs at once.

    In a quick run a system with all faults. In a full run the three faults of a system, and the
    healthy fleets by threes too, so that all share the machine with as many others.
    """
    if quick:
        return [[(system, fault) for fault in asked] for system in chosen]
    faulty = [fault for fault in asked if fault != "none"]
    found = [[(system, fault) for fault in faulty] for system in chosen if faulty]
    if "none" in asked:
        threes = (chosen[i : i + 3] for i in range(0, len(chosen), 3))
        found += [[(system, "none") for system in three] for three in threes]
    return found


def name_of(pairs: Pairs) -> str:
    """Of a batch, for people."""
    labels = dict.fromkeys(system.label for system, _ in pairs)
    only = {fault for _, fault in pairs}
    return " and ".join(labels) + (f" ({only.pop()})" if len(only) == 1 else "")


class Bench:
    """One run of everything."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.plan = load.plan(args.rate, args.seconds, args.warm, NODES, args.seed)
        self.rows: dict[System, dict[str, Figures]] = {}
        self.cells: list[Cell] = []
        self.quality: dict[str, Quality] = {}

    def run(self) -> None:
        """Each batch; a void one again."""
        chosen = systems.systems(self.args.only, self.args.policy)
        for pairs in batches(chosen, self.args.fault, self.args.quick):
            label = name_of(pairs)
            for attempt in range(TRIES):
                progress(f"{label}: {self.args.seconds:g} s{', again' if attempt else ''}")
                done = run_batch(pairs, self.plan, self.args.seconds)
                if not done.quality.void:
                    break
            self.keep(label, done)

    def keep(self, label: str, done: Batch) -> None:
        """Its figures; for the plot and the causes also the lookups."""
        self.quality[label] = done.quality
        for cell in done.cells:
            self.rows.setdefault(cell.system, {})[cell.fault] = figures(cell)
            self.cells.append(cell)

    def settings(self) -> dict[str, object]:
        """What was run."""
        keys = ("quick", "rate", "seconds", "seed", "only", "policy", "fault")
        return {key: getattr(self.args, key) for key in keys}

    def print(self) -> None:
        """Tables, verdicts, quality."""
        print(report.tables(self.rows, self.args.fault))
        for verdict in report.verdicts(self.rows):
            print(verdict)
        print("\n".join(["", *report.own_counts(self.cells), *report.quality(self.quality)]))
        if self.args.worst:
            for cell in self.cells:
                print("\n".join(worst.told(cell, self.args.worst)))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write JSON and plot."""
    args = arguments(argv)
    if args.codns:
        os.environ["CODNS_BENCH_EXECUTABLE"] = args.codns
    bench = Bench(args)
    try:
        if args.plot:
            plot.check()
        bench.run()
    except (StartError, plot.PlotError) as error:
        if bench.rows:  # an hour's figures are not thrown away
            bench.print()
        print(f"bench: {error}", file=sys.stderr)
        return 2
    bench.print()
    if args.json:
        document = report.document(bench.rows, bench.quality, bench.settings())
        report.write_json(args.json, document)
    if args.plot:
        plot.draw(args.plot, bench.cells, bench.rows)
    void = [label for label, quality in bench.quality.items() if quality.void]
    if void:
        print(f"bench: void, the machine was too busy: {'; '.join(void)}", file=sys.stderr)
    return 1 if void else 0


if __name__ == "__main__":
    sys.exit(main())
