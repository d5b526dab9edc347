"""How late the event loop is: what every client waits for beside its answer.

Two measures, as each misses what the other sees:

*Lateness*: a task asks to be woken ten times a second and notes how much later it was. That holds
all there is, a host too busy to run us or a process that was stopped included; it samples.

*Turns*: trio tells when it stops waiting for input and when it waits again. What is between is one
turn, during which nobody else is served (bar UDP, between short steps: `interlude`). That sees
every stall of our own making, however short beside a tenth of a second; but not that we were not
run at all.
"""

from collections import deque
from typing import Final

import trio

from codns.core.stats import Histogram

TICK_S: Final = 0.1  # ten wake-ups a second cost 0.05 % of a core
WINDOW_S: Final = 10.0  # "lately": what a person asks about, and /healthz tells
WINDOWS_MAX: Final = 2  # this one and the last, so that "lately" is 10 to 20 s


class Lag(trio.abc.Instrument):
    """Measures the loop it runs in."""

    def __init__(self) -> None:
        self.histogram = Histogram()  # of lateness, one value a tick
        self.longest_turn_s = 0.0  # since the start
        self._turn_began = 0.0
        self._turn = 0.0  # the longest of this window
        self._late = 0.0
        self._windows: deque[tuple[float, float]] = deque(maxlen=WINDOWS_MAX - 1)

    async def run(self) -> None:
        """Measure until cancelled."""
        self._turn_began = trio.current_time()
        trio.lowlevel.add_instrument(self)
        try:
            await self._tick()
        finally:
            trio.lowlevel.remove_instrument(self)

    async def _tick(self) -> None:
        ends = trio.current_time() + WINDOW_S
        while True:
            due = trio.current_time() + TICK_S
            await trio.sleep_until(due)
            now = trio.current_time()
            self.histogram.add(now - due)
            self._late = max(self._late, now - due)
            if now >= ends:
                ends = now + WINDOW_S
                self._windows.append((self._late, self._turn))
                self._late = self._turn = 0.0

    def after_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - trio's signature
        """A turn begins."""
        self._turn_began = trio.current_time()

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002
        """It is over."""
        took = trio.current_time() - self._turn_began
        if took > self._turn:
            self._turn = took
            self.longest_turn_s = max(self.longest_turn_s, took)

    def recent(self) -> tuple[float, float]:
        """Return the greatest lateness and the longest turn of the last 10 to 20 s."""
        late = max([self._late, *(window[0] for window in self._windows)])
        return late, max([self._turn, *(window[1] for window in self._windows)])

    def status(self) -> dict[str, object]:
        """Return all of it as JSON can carry it."""
        late, turn = self.recent()
        counts = self.histogram.counts
        return {
            "late_s": late,
            "turn_s": turn,
            "longest_turn_s": self.longest_turn_s,
            "lag": {
                "count": sum(counts),
                "sum_s": self.histogram.total,
                "buckets": list(counts),
            },
        }
