"""UDP beside ten thousand TCP connections, and without: `python -m bench.overload tcp`.

codns has a whole core here, and a light load over UDP: the question is not how much it can do but
what others notice. The crowd (`crowd`) is larger than what codns takes (1,024 connections, 256 of
an address), so most of it is refused, again and again; what it does take is silent, slow to write
or does not read.
"""

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

from bench.common import BenchError
from bench.overload import figures
from bench.overload.figures import CACHED, UNIQUE, Kind
from bench.overload.flood import ZONE, Flood, Sample, descriptors, scrape
from bench.overload.quota import PERIOD_US, pin
from bench.overload.traffic import Phase
from bench.servers import ROOT

SHARE: Final = 1.0
LOAD: Final = (300.0, 300.0)  # unique and cached a second
CONNECTIONS: Final = 10_000
SETTLE_S: Final = 5.0  # from the first round of connects on: not before is the crowd complete


class Result(NamedTuple):
    """What UDP was like, and what became of the connections."""

    without: tuple[Kind, Kind]  # unique, cached
    beside: tuple[Kind, Kind]
    crowd: dict[str, int]
    counted: dict[str, float]  # codns's own counters, over the crowd's time
    samples: list[Sample]  # in the same time
    files: int  # descriptors of the master, at most
    files_before: int


def kinds(flood: Flood, seconds: float) -> tuple[Kind, Kind]:
    """UDP for so long."""
    records = flood.play([Phase(*LOAD, seconds)])
    unique, cached = (figures.kind(records, which, 0.0, seconds) for which in (UNIQUE, CACHED))
    return unique, cached


def run(stack: ExitStack, folder: Path, connections: int, seconds: float) -> Result:
    """Without, then beside the crowd."""
    flood = Flood(stack, folder, "servfail", PERIOD_US, share=SHARE)
    master = flood.server.process.pid
    without = kinds(flood, seconds)
    before, files_before = scrape(flood.web), descriptors(master)
    host, port = flood.server.address
    command = [sys.executable, "-m", "bench.overload.crowd", host, str(port), ZONE]
    crowd = subprocess.Popen(
        [*command, str(connections), str(seconds + 2 * SETTLE_S + connections / 1_000)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    stack.callback(crowd.kill)
    pin(crowd.pid, {1})
    assert crowd.stdout is not None
    if crowd.stdout.readline().strip() != "ready":
        raise BenchError("the crowd did not come together")
    flood.most_files = 0
    beside = kinds(flood, seconds)
    told = crowd.stdout.readline()
    crowd.wait(30)
    crowd.stdout.close()
    after = scrape(flood.web)
    return Result(
        without,
        beside,
        json.loads(told),
        {key: value - before.get(key, 0.0) for key, value in after.items()},
        flood.samples,
        flood.most_files,
        files_before,
    )
