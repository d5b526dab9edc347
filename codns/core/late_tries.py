"""The last tries of a lookup whose nameserver is silent to everybody.

Three tries a server follow each other within some hundred milliseconds (RULES 4.3; RFC 9520 3.1
allows no more over one transport). That is right for a lost packet. A server that is silent for
a second or two has then been asked all it may be, and its return helps nobody who asked before:
they would wait for SERVFAIL at 4.5 s, though everything is well again. And what is sent again to
a server that is behind with its work makes it slower for everybody (`core.nameserver`). So a try
that repeats another to the same server waits:

  1. The third, while the server has answered nothing as new as the second: until it does (by
     whatever lookup), or until 1.6 s after the lookup began: before a stale answer is given at
     1.8 s. If it answered others that came later, this packet was lost or this name is slow, and
     nothing is held back.
  2. Any, if there is neither that evidence nor a token: until there is evidence, or 1.6 s.
  3. After that one more goes over TCP, 3.2 s after the beginning or when the last try's timeout is
     over, if that is later; its own retransmissions reach to the end of the client's patience. At
     most 64 are in flight: a dead server would otherwise be owed a connection for each lookup.
  4. At 1.6 and at 3.2 s it takes a token if the server has answered meanwhile, but only what is
     older: it is behind. A tenth more, not three times as much, and it comes out of that.

What a TCP exchange says is no measure of the server: its time is two round trips, and a server
without TCP refuses it and is well. For peers nothing of this is done: they ask others too.
"""

from math import inf
from typing import Final

from codns.core.lookup import Attempt, Lookup
from codns.core.model import SendJob
from codns.core.nameserver import TRIES_MAX, Nameserver
from codns.core.state import State
from codns.wire.batch import FLAG_TCP

LATE_S: Final = 1.6
TCP_S: Final = 3.2
TCP_MAX: Final = 64  # in flight: connections to a dead server are open for 7 s


def postpone(lookup: Lookup, now: float) -> bool:
    """Hold the next try back, if it would repeat one that may yet be answered. True: it waits."""
    server = lookup.upstreams.pick(lookup.tries, lookup.spent)
    tried = lookup.tries.get(server.address, 0) if server is not None else 0
    if server is None or not tried or server.acked >= lookup.last_sent:
        return False
    due = lookup.started + LATE_S
    held = behind(server, lookup) if now >= due else tried == TRIES_MAX - 1 or not server.guess()
    if not held:
        return False
    if now < due:
        lookup.retransmit_at = due
        server.postponed.append(lookup)
    elif now < lookup.started + TCP_S:
        lookup.retransmit_at = lookup.started + TCP_S
    else:
        lookup.late = True  # nothing more is tried
    return True


def behind(server: Nameserver, lookup: Lookup) -> bool:
    """Say whether it answers, but nothing as new as this, and no token is left to ask again."""
    return (
        lookup.started <= server.heard_at
        and server.acked < lookup.last_sent
        and (not server.guess())
    )


def release(state: State, server: Nameserver, now: float) -> None:
    """The server has answered something: what was held back and is as old leaves."""
    waiting, acked = server.postponed, server.acked
    while waiting:
        lookup = waiting[0]
        held = not lookup.closed and lookup.retransmit_at == lookup.started + LATE_S
        if held and lookup.last_sent > acked:
            return
        waiting.popleft()
        if held:
            lookup.retransmit_at = now
            state.timers.set(lookup, now)


def removed(state: State, before: dict[str, Nameserver], now: float) -> None:
    """A reload: what was held back for a server that is gone goes to the others at once."""
    for address, server in before.items():
        if address not in state.servers:
            server.acked = inf
            release(state, server, now)


def left(lookup: Lookup) -> bool:
    """May it still be asked over TCP?"""
    return not lookup.late and not lookup.served and not lookup.cached_failure


def try_late(state: State, lookup: Lookup, now: float) -> bool:
    """Ask over TCP if it is time, else wait until then. True: it was asked."""
    if now < lookup.started + TCP_S:
        lookup.retransmit_at = lookup.started + TCP_S
        return False
    lookup.late = True
    flying, spent = state.late, lookup.spent or ()
    while flying and flying[0] <= now:
        flying.popleft()
    servers = [s for s in lookup.upstreams.servers if not s.looped and s.address not in spent]
    if not servers or len(flying) >= TCP_MAX:
        return False
    server = min(servers, key=lambda server: not server.up)
    if behind(server, lookup):
        return False
    flying.append(lookup.ends)
    job = state.jobs.new(Attempt(lookup, server, now, lookup.started, late=True))
    lookup.outstanding += 1
    server.sent += 1
    flags = lookup.flags | FLAG_TCP
    state.out.append(SendJob(job, server.address, flags, lookup.ends - now, lookup.wire))
    return True
