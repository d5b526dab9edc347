"""Do our nameservers lead back to ourselves? (RULES 10.2)

A forwarder whose nameserver forwards to it, directly or around some corner, answers nothing and
multiplies every query. Addresses cannot tell: the loop may pass another machine. So each
nameserver is asked for the HINFO of a name that nobody else can know, 2 x 64 random bits. If that
question arrives at our own listener, that nameserver leads here: it is out, with an error in the
log. It is asked again every minute, and comes back when the question no longer does.

All are checked at the start, new ones after a change, and all again whenever the number of
waiting queries has doubled (from 64 on): that is what a loop that formed later looks like.
"""

import random
from math import inf
from typing import Final

from codns.core.model import Note, SendJob
from codns.core.nameserver import Nameserver
from codns.core.state import State
from codns.wire import const
from codns.wire.batch import Result
from codns.wire.build import upstream_query

WAIT_S: Final = 5.0  # how long the question may wander before it counts as gone
AGAIN_S: Final = 60.0  # a server that is out is checked this often
OUTSTANDING_MIN: Final = 64  # fewer waiting queries than this are no sign of anything
PENDING_MAX: Final = 256  # checks under way: more nameservers than anybody lists


class Check:
    """One question on its way."""

    __slots__ = ("answered", "seen", "sent", "server")

    def __init__(self, server: Nameserver, sent: float) -> None:
        self.server = server
        self.sent = sent
        self.answered = False  # only an answer shows that the question ended somewhere else
        self.seen = False

    def done(self, result: Result, now: float) -> None:
        """Whatever the nameserver says of it: it did not come back to us unanswered."""
        del now
        self.answered = result.outcome.answered


class LoopCheck:
    """The questions on their way, by name; and the watch over servers that are out."""

    __slots__ = ("_again", "_level", "_pending", "_rng", "_state", "due")

    def __init__(self, state: State, rng: random.Random) -> None:
        self._state = state
        self._rng = rng
        self._pending: dict[bytes, Check] = {}
        self._level = OUTSTANDING_MIN
        self._again = _Again(self)
        self.due = inf

    def check(self, servers: list[Nameserver], now: float) -> None:
        """Send each of these its question."""
        state = self._state
        for server in servers:
            name = b"".join(b"\x10%016x" % self._rng.getrandbits(64) for _ in range(2)) + b"\0"
            if len(self._pending) >= PENDING_MAX:
                del self._pending[next(iter(self._pending))]
            check = self._pending[name] = Check(server, now)
            wire = upstream_query(name, const.HINFO, const.IN, do=False, cd=False)
            state.out.append(SendJob(state.jobs.new(check), server.address, 0, WAIT_S, wire))
        if servers:
            state.timers.set(self, min(self.due, now + WAIT_S))

    def outstanding(self, count: int, now: float) -> None:
        """So many queries wait: check all when that has doubled since the last time."""
        if count >= 2 * self._level:
            self._level = count
            self.check(list(self._state.servers.values()), now)
        elif count < self._level // 4:
            self._level = max(self._level // 2, OUTSTANDING_MIN)

    def seen(self, name: bytes) -> bool:
        """A HINFO query for `name` came in. True: it is ours, its server is out now."""
        check = self._pending.get(name)
        if check is None:
            return False
        server = check.server
        if not server.looped:
            server.looped = True
            self._state.stats.loops += 1
            fields: dict[str, object] = {"nameserver": server.address}
            self._state.out.append(Note("error", "nameserver leads back to this node", fields))
        check.seen = True
        return True

    def fire(self, now: float) -> None:
        """Forget questions that are over; look again at the servers that are out."""
        state = self._state
        for name, check in list(self._pending.items()):
            if now < check.sent + WAIT_S:
                continue
            del self._pending[name]
            if check.answered and not check.seen and check.server.looped:
                check.server.looped = False
                fields: dict[str, object] = {"nameserver": check.server.address}
                state.out.append(Note("info", "nameserver no longer leads back here", fields))
        if self._pending:
            state.timers.set(self, now + WAIT_S)
            return
        if any(server.looped for server in state.servers.values()):
            state.timers.set(self._again, now + AGAIN_S)

    def again(self, now: float) -> None:
        """Look at the servers that are out."""
        self.check([s for s in self._state.servers.values() if s.looped], now)


class _Again:
    """The next look at servers that are out."""

    __slots__ = ("_check", "due")

    def __init__(self, check: LoopCheck) -> None:
        self._check = check
        self.due = inf

    def fire(self, now: float) -> None:
        self._check.again(now)
