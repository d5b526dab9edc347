"""Break everything in a fleet of six under load: `python -m bench.chaos [--seconds 900]`.

What is broken, what a client sees of it and what is allowed: README.md beside this file. Exit
code 0: nothing was lost beyond that; 1: something was, or a fault was not tried for want of time;
2: this machine cannot run it.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench import common
from bench.chaos import judge
from bench.chaos.fleet import Fleet, schedule
from bench.chaos.judge import Act, Found
from bench.chaos.net import ChaosError, enter
from bench.chaos.node import FAKETIME, Resources
from bench.chaos.table import BY_NAME
from bench.servers import StartError, program

GROWTH_MIB: Final = 32.0  # the cache of 15 minutes, twice
FILES: Final = 8  # a control connection or two
CLIENT_LATE_S: Final = 0.1  # above it at the 99.9th percentile the machine was too busy


def progress(text: str) -> None:
    """For whoever watches."""
    print(text, file=sys.stderr, flush=True)


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=900.0, help="of load")
    parser.add_argument("--rate", type=float, default=20.0, help="lookups a second and node")
    parser.add_argument("--seed", type=int, default=1, help="of the order, the nodes, the load")
    parser.add_argument("--only", default="", metavar="FAULT,...", help="not all of them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to it, too")
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="keep the daemons' logs there")
    args = parser.parse_args(argv)
    args.only = [word.strip() for word in args.only.split(",") if word.strip()] or list(BY_NAME)
    unknown = [word for word in args.only if word not in BY_NAME]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(BY_NAME)}")
    return args


def check_programs(chosen: Sequence[str]) -> None:
    """What it takes beside root. StartError, ChaosError."""
    for name in ("ip", "nft", "bash", "mount", "umount", "unshare", "setpriv"):
        program(name)
    if "clock-jumps" in chosen and FAKETIME is None:
        raise ChaosError("libfaketime not found: install the Debian package faketime")


class Run:
    """What came of it."""

    def __init__(self, fleet: Fleet, args: argparse.Namespace) -> None:
        fleet.load(args.rate, args.seconds, args.seed)
        before = fleet.resources()
        self.acts: list[Act] = schedule(fleet, args.only, args.seconds, progress)
        progress("waiting for the last lookups")
        lookups, late = fleet.lookups()
        self.found: list[Found] = [
            *judge.of_acts(self.acts, lookups, len(fleet.nodes)),
            *judge.between(self.acts, lookups, len(fleet.nodes)),
        ]
        self.client_late_s = common.percentile(late, 99.9)
        self.resources = list(zip(before, fleet.resources(), strict=True))
        tried = {each.fault for act in self.acts for each in act.afflicted}
        self.missing = [name for name in args.only if name not in tried]
        self.problems = self._problems(fleet)

    def _problems(self, fleet: Fleet) -> list[str]:
        """What is wrong beside lookups."""
        wrong = [f"{name}: not tried, more --seconds needed" for name in self.missing]
        for node, (before, after) in zip(fleet.nodes, self.resources, strict=True):
            name, said = node.host.name, node.said()
            if node.starts != node.expected:
                wrong.append(f"{name}: started {node.starts} times, {node.expected} expected")
            for word in ("internal error", "Traceback"):
                if word in said:
                    line = next(line for line in said.splitlines() if word in line)
                    wrong.append(f"{name}: {line[:300]}")
            if after.memory_mib - before.memory_mib > GROWTH_MIB:
                wrong.append(f"{name}: grew by {after.memory_mib - before.memory_mib:.0f} MiB")
            if after.files - before.files > FILES:
                wrong.append(f"{name}: holds {after.files - before.files} descriptors more")
        return wrong

    def wrong(self) -> list[str]:
        """Everything that is."""
        return [
            f"{each.fault} n{each.node + 1} at {each.at_s:.0f} s: {word}"
            for each in self.found
            for word in each.wrong
        ] + self.problems

    def print(self) -> None:
        """Tables and verdict."""
        print(common.table(judge.HEADER, judge.rows(self.found)))
        print()
        header = ("node", "master MiB", "its descriptors", "slaves' descriptors")
        print(
            common.table(header, [_resources(i, *pair) for i, pair in enumerate(self.resources)])
        )
        print(f"\nthe clients themselves were late by {self.client_late_s * 1000:.1f} ms (p99.9)")
        if self.client_late_s > CLIENT_LATE_S:
            print("the machine was too busy for times to mean much")
        wrong = self.wrong()
        print("\n".join(wrong) if wrong else "nothing was lost beyond the table")

    def document(self) -> dict[str, object]:
        """As JSON."""
        return {
            "found": [each._asdict() for each in self.found],
            "acts": [
                {**act._asdict(), "afflicted": [each._asdict() for each in act.afflicted]}
                for act in self.acts
            ],
            "resources": [[each._asdict() for each in pair] for pair in self.resources],
            "client_late_s": self.client_late_s,
            "problems": self.problems,
        }


def _resources(number: int, before: Resources, after: Resources) -> list[str]:
    return [
        f"n{number + 1}",
        f"{before.memory_mib:.0f} -> {after.memory_mib:.0f}",
        f"{before.files} -> {after.files}",
        f"{before.files_slaves} -> {after.files_slaves}",
    ]


def main(argv: Sequence[str]) -> int:
    """Run, print, write."""
    args = arguments(argv)
    try:
        check_programs(args.only)
        code = enter("bench.chaos", list(argv))
        if code is not None:
            return code
        with tempfile.TemporaryDirectory(prefix="codns-chaos-") as name:
            folder = args.logs or Path(name)
            with Fleet(folder, args.seed) as fleet:
                run = Run(fleet, args)
            for node in fleet.nodes:
                node.unmount()
    except (ChaosError, StartError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    run.print()
    if args.json:
        args.json.write_text(json.dumps(run.document(), indent=1))
    return 1 if run.wrong() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
