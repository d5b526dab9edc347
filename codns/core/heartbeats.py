"""Heartbeats under way: when each was sent, whether its answer came in time, late, or never.

A heartbeat carries a token that comes back in the answer, so the RTT is of that very heartbeat. At
its deadline (`Peer.deadline_s`) an unanswered one is a miss; it is remembered until it is 3 s old,
so that a late answer still teaches the RTT (`core.peer_state`), and then forgotten.

Two cases in which silence is not the peer's fault:
  1. *We did not run.* A deadline found 100 ms late has probably been met: the answer waits in the
     socket. It is given another 250 ms, once, and what comes then is no sample of the RTT.
  2. *It does not know us yet* (RULES 8.3): after a restart of either side the first heartbeat
     is dropped and answered by a challenge. It is sent again at once, carrying the echo, and the
     one that was dropped is forgotten; at most once a second for each peer, whatever it says.

Under way are at most 3 s of sending: 20 a second of the quick scan and one for each neighbour.
"""

import random
from collections.abc import Callable
from math import inf
from typing import Final

from codns.core.peer_state import HEARTBEAT_LIFE_S, MISS_MIN_S, Peer
from codns.core.timers import Timers

STALL_S: Final = 0.100  # a timer this late: the process did not run
CHALLENGE_S: Final = 1.0  # RULES 8.3: a peer challenges at most once a second
TOKEN_BITS: Final = 48  # the first is random, so that answers to a former life match nothing


class Sent:
    """A heartbeat under way. `late`: its deadline has passed."""

    __slots__ = ("_owner", "at", "deadline", "due", "late", "peer", "spared", "token")

    def __init__(self, owner: "Heartbeats", peer: Peer, token: int, at: float) -> None:
        self._owner = owner
        self.peer = peer
        self.token = token
        self.at = at
        self.deadline = at + peer.deadline_s()
        self.due = inf  # of `Timers`
        self.late = False
        self.spared = False

    def timed(self, now: float) -> bool:
        """Does an answer at `now` tell the RTT? Not if it lay in the socket."""
        return not self.spared and (self.late or now - self.deadline < STALL_S)

    def fire(self, now: float) -> None:
        """The deadline, or the end of its life."""
        self._owner._overdue(self, now)


class Heartbeats:
    """All heartbeats under way. `missed(sent, now)` is called at each deadline that passes."""

    __slots__ = ("_missed", "_sent", "_timers", "_token", "strays")

    def __init__(
        self, timers: Timers, rng: random.Random, missed: Callable[[Sent, float], None]
    ) -> None:
        self._timers = timers
        self._missed = missed
        self._token = rng.getrandbits(TOKEN_BITS)
        self._sent: dict[int, Sent] = {}
        self.strays = 0  # answers to no heartbeat of ours, or to one too old

    def __len__(self) -> int:
        return len(self._sent)

    def send(self, peer: Peer, now: float) -> int:
        """Remember a heartbeat that leaves now. Return its token."""
        self._token = token = self._token + 1
        self._sent[token] = sent = Sent(self, peer, token, now)
        self._timers.set(sent, sent.deadline)
        peer.sent_at, peer.latest = now, token
        return token

    def answered(self, address: str, token: int) -> Sent | None:
        """An answer came: to what? None, and counted, if to nothing we know of."""
        sent = self._sent.get(token)
        if sent is None or sent.peer.address != address:
            self.strays += 1
            return None
        self._end(sent)
        return sent

    def challenged(self, peer: Peer, now: float) -> bool:
        """The peer dropped the last one, not knowing us. True: send another now."""
        sent = self._sent.get(peer.latest)
        if sent is None or sent.late or now < peer.challenged_at + CHALLENGE_S:
            return False
        peer.challenged_at = now
        self._end(sent)
        return True

    def _overdue(self, sent: Sent, now: float) -> None:
        if sent.late:
            self._end(sent)
        elif now - sent.deadline >= STALL_S and not sent.spared:
            sent.spared = True
            self._timers.set(sent, now + MISS_MIN_S)
        else:
            sent.late = True
            self._timers.set(sent, max(sent.at + HEARTBEAT_LIFE_S, now))
            self._missed(sent, now)

    def _end(self, sent: Sent) -> None:
        del self._sent[sent.token]
        self._timers.set(sent, inf)
