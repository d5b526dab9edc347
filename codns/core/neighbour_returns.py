"""Peers that are down and have a timer of their own, so that a good one is back soon.

The scan of a long list comes by once in a quarter of an hour, too late for a neighbour that was
restarted. So a neighbour that goes down is tried at the end of its back-off by a timer (RULES
7.2), and so is any peer that was down and has answered once, 2 s later. As in a partition all of a
fleet may be down one after the other, there are no more such timers than neighbours: the peers
with the least score keep theirs, the others are left to the scan.
"""

from collections.abc import Callable
from functools import partial
from math import inf

from codns.core.peer_state import Peer
from codns.core.timers import Timers


class Alarm:
    """A call at a time, for `Timers`."""

    __slots__ = ("_call", "due")

    def __init__(self, call: Callable[[float], None]) -> None:
        self.due = inf
        self._call = call

    def fire(self, now: float) -> None:
        """Call it."""
        self._call(now)


class Returns:
    """At most `limit` peers that are tried at their `retry_at`: `send(peer, now)` is called."""

    __slots__ = ("_alarms", "_limit", "_send", "_timers")

    def __init__(self, timers: Timers, send: Callable[[Peer, float], None], limit: int) -> None:
        self._timers = timers
        self._send = send
        self._limit = limit
        self._alarms: dict[str, tuple[Peer, Alarm]] = {}

    def __contains__(self, peer: Peer) -> bool:
        return peer.address in self._alarms

    def __len__(self) -> int:
        return len(self._alarms)

    def peers(self) -> list[Peer]:
        """Return those that have a timer, longest first."""
        return [peer for peer, _ in self._alarms.values()]

    def at_retry(self, peer: Peer) -> None:
        """Try it at its `retry_at`, if it is not the one too many."""
        known = self._alarms.get(peer.address)
        alarm = Alarm(partial(self._send, peer)) if known is None else known[1]
        self._alarms[peer.address] = peer, alarm
        self._timers.set(alarm, peer.retry_at)
        if len(self._alarms) > self._limit:
            self.end(max(self.peers(), key=lambda peer: (peer.score, peer.address)))

    def end(self, peer: Peer) -> None:
        """It is up, or gone from the list."""
        known = self._alarms.pop(peer.address, None)
        if known is not None:
            self._timers.set(known[1], inf)
