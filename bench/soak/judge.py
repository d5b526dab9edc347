"""What counts as growth: pure, series of (time, value) in, verdicts out.

A run is twelve equal cycles (`plan`), so a series is cut into cycles and each cycle becomes its
median: saw-teeth, faults and chores have the same place in every cycle and fall out. A process is
judged from the end of its warm-up, a quarter of the run (15 of 60 min), because what grows by
design has stopped by then: rings of ten minutes (history of the status page, the median that
decides on BUSY) are the longest of them, tables of names and domains are full after two cycles,
memory has had its greatest burst. Its first cycle then begins.

A series is *growing* if all of this holds:

  significant  Kendall's S over the cycles' medians is beyond chance: an exact one-sided test at
               0.0005, so that 80 series give a false alarm in 4 % of runs. Nine cycles in
               ascending order have a chance of 3 in a million. Fewer than seven cannot get
               there, so a process that lived for less is not judged, and this is said.
  material     Theil-Sen's slope over the same medians is above a limit an hour: 1 % for memory and
               tables, and at least the floor below, a count of what no hour of load may keep; 20 %
               for times, which other work on the machine moves.
  lasting      In each half of the cycles the slope is above half the limit. One step up, a burst
               that took memory once, is in one half only.

Blocks go up until the daemon looks for garbage, every ten minutes, and down again: two cycles, so
that their medians alternate. Of these the least of the last eleven minutes is judged (`floors`).

Is 1 % little enough? A master has some 50 MiB and gets 130,000 queries an hour: 1 % is 4 bytes a
query, and the smallest leak that Python can make is 16. What each series would have seen is not
only computed: `sensitivity` adds ramps to it until the verdict turns.
"""

from collections import deque
from collections.abc import Sequence
from functools import cache
from statistics import median
from typing import Final, NamedTuple

from bench.soak.plan import CYCLES

WARM_SHARE: Final = 0.25
ALPHA: Final = 0.0005
HOUR_S: Final = 3600.0
HALF_LIMIT: Final = 0.5  # half as many cycles tell a slope less exactly
VALUES_MIN: Final = 3  # in a cycle; fewer say nothing of it

Points = Sequence[tuple[float, float]]


class Limit(NamedTuple):
    """Growth an hour that is too much: a share of the level, and a floor in the series' unit."""

    share: float
    floor: float


MEMORY: Final = Limit(0.01, 256.0)  # KiB: 2 bytes a query
BLOCKS: Final = Limit(0.01, 1_000.0)  # of objects: one for 130 queries
COUNT: Final = Limit(0.01, 1.0)  # descriptors, threads, entries of a table
BYTES: Final = Limit(0.01, 16_384.0)
TIME: Final = Limit(0.20, 0.2)  # ms

# Seconds between two looks at all garbage (`codns.master.garbage`), and until it is quiet
FLOORS: Final = {"codns_memory_blocks": 660.0}

# Noted and not judged: PSS falls when others share our libraries, and grows when they end
UNJUDGED: Final = ("pss",)

LIMITS: Final = {
    "rss": MEMORY, "anon": MEMORY, "fds": COUNT, "threads": COUNT,
    "codns_memory_blocks": BLOCKS, "codns_cache_bytes": BYTES,
    "lag_ms": TIME, "p50_ms": TIME, "p99_ms": TIME, "cpu_ms_per_query": TIME,
}  # fmt: skip


class Key(NamedTuple):
    """A series: one figure of one process, or of the clients of one node (pid 0)."""

    node: int
    role: str
    pid: int
    name: str

    def __str__(self) -> str:
        pid = f" {self.pid}" if self.pid else ""
        return f"node {self.node + 1} {self.role}{pid} {self.name}"


class Verdict(NamedTuple):
    """Of one series."""

    level: float  # median of the cycles
    slope: float  # an hour
    halves: tuple[float, float]  # an hour, of the first and of the last half
    limit: float  # an hour
    chance: float  # that no trend at all would look as this or steeper
    cycles: int

    @property
    def judged(self) -> bool:
        """Whether there are enough cycles to be significant at all."""
        return tail(self.cycles, self.cycles * (self.cycles - 1) // 2) <= ALPHA

    @property
    def growing(self) -> bool:
        """The test's answer."""
        lasting = min(self.halves) > HALF_LIMIT * self.limit
        return self.judged and self.chance <= ALPHA and self.slope > self.limit and lasting


@cache
def inversions(n: int) -> tuple[int, ...]:
    """How many permutations of n have 0, 1, 2 ... inversions."""
    if n < 2:
        return (1,)
    less = inversions(n - 1)
    return tuple(sum(less[max(0, k - n + 1) : k + 1]) for k in range(n * (n - 1) // 2 + 1))


def tail(n: int, s: int) -> float:
    """P(S >= s) without a trend; ties only make S smaller, so it errs to the safe side."""
    counts = inversions(n)
    most = n * (n - 1) // 2
    return sum(counts[: (most - s) // 2 + 1]) / sum(counts) if s <= most else 0.0


def medians(points: Points, start: float, length: float) -> list[tuple[float, float]]:
    """(middle, median) of each whole cycle from `start` on."""
    if not points:
        return []
    found = []
    end = max(at for at, _ in points) + length / 20  # the last sample comes before the end
    while start + length <= end:
        inside = [value for at, value in points if start <= at < start + length]
        if len(inside) >= VALUES_MIN:
            found.append((start + length / 2, median(inside)))
        start += length
    return found


def kendall(values: Sequence[float]) -> int:
    """S: pairs that rise less pairs that fall."""
    return sum(
        (later > earlier) - (later < earlier)
        for i, earlier in enumerate(values)
        for later in values[i + 1 :]
    )


def theil_sen(points: Points) -> float:
    """The median slope of all pairs, per second; 0 of fewer than two."""
    slopes = [(v - u) / (t - s) for i, (s, u) in enumerate(points) for t, v in points[i + 1 :]]
    return median(slopes) if slopes else 0.0


def judge(points: Points, limit: Limit, seconds: float) -> Verdict:
    """Of a series that begins with its process, in a run of `seconds`."""
    start = (points[0][0] if points else 0.0) + WARM_SHARE * seconds
    found = medians(points, start, seconds / CYCLES)
    values = [value for _, value in found]
    level = median(values) if values else 0.0
    half = (len(found) + 1) // 2  # the middle one of an odd number is in both
    return Verdict(
        level,
        theil_sen(found) * HOUR_S,
        (theil_sen(found[:half]) * HOUR_S, theil_sen(found[-half:]) * HOUR_S),
        max(limit.share * level, limit.floor),
        tail(len(values), kendall(values)),
        len(values),
    )


def limit_of(name: str) -> Limit:
    """Of a figure; a table unless it is listed."""
    return LIMITS.get(name, COUNT)


def floors(points: Points, window_s: float) -> list[tuple[float, float]]:
    """At each time the least value of the last `window_s`: what is there between two saw-teeth."""
    found: list[tuple[float, float]] = []
    least: deque[tuple[float, float]] = deque()  # rising values: the first is the least
    for at, value in points:
        while least and least[-1][1] >= value:
            least.pop()
        least.append((at, value))
        while least[0][0] < at - window_s:
            least.popleft()
        found.append((at, least[0][1]))
    return found


def floored(series: dict[Key, list[tuple[float, float]]]) -> dict[Key, list[tuple[float, float]]]:
    """All series, those with saw-teeth as their floors."""
    return {
        key: floors(points, FLOORS[key.name]) if key.name in FLOORS else points
        for key, points in series.items()
    }


def verdicts(series: dict[Key, list[tuple[float, float]]], seconds: float) -> dict[Key, Verdict]:
    """Of all."""
    return {
        key: judge(points, limit_of(key.name), seconds)
        for key, points in series.items()
        if key.name not in UNJUDGED
    }


def sensitivity(points: Points, limit: Limit, seconds: float) -> float:
    """The least growth an hour that would have been found in this series, beside its noise."""
    ramps = [limit.floor / 4 * 1.25**i for i in range(60)]
    for ramp in ramps:
        grown = [(at, value + ramp * at / HOUR_S) for at, value in points]
        if judge(grown, limit, seconds).growing:
            return ramp
    return ramps[-1]
