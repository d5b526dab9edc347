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
from bisect import bisect_right
from math import inf
from typing import Final

from codns.sim.host import Ask
from codns.wire import const

PERIOD_S: Final = 5.0  # CoDNS 5.4, and the default of a stub resolver
SLOW_S: Final = 1.0  # CoDNS 5.1: the share of lookups over a second

_GOOD: Final = (const.NOERROR, const.NXDOMAIN)


class Node:
    """One node's figures."""

    __slots__ = ("_answers", "_end", "_failures", "down_s", "hits", "times")

    def __init__(self, end: float = inf) -> None:
        self._end = end
        self.times = array("d")  # of misses in seconds, failed ones too
        self.hits = 0
        self.down_s = 0.0  # after `finish`
        self._answers = array("d")  # good ones: when
        self._failures = array("d")  # arrivals of lookups that failed

    @property
    def failed(self) -> int:
        """How many lookups have failed."""
        return len(self._failures)

    def good(self, now: float) -> None:
        """A good answer, not from the cache. `now` never goes back."""
        self._answers.append(now)

    def bad(self, arrived: float) -> None:
        """A lookup that arrived then has failed; a stub of 2004 says so 10 s later and more."""
        self._failures.append(arrived)

    def finish(self, now: float) -> None:
        """Nothing more comes: put the periods together."""
        answers, last = self._answers, -inf
        for arrived in sorted(self._failures):
            at = bisect_right(answers, arrived)
            answered = answers[at] if at < len(answers) else now
            since, until = max(arrived, last), min(answered, arrived + PERIOD_S, self._end)
            if until > since:
                self.down_s += until - since
                last = until


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
            node.bad(arrived)

    def finish(self, now: float) -> None:
        """The simulation is over."""
        for node in self.nodes:
            node.finish(now)
