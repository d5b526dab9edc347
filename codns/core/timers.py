"""Deadlines: one heap for everything that waits, so that the shell keeps a single timer.

An object waits for at most one time. Setting a later one leaves the old entry in the heap; it is
recognised when it comes up, because the object's `due` no longer names it. So the usual life of a
lookup (set once, answered long before) costs one push and one pop, and no search.

Order is by (time, sequence): two deadlines at the same instant fire in the order they were set,
whatever the hash seed (DESIGN 8).

What is done again and again sets its next deadline whatever happens meanwhile: an exception (a
mistake of ours) costs one turn then, not all that follow. Where that time cannot be told, it is
`AGAIN_S`.
"""

from heapq import heappop, heappush
from math import inf
from typing import Final, Protocol

AGAIN_S: Final = 1.0  # a turn that fails each time costs a log line a second, not a core


class Timed(Protocol):
    """Something with a deadline. `due` belongs to `Timers`: inf while nothing is set."""

    due: float

    def fire(self, now: float) -> None:
        """The deadline has come. May set a new one."""


class Timers:
    """A heap of (time, sequence, object)."""

    __slots__ = ("_heap", "_sequence")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timed]] = []
        self._sequence = 0

    def set(self, timed: Timed, time: float) -> None:
        """Let `timed` fire at `time` and not before; inf: never."""
        if time == timed.due:
            return
        timed.due = time
        if time != inf:
            self._sequence += 1
            heappush(self._heap, (time, self._sequence, timed))

    def next(self) -> float | None:
        """Return the time of the earliest deadline, or None."""
        heap = self._heap
        while heap:
            time, _, timed = heap[0]
            if timed.due == time:
                return time
            heappop(heap)
        return None

    def fire(self, now: float) -> None:
        """Fire everything that is due at `now`, in order."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            time, _, timed = heappop(heap)
            if timed.due == time:
                timed.due = inf
                timed.fire(now)

    def __len__(self) -> int:
        return len(self._heap)
