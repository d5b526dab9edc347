"""What follows from a run: the figures of the table, and how sure they are.

Latency percentiles are over all lookups of node 1, or over its misses only. A lookup that ended
with SERVFAIL counts with the time it took to be told so, and as failed; that flatters whoever
gives up quickly, so the column of failures stands beside it.

Intervals are from a bootstrap over blocks of time: lookups in the same outage are no independent
witnesses, so whole blocks (the period of the shortest outage) are drawn, not lookups.
"""

import random
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final, NamedTuple

from bench.common import percentile
from bench.masking.client import Lookup
from bench.masking.fleet import Cell

RESAMPLES: Final = 400
CONFIDENCE: Final = 0.95
BLOCK_S: Final = 10.0  # one period of the periodic fault
SHORT_BLOCK_S: Final = 2.5  # of a run too short for ten of those


class Interval(NamedTuple):
    """A figure and where it may lie."""

    value: float
    low: float
    high: float


class Figures(NamedTuple):
    """One row of the table. Times in seconds."""

    lookups: int  # of node 1
    misses: int  # of node 1
    p50: float
    p99: Interval
    p999: float
    most: float
    p99_misses: Interval
    failed: int  # of node 1
    failed_elsewhere: int
    upstream: float  # queries a miss, fleet-wide
    p99_elsewhere: float  # nodes 2 to 4
    asked_elsewhere: float | None  # share of the fleet's misses that also went to a peer


def figures(cell: Cell) -> Figures:
    """Of one cell."""
    measured = cell.measured()
    own = [lookup for lookup in measured if lookup.node == 0]
    others = [lookup for lookup in measured if lookup.node]
    times = sorted(lookup.latency_s for lookup in own)
    misses = [lookup for lookup in own if lookup.miss]
    all_misses = sum(lookup.miss for lookup in measured)
    arrived = sum(query.at_s >= 0 for query in cell.upstream)
    return Figures(
        len(own),
        len(misses),
        percentile(times, 50),
        interval(own, 99, cell.seconds),
        percentile(times, 99.9),
        times[-1],
        interval(misses, 99, cell.seconds),
        sum(lookup.failed for lookup in own),
        sum(lookup.failed for lookup in others),
        arrived / all_misses,
        percentile(sorted(lookup.latency_s for lookup in others), 99),
        remote_share(cell),
    )


def remote_share(cell: Cell) -> float | None:
    """The part of misses that also went to a peer. None: the nodes do not ask each other.

    Seen from outside: a name that only one node ever asks for, and that reached the nameserver of
    another site, was sent there by a peer. What the nodes count themselves should agree.
    """
    if cell.system.program != "codns":
        return None
    own = {lookup.name: lookup.node for lookup in cell.measured() if only_there(lookup.name)}
    strayed = {
        query.name for query in cell.upstream if own.get(query.name, query.site) != query.site
    }
    return len(strayed) / len(own)


def only_there(name: str) -> bool:
    """Whether one node alone asks for it."""
    return name.startswith("w") and not name.startswith("www")


def interval(lookups: Sequence[Lookup], percent: float, seconds: float) -> Interval:
    """A percentile of latency, with a bootstrap over blocks of time."""
    block_s = BLOCK_S if seconds >= 10 * BLOCK_S else SHORT_BLOCK_S
    blocks = max(1, round(seconds / block_s))
    falling = sorted(
        ((lookup.latency_s, min(blocks - 1, int(lookup.at_s / block_s))) for lookup in lookups),
        reverse=True,
    )
    sizes = [0] * blocks
    for _, block in falling:
        sizes[block] += 1
    chance = random.Random("bootstrap")
    drawn = [
        resampled(falling, sizes, chance.choices(range(blocks), k=blocks), percent)
        for _ in range(RESAMPLES)
    ]
    drawn.sort()
    value = resampled(falling, sizes, range(blocks), percent)
    tail = int((1 - CONFIDENCE) / 2 * RESAMPLES)
    return Interval(value, drawn[tail], drawn[-1 - tail])


def resampled(
    falling: Sequence[tuple[float, int]],
    sizes: Sequence[int],
    blocks: Sequence[int],
    percent: float,
) -> float:
    """The percentile if the run had consisted of these blocks."""
    weights = [0] * len(sizes)
    for block in blocks:
        weights[block] += 1
    total = sum(size * weight for size, weight in zip(sizes, weights, strict=True))
    above = total - 1 - min(total - 1, int(total * percent / 100))  # as common.percentile
    for latency, block in falling:
        above -= weights[block]
        if above < 0:
            return latency
    return 0.0


def share_under(lookups: Sequence[Lookup], limit_s: float) -> float:
    """Of these, how many ended sooner."""
    times = sorted(lookup.latency_s for lookup in lookups)
    return bisect_left(times, limit_s) / len(times) if times else 0.0
