"""Serving peers: how many of their queries our own nameserver is given at a time.

A peer in trouble sends us what its nameserver does not answer. Answers from the cache cost nothing
and are given always; the others become exchanges with *our* nameserver, and too many of them would
make it slow for our own clients, who then ask peers: trouble would go round. So (RULES 7.4):

  1. *A window* of remote queries in service, 32 at start, one more for each 32 served, up to 512;
     halved, down to 1, when our own clients feel it: the median time of our own exchanges is over
     twice its ten-minute value, or local clients wait for a slave. TCP's way (RFC 5681) of finding
     what a path can carry without being told. One halving a second: what it does takes that
     long to show in a median.
  2. *A queue* of twice the window, for 200 ms: longer is worth nothing, for the asker has asked
     the next peer by then. What does not fit, or waits longer, is answered BUSY, which costs the
     asker one datagram and not a timeout.
  3. *Local first*: while a local client waits for a slave nothing remote is started.
  4. *Not healthy*: BUSY at once to whatever is not in the cache: we would ask others ourselves.
  5. *No peer takes all*: each has at most half of the window and half of the queue, and the queue
     is served round robin by peer.

The median's ten-minute value is the median of what it was in each ten seconds (`Typical`). A
median under 10 ms is never too slow, whatever it was: from 0.3 to 0.7 ms is a change of mix, not
a load.
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from statistics import median, median_low
from typing import Final, Generic, TypeVar

WINDOW_START: Final = 32  # RULES 7.4, as the next ones
WINDOW_MIN: Final = 1  # not 4: at 2 s each, 4 are 2/s more for a server that has no room
WINDOW_MAX: Final = 512
SERVED_FOR_ONE: Final = 32
QUEUE_WINDOWS: Final = 2
WAIT_MAX_S: Final = 0.200
SLOW_FACTOR: Final = 2
HALVING_S: Final = 1.0  # between halvings: a batch's time
SLOW_MIN_S: Final = 0.010  # the least initial delay (RULES 5.5): below it nobody asks a peer

BATCH: Final = 32  # samples a median is taken of
BATCH_MIN: Final = 8  # fewer than these say nothing
BATCH_S: Final = 1.0  # a batch is closed after this, if it has BATCH_MIN
SPAN_S: Final = 10.0  # one median is remembered for each
SPANS: Final = 60  # ten minutes of them

Query = TypeVar("Query")


class Refusal(StrEnum):
    """Why a peer was told BUSY: metric labels."""

    UNHEALTHY = "unhealthy"
    QUEUE_FULL = "queue_full"
    SHARE = "share"  # this peer has its half of the queue
    WAITED = "waited"


@dataclass(slots=True)
class Start(Generic[Query]):
    """Give this to our own nameserver; tell `Serving.finished` when it is done."""

    peer: str
    query: Query


@dataclass(slots=True)
class Busy(Generic[Query]):
    """Answer BUSY."""

    peer: str
    query: Query
    reason: Refusal


class Typical:
    """The median of recent samples, against what it has been for ten minutes."""

    __slots__ = ("_batch", "_began_at", "_history", "_spanned_at")

    def __init__(self) -> None:
        self._batch: list[float] = []
        self._began_at = -inf
        self._history: deque[tuple[float, float]] = deque(maxlen=SPANS)
        self._spanned_at = -inf

    def sample(self, elapsed_s: float, now: float) -> bool:
        """Add a time. True: a batch is full, and its median is too high."""
        if not self._batch:
            self._began_at = now
        self._batch.append(elapsed_s)
        size = len(self._batch)
        if size < BATCH and (size < BATCH_MIN or now - self._began_at < BATCH_S):
            return False
        recent = median(self._batch)
        self._batch.clear()
        usual = self.usual(now)
        if now - self._spanned_at >= SPAN_S:
            self._spanned_at = now
            self._history.append((now, recent))
        return usual is not None and recent > max(SLOW_FACTOR * usual, SLOW_MIN_S)

    def usual(self, now: float) -> float | None:
        """Return the ten-minute value, None before the first batch."""
        while self._history and now - self._history[0][0] > SPANS * SPAN_S:
            self._history.popleft()
        return median_low([value for _, value in self._history]) if self._history else None


class _Waiting(Generic[Query]):
    """A query in the queue. `gone`: started or refused meanwhile."""

    __slots__ = ("gone", "peer", "query", "until")

    def __init__(self, peer: str, query: Query, until: float) -> None:
        self.peer = peer
        self.query = query
        self.until = until
        self.gone = False


class Serving(Generic[Query]):
    """Admission of remote queries that are not in the cache. Calls return what is to be done."""

    def __init__(self) -> None:
        self.window = WINDOW_START
        self.healthy = True
        self.local_waiting = False
        self.in_service = 0
        self.queued = 0
        self._typical = Typical()
        self._served = 0
        self._halved_at = -inf
        self._serving: dict[str, int] = {}  # by peer, no zeros
        self._queues: dict[str, deque[_Waiting[Query]]] = {}  # by peer, next served first
        self._arrivals: deque[_Waiting[Query]] = deque()  # all of them, oldest first

    def offer(self, peer: str, query: Query, now: float) -> list[Start[Query] | Busy[Query]]:
        """A peer asks for something that is not in the cache."""
        if not self.healthy:
            return [Busy(peer, query, Refusal.UNHEALTHY)]
        if self._room(peer):  # then nobody who may be served waits: see `_pump`
            return [self._start(peer, query)]
        if self.queued >= QUEUE_WINDOWS * self.window:
            return [Busy(peer, query, Refusal.QUEUE_FULL)]
        queue = self._queues.setdefault(peer, deque())
        if len(queue) >= QUEUE_WINDOWS * self.window // 2:
            return [Busy(peer, query, Refusal.SHARE)]
        waiting = _Waiting(peer, query, now + WAIT_MAX_S)
        queue.append(waiting)
        self._arrivals.append(waiting)
        self.queued += 1
        return []

    def finished(self, peer: str, *, served: bool) -> list[Start[Query] | Busy[Query]]:
        """A started query has ended; `served`: with an answer that the peer was given."""
        count = self._serving.get(peer, 0)
        if count == 0:
            return []
        self.in_service -= 1
        if count > 1:
            self._serving[peer] = count - 1
        else:
            del self._serving[peer]
        if served:
            self._served += 1
            if self._served >= SERVED_FOR_ONE:
                self._served = 0
                self.window = min(self.window + 1, WINDOW_MAX)
        return self._pump()

    def recount(self, peers: list[str]) -> None:
        """These are all that are in service, by who asked (`core.mending`)."""
        self._serving = {}
        for peer in peers:
            self._serving[peer] = self._serving.get(peer, 0) + 1
        self.in_service = len(peers)

    def local_time(self, elapsed_s: float, now: float) -> None:
        """One of our own clients' exchanges took this long."""
        if self._typical.sample(elapsed_s, now):
            self._halve(now)

    def set_local_waiting(self, waiting: bool, now: float) -> list[Start[Query] | Busy[Query]]:
        """Do local clients wait for a slave? Told at each change, or as often as one likes."""
        self.local_waiting = waiting
        if waiting:
            self._halve(now)
        return self._pump()

    def set_healthy(self, healthy: bool) -> list[Start[Query] | Busy[Query]]:
        """Is our own path fine? Losing it, the queue is refused."""
        self.healthy = healthy
        if healthy:
            return []
        refused = [waiting for waiting in self._arrivals if not waiting.gone]
        self._arrivals.clear()
        self._queues.clear()
        self.queued = 0
        return [Busy(waiting.peer, waiting.query, Refusal.UNHEALTHY) for waiting in refused]

    def next_timeout(self) -> float | None:
        """When the oldest in the queue has waited enough."""
        self._tidy()
        return self._arrivals[0].until if self._arrivals else None

    def handle_timeout(self, now: float) -> list[Start[Query] | Busy[Query]]:
        """Refuse what has waited too long."""
        out: list[Start[Query] | Busy[Query]] = []
        self._tidy()
        while self._arrivals and self._arrivals[0].until <= now:
            waiting = self._arrivals.popleft()
            self._take(waiting.peer)  # the oldest of all is the oldest of its peer
            out.append(Busy(waiting.peer, waiting.query, Refusal.WAITED))
            self._tidy()
        return out

    def _room(self, peer: str) -> bool:
        share = (self.window + 1) // 2
        return (
            not self.local_waiting
            and self.in_service < self.window
            and self._serving.get(peer, 0) < share
        )

    def _start(self, peer: str, query: Query) -> Start[Query]:
        self.in_service += 1
        self._serving[peer] = self._serving.get(peer, 0) + 1
        return Start(peer, query)

    def _pump(self) -> list[Start[Query] | Busy[Query]]:
        """Start from the queue until nobody who waits may be served."""
        out: list[Start[Query] | Busy[Query]] = []
        while (peer := next(filter(self._room, self._queues), None)) is not None:
            out.append(self._start(peer, self._take(peer).query))
            if peer in self._queues:  # its next turn is after the others'
                self._queues[peer] = self._queues.pop(peer)
        return out

    def _take(self, peer: str) -> _Waiting[Query]:
        queue = self._queues[peer]
        waiting = queue.popleft()
        if not queue:
            del self._queues[peer]
        waiting.gone = True
        self.queued -= 1
        return waiting

    def _halve(self, now: float) -> None:
        if now - self._halved_at >= HALVING_S:
            self._halved_at = now
            self.window = max(self.window // 2, WINDOW_MIN)
            self._served = 0

    def _tidy(self) -> None:
        while self._arrivals and self._arrivals[0].gone:
            self._arrivals.popleft()
