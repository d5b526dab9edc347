"""Resolution failures, remembered so that they are not asked again at once (RFC 9520).

Only *answers* that say SERVFAIL, REFUSED or FORMERR count (RULES 3.5): a timeout is the
nameserver's health and not the name's, and our own overload or deadline is nobody's failure
(CoreDNS issue 4326 cached its own overload as the upstream's failure).

A failure is kept 5 s (RFC 9520 3.2 asks for at least 1 s, suggests 5), twice as long each time it
is renewed, at most 300 s (the RFC's limit). "Renewed" means that the name failed again no later
than it had been remembered for after the memory ran out; a name that was quiet for longer starts
at 5 s again. A usable answer forgets it.
"""

from collections import OrderedDict
from typing import Final

from codns.wire.outcome import Outcome

# RULES 3.5: what an answer says about the name; a timeout says nothing about it
FAILING_ANSWERS: Final = (Outcome.SERVFAIL, Outcome.REFUSED, Outcome.FORMERR)

FIRST_S: Final = 5.0
LONGEST_S: Final = 300.0
ENTRIES_MAX: Final = 10_000  # RULES 3.5; RFC 9520 3.2: the cache itself must be bounded


class Failures:
    """Failures of one path (local, or peers), by semantic key; least recently failed leave."""

    __slots__ = ("_failures", "entries_max")

    def __init__(self, entries_max: int = ENTRIES_MAX) -> None:
        self._failures: OrderedDict[bytes, tuple[float, float, int]] = OrderedDict()
        self.entries_max = entries_max

    def get(self, key: bytes, now: float) -> int | None:
        """Return the rcode of the failure that is still remembered for `key`, or None."""
        failure = self._failures.get(key)
        return failure[2] if failure is not None and now < failure[0] else None

    def record(self, key: bytes, rcode: int, now: float) -> float:
        """Remember a failing answer; returns for how many seconds."""
        failure = self._failures.pop(key, None)
        period = FIRST_S
        if failure is not None and now < failure[0] + failure[1]:
            period = min(2 * failure[1], LONGEST_S)
        self._failures[key] = (now + period, period, rcode)
        if len(self._failures) > self.entries_max:
            self._failures.popitem(last=False)
        return period

    def forget(self, key: bytes) -> None:
        """The name was answered."""
        if self._failures:
            self._failures.pop(key, None)

    def clear(self) -> int:
        """Forget all; returns how many there were."""
        count = len(self._failures)
        self._failures.clear()
        return count

    def __len__(self) -> int:
        return len(self._failures)
