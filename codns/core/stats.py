"""What happened, as plain integers: rendered elsewhere, when somebody asks.

A counter that is bumped a hundred thousand times a second is an attribute of a small object that
the caller keeps at hand, not a look-up by labels.
"""

from typing import Final

from codns.core.model import SOURCES, Source, Transport
from codns.wire import const
from codns.wire.outcome import Outcome

RCODES: Final = const.BADVERS + 1  # 0 to 15 of the header, and what EDNS adds

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
        # transport, qtype, rcode, negative (RFC 2308: NODATA is NOERROR too)
        self.hits: dict[tuple[Transport, int, int, bool], Counter] = {}
        # Cached answers are counted in `hits` only: they take no time that could be told
        resolved = tuple(source for source in SOURCES if source != "cache")
        self.rcodes: dict[Source, list[int]] = {source: [0] * RCODES for source in resolved}
        self.duration: dict[Source, Histogram] = {source: Histogram() for source in resolved}
        self.queries: dict[Transport, int] = {"udp": 0, "tcp": 0}
        self.queries_ipv6: dict[Transport, int] = {"udp": 0, "tcp": 0}  # of these
        self.missed = [0] * 256  # queries that were no hits, by qtype; 0 for those above 255
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

    @property
    def answers(self) -> dict[str, int]:
        """Answers that were no hits, by source."""
        return {source: sum(counts) for source, counts in self.rcodes.items()}

    def refused(self, reason: str, rcode: int) -> None:
        """Count an answer that the shell gave in the node's place (rate limit)."""
        self.refusals[reason] += 1
        self.rcodes["error"][rcode] += 1

    def hit_counter(self, transport: Transport, qtype: int, rcode: int, negative: bool) -> Counter:
        """Return the counter of cached answers of this kind."""
        key = (transport, qtype if qtype <= 0xFF else 0, rcode, negative)  # 2 x 256 x 16 x 2
        counter = self.hits.get(key)
        if counter is None:
            counter = self.hits[key] = Counter()
        return counter


class FleetStats:
    """What cooperation did. `changes` counts by the state that was entered."""

    __slots__ = (
        "changes",
        "local",
        "rejected",
        "remote",
        "saved",
        "sent",
        "strays",
        "suppressed",
    )

    def __init__(self) -> None:
        self.sent = 0  # queries to peers
        self.remote = dict.fromkeys(REMOTE, 0)
        self.suppressed = dict.fromkeys(SUPPRESSED, 0)
        self.rejected = dict.fromkeys(REJECTED, 0)
        self.strays = 0  # replies to no query of ours, or too late
        self.saved = Histogram()  # for how long a client would have waited longer
        self.local = Histogram()  # what our own nameservers took, whoever answered the client
        self.changes = dict.fromkeys(PATH_STATES, 0)  # of the judgement of the default path

    def spared(self, began: float, won_at: float, now: float) -> None:
        """The local attempt ended now, after a peer's answer: nobody waits for longer than 4.5 s.

        So what never came counts as what the client would have waited for it.
        """
        self.saved.add(max(0.0, min(now, began + PATIENCE_S) - won_at))


# How a query to a peer ended, and why none was sent.
REMOTE: Final = ("won", "lost", "failed", "busy", "timeout")
SUPPRESSED: Final = (
    "off",
    "shadow",
    "private",
    "failed",
    "slow_domain",
    "no_peer",
    "budget",
    "overload",
)
# Why a peer's answer was not used: see `core.vetting`.
REJECTED: Final = ("malformed", "outcome", "soa")
# What became of a peer's query.
SERVED: Final = ("cached", "answered", "failed", "refused", "busy")
PATH_STATES: Final = ("healthy", "failing", "recovering")
PATIENCE_S: Final = 4.5  # RULES 4.2: until then every client has its answer

# Why a query is one too many (RULES 4.1): it is refused or, as the operator chose, dropped.
SHED: Final = ("waiters", "clients", "address", "backlog")
# What gets no answer, by reason (RULES 1.1); the shell counts "acl", "rate", "oversize", "send".
DROPS: Final = ("acl", "rate", "oversize", "malformed", "response", "send", *SHED)
# What is answered without being resolved, by reason.
REFUSALS: Final = (
    "formerr",
    "notimp",
    "refused",
    "badvers",
    "rate",
    "rd0",
    "loop",
    *SHED,
)
