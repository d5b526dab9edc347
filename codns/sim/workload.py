"""What clients ask for: names by Zipf's law, new ones, or a file of queries.

Names look like "n17.z4.example": the last two labels are the zone, which is what core goes by when
it asks whether a domain is slow for everybody. Unique names begin with "u".

A file has dnsperf's format, "name type" a line, with an optional time in seconds in front:

    0.000 www.example.com A
    0.250 mail.example.com MX

Lines without a time follow each other at the workload's rate. The queries go to the nodes by turns
of chance, or, with a number behind them, to that node.
"""

import random
from bisect import bisect
from collections import deque
from collections.abc import Generator
from itertools import accumulate
from pathlib import Path
from typing import Final, NamedTuple

from codns.config.problems import ConfigError, Problem
from codns.sim.book import TYPES, Book, Name
from codns.sim.scenario import Workload

TRACE_SIZE_MAX: Final = 256 << 20  # 5 million queries, an hour of simulation
FORGET_S: Final = 60.0  # a unique name: six times a lookup's life


class Names:
    """Draws names for all nodes."""

    def __init__(self, workload: Workload, names_per_zone: float, book: Book) -> None:
        self._book = book
        self._unique = workload.unique
        self._per_zone = names_per_zone
        self._zones = max(int(workload.names / names_per_zone), 1)
        self._weights = list(
            accumulate((rank + 1) ** -workload.zipf for rank in range(workload.names))
        )
        self._names: list[Name | None] = [None] * workload.names
        self._made: dict[int, int] = {}  # unique ones, by node
        self._old: deque[tuple[float, Name]] = deque()

    def draw(self, rng: random.Random, now: float, node: int = 0) -> Name:
        """Return what a client of a node asks for at `now`."""
        if self._unique and rng.random() < self._unique:
            return self._new(rng, now, node)
        weights = self._weights
        rank = bisect(weights, rng.random() * weights[-1])
        name = self._names[rank]
        if name is None:
            zone = int(rank / self._per_zone)
            name = self._names[rank] = self._book.name(f"n{rank}.z{zone}.example")
        return name

    def _new(self, rng: random.Random, now: float, node: int) -> Name:
        old = self._old
        while old and now - old[0][0] > FORGET_S:
            self._book.forget(old.popleft()[1])
        self._made[node] = made = self._made.get(node, 0) + 1
        name = self._book.name(f"u{made}-{node}.z{rng.randrange(self._zones)}.example")
        old.append((now, name))
        return name


class Traced(NamedTuple):
    """One query of a file. `at` and `node` are None where the line has none."""

    at: float | None
    name: str
    rdtype: str
    node: int | None


def read_trace(path: Path) -> Generator[Traced]:
    """Yield the queries of a file; ConfigError for what is none."""
    try:
        if path.stat().st_size > TRACE_SIZE_MAX:
            raise _wrong(path, f"larger than {TRACE_SIZE_MAX >> 20} MiB")
        with path.open(encoding="ascii", errors="replace") as file:
            for number, line in enumerate(file, 1):
                words = line.split()
                if words and not words[0].startswith(("#", ";")):
                    yield _query(path, number, words)
    except OSError as error:
        raise _wrong(path, f"cannot be read: {error.strerror}") from None


def _query(path: Path, number: int, words: list[str]) -> Traced:
    at: float | None = None
    text = "is not [seconds] name type [node]"
    try:
        if words[1].upper() not in TYPES:
            at = float(words[0])
            words = words[1:]
        name, rdtype = words[0], words[1].upper()
        node = int(words[2]) if len(words) > 2 else None
        if rdtype not in TYPES or (at is not None and not 0 <= at < 1e9):
            raise _wrong(path, text, number)
    except (ValueError, IndexError):
        raise _wrong(path, text, number) from None
    return Traced(at, name, rdtype, node)


def _wrong(path: Path, text: str, line: int | None = None) -> ConfigError:
    return ConfigError([Problem("workload.trace", text, line, str(path))])
