"""Talking with peers about ourselves: heartbeats, reports, who is listed.

Whom to watch and choose is `core.neighbours`; here its wishes become messages, and what the
messages say is passed on. A report is made anew each second, and at once when our path's health
has changed: what else it tells (means, a load) moves slowly.
"""

import random
from collections.abc import Callable, Sequence
from math import inf
from typing import Final

from codns.core.identity import identity
from codns.core.mean_times import MeanTimes
from codns.core.messages import (
    LOAD_MAX,
    NAMESERVER_S_MAX,
    NAMESERVERS_MAX,
    HeartbeatReply,
    HeartbeatRequest,
    Report,
)
from codns.core.model import Note, SendPeer
from codns.core.neighbour_effects import Effect, PeerDown, PeerUp, SendHeartbeat
from codns.core.neighbours import Neighbours
from codns.core.settings import PeerSettings, Settings
from codns.core.state import State

REPORT_S: Final = 1.0  # half the interval in which a neighbour hears us


class Peering:
    """The list, the neighbours, and what they are told.

    The node sets what a report tells of it: `validating` (its nameservers validate DNSSEC),
    `failing` (its own path is not healthy), `load` (remote queries in service or waiting, and the
    window).
    """

    __slots__ = (
        "_report", "_report_until", "_state", "_times", "failing", "identities", "load", "me",
        "neighbours", "validating",
    )  # fmt: skip

    def __init__(self, state: State, me: PeerSettings, rng: random.Random) -> None:
        self._state = state
        self.me = me
        self.neighbours = Neighbours(
            me.me, rng, count=me.neighbours, heartbeat_s=me.heartbeat_s, timers=state.timers
        )
        self.identities: tuple[bytes, ...] = ()
        self.validating: Callable[[float], bool] = _no
        self.failing = False
        self.load: Callable[[], tuple[int, int]] = _idle
        self._times = MeanTimes()
        self._report: Report | None = None
        self._report_until = -inf

    def configure(self, settings: Settings, now: float) -> None:
        """Our own nameservers may have changed."""
        self.identities = tuple(
            identity(server, node=self.me.me, site=self.me.site)
            for server in settings.nameservers[:NAMESERVERS_MAX]
        )
        self._report = None
        self._do(self.neighbours.set_nameservers(frozenset(self.identities), now), now)

    def set_list(self, addresses: Sequence[str], now: float) -> None:
        """Take the list of peers as it is now."""
        self._do(self.neighbours.set_list(addresses, now), now)

    def report(self, now: float) -> Report:
        """Return how this node is."""
        known, failing = self._report, self.failing
        if known is not None and now < self._report_until and known.failing == failing:
            return known
        time_s = self._times.least(self._state.default.servers, now)
        load, window = self.load()
        self._report = known = Report(
            None if time_s is None else min(time_s, NAMESERVER_S_MAX),
            failing,
            self.validating(now),
            self.identities,
            min(load, LOAD_MAX),
            window,
            self.me.version,
        )
        self._report_until = now + REPORT_S
        return known

    def heartbeat(self, message: HeartbeatRequest, peer: str, now: float) -> None:
        """A peer asks whether we are there."""
        full, effects = self.neighbours.heartbeat(
            peer, now, message.report, neighbour=message.neighbour
        )
        reply = HeartbeatReply(message.token, full, self.report(now))
        self._state.out.append(SendPeer(peer, reply))
        if effects:
            self._do(effects, now)

    def heartbeat_answered(self, message: HeartbeatReply, peer: str, now: float) -> None:
        """A peer says that it is there."""
        effects = self.neighbours.heartbeat_answered(
            peer, message.token, now, message.report, full=message.full
        )
        if effects:
            self._do(effects, now)

    def challenged(self, peer: str, now: float) -> None:
        """The link was introduced to this peer's present life: a heartbeat is worth while."""
        self._do(self.neighbours.challenged(peer, now), now)

    def full(self, peer: str, now: float) -> None:
        """It said FULL to a query."""
        self._do(self.neighbours.full(peer, now), now)

    def after_timers(self, now: float) -> None:
        """The node's timers have fired, the neighbours' among them."""
        effects = self.neighbours.take()
        if effects:
            self._do(effects, now)

    def _do(self, effects: list[Effect], now: float) -> None:
        out = self._state.out
        for effect in effects:
            if isinstance(effect, SendHeartbeat):
                request = HeartbeatRequest(effect.token, effect.neighbour, self.report(now))
                out.append(SendPeer(effect.peer, request))
            elif isinstance(effect, PeerDown):
                if effect.neighbour:
                    out.append(Note("warning", "peer does not answer", {"peer": effect.peer}))
            elif isinstance(effect, PeerUp):
                out.append(Note("info", "peer answers again", {"peer": effect.peer}))


def _no(_now: float) -> bool:
    return False


def _idle() -> tuple[int, int]:
    return 0, 0
