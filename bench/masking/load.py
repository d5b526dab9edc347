"""Who asks for what, and when: the same for every system and every fault.

Each node has Poisson arrivals of its own. 30 % of the names are asked once in the whole run, the
rest come from a popular set by Zipf's law (exponent 1), the same set at every node: what proxies
and crawlers of one fleet ask. TTLs belong to names: mostly a minute to an hour, some of the 20 s
that CDNs like. Every popular name has its own registered domain; the unique ones share 2,000, as a
broken or slow domain must not be all there is.
"""

import random
from hashlib import blake2b
from itertools import accumulate
from typing import Final, NamedTuple

ZONE: Final = "example."
POPULAR: Final = 500
UNIQUE_SHARE: Final = 0.3
DOMAINS: Final = 2_000
TTLS: Final = ((0.15, 20), (0.45, 60), (0.85, 300), (1.0, 3600))  # share up to here, seconds


class Arrival(NamedTuple):
    """One lookup to come."""

    at_s: float  # since the load began; negative: warming up, not counted
    node: int  # from 0
    name: str


def plan(rate: float, seconds: float, warm_s: float, nodes: int, seed: int) -> list[Arrival]:
    """`rate` lookups a second at each node, in order of time."""
    weights = list(accumulate(1 / rank for rank in range(1, POPULAR + 1)))
    ranks = range(POPULAR)
    arrivals = []
    for node in range(nodes):
        chance = random.Random(f"{seed} node {node}")
        at, count = -warm_s, 0
        while (at := at + chance.expovariate(rate)) < seconds:
            if chance.random() < UNIQUE_SHARE:
                name = f"w{node}-{count}.site{chance.randrange(DOMAINS)}.{ZONE}"
            else:
                name = f"www.popular{chance.choices(ranks, cum_weights=weights)[0]}.{ZONE}"
            count += 1
            arrivals.append(Arrival(at, node, name))
    arrivals.sort()
    return arrivals


def wire_name(name: str) -> bytes:
    """As in a message."""
    labels = filter(None, name.encode("ascii").split(b"."))
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


class Traits(NamedTuple):
    """What belongs to a name, wherever it is asked for."""

    ttl: int
    address: bytes  # 198.18.0.0/15: neither private nor anybody's (RFC 2544)
    draw: float  # in 0..1, decides whether it is slow everywhere


def traits(qname: bytes) -> Traits:
    """Of a name in lower-case wire form."""
    digest = blake2b(qname, digest_size=12).digest()
    share = int.from_bytes(digest[:4], "big") / 2**32
    ttl = next(ttl for upto, ttl in TTLS if share < upto)
    address = bytes((198, 18 + digest[4] % 2, digest[5], digest[6]))
    return Traits(ttl, address, int.from_bytes(digest[8:], "big") / 2**32)
