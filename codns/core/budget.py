"""The budget of remote queries: what is limited is waste.

A remote query that saved the client time is what codns is for; one that did not is load on a
peer's nameserver for nothing. Hedging without a limit doubles everybody's load exactly when a
part of the fleet is slow (Loki 4826: every request over the threshold, so all were hedged), and a
plain rate limit would stop help that pays. So (RULES 5.6):

  1. each local miss earns 0.1 token (`race.budget`), up to 50, full at the start: a tenth of
     misses may be hedged in vain, and a burst of 50
  2. a remote query takes one token; without one it may not leave
  3. it gives the token back if it won by >= 10 ms, or won and the local attempt then failed
  4. a lookup's third attempt leaves only while >= 25 tokens are there: it rarely helps
     (5 % of remote wins, CoDNS 4.3)
  5. while the local path is failing nothing is taken, earned or denied: all of it is help

Whether a win was by 10 ms is known 10 ms after it, not when the slow local attempt ends: tokens
come back through `Claims`. Tokens are counted in thousandths, as integers: ten tenths are one.

How many of the last paid queries gave their token back (`pays`) tells what the next will be worth.
The policy `adaptive` chooses its delay by it, so that the tokens are rarely used up: who is denied
one is as likely as not the client that waits longest.
"""

from enum import IntEnum
from typing import Final

from codns.core.claims import Claims

SHARE: Final = 0.1  # RULES 5.6: token a local miss
CAPACITY: Final = 50  # RULES 5.6: tokens
THIRD: Final = 3  # the attempt that has to leave half of the burst to others
THIRD_MIN: Final = 25  # RULES 5.6: half of the capacity
WIN_MARGIN_S: Final = 0.010  # RULES 5.6: less is the noise of two event loops
LATELY: Final = 32  # paid queries that `pays` looks back on, in the mean; CoDNS 3.2 counts as many

_TOKEN: Final = 1000
_FADING: Final = 1 - 1 / LATELY


class Payment(IntEnum):
    """What became of the wish to send a remote query. Only DENIED is false."""

    DENIED = 0
    PAID = 1  # a token was taken: report how it went
    FREE = 2  # the local path is failing


class Budget:
    """The tokens of one node."""

    __slots__ = (
        "_asked",
        "_capacity",
        "_claims",
        "_earned",
        "_helped",
        "_tokens",
        "denied",
        "refunded",
        "taken",
    )

    def __init__(self, share: float = SHARE) -> None:
        self._earned = round(share * _TOKEN)
        # No share, no waste at all: the cap goes too, or a start would still spend 50.
        self._capacity = CAPACITY * _TOKEN if self._earned else 0
        self._tokens = self._capacity
        self._claims = Claims()
        self._asked = 0.0  # paid queries lately, older ones counting less
        self._helped = 0.0  # those of them that gave their token back
        self.taken = 0
        self.refunded = 0
        self.denied = 0

    def configure(self, share: float) -> None:
        """Change the share of a reload; what was saved is kept within the new cap."""
        self._earned = round(share * _TOKEN)
        self._capacity = CAPACITY * _TOKEN if self._earned else 0
        self._tokens = min(self._tokens, self._capacity)

    @property
    def capacity(self) -> float:
        """How many tokens there are at most."""
        return self._capacity / _TOKEN

    @property
    def share(self) -> float:
        """How many tokens a miss earns: the waste that is allowed, of all misses."""
        return self._earned / _TOKEN

    def pays(self, now: float) -> float:
        """Return the share of paid queries that helped lately; 0 before there were any.

        One more is counted that did not help, so that it never reaches 1.
        """
        self._settle(now)
        return min(self._helped / (self._asked + 1.0), LATELY / (LATELY + 1.0))

    def tokens(self, now: float) -> float:
        """Return what is there, in tokens."""
        self._settle(now)
        return self._tokens / _TOKEN

    def earn(self) -> None:
        """A local miss: a client's lookup went to the local path, which is not failing."""
        if self._tokens < self._capacity:  # not so on most misses of a healthy node
            self._tokens = min(self._tokens + self._earned, self._capacity)

    def take(self, attempt: int, now: float, *, failing: bool) -> Payment:
        """May the lookup's `attempt` (1, 2, 3) leave now?"""
        if failing:
            return Payment.FREE
        self._settle(now)
        if self._tokens < (THIRD_MIN if attempt >= THIRD else 1) * _TOKEN:
            self.denied += 1
            return Payment.DENIED
        self._tokens -= _TOKEN
        self.taken += 1
        self._asked = self._asked * _FADING + 1.0
        self._helped *= _FADING
        return Payment.PAID

    def won(self, now: float) -> int:
        """A paid query answered first, the local attempt is still out. Return a handle for it."""
        return self._claims.make(now + WIN_MARGIN_S)

    def local_answered(self, handle: int, now: float) -> None:
        """The local answer came after that win; within 10 ms the token is gone."""
        self._settle(now)
        self._claims.withdraw(handle)

    def local_failed(self, handle: int, now: float) -> None:
        """The local attempt behind that win ended without an answer: the token is back now."""
        self._settle(now)
        if self._claims.withdraw(handle):
            self._refund(1)

    def refund(self) -> None:
        """A paid query won after the local attempt had failed."""
        self._refund(1)

    def declined(self) -> None:
        """The peer was BUSY: the query cost nothing, and says nothing of what others will."""
        self._asked = max(self._asked - 1.0, 0.0) / _FADING
        self._helped /= _FADING
        self._give_back(1)

    def explain(self, now: float) -> dict[str, object]:
        """Return the figures for `codns explain` and the status page."""
        return {
            "tokens": self.tokens(now),
            "capacity": self.capacity,
            "per_miss": self.share,
            "pays": self.pays(now),
            "taken": self.taken,
            "refunded": self.refunded,
            "denied": self.denied,
            "undecided": len(self._claims),
        }

    def _settle(self, now: float) -> None:
        count = self._claims.mature(now)
        if count:
            self._refund(count)

    def _refund(self, count: int) -> None:
        self._helped += count
        self._give_back(count)

    def _give_back(self, count: int) -> None:
        self.refunded += count
        self._tokens = min(self._tokens + count * _TOKEN, self._capacity)
