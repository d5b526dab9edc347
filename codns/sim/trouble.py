"""When and how something fails: windows of trouble, and the ways they come about (CoDNS 2.2).

  periodic   every so often, for so long, as by a cron job; where in the period it begins is drawn
  long       rare and lasting: malfunction, extended overload; times and lengths exponential
  short      often and brief: temporary overload; drawn the same way

A failure of exponential lengths is told by its means only; the paper gives no more either.
"""

import random
from collections.abc import Iterator
from math import exp, inf, log
from typing import Final, NamedTuple, Protocol

from codns.sim.scenario import Failure, Fault, Latency

P99_SIGMAS: Final = 2.3263478740408408  # of a normal distribution


class Chance(Protocol):
    """What is drawn from: `random.Random`, or `chance.Chance`."""

    def random(self) -> float:
        """Return a number from 0 to 1, evenly."""

    def gauss(self, mu: float, sigma: float) -> float:
        """Return a number of a normal distribution."""


class Draw:
    """Draws from a log-normal distribution told by median and p99."""

    __slots__ = ("_mu", "_sigma", "median")

    def __init__(self, latency: Latency) -> None:
        self.median = latency.median
        self._mu = log(latency.median) if latency.median else -inf
        ratio = latency.p99 / latency.median if latency.median else 1.0
        self._sigma = log(ratio) / P99_SIGMAS

    def __call__(self, rng: Chance) -> float:
        """Return a time in seconds."""
        if not self._sigma:
            return self.median
        return exp(self._mu + self._sigma * rng.gauss(0.0, 1.0))


class Trouble(NamedTuple):
    """What is wrong from `start` until `end`."""

    start: float
    end: float
    loss: float
    delay: Draw | None
    slowdown: float
    servfail: float


def planned(fault: Fault) -> Trouble:
    """Return the trouble of a fault at a given time."""
    delay = Draw(fault.delay) if fault.delay is not None else None
    end = fault.at + fault.lasts
    return Trouble(fault.at, end, fault.loss, delay, fault.slowdown, fault.servfail)


def recurring(failure: Failure, rng: random.Random) -> Iterator[Trouble]:
    """Yield the windows of a failure, in order, for ever."""
    delay = Draw(failure.delay) if failure.delay is not None else None
    start = 0.0
    if failure.kind == "periodic":
        lasts = min(failure.lasts, failure.every)
        start = rng.uniform(-lasts, failure.every - lasts)
        while True:
            yield _window(failure, start, start + lasts, delay)
            start += failure.every
    # As in a process that has been running for ever: it may begin in the middle of one
    if rng.random() < failure.lasts / (failure.lasts + failure.every):
        end = rng.expovariate(1 / failure.lasts)
        yield _window(failure, 0.0, end, delay)
        start = end
    while True:
        start += rng.expovariate(1 / failure.every)
        end = start + rng.expovariate(1 / failure.lasts)
        yield _window(failure, start, end, delay)
        start = end


def _window(failure: Failure, start: float, end: float, delay: Draw | None) -> Trouble:
    return Trouble(start, end, failure.loss, delay, failure.slowdown, failure.servfail)


class Troubles:
    """All that befalls one nameserver. Asked with times that never go back."""

    __slots__ = ("_changes_at", "_heads", "_now", "_sources")

    def __init__(self) -> None:
        self._sources: list[Iterator[Trouble]] = []
        self._heads: list[Trouble | None] = []
        self._now: list[Trouble] = []
        self._changes_at = -inf

    def add(self, source: Iterator[Trouble]) -> None:
        """Add windows that do not overlap, in order of time."""
        self._sources.append(source)
        self._heads.append(next(source, None))
        self._changes_at = -inf

    def at(self, now: float) -> list[Trouble]:
        """Return what is wrong now: usually nothing."""
        if now >= self._changes_at:
            self._change(now)
        return self._now

    def _change(self, now: float) -> None:
        self._now = []
        self._changes_at = inf
        for index, source in enumerate(self._sources):
            head = self._heads[index]
            while head is not None and head.end <= now:
                head = self._heads[index] = next(source, None)
            if head is None:
                continue
            if head.start <= now:
                self._now.append(head)
                self._changes_at = min(self._changes_at, head.end)
            else:
                self._changes_at = min(self._changes_at, head.start)
