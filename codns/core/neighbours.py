"""Neighbours: the few peers of the list that are asked, and the heartbeats that keep them honest.

Nobody can know a fleet of 1,000 well, and nobody has to: more than 80 % of the paper's remote
answers came from the first peer contacted, 95 % from the first two. So of the list a node watches
up to ten (RULES 7.1, `core.neighbour_choice`), hears the others now and then
(`core.neighbour_scan`), and picks among the ten for each name (`core.eligibility`).

  1. Each neighbour gets a heartbeat every 2 s, at its own tenth of the interval, and the intervals
     of different nodes start at different times. It carries the wish to be its neighbour, and the
     answer says FULL when it has 64 already (`core.neighbour_seats`): then another is chosen.
  2. Unanswered in time: not eligible until the next is answered. Three running: down, replaced at
     once from the reserve, and tried again on its own timer; as many of those timers as there
     are neighbours, for the nearest. The scan leaves out whoever is in back-off
     (`core.peer_state`, `core.heartbeats`, `core.neighbour_returns`).
  3. A neighbour taken from the reserve may have died unseen: until its first answer it is not
     asked, and if that does not come in time the next is taken, without waiting for three.
  4. A heartbeat *from* a peer that is down or missed shows that it lives: it is tried at once
     instead of after its back-off. That halves the time a healed partition goes unnoticed, and
     shows a node that started after us. Not faster than the quick scan.

*Cost*. Every call does work in the number of neighbours, whatever the list's length, except
`set_list`, which reads the list it is given. `looked` counts the peers come by, for the test.
"""

import random
from collections.abc import Iterable
from functools import partial
from math import floor, inf
from typing import Final

from codns.core import hrw
from codns.core.eligibility import Standing, eligible, stand
from codns.core.heartbeats import Heartbeats, Sent
from codns.core.messages import Report
from codns.core.neighbour_choice import RESERVE, Reserve, rank
from codns.core.neighbour_effects import (
    Chosen,
    Dropped,
    Effect,
    PeerDown,
    PeerUp,
    SendHeartbeat,
)
from codns.core.neighbour_returns import Alarm, Returns
from codns.core.neighbour_scan import Scan
from codns.core.neighbour_seats import Seats
from codns.core.peer_state import Peer
from codns.core.timers import Timers

NEIGHBOURS: Final = 10  # RULES 7.1, the paper's number
HEARTBEAT_S: Final = 2.0  # RULES 7.2
LIST_MAX: Final = 4096  # peers: as many as a DNS message of 64 KB names; more are left out

PROMPT_S: Final = 0.050  # between heartbeats out of turn, to whomever: the quick scan's pace
SEAT_HEARTBEATS: Final = 5  # a seat is kept for as many; see `core.neighbour_seats`


class Neighbours:
    """The list, the neighbours among it, and who has us for one.

    `me` is our listed address, `mine` the identities of our nameservers. Calls return effects in
    the order they are to be carried out. `timers`: of the whole node, if it has some; then what
    they bring about is taken with `take` after they have fired.
    """

    __slots__ = (
        "_beats", "_epoch", "_out", "_prompt_at", "_ranked", "_reserve", "_reserve_turn",
        "_returns", "_rng", "_scan", "_scan_alarm", "_settled", "_slots", "_timers", "count",
        "heartbeat_s", "heartbeats", "listed", "me", "mine", "peers", "seats",
    )  # fmt: skip

    def __init__(
        self,
        me: str,
        rng: random.Random,
        *,
        mine: frozenset[bytes] = frozenset(),
        count: int = NEIGHBOURS,
        heartbeat_s: float = HEARTBEAT_S,
        timers: Timers | None = None,
    ) -> None:
        self.me = me
        self.mine = mine
        self.count = count
        self.heartbeat_s = heartbeat_s
        self.peers: dict[str, Peer] = {}
        self.listed = False  # does the list name ourselves? If not, others do not know us
        self.seats = Seats(life_s=SEAT_HEARTBEATS * heartbeat_s)
        self._rng = rng
        self._scan = Scan(rng)
        self._timers = Timers() if timers is None else timers
        self.heartbeats = Heartbeats(self._timers, rng, self._missed)
        self._scan_alarm = Alarm(self._scan_due)
        self._beats = [Alarm(partial(self._beat_due, slot)) for slot in range(count)]
        self._slots: list[Peer | None] = [None] * count
        self._reserve = Reserve()
        self._returns = Returns(self._timers, self._send, count)
        self._epoch = inf  # when the first slot's turns began; set with the first list
        self._settled = False
        self._reserve_turn = False
        self._prompt_at = -inf
        self._ranked = 0
        self._out: list[Effect] = []

    @property
    def neighbours(self) -> list[Peer]:
        """The neighbours now, in no order of merit."""
        return [peer for peer in self._slots if peer is not None]

    @property
    def returning(self) -> list[Peer]:
        """Peers that are down and tried again by a timer: mostly former neighbours."""
        return self._returns.peers()

    @property
    def looked(self) -> int:
        """Peers come by so far while scanning and choosing: the work done."""
        return self._scan.looked + self._ranked

    # Asked by the race

    def eligible(self, name: bytes, now: float, *, validating: bool = False) -> list[Peer]:
        """Return who may be asked for `name` (lower-case wire qname), first to last.

        `validating`: only peers that validate will do (RULES 6.5). O(neighbours).
        """
        return eligible(self.neighbours, self.mine, name, now, validating=validating)

    def standings(self, name: bytes, now: float, *, validating: bool = False) -> list[Standing]:
        """Return neighbours, and former ones that are down, by weight, each with its reason."""
        peers = self.neighbours + self._returns.peers()
        return stand(peers, self.mine, name, now, validating=validating)

    # Events

    def set_list(self, addresses: Iterable[str], now: float) -> list[Effect]:
        """Take the list as it is now. Peers on the old one too keep their state."""
        listed = sorted(set(addresses))  # a resolver's order is its mood, not a ranking
        self.listed = self.me in listed
        wanted = dict.fromkeys([address for address in listed if address != self.me][:LIST_MAX])
        gone = [peer for address, peer in self.peers.items() if address not in wanted]
        new = [
            Peer(address, hrw.affinity(self.me, address))
            for address in wanted
            if address not in self.peers
        ]
        for peer in gone:
            self._forget(peer)
        for peer in new:
            self.peers[peer.address] = peer
        if self._epoch == inf:
            self._epoch = now + self.heartbeat_s * self._rng.random()
        if gone or new:
            self._scan.set_list(gone, new)
            self._choose(now)
        if new:
            self._timers.set(self._scan_alarm, now)
        return self.take()

    def heartbeat(
        self, address: str, now: float, report: Report, *, neighbour: bool
    ) -> tuple[bool, list[Effect]]:
        """A peer's heartbeat came. `neighbour`: it wants a seat. First of the result: say FULL."""
        peer = self.peers.get(address)
        if peer is None:
            return True, []
        if peer.report(report, now):
            self._reserve.moved = True
        elif peer.slot is not None or peer.reserve:
            self._reserve.heard(peer, settled=self._settled)
        full = self.seats.heartbeat(address, now, wanted=neighbour)
        away = peer.down or peer.missing
        if away and now >= max(self._prompt_at, peer.sent_at + self.heartbeat_s):
            self._prompt_at = now + PROMPT_S
            self._send(peer, now)
        return full, self.take()

    def heartbeat_answered(
        self, address: str, token: int, now: float, report: Report, *, full: bool
    ) -> list[Effect]:
        """The answer to a heartbeat of ours came. `full`: there is no seat for us."""
        sent = self.heartbeats.answered(address, token)
        peer = self.peers.get(address)
        if sent is None or peer is not sent.peer:
            return []
        if peer.report(report, now):
            self._reserve.moved = True
        peer.full = full
        if peer.heard(sent.at, now, late=sent.late, timed=sent.timed(now)):
            self._returns.end(peer)
            self._out.append(PeerUp(address))
        elif peer.down and not sent.late:
            peer.retry_at = now + self.heartbeat_s
            self._returns.at_retry(peer)
        if peer.slot is None:
            self._offer(peer, now)
        elif full:
            self._leave(peer, "full")
            self._choose(now)
        else:
            self._reserve.heard(peer, settled=self._settled)
        return self.take()

    def challenged(self, address: str, now: float) -> list[Effect]:
        """The peer dropped our heartbeat, not knowing our boot yet (RULES 8.3): send again."""
        peer = self.peers.get(address)
        if peer is not None and self.heartbeats.challenged(peer, now):
            self._send(peer, now)
        return self.take()

    def full(self, address: str, now: float) -> list[Effect]:
        """It said FULL to a query."""
        peer = self.peers.get(address)
        if peer is not None:
            peer.full = True
            self._reserve.remove(peer)
            if peer.slot is not None:
                self._leave(peer, "full")
                self._choose(now)
        return self.take()

    def set_nameservers(self, mine: frozenset[bytes], now: float) -> list[Effect]:
        """Our own nameservers have changed."""
        self.mine = mine
        self._choose(now)
        return self.take()

    def next_timeout(self) -> float | None:
        """When `handle_timeout` has something to do: for timers of our own."""
        return self._timers.next()

    def handle_timeout(self, now: float) -> list[Effect]:
        """Do what is due at `now`, if the timers are our own; a node fires its own."""
        self._timers.fire(now)
        return self.take()

    # Watching

    def _send(self, peer: Peer, now: float) -> None:
        token = self.heartbeats.send(peer, now)
        self._out.append(SendHeartbeat(peer.address, token, peer.slot is not None))

    def _beat_due(self, slot: int, now: float) -> None:
        peer = self._slots[slot]
        if peer is not None:
            try:
                self._send(peer, now)
            finally:
                self._timers.set(self._beats[slot], self._next_beat(slot, now))

    def _next_beat(self, slot: int, now: float) -> float:
        """Return the turn of `slot` nearest to one interval from now: not under half of one."""
        first = self._epoch + slot * self.heartbeat_s / self.count
        return first + self.heartbeat_s * floor((now - first) / self.heartbeat_s + 1.5)

    def _scan_due(self, now: float) -> None:
        if not len(self._scan):
            return
        if not self._settled and not self._scan.fast:
            self._settled = self._reserve.moved = True
        try:
            peer = self._next_to_hear(now)
            if peer is not None:
                self._send(peer, now)
        finally:
            self._timers.set(self._scan_alarm, now + self._scan.pace_s)

    def _next_to_hear(self, now: float) -> Peer | None:
        """Return the next of the list, or of the reserve: in a long list they take turns.

        Else who is called upon when a neighbour falls would have been heard up to a whole pass
        ago, a quarter of an hour with 1,000 peers.
        """
        if not self._scan.fast and len(self._scan) > 2 * RESERVE and len(self._reserve):
            self._reserve_turn = not self._reserve_turn
            if self._reserve_turn:
                self._ranked += len(self._reserve)
                return min(self._reserve.peers, key=lambda peer: (peer.sent_at, peer.address))
        return self._scan.visit(partial(self._to_be_heard, now), 2 * self.count)

    def _to_be_heard(self, now: float, peer: Peer) -> bool:
        if peer.slot is not None or peer in self._returns:
            return False
        return not peer.down or peer.retry_at <= now

    def _missed(self, sent: Sent, now: float) -> None:
        peer = sent.peer
        if self.peers.get(peer.address) is not peer:
            return
        was_down = peer.down
        went_down = peer.missed(sent.at, now, self._rng)
        if not peer.usable:
            self._reserve.remove(peer)
        if went_down:
            neighbour = peer.slot is not None
            self._out.append(PeerDown(peer.address, neighbour, peer.retry_at))
            if neighbour:
                self._leave(peer, "down")
                self._returns.at_retry(peer)
                self._choose(now)
        elif was_down and peer in self._returns:
            self._returns.at_retry(peer)
        elif peer.slot is not None and not peer.confirmed:
            self._leave(peer, "silent")
            self._choose(now)

    # Choosing

    def _offer(self, peer: Peer, now: float) -> None:
        """A peer that is no neighbour was heard: is it better than one of those known?"""
        reserve = self._reserve
        if not peer.usable:
            reserve.remove(peer)
            return
        if peer.reserve:
            reserve.heard(peer, settled=self._settled)
            if reserve.same(now):
                return
        elif reserve.behind(peer, settled=self._settled):
            return
        else:
            reserve.add(peer)
        self._choose(now)

    def _choose(self, now: float) -> None:
        members = self.neighbours
        pool = members + self._reserve.peers
        self._ranked += len(pool)
        distinct, rest = rank(pool, self.mine, now, settled=self._settled)
        ranked = distinct + rest
        chosen = ranked[: self.count]
        behind = ranked[self.count :]
        others = [peer for peer in behind if peer.usable]
        self._reserve.fill(chosen, others, distinct, apart=not rest, settled=self._settled)
        for peer in behind:
            self._leave(peer, "replaced")
        for peer in chosen:
            if peer.slot is None:
                self._join(peer, now)

    def _join(self, peer: Peer, now: float) -> None:
        """Make it a neighbour, and ask for a seat there at once."""
        slot = self._slots.index(None)
        self._slots[slot] = peer
        peer.slot = slot
        peer.confirmed = now - peer.heard_at <= self.heartbeat_s
        self._out.append(Chosen(peer.address, peer.score))
        self._send(peer, now)
        self._timers.set(self._beats[slot], self._next_beat(slot, now))

    def _leave(self, peer: Peer, reason: str) -> None:
        if peer.slot is None:
            return
        self._timers.set(self._beats[peer.slot], inf)
        self._slots[peer.slot] = None
        peer.slot = None
        self._out.append(Dropped(peer.address, reason))

    def _forget(self, peer: Peer) -> None:
        """It is on the list no longer."""
        self._leave(peer, "unlisted")
        self._returns.end(peer)
        self.seats.leave(peer.address)
        self._reserve.remove(peer)
        del self.peers[peer.address]

    def take(self) -> list[Effect]:
        """Return what is to be done, once."""
        out = self._out
        if out:
            self._out = []
        return out
