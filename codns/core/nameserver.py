"""The nameservers of one zone: how quick each is, which are up, which is asked next.

*How quick*: smoothed RTT and its deviation as RFC 6298 2 has them (gains 1/8 and 1/4), from every
answer whatever its rcode. The retransmission timeout is srtt + 4 rttvar within 50..1600 ms, twice
as long for each further try of a lookup (RULES 4.3): under 50 ms a recursive nameserver has no
chance to recurse; over 1.6 s the last tries (`core.late_tries`) are due anyhow. With RULES' 800 ms
a nameserver that needs a second for everything was asked everything three times, and needed more.

*Up or down*: down after 3 tries running that went unanswered for their timeout while nothing at
all came from that server, or at the first ICMP refusal (the port is closed: nobody is there).
Up again at the first answer, whatever its rcode: any rcode is life (RULES 6.5). While another
server is up a down one gets only probes (`core.probe`), so its return costs no client anything.
With none up, all are asked as if they were up: refusing to try would only be slower.

*Asked again*: a retransmission to the same server helps if a packet was lost, and harms if the
server has not come to the query yet: then each client that waits becomes two or three queries,
and a server once over its capacity stays there when the cause is long over (a metastable failure;
Bronson et al., HotOS 2021). Which of the two it is shows in the order of answers, as in TCP (RACK,
RFC 8985): did the server answer anything that was sent as late as this try or later, it came past
it. Without that evidence a retransmission takes a token; a tenth of a token comes with each
lookup's first try, up to 20. What has to wait, waits in `core.late_tries`.

*Next*: a server that is up before one that is down, then the one this lookup tried least, then the
quickest. One never heard ranks behind those that were: a dead second line in resolv.conf must not
cost a client its timeout; the probes find out whether it lives. Ties go by the order of the
configuration, as resolv.conf means it.
"""

from collections import deque
from math import inf
from typing import TYPE_CHECKING, Final, Protocol

from codns.core.side import Side
from codns.core.stats import Histogram
from codns.wire.outcome import Outcome

if TYPE_CHECKING:
    from codns.core.lookup import Lookup

RTO_MIN_S: Final = 0.050
RTO_MAX_S: Final = 1.6
RTO_FIRST_S: Final = 0.400  # before any sample: unbound starts at 376 ms
DOWN_AFTER: Final = 3  # unanswered tries running: one may be a lost packet, two a burst
REPEATS_SHARE: Final = 0.1  # of first tries: twice what 5 % of lost packets take
REPEATS_MAX: Final = 20.0  # a second of loss at 20 lookups a second
POSTPONED_MAX: Final = 8_192  # as many as clients may wait (RULES 4.1)
TRIES_MAX: Final = 3  # a server and lookup: RFC 9520 3.1, at most two retries


class Watched(Protocol):
    """Who probes a nameserver wants to know what real queries tell of it."""

    def queried(self, now: float) -> None:
        """A query was sent there."""

    def won(self, key: bytes, ttl: int, now: float) -> None:
        """It answered one, with records of `ttl` seconds (0: not to be asked again)."""


class Nameserver:
    """One nameserver, as seen from here."""

    __slots__ = (
        "acked",
        "address",
        "answers",
        "down_since",
        "duration",
        "heard_at",
        "looped",
        "outcomes",
        "postponed",
        "repeats",
        "rto",
        "rttvar",
        "sent",
        "silent",
        "srtt",
        "timeouts",
        "watch",
    )

    def __init__(self, address: str) -> None:
        self.address = address
        self.srtt: float | None = None
        self.rttvar = 0.0
        self.rto = RTO_FIRST_S  # how long an answer may take before the next try, in seconds
        self.silent = 0  # unanswered tries since it was last heard
        self.down_since: float | None = None
        self.watch: Watched | None = None  # one of several: `core.probing` watches it
        self.acked = -inf  # when the latest try that it answered had been sent
        self.repeats = REPEATS_MAX  # tokens
        # Lookups whose next try waits until it answers what is as new (`core.late_tries`)
        self.postponed: deque[Lookup] = deque(maxlen=POSTPONED_MAX)
        self.looped = False  # it leads back to ourselves (RULES 10.2)
        self.sent = 0
        self.heard_at = -inf
        self.answers = 0
        self.timeouts = 0
        self.outcomes = [0] * len(Outcome)  # of clients' and peers' exchanges, not of probes
        self.duration = Histogram()  # of those that were answered

    @property
    def up(self) -> bool:
        """May clients' queries go there first?"""
        return self.down_since is None and not self.looped

    def heard(self, elapsed: float) -> bool:
        """It answered after `elapsed` seconds. True: it had been down."""
        self.answers += 1
        self.duration.add(elapsed)
        srtt = self.srtt
        if srtt is None:
            self.srtt, self.rttvar = elapsed, elapsed / 2
            self.rto = _clamped(3 * elapsed)
        else:
            error = elapsed - srtt
            self.srtt = srtt + error / 8
            self.rttvar += ((error if error > 0 else -error) - self.rttvar) / 4
            rto = self.srtt + 4 * self.rttvar
            self.rto = rto if RTO_MIN_S < rto < RTO_MAX_S else _clamped(rto)
        return bool(self.silent or self.down_since is not None) and self.alive()

    def asked_first(self) -> None:
        """A lookup tries it for the first time."""
        if self.repeats < REPEATS_MAX:
            self.repeats += REPEATS_SHARE

    def guess(self) -> bool:
        """May a try be repeated without evidence that it was lost? Takes a token."""
        if self.repeats < 1.0:
            return False
        self.repeats -= 1.0
        return True

    def alive(self) -> bool:
        """It gave a sign of life. True: it had been down."""
        self.silent = 0
        was_down = self.down_since is not None
        self.down_since = None
        return was_down

    def dead(self, now: float) -> bool:
        """It is known not to answer. True: it goes down now."""
        if self.down_since is not None:
            return False
        self.down_since = now
        return True

    def unheard(self, now: float, sent: float = inf, *, refused: bool = False) -> bool:
        """A try went unanswered for its timeout, or was refused. True: it goes down now."""
        self.timeouts += 1
        if sent < self.heard_at:  # it spoke since: this name is slow, not the server
            return False
        self.silent += 1
        return (refused or self.silent >= DOWN_AFTER) and self.dead(now)


class Upstreams:
    """The nameservers of a zone (or of everything that has no zone of its own).

    `side` judges them together, where peers could be asked instead (`core.fleet`).
    """

    __slots__ = ("servers", "side")

    def __init__(self, servers: list[Nameserver]) -> None:
        self.servers = servers
        self.side: Side | None = None

    def pick(self, tries: dict[str, int], spent: set[str] | None) -> Nameserver | None:
        """Return the server for the next try of a lookup, or None if none may be asked.

        `tries` counts this lookup's tries by address; `spent` holds the addresses that already
        gave it a failing answer and are not asked again.
        """
        if not tries and len(self.servers) == 1 and not self.servers[0].looped:
            return self.servers[0]
        best: Nameserver | None = None
        best_rank: tuple[bool, int, float] | None = None
        for server in self.servers:
            tried = tries.get(server.address, 0) if tries else 0
            if tried >= TRIES_MAX or server.looped or (spent and server.address in spent):
                continue
            srtt = inf if server.srtt is None else server.srtt
            rank = (server.down_since is not None, tried, srtt)
            if best_rank is None or rank < best_rank:
                best, best_rank = server, rank
        return best


def _clamped(rto: float) -> float:
    return min(max(rto, RTO_MIN_S), RTO_MAX_S)
