"""codns with more to do than it can: `python -m bench.overload [udp|tcp|all] [--quick]`.

udp: three times its capacity, of which it has little, as it is given a quarter of one core. tcp:
10,000 connections that are silent, slow to write or do not read. Prints tables, what was aimed at,
codns's own counters, and whether the figures can be believed; needs root (a cgroup) and nsd. Three
minutes; `--quick`: two.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.common import BenchError
from bench.overload import flood, report, tcp
from bench.overload.quota import PERIOD_US
from bench.servers import StartError


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.overload", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("udp", "tcp", "all"), default="all")
    parser.add_argument("--quick", action="store_true", help="shorter phases")
    parser.add_argument("--setting", choices=("servfail", "drop"), default="servfail",
                        help="`overload` in codns's configuration")  # fmt: skip
    parser.add_argument("--period-ms", type=float, default=PERIOD_US / 1e3, help="of the quota")
    parser.add_argument("--connections", type=int, default=tcp.CONNECTIONS)
    parser.add_argument("--json", type=Path, help="also write every figure to this file")
    parser.add_argument("--codns", help="another build's executable, e.g. the compiled one's")
    return parser.parse_args(argv)


def measure(args: argparse.Namespace) -> list[object]:
    """Run, print as it comes; returns what JSON gets."""
    documents = []
    settings = {key: getattr(args, key) for key in ("quick", "setting", "period_ms")}
    for what in ("udp", "tcp") if args.what == "all" else (args.what,):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            result: flood.Result | tcp.Result
            if what == "udp":
                lengths = flood.QUICK if args.quick else flood.Lengths()
                period_us = int(args.period_ms * 1e3)
                result = flood.Flood(stack, folder, args.setting, period_us).run(lengths)
                lines = report.of_flood(result, lengths)
            else:
                result = tcp.run(stack, folder, args.connections, 8.0 if args.quick else 20.0)
                lines = report.of_tcp(result)
        print("\n".join([*lines, ""]), flush=True)
        documents.append(report.document(what, result, settings))
    return documents


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write JSON."""
    args = arguments(argv)
    if args.codns:
        os.environ["CODNS_BENCH_EXECUTABLE"] = args.codns
    try:
        documents = measure(args)
    except (StartError, BenchError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    if args.json:
        args.json.write_text(json.dumps(documents, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
