"""What the demo plays: its cast, its four phases, when the sick nameserver is silent, its load.

Pure: the process that plays it and the one that shows it both make the same plan from the same
few numbers. Everything scales with the length, so that a short run is the same play in haste.

Node 1 and the node without peers ask the same nameserver, and are asked the same names at the same
instants: what differs in the end is what codns does.
"""

import random
from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate
from typing import Final, NamedTuple

from codns.wire.const import A

NODES: Final = 4  # the paper's effect shows with few: one sick, and three to choose from
ALONE: Final = NODES  # index of the node without peers, behind the others
MEMBERS: Final = NODES + 1
SICK: Final = 0  # index of the site whose nameserver fails

SECONDS: Final = 60.0
SECONDS_MIN: Final = 4.0  # in less there is nothing learned yet of a healthy path
SECONDS_MAX: Final = 600.0  # every lookup is remembered: some 100 bytes each, 200 a second

RATE: Final = 40.0  # lookups a second and node, as in bench/masking
UNIQUE: Final = 0.3  # the share of names that nobody asked for before
POPULAR: Final = 200  # names that come again, by Zipf's law; they stay in the cache
DOMAINS: Final = 97  # the names are spread over so many
PATIENCE_S: Final = 5.0  # a stub resolver's: who has no answer by then has failed

# The nameservers: some milliseconds away, as a site's own is
DELAY_S: Final = 0.003
JITTER_S: Final = 0.006

_CYCLE_S: Final = 3.75  # of a stall: half of it silent, half of it not


class Phase(NamedTuple):
    """A part of the play, in seconds since the load began."""

    key: str
    title: str
    start: float
    end: float
    trouble: bool

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start


class Silence(NamedTuple):
    """A time in which the sick nameserver answers nobody."""

    start: float
    end: float


class Arrival(NamedTuple):
    """A lookup to come."""

    at: float
    node: int
    name: str


# Its key, its title, its share of the length, whether there is trouble in it
_PHASES: Final = (
    ("well", "all is well", 0.2, False),
    ("stalls", "it stalls", 0.25, True),
    ("dead", "it is dead", 0.3, True),
    ("back", "it is back", 0.25, False),
)


def phases(seconds: float) -> list[Phase]:
    """Return the four of a run of this length."""
    ends = list(accumulate(share * seconds for _, _, share, _ in _PHASES))
    ends[-1] = seconds
    starts = [0.0, *ends]
    return [
        Phase(key, title, start, end, trouble)
        for (key, title, _, trouble), start, end in zip(_PHASES, starts, ends, strict=False)
    ]


def silences(seconds: float) -> list[Silence]:
    """Return when the sick nameserver says nothing: now and then, later all the time."""
    _, stalls, dead, _ = phases(seconds)
    count = max(1, round(stalls.seconds / _CYCLE_S))
    cycle = stalls.seconds / count
    starts = [stalls.start + cycle * n for n in range(count)]
    found = [Silence(start, start + cycle / 2) for start in starts]
    return [*found, Silence(dead.start, dead.end)]


def arrivals(seconds: float, rate: float, seed: int) -> list[Arrival]:
    """Return every lookup in order of time; at random instants, as many clients make them."""
    found: list[Arrival] = []
    for node in range(NODES):
        found += _of_node(node, seconds, rate, random.Random(f"{seed} {node}"))
    found += [Arrival(at, ALONE, name) for at, node, name in found if node == SICK]
    return sorted(found)


def _of_node(node: int, seconds: float, rate: float, rng: random.Random) -> Iterator[Arrival]:
    weights = list(accumulate(1 / rank for rank in range(1, POPULAR + 1)))
    at, number = rng.expovariate(rate), 0
    while at < seconds:
        if rng.random() < UNIQUE:
            number += 1
            name = f"only{number}-{node + 1}.shop{rng.randrange(DOMAINS)}.demo"
        else:
            rank = bisect(weights, rng.random() * weights[-1])
            name = f"www{rank}.shop{rank % DOMAINS}.demo"
        yield Arrival(at, node, name)
        at += rng.expovariate(rate)


def settle_s(seconds: float) -> float:
    """Return how long the end waits at most for lookups that are still out.

    For as long as they have patience; a short run does not wait for longer than it is worth.
    """
    return min(PATIENCE_S, seconds / 8)


def query_of(name: str) -> bytes:
    """Return an A query for `name`, without its id."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    flags_and_counts = bytes.fromhex("0100 0001 0000 0000 0000")
    return flags_and_counts + labels + b"\0" + A.to_bytes(2, "big") + b"\0\1"
