"""Many who wait for one answer get it in portions, so that the loop is held for 1 ms at a time.

A lookup may have 1,024 waiters, each with a question of its own to be answered under: 6 ms of work
that one datagram sets off, and with 64 KiB to copy for each, 100 ms. So a portion goes at once and
the next ones 1 ms later each, between which everything else has its turn. First come, first
served. So are the 64 peers that may wait for one lookup: what they get is sealed for each. And so
are many crowds at once, 63 of 130 for example: they take turns, or each millisecond would have a
portion of each.

Who waits for a portion is in no lookup any more, and keeps a place all the same: `core.mending`
finds them in `Turns`.
"""

from collections import deque
from collections.abc import Callable, Iterable
from math import inf
from typing import Final, Generic, TypeVar

from codns.core.timers import Timers

PAUSE_S: Final = 0.001  # RULES 4.1: 1,024 waiters are through within 10 ms, with 64 KiB in 75
PORTION_SIZE: Final = 1 << 20  # octets of answers a portion, their own cost included: 0.8 ms
ANSWER_SIZE: Final = 8 << 10  # what an answer costs besides its octets: as long as 8 KiB of them
SEALED_SIZE: Final = 16  # an octet that is sealed costs as much as so many that are copied

Who = TypeVar("Who")


class Turns(Generic[Who]):
    """All portions that are under way, and when the next has its turn."""

    def __init__(self) -> None:
        self.under_way: list[Portions[Who]] = []
        self._last = -inf

    def first(self, now: float) -> float:
        """Return when a crowd that comes now has its first portion."""
        self._last = max(now, self._last + PAUSE_S)
        return self._last

    def next(self, now: float) -> float:
        """Return when one has the next portion that had one now."""
        self._last = max(now, self._last) + PAUSE_S
        return self._last

    def left(self) -> list[Who]:
        """Return all who still wait, and forget those portions that will not come."""
        self.under_way = [portions for portions in self.under_way if portions.due != inf]
        return [who for portions in self.under_way for who in portions.waiters]


class Portions(Generic[Who]):
    """Those who still wait for an answer that is there."""

    due = inf

    def __init__(
        self,
        timers: Timers,
        waiters: Iterable[Who],
        size: int,
        deliver: Callable[[Who, float], None],
        turns: Turns[Who],
    ) -> None:
        self._timers = timers
        self.waiters = deque(waiters)
        self._deliver = deliver
        self._count = max(1, PORTION_SIZE // (ANSWER_SIZE + size))
        self._turns = turns

    def begin(self, now: float) -> None:
        """The first of them, now or when it is their turn."""
        self._turns.under_way.append(self)
        turn = self._turns.first(now)
        if turn <= now:
            self.fire(now)
        else:
            self._timers.set(self, turn)

    def fire(self, now: float) -> None:
        """The next of them."""
        waiters, deliver = self.waiters, self._deliver
        for _ in range(min(self._count, len(waiters))):
            deliver(waiters.popleft(), now)
        if waiters:
            self._timers.set(self, self._turns.next(now))
        else:
            self._turns.under_way.remove(self)


def is_many(waiters: int, size: int) -> bool:
    """Tell whether so many answers of this size are more than one portion."""
    return waiters > 1 and waiters * (ANSWER_SIZE + size) > PORTION_SIZE
