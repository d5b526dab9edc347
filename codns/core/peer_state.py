"""One peer as this node sees it: how near it is, whether it lives, whether it helps.

A peer that answers pings may still be of no use and one that was of no use a minute ago may be
fine now. So there are three judgements, each with its own
way back:

*Near*. RTT smoothed as RFC 6298 2 has it, from heartbeats; with the mean time of the peer's own
nameserver, which it reports, it makes the score (RULES 7.1; CoDNS 3.3): what an answer from there
would take. An answer after its deadline is a sample too: an estimator that hears successes only
stays at its floor for ever when the way gets longer (as spegel's did, issue 1469).

*Alive* (RULES 7.2). A heartbeat unanswered for max(4 x srtt, 250 ms) makes the peer not eligible
until the next is answered; three running and it is down. A late answer ends the run, for late is
not dead (CoDeeN's monitor). A peer that is down is tried after 4, 8 .. 60 s, each up to a quarter
earlier so that a fleet does not knock as one; two answers running and it is up. The back-off is
forgotten only after a minute up, else a flapping peer would flap at full speed.

*Helpful* (RULES 7.3). Its own path not failing; not BUSY, which it says for a second; not FULL; a
different nameserver; validating where that is wanted; and it may not leave three of its last
eight queries unanswered while somebody else answered them, or it is out for 10 s, doubling to
60 s; eight answers running make it the first time again. What nobody answered says nothing. An
answer that is none (`core.vetting`) counts as a query left unanswered, whatever others said.

`Why` is the closed vocabulary of all this, for `codns explain` and metric labels.
"""

import random
from enum import StrEnum
from functools import lru_cache
from math import inf
from typing import Final

from codns.core.messages import Report
from codns.core.stats import REMOTE, SERVED

RTT_GAIN: Final = 1 / 8  # RFC 6298 2.3, alpha
RTTVAR_GAIN: Final = 1 / 4  # RFC 6298 2.3, beta

MISS_SRTTS: Final = 4  # RULES 7.2
MISS_MIN_S: Final = 0.250  # RULES 7.2; well over an event loop's worst pause
MISS_FIRST_S: Final = 1.0  # RFC 6298 2.1: the timeout before any sample
HEARTBEAT_LIFE_S: Final = 3.0  # an answer after this is no sample: CoDeeN's "late" ends at 3 s

DOWN_AFTER: Final = 3  # RULES 7.2: one may be a lost packet, two a burst
UP_AFTER: Final = 2
BACKOFF_MIN_S: Final = 4.0  # RULES 7.2; longer than HEARTBEAT_LIFE_S
BACKOFF_MAX_S: Final = 60.0
BACKOFF_JITTER: Final = 0.25  # downward, so that 60 s is the most
STEADY_S: Final = 60.0  # up for this long: the next time down starts at 4 s again

BUSY_S: Final = 1.0  # RULES 7.3
QUERIES_JUDGED: Final = 8  # RULES 7.3
UNANSWERED_OUT: Final = 3
OUT_MIN_S: Final = 10.0
OUT_MAX_S: Final = 60.0

MEAN_UNKNOWN_S: Final = 0.050  # the paper's typical uncached lookup; not zero, or all would come
MEAN_MAX_S: Final = 10.0  # a lookup's life (RULES 4.2): no answer takes longer

# Counts of whom no query went to or came from: of 1,000 listed nearly all, so they share them
_NEVER_ASKED: Final = dict.fromkeys(REMOTE, 0)
_NEVER_SERVED: Final = dict.fromkeys(SERVED, 0)


class Why(StrEnum):
    """Why a peer is, or is not, asked for a name: the first that holds, in this order."""

    ELIGIBLE = "eligible"
    DOWN = "down"
    FULL = "full"
    SAME_NAMESERVER = "same_nameserver"
    NOT_NEIGHBOUR = "not_neighbour"
    UNHEARD = "unheard"  # chosen, but no heartbeat answered since
    MISSED = "missed"  # the last heartbeat was not answered
    FAILING = "failing"  # its own path, by its own report
    BUSY = "busy"
    NOT_VALIDATING = "not_validating"
    UNANSWERING = "unanswering"  # heartbeats yes, queries no, or answers that are none
    SLOWER = "slower"  # others are enough quicker


class Peer:
    """What is known of one listed peer. `slot`: its place among the neighbours, or None."""

    __slots__ = (
        "_answered_sent_at", "_backoff_s", "_judged", "_missed", "_out_s", "_told",
        "_unanswered", "_up_since", "_ups", "address", "affinity", "asked", "busy_until",
        "challenged_at", "confirmed", "down", "failing", "failing_since", "full", "heard_at",
        "latest", "mean_s", "missing", "nameservers", "out_until", "reserve", "retry_at",
        "rttvar", "sent_at", "served", "slot", "srtt", "validates",
    )  # fmt: skip

    def __init__(self, address: str, affinity: int = 0) -> None:
        self.address = address
        self.affinity = affinity  # HRW(me, peer), kept because it never changes
        self.slot: int | None = None
        self.reserve = False  # known to be alive, and the next to become neighbour
        self.confirmed = (
            False  # a heartbeat was answered since it became neighbour, or just before
        )

        self.srtt: float | None = None
        self.rttvar = 0.0
        self.sent_at = -inf  # the last heartbeat to it
        self.latest = 0  # and its token
        self.heard_at = -inf  # its last answer in time
        self._answered_sent_at = -inf  # when the newest answered heartbeat had left

        self.mean_s: float | None = None  # of its nameserver, reported
        self.failing = False
        self.failing_since = inf
        self.validates = False
        self.nameservers: frozenset[bytes] = frozenset()
        self._told: tuple[bytes, ...] = ()  # the same as it said it
        self.full = False

        self.challenged_at = -inf  # the last heartbeat sent again because it did not know us
        self.missing = False  # the last judged heartbeat went unanswered
        self.down = False
        self.retry_at = -inf  # not to be tried before
        self._missed = 0  # running, while not down
        self._ups = 0  # running, while down
        self._up_since = -inf
        self._backoff_s = 0.0

        self.asked = _NEVER_ASKED  # how our queries to it ended: `count_asked`
        self.served = _NEVER_SERVED  # and its queries to us: `count_served`

        self.busy_until = -inf
        self.out_until = -inf
        self._out_s = 0.0
        self._judged = 0  # of its last eight queries
        self._unanswered = 0  # which of these it left so, as bits, the newest lowest

    # Near

    @property
    def score(self) -> float:
        """Seconds an answer from there takes: RTT + its nameserver's mean; inf before any RTT."""
        if self.srtt is None:
            return inf
        return self.srtt + (MEAN_UNKNOWN_S if self.mean_s is None else self.mean_s)

    def deadline_s(self) -> float:
        """How long an answer to a heartbeat may take."""
        if self.srtt is None:
            return MISS_FIRST_S
        return min(max(MISS_SRTTS * self.srtt, MISS_MIN_S), HEARTBEAT_LIFE_S)

    def report(self, report: Report, now: float) -> bool:
        """Take what the peer says of itself, in a heartbeat and in the answer to one.

        True: it has other nameservers than before.
        """
        mean_s = report.nameserver_s
        known = mean_s is not None and mean_s >= 0.0  # NaN is not
        self.mean_s = min(mean_s, MEAN_MAX_S) if known and mean_s is not None else None
        failing = report.failing
        if failing != self.failing:
            self.failing_since = now if failing else inf
            self.failing = failing
        self.validates = report.validates
        told = report.nameservers
        if told is self._told or told == self._told:
            return False
        self._told = told
        self.nameservers = _as_set(told)
        return True

    # Alive

    @property
    def usable(self) -> bool:
        """Could it be chosen for a neighbour?"""
        return not (self.down or self.missing or self.full) and self.srtt is not None

    def heard(self, sent_at: float, now: float, *, late: bool, timed: bool = True) -> bool:
        """The heartbeat sent at `sent_at` was answered. True: it is up again after being down.

        `late`: after its deadline; `timed`: the time it took is the RTT, not our own doing.
        """
        if timed:
            self._sample(now - sent_at)
        self._missed = 0
        self._answered_sent_at = max(self._answered_sent_at, sent_at)
        if late:
            return False
        self.missing = False
        self.heard_at = now
        if not self.down:
            self.confirmed = True
            return False
        self._ups += 1
        if self._ups < UP_AFTER:
            return False
        self.down = False
        self._up_since = now
        return True

    def missed(self, sent_at: float, now: float, rng: random.Random) -> bool:
        """The heartbeat sent at `sent_at` got no answer in time. True: the peer is down now."""
        if sent_at < self._answered_sent_at:
            return False  # a later one was answered meanwhile: a lost packet, no more
        self.missing = True
        if self.down:
            self._ups = 0
            self._back_off(now, rng)
            return False
        self._missed += 1
        if self._missed < DOWN_AFTER:
            return False
        self.down = True
        self._missed = 0
        self._ups = 0
        if now - self._up_since >= STEADY_S:
            self._backoff_s = 0.0
        self._back_off(now, rng)
        return True

    def _sample(self, rtt: float) -> None:
        if self.srtt is None or (self.down and self._ups == 0):  # after an absence: a new way
            self.srtt, self.rttvar = rtt, rtt / 2
            return
        self.rttvar += (abs(rtt - self.srtt) - self.rttvar) * RTTVAR_GAIN
        self.srtt += (rtt - self.srtt) * RTT_GAIN

    def _back_off(self, now: float, rng: random.Random) -> None:
        self._backoff_s = min(max(2 * self._backoff_s, BACKOFF_MIN_S), BACKOFF_MAX_S)
        self.retry_at = now + self._backoff_s * (1 - BACKOFF_JITTER * rng.random())

    # Helpful

    def busy(self, now: float) -> None:
        """It said BUSY to a query."""
        self.busy_until = now + BUSY_S

    def query_answered(self) -> None:
        """It answered a query, whatever it said: BUSY and SERVFAIL are answers."""
        self._judge(answered=True)
        if self._judged == QUERIES_JUDGED and not self._unanswered:
            self._out_s = 0.0

    def query_unanswered(self, now: float) -> None:
        """It did not answer a query that somebody else answered, or nonsense."""
        self._judge(answered=False)
        if self._unanswered.bit_count() < UNANSWERED_OUT:
            return
        # It comes back with a clean sheet, but for the length of its stay
        self._judged = self._unanswered = 0
        self._out_s = min(max(2 * self._out_s, OUT_MIN_S), OUT_MAX_S)
        self.out_until = now + self._out_s

    def _judge(self, *, answered: bool) -> None:
        self._judged = min(self._judged + 1, QUERIES_JUDGED)
        self._unanswered = (self._unanswered << 1 | (not answered)) & ((1 << QUERIES_JUDGED) - 1)

    def count_asked(self, outcome: str) -> None:
        """A query of ours to it has ended: one of `stats.REMOTE`."""
        if self.asked is _NEVER_ASKED:
            self.asked = dict(_NEVER_ASKED)
        self.asked[outcome] += 1

    def count_served(self, told: str) -> None:
        """A query of its was answered: one of `stats.SERVED`."""
        if self.served is _NEVER_SERVED:
            self.served = dict(_NEVER_SERVED)
        self.served[told] += 1

    def why(self, mine: frozenset[bytes], now: float, *, validating: bool) -> Why:
        """Say whether it may be asked, others left aside: never SLOWER.

        `mine` are the identities of our own nameservers, `validating` says that only a peer that
        validates will do (RULES 6.5).
        """
        if self.down:
            return Why.DOWN
        if self.full:
            return Why.FULL
        if not mine.isdisjoint(self.nameservers):
            return Why.SAME_NAMESERVER
        if self.slot is None:
            return Why.NOT_NEIGHBOUR
        if not self.confirmed:
            return Why.UNHEARD
        if self.missing:
            return Why.MISSED
        if self.failing:
            return Why.FAILING
        if now < self.busy_until:
            return Why.BUSY
        if validating and not self.validates:
            return Why.NOT_VALIDATING
        if now < self.out_until:
            return Why.UNANSWERING
        return Why.ELIGIBLE


@lru_cache(maxsize=4096)
def _as_set(identities: tuple[bytes, ...]) -> frozenset[bytes]:
    """Of a thousand nodes each keeps a thousand peers: one set for all who say the same."""
    return frozenset(identities)
