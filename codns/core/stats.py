"""What happened, as plain integers: rendered elsewhere, when somebody asks.

A counter that is bumped a hundred thousand times a second is an attribute of a small object that
the caller keeps at hand, not a look-up by labels.
"""

from typing import Final

from codns.core.model import SOURCES, Source, Transport
from codns.wire.outcome import Outcome

LATENCY_BOUNDS_S: Final = tuple(0.00025 * 2**n for n in range(16))  # 0.25 ms .. 8.2 s
BEYOND: Final = len(LATENCY_BOUNDS_S)


class Counter:
    """One number that only grows."""

    __slots__ = ("n",)

    def __init__(self) -> None:
        self.n = 0


class Histogram:
    """Counts by upper bound; the last is for all above. `total` is the sum of the values."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(LATENCY_BOUNDS_S) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one value."""
        self.total += seconds
        index = int(seconds * 4000).bit_length()  # in quarters of a millisecond: 2^n bounds
        self.counts[min(BEYOND, index)] += 1


class Stats:
    """All counters of one node."""

    def __init__(self) -> None:
        self.hits: dict[tuple[Transport, int, int], Counter] = {}  # transport, qtype, rcode
        # Cached answers are counted in `hits` only: they take no time that could be told
        resolved = tuple(source for source in SOURCES if source != "cache")
        self.answers: dict[Source, int] = dict.fromkeys(resolved, 0)
        self.duration: dict[Source, Histogram] = {source: Histogram() for source in resolved}
        self.queries: dict[Transport, int] = {"udp": 0, "tcp": 0}
        self.outcomes = [0] * len(Outcome)  # by its number: hashing an enum member is slow
        self.drops: dict[str, int] = dict.fromkeys(DROPS, 0)
        self.refusals: dict[str, int] = dict.fromkeys(REFUSALS, 0)
        self.cache_misses = 0
        self.cache_evictions = 0
        self.cache_prefetches = 0
        self.coalesced = 0
        self.duplicates = 0
        self.retransmissions = 0
        self.probes = 0
        self.loops = 0

    def hit_counter(self, transport: Transport, qtype: int, rcode: int) -> Counter:
        """Return the counter of cached answers of this kind."""
        key = (transport, qtype if qtype <= 0xFF else 0, rcode)  # bounded: 2 x 256 x 16
        counter = self.hits.get(key)
        if counter is None:
            counter = self.hits[key] = Counter()
        return counter


# What gets no answer, by reason (RULES 1.1); the shell counts "acl", "oversize" and "send".
DROPS: Final = ("acl", "oversize", "malformed", "response", "send")
# What is answered without being resolved, by reason.
REFUSALS: Final = (
    "formerr",
    "notimp",
    "refused",
    "badvers",
    "rd0",
    "waiters",
    "clients",
    "address",
    "loop",
)
