"""An hour of mixed load and faults; does anything grow? `python -m bench.soak [--seconds 3600]`.

Four `codns run` that are peers, 144 queries a second in all: cached and unique names, TTLs from
1 s to 1 h, denials, broken and slow names, answers of 4 and 30 KiB by TCP, connections that break
off, clients that vanish, malformed datagrams, ANY, ECS, random COOKIEs, random case; scrapes,
status pages, `explain`, cache dumps and flushes, reloads with good and bad files, changes of the
key. Nameservers are silent, fail, are slow, lose queries; slaves are killed and stopped, a node is
killed, another is cut off from its peers. `bench/soak/plan.py` has the times.

Memory, descriptors, threads, tables, event-loop lag and clients' latencies go to --out as it runs.
In the end every series is judged (`bench/soak/judge.py`). Exit code 1: something grew, an answer
was wrong, a node died by itself, logged a traceback or an internal error, or a chore failed; 2:
could not run.
Ctrl-C ends it and judges what there is. --read FILE judges and draws an earlier run.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Final

import trio

from bench.masking.plot import PlotError, check
from bench.servers import StartError
from bench.soak import plan, plot, report, sampler
from bench.soak.chores import Chores
from bench.soak.client import Clients
from bench.soak.fleet import Fleet

EVERY_S: Final = 5.0  # between samples: 60 in a cycle
SAMPLES_IN_CYCLE: Final = 20  # of a short run
SAY_S: Final = 30.0
LEAD_S: Final = 0.5
MISTAKE: Final = "internal error"  # what a master says of its own; it goes on


def progress(text: str) -> None:
    """For whoever watches."""
    print(text, file=sys.stderr, flush=True)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--rate", type=float, default=plan.RATE, help="queries a second and node")
    parser.add_argument("--seed", type=int, default=1, help="of who asks for what, and when")
    parser.add_argument("--out", type=Path, default=Path("soak.jsonl"), help="samples, as it runs")
    parser.add_argument("--plot", type=Path, help="also draw it (matplotlib)")
    parser.add_argument("--json", action="store_true", help="the verdict as JSON")
    parser.add_argument("--logs", type=Path, help="also keep the daemons' logs in this folder")
    parser.add_argument("--read", type=Path, metavar="FILE", help="judge what --out wrote")
    return parser.parse_args(argv)


class Soak:
    """One run."""

    def __init__(self, args: argparse.Namespace, fleet: Fleet, out: IO[str]) -> None:
        self.args, self.fleet, self.out = args, fleet, out
        self.clients = Clients(node.address for node in fleet.nodes)
        self.chores = Chores(fleet, args.seconds, self.note)
        self.rows: list[dict[str, Any]] = []
        self.start = 0.0
        self.died: list[str] = []

    def note(self, row: dict[str, Any]) -> None:
        """To memory and to the file."""
        self.rows.append(row)
        self.out.write(json.dumps(row) + "\n")
        self.out.flush()

    async def run(self) -> None:
        """From the first query to the last."""
        self.start = trio.current_time() + LEAD_S
        # both clocks are CLOCK_MONOTONIC, but trio's has an offset of its own
        self.fleet.emulator.tell(f"start {time.monotonic() + LEAD_S!r}")
        async with trio.open_nursery() as nursery:
            for node in range(plan.NODES):
                stream = plan.arrivals(self.args.rate, self.args.seconds, node, self.args.seed)
                nursery.start_soon(self.clients.run, stream, self.start)
            nursery.start_soon(self.chores.run, self.start)
            nursery.start_soon(self.sample)
            await trio.sleep_until(self.start + self.args.seconds)
            nursery.cancel_scope.cancel()

    async def sample(self) -> None:
        """Until cancelled."""
        every = min(EVERY_S, plan.cycle_s(self.args.seconds) / SAMPLES_IN_CYCLE)
        due, say = self.start, self.start
        while True:
            due = max(due + every, trio.current_time())
            await trio.sleep_until(due)
            at = round(trio.current_time() - self.start, 3)
            counts, late = self.clients.take()
            rows = await sampler.sample(self.fleet)
            rows += [sampler.clients(i, each, late) for i, each in enumerate(counts)]
            for row in rows:
                self.note({"at": at, **row})
            self.look_for_the_dead()
            if trio.current_time() >= say:
                say += SAY_S
                progress(report.line(at, self.args.seconds, rows))

    def look_for_the_dead(self) -> None:
        """A node that ended by itself is started again, so that the run goes on."""
        for node in self.fleet.nodes:
            code = node.died()
            if code is not None:
                self.died.append(f"node {node.index + 1} ended by itself with {code}")
                node.kill()
                node.start()

    def troubles(self) -> list[str]:
        """What must not be, beside growth."""
        found = [*self.died, *self.chores.refused]
        found += [f"wrong answer: {each}" for each in self.clients.wrong]
        for node in self.fleet.nodes:
            said = node.said()
            found += [
                f"node {node.index + 1} logged {what}"
                for word, what in (("Traceback", "a traceback"), (MISTAKE, "an internal error"))
                if word in said
            ]
        return found


def run(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Everything, until the end or Ctrl-C; all lines."""
    with (
        tempfile.TemporaryDirectory(prefix="codns-soak-") as name,
        args.out.open("w") as out,
        ExitStack() as stack,
    ):
        fleet = Fleet(Path(name), args.seconds, stack)
        fleet.start()
        soak = Soak(args, fleet, out)
        keys = ("seconds", "rate", "seed")
        soak.note({"settings": {key: getattr(args, key) for key in keys}})
        try:
            trio.run(soak.run)
        except* KeyboardInterrupt:
            progress("interrupted: what there is")
        soak.note({"troubles": soak.troubles()})
        fleet.emulator.finish()
        if args.logs:
            fleet.keep_logs(args.logs)
        return soak.rows


def main(argv: Sequence[str] | None = None) -> int:
    """Run, judge, draw."""
    args = arguments(argv)
    try:
        if args.plot:
            check()
        rows = sampler.read(args.read) if args.read else run(args)
    except (StartError, PlotError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    found = report.Report(rows)
    print(json.dumps(found.document(), indent=1) if args.json else found.text())
    if args.plot:
        plot.draw(args.plot, rows)
    return 1 if found.broken else 0


if __name__ == "__main__":
    sys.exit(main())
