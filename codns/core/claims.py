"""Claims: things that become true at their time, unless they are withdrawn before it.

"It won by 10 ms" and "the local nameserver needed 20 ms more" are not known when the peer's
answer arrives, and waiting for the local attempt to end could take seconds: during a stall that
is just when the verdict is needed. So such a statement is made at once, with the time from which
it holds. A local answer that comes first withdraws it; otherwise time alone makes it true.

A heap orders them; a withdrawn one stays in the heap until its time (at most 200 ms) and is
skipped there. Making, withdrawing and maturing cost O(log n) each, with n what is in flight.
"""

from heapq import heappop, heappush
from math import inf


class Claims:
    """Open claims by handle (`open`, to be read only). `now` never goes back."""

    __slots__ = ("_heap", "_last", "open")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []
        self.open: set[int] = set()
        self._last = 0

    def __len__(self) -> int:
        return len(self.open)

    def make(self, due: float) -> int:
        """Claim something that holds from `due` on. Return the handle to withdraw it by, > 0."""
        self._last = handle = self._last + 1
        self.open.add(handle)
        heappush(self._heap, (due, handle))
        return handle

    def withdraw(self, handle: int) -> bool:
        """Take a claim back. False: it has matured or was withdrawn already."""
        if handle in self.open:
            self.open.remove(handle)
            return True
        return False

    def mature(self, now: float) -> int:
        """Return how many claims became true since the last call; `due <= now` counts."""
        heap, count = self._heap, 0
        while heap and heap[0][0] <= now:
            handle = heappop(heap)[1]
            if handle in self.open:
                self.open.remove(handle)
                count += 1
        return count

    def next_due(self) -> float:
        """Return when the next claim matures, inf if none is open."""
        heap = self._heap
        while heap and heap[0][1] not in self.open:
            heappop(heap)
        return heap[0][0] if heap else inf

    def clear(self) -> None:
        """Forget all."""
        self._heap.clear()
        self.open.clear()
