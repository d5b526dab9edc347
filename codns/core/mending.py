"""After a mistake of ours: what an exception left half done in the tables is put right.

The exception costs the message that brought it to light, and the client asks again. But a client
may have been counted among those who wait, and then be in no lookup, or in one whose deadline was
not set yet: it would hold one of 8,192 places until a restart, and so would each that comes after
with the same question. So, within a second of such an exception:

  1. a lookup that waits for no time is in nobody's hands any more: it leaves its table unanswered
  2. attempts at peers whose race waits for no time are forgotten with it
  3. who waits is counted anew from the lookups that are left and the portions under way; so is
     who has a place in the window for peers, which would be smaller for ever

A walk through the tables takes some milliseconds when they are full, so there is one a second at
the most, whoever can repeat the mistake. Nothing is answered here: that may be what went wrong.
"""

from math import inf
from typing import Final

from codns.core.resolver import Resolver

MEND_S: Final = 1.0  # a mistake that many messages meet costs one walk for all of them


class Mending:
    """What is done `MEND_S` after a mistake (`core.timers`)."""

    __slots__ = ("_resolver", "due")

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self.due = inf

    def fire(self, _now: float) -> None:
        """Put the tables right."""
        mend(self._resolver)


def mend(resolver: Resolver) -> int:
    """Put the tables right; returns how many lookups were lost."""
    state, lost = resolver.state, 0
    for table in (resolver.lookups, resolver.served):
        for key, lookup in list(table.items()):
            if lookup.closed or lookup.due == inf:
                lookup.closed = True
                lookup.waiters.clear()
                if lookup.stale is not None:
                    lookup.stale.refreshing = False
                del table[key]
                lost += 1
    if resolver.fleet is not None:
        attempts = resolver.fleet.attempts
        for ident, attempt in list(attempts.items()):
            if attempt.race.due == inf:
                del attempts[ident]
                attempt.race.attempts.pop(ident, None)
    waiters = [w for lookup in resolver.lookups.values() for w in lookup.waiters.values()]
    waiters += state.portions.left()
    state.recount([waiter.client for waiter in waiters])
    if resolver.helping is not None:
        resolver.helping.recount()
    return lost
