"""Virtual time: events in order, and a clock that jumps from one to the next.

An event is a call with one argument at a time. Order is by (time, sequence): what is due at the
same instant happens in the order it was asked for, whatever the hash seed (DESIGN 8). Nothing is
ever taken out: whoever scheduled a call that is no longer wanted knows it when it comes (a dead
host, an alarm that was set anew), which costs less than searching.

Time is cut into slots (a calendar queue: Brown, CACM 31(10), 1988). What is due in a later slot
lies there unsorted, and only the present slot is a heap. One heap for all would hold some 5,000
events for 1,000 nodes, and taking one out touches thirty of them, most not in the processor's
cache; so it touches the few of its slot. With slots of any length the order is the same.
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from math import inf
from typing import Any, Final

SLOT_S: Final = 0.010  # a dozen events for 50 nodes

Event = tuple[float, int, Callable[[Any], object], Any]


class Kernel:
    """The clock and what is to come. `now` in seconds, `events` done so far.

    A slot of `slot_s` seconds best holds about a dozen events: more are slow to sort, with fewer
    there are too many slots.
    """

    __slots__ = ("_heap", "_later", "_rate", "_sequence", "_slot", "_slots", "events", "now")

    def __init__(self, slot_s: float = SLOT_S) -> None:
        self.now = 0.0
        self.events = 0
        self._sequence = 0
        self._rate = 1 / slot_s
        self._slot = 0  # the present one
        self._heap: list[Event] = []  # what is due in it, or in one before it
        self._slots: list[int] = []  # a heap of later ones that hold something
        self._later: dict[int, list[Event]] = {}

    def at(
        self, time: float, do: Callable[[Any], object], what: Any = None, order: int = 0
    ) -> None:
        """Call `do(what)` at `time`; at once if that is past, never if it is inf.

        `order`: its place among what happens at the same time, in place of the sequence.
        """
        if time == inf:
            return
        time = max(time, self.now)
        if not order:
            self._sequence = order = self._sequence + 1
        slot = int(time * self._rate)
        if slot <= self._slot:
            heappush(self._heap, (time, order, do, what))
            return
        later = self._later.get(slot)
        if later is None:
            self._later[slot] = [(time, order, do, what)]
            heappush(self._slots, slot)
        else:
            later.append((time, order, do, what))

    def next(self) -> float:
        """Return when something happens next: inf if nothing does."""
        if self._heap:
            return self._heap[0][0]
        return min(self._later[self._slots[0]])[0] if self._slots else inf

    def run(self, until: float) -> None:
        """Let time pass up to and including `until`."""
        pop, events, slots = heappop, 0, self._slots
        last = until * self._rate  # in slots
        try:
            while True:
                heap = self._heap
                while heap and heap[0][0] <= until:
                    self.now, _, do, what = pop(heap)
                    events += 1
                    do(what)
                if heap or not slots or slots[0] > last:
                    break
                self._slot = slot = heappop(slots)
                self._heap = heap = self._later.pop(slot)
                heapify(heap)
        finally:
            self.events += events
        self.now = max(self.now, until)

    def __len__(self) -> int:
        return len(self._heap) + sum(map(len, self._later.values()))
