"""Queries that have come and were not taken yet: where overload shows, and what is done about it.

A query that the cache does not answer costs ten times one that it does, and the master is one
process. When more of them come than it can take, a queue grows somewhere. Left to the kernel it
is the socket's buffer: 10,000 datagrams, first come first served, cached names and others alike.
Above the capacity it is full within seconds, and all that is served has waited there for the
whole of it. Measured at three times the capacity (`bench.overload`, a quarter of a core): answers
after 1.8 s in the median, for as long as the load lasts and 3 s longer; of cached names 39 % were
answered. Dropping is free there, so as many lookups were answered as at the peak, just within the
2 s for which a client waits.

So the buffer is emptied as fast as it fills, and the queue is here:

  1. What the cache knows is answered at once, past the queue: by its exact bytes always, by
     meaning when there is a queue at all.
  2. The rest is taken in the order it came, `TAKEN` at a time; between, slaves' reports and
     deadlines have their turn, so that what was taken is finished.
  3. What would have to wait for more than `WAIT_S` is shed: that is, while those that wait, at
     the pace of the last ones that were taken, need longer than that. Not the age of the oldest:
     when load jumps to three times the capacity, as much has come in that time as takes three
     times as long. Who comes is shed, not who waits: that one has less to wait.
  4. Being shed has to be cheap. It is decided once for 64 datagrams, and an answer is written over
     its query. Still, at three times the capacity two are shed for each that is resolved, and
     telling them costs 6 us each beside the 2 us or more of reading it and the 55 of a lookup: if
     all are told, some 60 % of the peak is answered; as it is, 90 to 98 % are, after 0.4 s. So
     with `overload: servfail` at most `TOLD` are told for `TAKEN` that are taken, SERVFAIL with
     EDE 0, which is all of them when an eighth is too much. The others get silence, and stubs wait
     before they ask again: what they do not after SERVFAIL.
  5. Still more (the master reads at most `DRAINED` datagrams a round) is the kernel's to drop.
"""

from collections import deque
from typing import Final

from codns.core.model import Client

QUERIES_MAX: Final = 8_192  # as many as may be in flight (RULES 4.1): they are next
# The stub's 5 s less the 4.5 s that a query may be in flight, and a margin. A plain Python master
# takes some 8,192 queries in that time, so that a burst of so many is served
WAIT_S: Final = 0.4
TAKEN: Final = 64  # at a time: some 3 ms
TOLD: Final = 8  # of those shed meanwhile: 1.5 % of the work
DRAINED: Final = 512  # datagrams a round: 1 ms, eight times what is taken meanwhile
PACE_WEIGHT: Final = 1 / 8  # of the last round: a pause of 75 ms for want of quota is no pace
# So many rounds may always wait. A process that was stopped for an hour would else find every
# burst too much, and as what is shed is never taken, never find out that it is not
ROUNDS_MIN: Final = 4
PACE_S_MAX: Final = WAIT_S / (ROUNDS_MIN * TAKEN)  # 1.6 ms a query, 30 times what one takes

Waiting = tuple[bytes, Client, float]


class Backlog:
    """The queue, of all UDP listeners together. Times on the node's clock."""

    __slots__ = ("_pace_s", "_queue", "_taken_at", "room_to_tell")

    def __init__(self) -> None:
        self._queue: deque[Waiting] = deque()
        self._pace_s = WAIT_S / QUERIES_MAX  # a query
        self._taken_at: float | None = None  # when some were left waiting
        self.room_to_tell = TOLD

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, wire: bytes, client: Client, now: float) -> None:
        """A query waits from now on."""
        self._queue.append((wire, client, now))

    def sheds(self, now: float) -> bool:
        """Say whether what comes now is one too many."""
        waiting = len(self._queue)
        if not waiting:
            return False
        if waiting >= QUERIES_MAX or now - self._queue[0][2] >= WAIT_S:
            return True
        return waiting * self._pace_s >= WAIT_S

    def take(self, now: float) -> list[Waiting]:
        """Return the next that are to be taken, oldest first."""
        queue = self._queue
        self.room_to_tell = TOLD
        if self._taken_at is not None:
            last = min((now - self._taken_at) / TAKEN, PACE_S_MAX)
            self._pace_s += PACE_WEIGHT * (last - self._pace_s)
        if len(queue) <= TAKEN:
            self._taken_at = None  # the next interval is not all work
            taken = list(queue)
            queue.clear()
            return taken
        self._taken_at = now
        return [queue.popleft() for _ in range(TAKEN)]
