"""What is measured of each node: times of lookups, failures, availability.

A lookup that the node answers from its own cache takes no time in any policy, so it is counted
and left out of the distribution; all others are *misses*. A miss has failed if its answer is an
error or comes after 5 s, when the stub resolver has given up (CoDNS 2.1).

*Availability* as the paper has it (CoDNS 5.4): a node is unavailable in a period in which no
request is answered, each period counted for 5 s at most. A period begins with the arrival of a
lookup that fails and ends with the next good answer to anybody on that node. Periods that overlap
count once, and what is behind the end of the measurement does not count.
"""

from array import array
from collections import deque
from math import inf
from typing import Final

from codns.sim.host import Ask
from codns.wire import const

PERIOD_S: Final = 5.0  # CoDNS 5.4, and the default of a stub resolver
SLOW_S: Final = 1.0  # CoDNS 5.1: the share of lookups over a second

_GOOD: Final = (const.NOERROR, const.NXDOMAIN)


class Node:
    """One node's figures."""

    __slots__ = (
        "_answers", "_down_until", "_end", "_failures", "down_s", "failed", "hits", "times",
    )  # fmt: skip

    def __init__(self, end: float = inf) -> None:
        self._end = end
        self.times = array("d")  # of misses in seconds, failed ones too
        self.hits = 0
        self.failed = 0
        self.down_s = 0.0
        self._answers: deque[float] = deque()  # of the last 5 s
        self._failures: list[float] = []  # arrivals of failed ones that may still be in a period
        self._down_until = -inf

    def good(self, now: float) -> None:
        """A good answer, not from the cache."""
        answers = self._answers
        answers.append(now)
        while answers[0] < now - PERIOD_S:
            answers.popleft()
        if self._failures:
            self._settle(now)

    def bad(self, arrived: float, now: float) -> None:
        """A lookup that arrived then has failed now."""
        self.failed += 1
        for answered in self._answers:
            if answered > arrived:
                self._down(arrived, min(answered, arrived + PERIOD_S))
                return
        self._failures.append(arrived)
        self._settle(now, answered=False)

    def finish(self, now: float) -> None:
        """Nothing more comes."""
        self._settle(now, answered=False, over=True)

    def _settle(self, now: float, *, answered: bool = True, over: bool = False) -> None:
        open_ones = []
        for arrived in self._failures:
            if answered or over or now >= arrived + PERIOD_S:
                self._down(arrived, min(now, arrived + PERIOD_S))
            else:
                open_ones.append(arrived)
        self._failures = open_ones

    def _down(self, since: float, until: float) -> None:
        since, until = max(since, self._down_until), min(until, self._end)
        if until > since:
            self.down_s += until - since
            self._down_until = until


class Meter:
    """All nodes' figures, of lookups that arrive within [since, until)."""

    __slots__ = ("nodes", "since", "until")

    def __init__(self, nodes: int, since: float, until: float) -> None:
        self.since = since
        self.until = until
        self.nodes = [Node(until) for _ in range(nodes)]

    def answered(self, ask: Ask) -> None:
        """A client got its answer."""
        arrived = ask.at
        if not self.since <= arrived < self.until:
            return
        node = self.nodes[ask.host.index]
        took = ask.answered_at - arrived
        if took == 0.0 and ask.rcode in _GOOD:
            node.hits += 1
            return
        node.times.append(took)
        if ask.rcode in _GOOD and took <= PERIOD_S:
            node.good(ask.answered_at)
        else:
            node.bad(arrived, ask.answered_at)

    def finish(self, now: float) -> None:
        """The simulation is over."""
        for node in self.nodes:
            node.finish(now)
