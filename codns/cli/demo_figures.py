"""What the demo measured: of late for the view, by phase for the summary, and what it proves.

Fed with what the world tells (`demo_told.Told`) and what the nodes tell of themselves. A lookup
belongs to the instant at which it left, whenever it ends; one that still waits counts with its age
as "at least that long", so that trouble is seen while it lasts and not when it is over.

A lookup has failed when it ended in SERVFAIL or another failure, or had no answer after 5 s, which
is when a stub resolver gives up.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from math import ceil
from typing import Any, Final, NamedTuple

from codns.cli.demo_plan import ALONE, MEMBERS, NODES, SICK, Phase
from codns.cli.demo_told import ANSWER, Done, Looked

RECENT_S: Final = 5.0  # "of late": long enough for a p99 that is more than one lookup
FINE: Final = 480  # columns of the timeline as kept: a wide terminal has half as many
SHARES_MIN: Final = 5  # answers, before their shares say anything
MARGIN: Final = 2  # masked: p99 at least so many times lower than without peers

Told = dict[str, Any]


class Figures(NamedTuple):
    """Of some lookups; seconds, None where there are none."""

    lookups: int
    failed: int
    waiting: int  # not over when the demo was; they count as long as they have lasted
    mean: float | None
    p99: float | None
    worst: float | None


class Verdict(NamedTuple):
    """What a run shows: the phases with trouble together."""

    masked: bool
    with_peers: Figures
    alone: Figures
    remote: int
    seconds: float


class Bin(NamedTuple):
    """A column of the timeline: the slowest lookup that left in it, and whether any failed."""

    worst: float | None
    failed: bool


NOTHING: Final = Bin(None, failed=False)


class _Member:
    """What is known of one node."""

    def __init__(self) -> None:
        self.fine = [NOTHING] * FINE
        self.done: list[Done] = []
        self.waiting: list[float] = []  # when those left
        self.failed = 0
        self.status: Told | None = None
        # When it was asked, and its counters: what happened of late is a difference
        self.history: deque[tuple[float, dict[str, int]]] = deque()
        self.recent: deque[Done] = deque()


class Measured:
    """All of it so far. `now` is when the world last said something, since the load began."""

    def __init__(self, phases: Sequence[Phase]) -> None:
        self.phases = phases
        self.now = 0.0
        self.silent = False  # the sick nameserver
        self.late: list[float] = []
        self._members = [_Member() for _ in range(MEMBERS)]
        self._remote_at: dict[str, int] = {}  # phase -> remote queries of node 1 at its end

    # -- what comes in --------------------------------------------------------------------------

    def looked(self, looked: Looked) -> None:
        """Take what came of lookups."""
        self.now = looked.at
        self.late += looked.late
        for done in looked.done:
            member = self._members[done.node]
            member.done.append(done)
            member.recent.append(done)
            bad = done.outcome != ANSWER
            member.failed += bad
            column = self._column(done.at)
            member.fine[column] = _worse(member.fine[column], Bin(done.took, bad))
        for member, waiting in zip(self._members, looked.waiting, strict=True):
            member.waiting = waiting
            while member.recent and member.recent[0].at < self.now - RECENT_S:
                member.recent.popleft()

    def status(self, node: int, told: Told | None) -> None:
        """Take what a node tells of itself; None: it did not answer."""
        member = self._members[node]
        if told is None:
            return
        member.status = told
        member.history.append((self.now, told["answers"]))
        while len(member.history) > 1 and member.history[1][0] < self.now - RECENT_S:
            member.history.popleft()
        if node == SICK:
            self._remote_at[self.phase().key] = self.remote_sent()

    # -- of late --------------------------------------------------------------------------------

    def phase(self) -> Phase:
        """Return the phase it is in."""
        return next((phase for phase in self.phases if self.now < phase.end), self.phases[-1])

    def up(self) -> int:
        """Return how many nodes have told of themselves."""
        return sum(member.status is not None for member in self._members)

    def recent(self, node: int) -> tuple[float | None, float | None]:
        """Return median and p99 of the lookups that left in the last seconds."""
        member, since = self._members[node], self.now - RECENT_S
        took = [done.took for done in member.recent if done.at >= since]
        took += [self.now - left for left in member.waiting if left >= since]
        took.sort()
        return quantile(took, 0.5), quantile(took, 0.99)

    def failed(self, node: int) -> int:
        """Return how many failed so far."""
        return self._members[node].failed

    def waiting(self, node: int) -> tuple[int, float]:
        """Return how many wait, and for how long the first of them."""
        waiting = self._members[node].waiting
        return len(waiting), self.now - min(waiting, default=self.now)

    def shares(self, node: int) -> dict[str, float]:
        """Return who answered of late, as shares of all answers; empty: too few to tell."""
        history = self._members[node].history
        if not history:
            return {}
        (_, before), (_, after) = history[0], history[-1]
        found = {source: after[source] - before.get(source, 0) for source in after}
        whole = sum(found.values())
        if whole < SHARES_MIN:
            return {}
        return {source: number / whole for source, number in found.items()}

    def cooperation(self, node: int) -> Told | None:
        """Return what a node last told of its cooperation; None for the one without peers."""
        status = self._members[node].status
        return None if status is None else status["cooperation"]

    def remote_sent(self, node: int = SICK) -> int:
        """Return how many queries a node has sent to peers."""
        told = self.cooperation(node)
        return 0 if told is None else told["remote"]["sent"]

    def timeline(self, node: int, columns: int) -> list[Bin]:
        """Return the run so far as columns of the whole of it, at most FINE of them."""
        member = self._members[node]
        fine = list(member.fine)
        for left in member.waiting:
            column = self._column(left)
            fine[column] = _worse(fine[column], Bin(self.now - left, failed=False))
        found = [NOTHING] * columns
        for index, each in enumerate(fine):
            column = index * columns // FINE
            found[column] = _worse(found[column], each)
        return found

    def _column(self, at: float) -> int:
        return min(FINE - 1, int(FINE * at / self.phases[-1].end))

    # -- in the end -----------------------------------------------------------------------------

    def of_phases(self, node: int, phases: Iterable[Phase]) -> Figures:
        """Return the figures of the lookups that left in these phases."""
        spans = [(phase.start, phase.end) for phase in phases]
        member = self._members[node]
        done = [d for d in member.done if any(start <= d.at < end for start, end in spans)]
        waited = [
            self.now - left
            for left in member.waiting
            if any(start <= left < end for start, end in spans)
        ]
        took = sorted([d.took for d in done] + waited)
        return Figures(
            lookups=len(took),
            failed=sum(d.outcome != ANSWER for d in done),
            waiting=len(waited),
            mean=sum(took) / len(took) if took else None,
            p99=quantile(took, 0.99),
            worst=took[-1] if took else None,
        )

    def remote_of(self, phase: Phase) -> int:
        """Return how many queries node 1 sent to peers in a phase."""
        before = 0
        for each in self.phases:
            until = self._remote_at.get(each.key, before)
            if each == phase:
                return until - before
            before = until
        return 0

    def verdict(self) -> Verdict:
        """Tell what the run shows."""
        trouble = [phase for phase in self.phases if phase.trouble]
        mine, other = self.of_phases(SICK, trouble), self.of_phases(ALONE, trouble)
        whole = not mine.failed and not mine.waiting and mine.lookups > 0
        quicker = (mine.p99 or 0.0) * MARGIN <= (other.p99 or 0.0)
        return Verdict(
            masked=whole and quicker,
            with_peers=mine,
            alone=other,
            remote=sum(self.remote_of(phase) for phase in trouble),
            seconds=sum(phase.seconds for phase in trouble),
        )

    def helpers(self) -> Figures:
        """Return the figures of the other nodes while they helped."""
        trouble = [phase for phase in self.phases if phase.trouble]
        found = [self.of_phases(node, trouble) for node in range(NODES) if node != SICK]
        return max(found, key=lambda figures: figures.p99 or 0.0)

    def lateness(self) -> tuple[float, float]:
        """Return how late lookups left: the 99th percentile and the worst."""
        late = sorted(self.late)
        return quantile(late, 0.99) or 0.0, late[-1] if late else 0.0


def quantile(ascending: Sequence[float], q: float) -> float | None:
    """Return the least value that a share `q` of all does not exceed; None of nothing."""
    if not ascending:
        return None
    return ascending[max(0, ceil(q * len(ascending)) - 1)]


def _worse(one: Bin, other: Bin) -> Bin:
    if other.worst is None:
        return one
    return Bin(max(one.worst or 0.0, other.worst), one.failed or other.failed)
