"""The mean time of our nameservers' answers, as peers are told it (RULES 7.1).

It takes part in whom they choose for a neighbour, and each change of neighbour costs: the new
one's cache is cold for the names it now gets, and it is sent heartbeats out of turn. A smoothed
RTT (RFC 6298) is no mean: it follows the last eight answers, and one that had to wait for its
authority is 30 of the usual ones. In a simulated fleet of 100 at one lookup a second a node
changed a neighbour every 1.2 s by it, and changes one every 8 s by this.

So it is a mean over the last minutes, in which an answer counts for less the older it is, by a
factor of e in `MEAN_S`. A nameserver that stalls is not told by this but by `failing`, within a
second; one that is ten times as slow but answers, is three times as slow by this after 30 s.
"""

from collections.abc import Iterable
from math import exp
from typing import Final

from codns.core.nameserver import Nameserver

MEAN_S: Final = 120.0
FIRST_MAX: Final = 16  # answers: what a server did in its life before we looked counts as so many
WEIGHT_MIN: Final = 1e-6  # of an answer: what is older says nothing, and must not become 0 / 0


class _Mean:
    """The mean of one nameserver that has answered."""

    __slots__ = ("answers", "at", "mean_s", "total_s", "weight", "weighted_s")

    def __init__(self, server: Nameserver, now: float) -> None:
        self.at = now
        self.answers = server.answers
        self.total_s = server.duration.total
        self.mean_s = self.total_s / self.answers
        self.weight = float(min(self.answers, FIRST_MAX))
        self.weighted_s = self.weight * self.mean_s

    def take(self, server: Nameserver, now: float) -> None:
        """Count what it answered since the last time."""
        fade = exp((self.at - now) / MEAN_S)
        answers, total_s = server.answers, server.duration.total
        # In brackets: counters are large, what is left of them after an idle hour is not
        self.weight = self.weight * fade + (answers - self.answers)
        self.weighted_s = self.weighted_s * fade + (total_s - self.total_s)
        self.at, self.answers, self.total_s = now, answers, total_s
        if self.weight > WEIGHT_MIN:
            self.mean_s = self.weighted_s / self.weight


class MeanTimes:
    """The means of all nameservers that names without a zone of their own go to."""

    __slots__ = ("_means",)

    def __init__(self) -> None:
        self._means: dict[Nameserver, _Mean] = {}

    def least(self, servers: Iterable[Nameserver], now: float) -> float | None:
        """Return the least mean in seconds of those that are up; None if there is none.

        To be asked about once a second: what came since counts as if it came now.
        """
        known, self._means = self._means, {}
        least = None
        for server in servers:
            if not server.answers:
                continue
            mean = known.get(server)
            if mean is None:
                mean = _Mean(server, now)
            else:
                mean.take(server, now)
            self._means[server] = mean
            if server.up and (least is None or mean.mean_s < least):
                least = mean.mean_s
        return least
