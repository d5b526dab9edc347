"""One batch: some fleets at once, under the same load.

A fleet is a system under a fault: four nodes and four nameservers of their own. The fleets of a
batch begin a fraction of a second apart, load and faults together, so that the same instant does
not come for all of them at once on a small machine.
"""

import contextlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from bench import common
from bench.masking import client, systems, told
from bench.masking.client import Lookup, Target
from bench.masking.emulator import Seen
from bench.masking.load import ZONE, Arrival
from bench.masking.systems import NODES, Address, System
from bench.servers import ROOT, Server, StartError, free_address

APART_S: Final = 0.137  # between two fleets' beginnings
LEAD_S: Final = 0.3  # from the decision to begin until the first lookup
HELPER_S_MAX: Final = 20.0
FULL: Final = 0.85  # of the processors; above, waiting for one is part of every latency
LATE_S_MAX: Final = 0.010  # beside a valid run 99.9 % of the echoes are quicker


class Upstream(NamedTuple):
    """A query that reached a nameserver of this cell's."""

    at_s: float  # since the load began
    site: int
    name: str
    qtype: int
    delay_s: float  # of its answer; negative: lost


class Cell(NamedTuple):
    """One system under one fault."""

    system: System
    fault: str
    seconds: float
    lookups: list[Lookup]  # in order of time, those of the warm-up too
    upstream: list[Upstream]  # likewise
    told: list[dict[str, Any]]  # what each codns node says of itself at the end

    def measured(self) -> list[Lookup]:
        """Without the warm-up."""
        return [lookup for lookup in self.lookups if lookup.at_s >= 0]


class Quality(NamedTuple):
    """How far a batch may be believed; seconds at the 99.9th percentile."""

    echo_s: float
    client_late_s: float
    emulator_late_s: float
    cpu: float  # processors in use, on average
    stolen: float  # taken away by the host

    @property
    def void(self) -> bool:
        """Others had to wait for a processor: so had the systems."""
        return self.echo_s > LATE_S_MAX

    @property
    def doubtful(self) -> bool:
        """What measures was late itself, or the processors were full: so much for the tail."""
        late = max(self.client_late_s, self.emulator_late_s) > LATE_S_MAX
        return late or self.cpu > FULL * (os.cpu_count() or 1)


class Batch(NamedTuple):
    """What came out."""

    cells: list[Cell]
    quality: Quality


class Helper:
    """A process of ours that says `ready`, and ends when its standard input does."""

    def __init__(self, module: str, argument: Path) -> None:
        self.module = module
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, str(argument)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )

    def pipes(self) -> tuple[IO[str], IO[str]]:
        """To it and from it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        return self.process.stdin, self.process.stdout

    def wait_ready(self) -> None:
        """Until it says so; it is quick, or dead."""
        if "ready" not in self.pipes()[1].readline():
            raise StartError(f"{self.module} ended with {self.process.wait()}")

    def tell(self, line: str) -> None:
        """One line."""
        to, _ = self.pipes()
        to.write(line + "\n")
        to.flush()

    def finish(self) -> None:
        """Let it write its file and end."""
        for pipe in self.pipes():
            pipe.close()
        code = self.process.wait(HELPER_S_MAX)
        if code:
            raise StartError(f"{self.module} ended with {code}")

    def stop(self) -> None:
        """If it has not ended by itself."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Fleet(NamedTuple):
    """Four nodes and their nameservers."""

    system: System
    fault: str
    nameservers: list[Address]
    nodes: list[Server]


def run_batch(
    pairs: Sequence[tuple[System, str]],
    plan: Sequence[Arrival],
    seconds: float,
) -> Batch:
    """Start everything, put it under load, stop everything."""
    with tempfile.TemporaryDirectory(prefix="codns-masking-") as name, ExitStack() as stack:
        folder = Path(name)
        addresses = [[free_address() for _ in range(NODES)] for _ in pairs]
        emulator = start_emulator(folder, pairs, addresses, seconds, stack)
        fleets = []
        for (system, fault), nameservers in zip(pairs, addresses, strict=True):
            nodes = systems.start_fleet(system, folder, nameservers, stack)
            fleets.append(Fleet(system, fault, nameservers, nodes))
        for fleet in fleets:
            for node in fleet.nodes:
                node.wait_ready(ZONE)
        for fleet in fleets:
            told.wait_neighbours(fleet.nodes if fleet.system.program == "codns" else [])
        echo = Helper("bench.masking.echo", folder / "echo")
        stack.callback(echo.stop)
        echo.wait_ready()
        before, clock = common.machine(), time.monotonic()
        first = clock + LEAD_S - min(arrival.at_s for arrival in plan)
        starts = [first + APART_S * i for i in range(len(fleets))]
        emulator.tell("start " + " ".join(map(repr, starts)))
        targets = [
            Target([node.address for node in fleet.nodes], start)
            for fleet, start in zip(fleets, starts, strict=True)
        ]
        with preferred():
            lookups, late = client.run(targets, plan)
        after, spent = common.machine(), time.monotonic() - clock
        said = [
            [told.summary(node) for node in fleet.nodes if fleet.system.program == "codns"]
            for fleet in fleets
        ]
        echo.finish()
        emulator.finish()
        seen = Seen(*pickle.loads((folder / "seen").read_bytes()))
        cells = split(fleets, starts, lookups, seen, seconds, said)
        quality = Quality(
            percentile(echoes(folder / "echo", starts[0], first + seconds)),
            percentile(late),
            percentile(sorted(seen.late_s)),
            (after.busy - before.busy) / spent,
            (after.stolen - before.stolen) / spent,
        )
        return Batch(cells, quality)


@contextlib.contextmanager
def preferred() -> Iterator[None]:
    """What measures goes before what is measured, where the system lets it."""
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, usual - 10)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, usual)


def percentile(ascending: Sequence[float]) -> float:
    """The 99.9th, or 0 of nothing."""
    return common.percentile(ascending, 99.9) if ascending else 0.0


def start_emulator(
    folder: Path,
    pairs: Sequence[tuple[System, str]],
    addresses: Sequence[Sequence[Address]],
    seconds: float,
    stack: ExitStack,
) -> Helper:
    """One process with all nameservers; only site 1's of each fleet has the fault."""
    rows = [
        (*address, i, site, fault if site == 0 else "none")
        for i, (_, fault) in enumerate(pairs)
        for site, address in enumerate(addresses[i])
    ]
    spec = folder / "emulator.json"
    document = {"nameservers": rows, "seconds": seconds, "seen": str(folder / "seen")}
    spec.write_text(json.dumps(document))
    helper = Helper("bench.masking.emulator", spec)
    stack.callback(helper.stop)
    helper.wait_ready()
    return helper


def echoes(file: Path, start: float, end: float) -> list[float]:
    """Round trips under load, ascending."""
    found = array("d", file.read_bytes())
    pairs = zip(found[::2], found[1::2], strict=True)
    return sorted(took for at, took in pairs if start <= at <= end)


def split(
    fleets: Sequence[Fleet],
    starts: Sequence[float],
    lookups: Sequence[Lookup],
    seen: Seen,
    seconds: float,
    said: Sequence[list[dict[str, Any]]],
) -> list[Cell]:
    """To each cell its own."""
    cells = [
        Cell(fleet.system, fleet.fault, seconds, [], [], of_nodes)
        for fleet, of_nodes in zip(fleets, said, strict=True)
    ]
    for lookup in lookups:
        cells[lookup.fleet].lookups.append(lookup)
    columns = zip(seen.time_s, seen.server, seen.name, seen.qtype, seen.delay_s, strict=True)
    for at, server, name, qtype, delay in columns:
        fleet, site = divmod(server, NODES)
        query = Upstream(at - starts[fleet], site, seen.names[name], qtype, delay)
        cells[fleet].upstream.append(query)
    return cells
