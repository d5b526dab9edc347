"""What is asked and what fails when: pure, a function of (seed, seconds).

The hour is twelve equal cycles of five minutes. Each has the same faults and chores at the same
places, so that cycle after cycle meets the same and what differs between them is growth. A short
run has the same twelve cycles in haste.

Names, and what nameservers say of them (`nameservers`), by their first label:

  www    popular, Zipf's law, TTL by the name: 1 s to an hour
  w      unique
  alias  a CNAME to a popular one        big    4 KiB, by TCP          huge   30 KiB
  no     NXDOMAIN                        none   NODATA                 slow   300 ms everywhere
  broken SERVFAIL everywhere             inside a private address, so that its domain is learned

There are few of each kind but `w` and `no`, and 60 domains in all, so that every table that
remembers names or domains is full within the first cycles. What is unique ends up in the cache
only, which is bounded. Questions in unusual forms (random case, DO, CD, small sizes) are for few
names too: an entry keeps up to eight forms, and with random case for all popular names the cache
went on growing for an hour, by design.
"""

import random
from collections.abc import Iterator
from itertools import accumulate
from typing import Final, NamedTuple

from bench.masking.load import ZONE

NODES: Final = 4
CYCLES: Final = 12
RATE: Final = 36.0  # a second and node, 144 in all: a busy mail server, and a third of a core here

POPULAR: Final = 300
DOMAINS: Final = 60
PRIVATE_DOMAINS: Final = 20
FEW: Final = 30  # names of each rarer kind

# What a client does: who asks how for what. Shares of all arrivals.
KINDS: Final = {
    "popular": 0.42,
    "unique": 0.22,
    "no": 0.05,  # half of them unique
    "none": 0.04,  # AAAA of popular names
    "alias": 0.02,
    "big": 0.02,
    "huge": 0.005,
    "slow": 0.01,
    "broken": 0.01,
    "inside": 0.005,
    "local": 0.01,  # localhost, its PTR, invalid
    "cookie": 0.04,  # EDNS with a random COOKIE, as dig sends
    "case": 0.02,  # random case
    "flags": 0.02,  # DO, CD, AD, a small EDNS size
    "ecs": 0.005,
    "any": 0.01,
    "types": 0.01,  # MX, TXT, HTTPS, an unknown type
    "tcp": 0.03,  # one question a connection
    "pipeline": 0.01,  # five questions at once
    "dangling": 0.005,  # half a message and gone
    "vanish": 0.02,  # asks and closes its socket
    "malformed": 0.02,
}


class Arrival(NamedTuple):
    """A client to come."""

    at_s: float  # since the load began
    node: int  # from 0
    kind: str
    name: str
    draw: float  # for whatever else is to be decided


class Fault(NamedTuple):
    """A time in which something is wrong, in cycles since the load began."""

    kind: str
    nodes: tuple[int, ...]
    start: float
    end: float


# In a cycle; 0.05 are 15 s of five minutes. Between two of them the fleet has time to recover.
# Node 1 has the worst nameserver, node 2 the second, node 3 loses slaves, node 4 is killed.
_EACH_CYCLE: Final = (
    Fault("silent", (0,), 0.06, 0.12),
    Fault("slave killed", (2,), 0.17, 0.18),
    Fault("servfail", (0,), 0.20, 0.26),
    Fault("slow", (1,), 0.31, 0.38),
    Fault("slave stopped", (2,), 0.42, 0.45),
    Fault("lossy", (1,), 0.48, 0.55),
    Fault("partition", (1,), 0.59, 0.65),
    Fault("all silent", (0, 1, 2, 3), 0.70, 0.74),
    Fault("node down", (3,), 0.80, 0.82),
)
NODE_DOWN_EVERY: Final = 4  # cycles: the node's lives are 20 min

# What operators do, in a cycle. "rotate" has three steps.
_CHORES: Final = (
    ("flush zone", 0.02),
    ("reload", 0.14),
    ("bad reload", 0.28),
    ("flush name", 0.40),
    ("rotate", 0.57),
    ("reload", 0.67),
    ("flush all", 0.87),
)


class Chore(NamedTuple):
    """Something an operator does."""

    at_s: float
    kind: str


def cycle_s(seconds: float) -> float:
    """Length of a cycle."""
    return seconds / CYCLES


def faults(seconds: float) -> list[Fault]:
    """All of them, in seconds, by time."""
    length = cycle_s(seconds)
    found = [
        Fault(kind, nodes, (cycle + start) * length, (cycle + end) * length)
        for cycle in range(CYCLES)
        for kind, nodes, start, end in _EACH_CYCLE
        if kind != "node down" or cycle % NODE_DOWN_EVERY == 1
    ]
    return sorted(found, key=lambda fault: fault.start)


def chores(seconds: float) -> list[Chore]:
    """All of them, by time."""
    length = cycle_s(seconds)
    return [Chore((cycle + at) * length, kind) for cycle in range(CYCLES) for kind, at in _CHORES]


def arrivals(rate: float, seconds: float, node: int, seed: int) -> Iterator[Arrival]:
    """Poisson arrivals at one node, in order of time."""
    chance = random.Random(f"{seed} soak {node}")
    kinds, shares = list(KINDS), list(accumulate(KINDS.values()))
    ranks = range(POPULAR)
    weights = list(accumulate(1 / (rank + 1) for rank in ranks))
    at, count = 0.0, 0
    while (at := at + chance.expovariate(rate)) < seconds:
        count += 1
        kind = chance.choices(kinds, cum_weights=shares)[0]
        rank = chance.choices(ranks, cum_weights=weights)[0]
        name = _name(kind, rank, f"{node}-{count}", chance)
        yield Arrival(at, node, kind, name, chance.random())


def _name(kind: str, rank: int, number: str, chance: random.Random) -> str:
    few = rank % FEW
    if kind == "unique":
        return f"w{number}.site{chance.randrange(DOMAINS)}.{ZONE}"
    if kind == "no":
        label = f"no{number}" if chance.random() < 0.5 else f"no{few}"
        return f"{label}.site{rank % DOMAINS}.{ZONE}"
    if kind == "inside":
        return f"inside{few}.private{rank % PRIVATE_DOMAINS}.{ZONE}"
    if kind == "local":
        return ("localhost.", "1.0.0.127.in-addr.arpa.", "some.invalid.")[rank % 3]
    if kind in ("alias", "big", "huge", "slow", "broken"):
        return f"{kind}{few}.site{few % DOMAINS}.{ZONE}"
    if kind in ("popular", "none"):
        return f"www{rank}.site{rank % DOMAINS}.{ZONE}"
    return f"www{few}.site{few}.{ZONE}"
