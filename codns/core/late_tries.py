"""The last tries of a lookup whose nameserver is silent to everybody.

Three tries a server follow each other within some hundred milliseconds (RULES 4.3; RFC 9520 3.1
allows no more over one transport). That is right for a lost packet. A server that is silent for
a second or two has then been asked all it may be, and its return helps nobody who asked before:
they would wait for SERVFAIL at 4.5 s, though everything is well again. So:

  1. A server that has said nothing at all since the lookup began is asked for the third time
     when it is heard again (by whatever lookup or probe), or 1.6 s after the lookup began: before
     a stale answer is given at 1.8 s. If it spoke to others meanwhile, this packet was lost or
     this name is slow, and the third try is not held back.
  2. After that one more goes over TCP, 3.2 s after the beginning, whose own retransmissions reach
     to the end of the client's patience. At most 64 are in flight: a dead server would otherwise
     be owed a connection for each lookup.

What a TCP exchange says is no measure of the server: its time is two round trips, and a server
without TCP refuses it and is well. For peers nothing of this is done: they ask others too.
"""

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
    """Hold the third try back, if its server is silent to all. True: it has to wait."""
    due = lookup.started + LATE_S
    server = lookup.upstreams.pick(lookup.tries, lookup.spent) if now < due else None
    if server is None or lookup.tries.get(server.address, 0) < TRIES_MAX - 1:
        return False
    if server.heard_at >= lookup.started:
        return False
    lookup.retransmit_at = due
    server.postponed.append(lookup)
    return True


def release(state: State, server: Nameserver, now: float) -> None:
    """The server is heard again: what was held back leaves."""
    waiting = list(server.postponed)
    server.postponed.clear()
    for lookup in waiting:
        if not lookup.closed and lookup.retransmit_at == lookup.started + LATE_S:
            lookup.retransmit_at = now
            state.timers.set(lookup, now)


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
    flying.append(lookup.ends)
    job = state.jobs.new(Attempt(lookup, server, now, lookup.started, late=True))
    lookup.outstanding += 1
    server.sent += 1
    flags = lookup.flags | FLAG_TCP
    state.out.append(SendJob(job, server.address, flags, lookup.ends - now, lookup.wire))
    return True
