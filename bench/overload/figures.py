"""What follows from the records of `traffic`: all of it exact, without clocks or sockets."""

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from bench.common import percentile
from bench.overload.traffic import (
    CACHED,
    GOOD,
    NONE,
    OTHER,
    PATIENCE_S,
    SERVFAIL,
    SHED,
    UNIQUE,
    Records,
)

BIN_S: Final = 0.1  # recovery is told as exactly as this
WELL: Final = 0.99  # of what is asked is answered
NORMAL: Final = 2.0  # p99 is back when it is at most so many times what it was before
P99_LEAST_S: Final = 0.05  # ... or under this: two stops of the quota, and a tick
HEALED_BINS: Final = 5  # that long at least, or it was luck


class Kind(NamedTuple):
    """What became of one kind of query in a stretch of time."""

    offered: float  # a second
    answered: float  # a second: good answers that came in this time, whenever it was asked
    good: float  # a second: answered with records while the client waited
    shed: float  # a second: SERVFAIL with EDE 0
    silent: float  # a second: nothing at all while the client waited
    failed: float  # a second: other answers
    late: float  # a second: good, when the client had given up
    p50_s: float  # of good ones
    p99_s: float

    @property
    def share(self) -> float:
        """Of the good ones."""
        return self.good / self.offered if self.offered else 1.0


class Punctual(NamedTuple):
    """Did queries leave when they were due?"""

    p50_s: float
    p99_s: float
    worst_s: float
    lost: int


def kind(records: Records, which: int, start_s: float, end_s: float) -> Kind:
    """Figures of the queries of one kind that were due in [start, end); answered: that came."""
    counts: Counter[str] = Counter()
    good: list[float] = []
    names = {SHED: "shed", SERVFAIL: "failed", OTHER: "failed", NONE: "silent"}
    rows = zip(records.due_s, records.kind, records.outcome, records.latency_s, strict=True)
    for due_s, its, outcome, latency_s in rows:
        if its != which:
            continue
        if outcome == GOOD and latency_s <= PATIENCE_S:
            counts["answered"] += start_s <= due_s + latency_s < end_s
        if not start_s <= due_s < end_s:
            continue
        counts["offered"] += 1
        if outcome != NONE and latency_s > PATIENCE_S:
            counts["late" if outcome == GOOD else "silent"] += 1
        elif outcome == GOOD:
            good.append(latency_s)
        else:
            counts[names[outcome]] += 1
    good.sort()
    per = 1 / (end_s - start_s)
    return Kind(
        offered=counts["offered"] * per,
        answered=counts["answered"] * per,
        good=len(good) * per,
        shed=counts["shed"] * per,
        silent=counts["silent"] * per,
        failed=counts["failed"] * per,
        late=counts["late"] * per,
        p50_s=percentile(good, 50) if good else -1.0,
        p99_s=percentile(good, 99) if good else -1.0,
    )


def punctual(records: Records) -> Punctual:
    """Of all queries."""
    late = sorted(records.late_s)
    return Punctual(percentile(late, 50), percentile(late, 99), late[-1], records.lost)


def tenths_p99_s(records: Records, start_s: float, end_s: float) -> float:
    """The p99 of the worst tenth of a second: what is normal here, with the machine's moods."""
    bins: list[list[float]] = [[] for _ in range(int((end_s - start_s) / BIN_S))]
    for due_s, outcome, latency_s in zip(
        records.due_s, records.outcome, records.latency_s, strict=True
    ):
        at = int((due_s - start_s) / BIN_S)
        if due_s >= start_s and at < len(bins) and outcome == GOOD:
            bins[at].append(latency_s)
    return max((percentile(sorted(times), 99) for times in bins if times), default=0.0)


def recovery_s(
    records: Records, start_s: float, end_s: float, normal_p99_s: float
) -> float | None:
    """How long after `start_s` both kinds were well again, and stayed so; None: not at all.

    Well: in each tenth of a second from then on 99 % are answered, and 99 % of those within twice
    `normal_p99_s`, which is what `tenths_p99_s` says of the time before. Of a tenth with few
    queries one may be slow or missing: 99 % of 50 is not 50.
    """
    bins = int((end_s - start_s) / BIN_S)
    offered, good, slow = [0] * bins, [0] * bins, [0] * bins
    limit_s = max(P99_LEAST_S, NORMAL * normal_p99_s)
    for due_s, outcome, latency_s in zip(
        records.due_s, records.outcome, records.latency_s, strict=True
    ):
        at = int((due_s - start_s) / BIN_S)
        if due_s < start_s or at >= bins:
            continue
        offered[at] += 1
        if outcome == GOOD and latency_s <= PATIENCE_S:
            good[at] += 1
            slow[at] += latency_s > limit_s
    healed = bins
    for at in reversed(range(bins)):
        spare = max(1, int(offered[at] * (1 - WELL)))
        if offered[at] - good[at] > spare or slow[at] > spare:
            break
        healed = at
    return healed * BIN_S if bins - healed >= HEALED_BINS else None


def peak(steps: Sequence[Kind]) -> float:
    """Good answers to unique names a second, the mean of the two best steps: one may be luck.

    Only those that came while it lasted: a queue that is worked off afterwards is no throughput.
    """
    best = sorted(step.answered for step in steps)[-2:]
    return sum(best) / len(best)


def is_over(steps: Sequence[Kind]) -> bool:
    """Has the ramp gone past the peak? Two steps in a row in which a tenth did not come."""
    return len(steps) >= 2 and all(step.answered < 0.9 * step.offered for step in steps[-2:])


__all__ = ["CACHED", "UNIQUE", "Kind", "Punctual", "is_over", "kind", "peak", "punctual"]
