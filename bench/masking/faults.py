"""How node 1's nameserver fails: a function of the time since the load began, and of chance.

The same for every system, phases included. A query that falls to a fault was still received, and
is counted: what is lost is the answer, or the query in the nameserver's own full socket buffer.

  none        healthy: the run to compare the other nodes with
  periodic    silent for 1.5 s in every 10 s (a cron job)
  continuous  97 % lost for 10 s in every 25 s (a crash with long agony); after it healthy again
  sporadic    5 % lost all the time; in bursts, a seventh of the time, everything takes 400 ms
              longer. Bursts last 0.2 to 0.6 s, one somewhere in each 2.8 s

A whole number of cycles of all three fits into 50, 100 and 200 s.
"""

import random
from typing import Final, NamedTuple

NAMES: Final = ("none", "periodic", "continuous", "sporadic")
FAULTY: Final = NAMES[1:]

PERIOD_S: Final = 10.0
SILENT_FROM_S: Final = 4.0
SILENT_S: Final = 1.5

CYCLE_S: Final = 25.0
DYING_FROM_S: Final = 8.0
DYING_S: Final = 10.0
DYING_LOSS: Final = 0.97

SPORADIC_LOSS: Final = 0.05
BURST_EVERY_S: Final = 2.8
BURST_S: Final = (0.2, 0.6)  # 0.4 of 2.8 s on average: a seventh
BURST_DELAY_S: Final = 0.4


class Window(NamedTuple):
    """A time in which it fails in a special way."""

    start: float
    end: float


def windows(fault: str, seconds: float) -> list[Window]:
    """Those that begin within `seconds` of load, by time. Sporadic loss has none."""
    found = []
    if fault == "periodic":
        count = int(seconds / PERIOD_S) + 1
        starts = [SILENT_FROM_S + i * PERIOD_S for i in range(count)]
        found = [Window(start, start + SILENT_S) for start in starts]
    elif fault == "continuous":
        count = int(seconds / CYCLE_S) + 1
        starts = [DYING_FROM_S + i * CYCLE_S for i in range(count)]
        found = [Window(start, start + DYING_S) for start in starts]
    elif fault == "sporadic":
        chance = random.Random("bursts")
        for i in range(int(seconds / BURST_EVERY_S) + 1):
            length = chance.uniform(*BURST_S)
            start = BURST_EVERY_S * i + chance.uniform(0, BURST_EVERY_S - length)
            found.append(Window(start, start + length))
    return [window for window in found if window.start < seconds]


class Fault:
    """One nameserver's, asked query by query in order of time."""

    def __init__(self, name: str, seconds: float) -> None:
        """`seconds`: how long the load lasts; healthy before and after."""
        self.name = name
        self.windows = windows(name, seconds)
        self.seconds = seconds
        self._next = 0

    def within(self, t: float) -> bool:
        """Whether `t` is in a window. Times never go back."""
        while self._next < len(self.windows) and self.windows[self._next].end <= t:
            self._next += 1
        return self._next < len(self.windows) and self.windows[self._next].start <= t

    def verdict(self, t: float, draw: float) -> float | None:
        """What a query that arrives at `t` suffers: further delay in seconds, or None: lost."""
        if self.name == "none" or t < 0:
            return 0.0
        within = self.within(t)
        if self.name == "periodic":
            return None if within else 0.0
        if self.name == "continuous":
            return None if within and draw < DYING_LOSS else 0.0
        if t < self.seconds and draw < SPORADIC_LOSS:
            return None
        return BURST_DELAY_S if within else 0.0
