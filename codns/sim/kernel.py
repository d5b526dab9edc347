"""Virtual time: a heap of events, and a clock that jumps from one to the next.

An event is a call with one argument at a time. Order is by (time, sequence): what is due at the
same instant happens in the order it was asked for, whatever the hash seed (DESIGN 8). Nothing is
ever taken out of the heap: whoever scheduled a call that is no longer wanted knows it when it
comes (a dead host, an alarm that was set anew), which costs less than searching.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from typing import Any


class Kernel:
    """The clock and what is to come. `now` in seconds, `events` done so far."""

    __slots__ = ("_heap", "_sequence", "events", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self.events = 0
        self._sequence = 0
        self._heap: list[tuple[float, int, Callable[[Any], object], Any]] = []

    def at(self, time: float, do: Callable[[Any], object], what: Any = None) -> None:
        """Call `do(what)` at `time`; at once if that is past, never if it is inf."""
        if time == inf:
            return
        now = self.now
        self._sequence = sequence = self._sequence + 1
        heappush(self._heap, (max(time, now), sequence, do, what))

    def run(self, until: float) -> None:
        """Let time pass up to and including `until`."""
        heap, pop, events = self._heap, heappop, 0
        try:
            while heap and heap[0][0] <= until:
                self.now, _, do, what = pop(heap)
                events += 1
                do(what)
        finally:
            self.events += events
        self.now = max(self.now, until)

    def __len__(self) -> int:
        return len(self._heap)
