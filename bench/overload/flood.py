"""The phases over UDP: the peak, three times the peak, half of it; and codns meanwhile.

All under one quota, with one stream of cached names of a constant rate beside the unique ones, in
one life of codns:

  ramp      rates rise by a quarter, 4 s each, until a tenth is not answered, twice in a row; the
            peak is what was answered of unique names in the two best steps, in the mean
  normal    half of the peak: what p99 is like when all is well
  overload  three times the peak
  recovery  half of the peak again, without a pause in between

codns is pinned to one processor, client and nameserver to another: what the client does shall not
be what is measured. Memory is read from /proc, the rest from /metrics, which costs codns some of
its quarter: every 5 s, and not during the recovery, which a scrape would look like a relapse of.
"""

import json
import os
import pickle
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from math import inf
from pathlib import Path
from typing import Final, NamedTuple

from bench import common, servers
from bench.common import BenchError
from bench.overload import figures
from bench.overload.figures import CACHED, UNIQUE, Kind, Punctual
from bench.overload.quota import Quota, pin, prefer
from bench.overload.traffic import PATIENCE_S, Phase, Records
from bench.servers import ROOT, Server, free_address

ZONE: Final = "bench.example."
SHARE: Final = 0.25  # of one core
CACHED_RATE: Final = 300.0  # enough for a p99, little beside the rest
FIRST_RATE: Final = 500.0
STEP: Final = 1.25
STEPS_MAX: Final = 20  # 500 x 1.25^19 is 35,000
TIMES: Final = 3.0
ENTRIES: Final = 10_000  # full after the ramp: what grows from then on is no cache
SAMPLE_S: Final = 1.0
SCRAPE_EVERY: Final = 5  # samples
LATE_S_MAX: Final = 0.02  # p99 of how late queries left: more is not the load that was meant


class Sample(NamedTuple):
    """codns at one moment."""

    at_s: float  # since the phases began
    rss: float  # MiB, of all its processes
    pss: float
    cpu_s: float  # since its start
    waiting: float | None  # queries in flight; None: not asked this time


class Lengths(NamedTuple):
    """Seconds."""

    step: float = 4.0
    normal: float = 6.0
    overload: float = 20.0
    recovery: float = 8.0


QUICK: Final = Lengths(2.0, 3.0, 8.0, 5.0)


class Result(NamedTuple):
    """All of it."""

    steps: list[tuple[float, Kind]]  # rate of unique names
    peak: float
    phases: dict[str, tuple[Kind, Kind]]  # unique, cached
    recovery_s: float | None
    punctual: Punctual
    samples: list[Sample]
    counted: dict[str, float]  # codns's own counters, over the overload and what followed
    throttled: tuple[int, int]  # periods, those in which it was stopped; in the same time

    @property
    def ratio(self) -> float:
        """Of unique names answered under overload, to the peak."""
        return self.phases["overload"][0].answered / self.peak


class Traffic:
    """The client's process."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.file = folder / "records"
        command = [sys.executable, "-m", "bench.overload.traffic", server.host, str(server.port)]
        self.process = subprocess.Popen(
            [*command, ZONE, str(self.file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.expect("ready")

    def expect(self, word: str) -> None:
        """Wait for its word."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if line != word:
            raise BenchError(f"the client said {line!r} for {word!r}")

    def begin(self, phases: Sequence[Phase]) -> None:
        """Let it play these."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([list(phase) for phase in phases]) + "\n")
        self.process.stdin.flush()

    def end(self) -> Records:
        """What it saw."""
        self.expect("done")
        return Records(*pickle.loads(self.file.read_bytes()))

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


def descriptors(pid: int) -> int:
    """How many files a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def scrape(address: str) -> dict[str, float]:
    """codns's metrics, by name and labels."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


class Flood:
    """One codns, its nameserver, its client."""

    def __init__(
        self, stack: ExitStack, folder: Path, setting: str, period_us: int, *, share: float = SHARE
    ) -> None:
        zone = folder / "zone"
        big = " ".join(f'"{"x" * 250}"' for _ in range(63))
        zone.write_text(
            f"$ORIGIN {ZONE}\n$TTL 86400\n@ SOA ns hostmaster 1 3600 600 86400 900\n@ NS ns\n"
            f"ns A 192.0.2.53\n* A 192.0.2.1\nbig TXT {big}\n"
        )
        self.quota = stack.enter_context(Quota(f"codns-overload-{os.getpid()}"))
        nsd = servers.nsd(folder, {ZONE: zone}, options=["minimal-responses: yes"])
        self.nsd = stack.enter_context(nsd).wait_ready(ZONE)
        config = folder / "codns.yaml"
        config.write_text(f"overload: {setting}\ncache: {{entries: {ENTRIES}}}\n")
        self.web = "{}:{}".format(*free_address())
        self.server = stack.enter_context(
            servers.codns(
                folder,
                [self.nsd.address],
                options=["-c", str(config), "--http", self.web, "--control", "off"],
                prefix=self.quota.prefix,
            )
        ).wait_ready(ZONE)
        self.traffic = Traffic(self.server, folder)
        stack.callback(self.traffic.close)
        for pid in self.server.pids():
            pin(pid, {0})
        for pid in (*self.nsd.pids(), self.traffic.process.pid):
            pin(pid, {1})
            prefer(pid)
        self.quota.grant(share, period_us)  # not before: starting takes a second of a whole core
        self.samples: list[Sample] = []
        self.most_files = 0  # descriptors of the master

    def play(self, phases: Sequence[Phase], undisturbed_s: float = inf) -> Records:
        """Play phases and watch codns meanwhile; from `undisturbed_s` on without a scrape."""
        self.traffic.begin(phases)
        start, number = time.monotonic(), 0
        self.samples = []
        end = start + sum(phase.seconds for phase in phases) + PATIENCE_S
        while time.monotonic() < end:
            waiting = None
            if number % SCRAPE_EVERY == SCRAPE_EVERY - 1 and number * SAMPLE_S < undisturbed_s:
                waiting = scrape(self.web)["codns_inflight_requests"]
            at_s = time.monotonic() - start
            self.samples.append(
                Sample(at_s, *common.memory(self.server), common.cpu_s(self.server), waiting)
            )
            self.most_files = max(self.most_files, descriptors(self.server.process.pid))
            number += 1
            time.sleep(max(0.0, min(end, start + number * SAMPLE_S) - time.monotonic()))
        return self.traffic.end()

    def ramp(self, seconds: float) -> list[tuple[float, Kind]]:
        """Rates rise until codns cannot keep up."""
        steps: list[tuple[float, Kind]] = []
        rate = FIRST_RATE
        while len(steps) < STEPS_MAX and not figures.is_over([kind for _, kind in steps]):
            records = self.play([Phase(rate, CACHED_RATE, seconds)])
            steps.append((rate, figures.kind(records, UNIQUE, 0.0, seconds)))
            rate *= STEP
        return steps

    def run(self, lengths: Lengths) -> Result:
        """Everything."""
        steps = self.ramp(lengths.step)
        peak = figures.peak([kind for _, kind in steps])
        before, throttled = scrape(self.web), self.quota.throttled()
        half = Phase(peak / 2, CACHED_RATE, lengths.normal)
        over = Phase(peak * TIMES, CACHED_RATE, lengths.overload)
        after = half._replace(seconds=lengths.recovery)
        records = self.play([half, over, after], half.seconds + over.seconds)
        counted, stopped = scrape(self.web), self.quota.throttled()
        phases, start = {}, 0.0
        for name, phase in (("normal", half), ("overload", over), ("recovery", after)):
            end = start + phase.seconds
            kinds = [figures.kind(records, kind, start, end) for kind in (UNIQUE, CACHED)]
            phases[name] = (kinds[0], kinds[1])
            start = end
        changed = half.seconds + over.seconds
        normal_s = figures.tenths_p99_s(records, 0.0, half.seconds)
        return Result(
            steps,
            peak,
            phases,
            figures.recovery_s(records, changed, changed + after.seconds, normal_s),
            figures.punctual(records),
            self.samples,
            {key: value - before.get(key, 0.0) for key, value in counted.items()},
            (stopped[0] - throttled[0], stopped[1] - throttled[1]),
        )
