"""Domains that are slow for everybody: their own nameservers' doing, so no peer can help.

A local nameserver that waits for a slow authority looks like a slow local nameserver. Asking
three peers then costs three more recursions toward a server that is in trouble already, and the
client waits as long. What tells the two apart is that nobody else was quicker. Rules (RULES 5.7):

  1. by domain (`core.domains`): 3 remote attempts without a win by >= 10 ms within 5 min
     stop remote queries for the domain for 5 min, counted from the third
  2. a win by >= 10 ms clears the domain: a peer did help
  3. a local answer within the initial delay clears it too: not everything there is slow. Without
     this rule three slow names stop the help for all of a great domain (a cloud's, a CDN's)
  4. while the local path is failing nothing is stopped: the peers are all there is
  5. 4,096 domains, least recently used out: 100 bytes each, more than a crawler has slow ones

The unit reported is a whole race, so that the losers beside a winner are not counted against it.
"""

from collections import OrderedDict
from typing import Final

from codns.core.domains import domain

ATTEMPTS: Final = 3  # RULES 5.7
WINDOW_S: Final = 300.0  # RULES 5.7
STOP_S: Final = 300.0  # RULES 5.7
DOMAINS_MAX: Final = 4_096  # RULES 5.7


class SlowDomains:
    """Attempts without a win, by domain."""

    __slots__ = ("_domains", "stopped")

    def __init__(self) -> None:
        # Times of up to three attempts in vain, oldest first; least recently used domain first.
        self._domains: OrderedDict[bytes, tuple[float, ...]] = OrderedDict()
        self.stopped = 0  # times a domain was stopped

    def __len__(self) -> int:
        return len(self._domains)

    def blocked(self, name: bytes, now: float, *, failing: bool) -> bool:
        """May `name` (lower-case wire form) not be asked of peers now?"""
        if failing or not self._domains:
            return False
        return self.blocked_until(name, now) > now

    def blocked_until(self, name: bytes, now: float) -> float:
        """Return until when peers are not asked for `name`; a time not after `now`: they are."""
        owner = domain(name)
        times = self._domains.get(owner)
        if times is None or len(times) < ATTEMPTS:
            return now
        until = times[-1] + STOP_S
        if until <= now:
            del self._domains[owner]  # a fresh start: three more attempts
            return now
        self._domains.move_to_end(owner)
        return until

    def quick(self, name: bytes) -> None:
        """The local nameserver answered `name` in good time."""
        if self._domains:
            self._domains.pop(domain(name), None)

    def raced(self, name: bytes, attempts: int, now: float, *, won: bool) -> None:
        """A race for `name` is settled: `attempts` left (BUSY not counted); won by >= 10 ms?"""
        owner = domain(name)
        if won:
            self._domains.pop(owner, None)
            return
        if attempts <= 0:
            return
        times = self._domains.get(owner, ())
        if len(times) == ATTEMPTS:
            if now < times[-1] + STOP_S:
                return  # stopped already: a race that was under way, or one while failing
            times = ()  # that stop is over, its attempts are paid for
        recent = tuple(time for time in times if now - time < WINDOW_S)
        times = (recent + (now,) * attempts)[:ATTEMPTS]
        self.stopped += len(times) == ATTEMPTS
        self._domains[owner] = times
        self._domains.move_to_end(owner)
        if len(self._domains) > DOMAINS_MAX:
            self._domains.popitem(last=False)
