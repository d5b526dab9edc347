"""The last ten minutes in steps of 5 s: who answered, how long it took, was the path fine?

Metrics are for Prometheus to keep; this is for whoever opens the status page during an outage and
has no dashboard. Counts are of one step each, so a reader needs no arithmetic across restarts.
"""

from collections import deque
from typing import Final

import trio

from codns.core.node import Node
from codns.core.stats import LATENCY_BOUNDS_S

STEP_S: Final = 5.0  # one point of a plot 600 pixels wide, with five minutes to see
STEPS_MAX: Final = 120  # ten minutes; some 100 KiB

Row = dict[str, object]


class History:
    """Looks at a node's counters and keeps what changed."""

    def __init__(self, node: Node, now: float) -> None:
        self._node = node
        self._steps: deque[tuple[float, Row]] = deque(maxlen=STEPS_MAX)
        self._began = now
        self._answers, self._buckets = self._look()

    async def run(self) -> None:
        """Take a step every `STEP_S` seconds, until cancelled."""
        while True:
            await trio.sleep(STEP_S)
            self.step(trio.current_time())

    def step(self, now: float) -> None:
        """End a step."""
        answers, buckets = self._look()
        path, delay = self._node.local_path(now)
        row: Row = {
            "seconds": now - self._began,
            "answers": {source: n - self._answers[source] for source, n in answers.items()},
            "buckets": [n - old for n, old in zip(buckets, self._buckets, strict=True)],
            "path": path,
            "initial_delay_s": delay,
        }
        self._steps.append((now, row))
        self._began, self._answers, self._buckets = now, answers, buckets

    def rows(self, now: float) -> list[Row]:
        """Return the steps, oldest first."""
        return [{"ago_s": now - ended, **row} for ended, row in self._steps]

    def _look(self) -> tuple[dict[str, int], list[int]]:
        """Return answers by source, and how long those took that were not cached."""
        stats = self._node.stats
        hits = sum(counter.n for counter in stats.hits.values())
        answers: dict[str, int] = {"cache": hits, **stats.answers}
        buckets = [0] * (len(LATENCY_BOUNDS_S) + 1)
        for histogram in stats.duration.values():
            for index, number in enumerate(histogram.counts):
                buckets[index] += number
        return answers, buckets
