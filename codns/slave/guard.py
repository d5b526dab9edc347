"""Forgery noticed: datagrams that match no exchange, counted per name (RFC 5452 9.3).

Who forges answers for a name must send many, and each carries that name. 16 in one second are no
accident: the name is asked over TCP, where an outsider cannot take part, until the forger has
been silent for a minute. Both tables are bounded and forget the oldest first; to push one name
out of them a forger would have to send a thousand useless datagrams for sixteen useful ones.
"""

from typing import Any, Final

from codns.wire.batch import GUARDED, UNMATCHED, WRONG_CASE, pack_event
from codns.wire.errors import WireError
from codns.wire.name import skip_name

MISMATCHES: Final = 16  # RULES 9.2
WINDOW_S: Final = 1.0  # RULES 9.2
HOLD_S: Final = 60.0
NAMES_MAX: Final = 1024


def question_name(message: bytes) -> bytes:
    """The qname in lower case, as on the wire; empty if there is none to be read."""
    if len(message) < 17 or message[4:6] == b"\0\0":
        return b""
    try:
        return message[12 : skip_name(message, 12)].lower()
    except WireError:
        return b""


class Guard:
    """Which names are under attack."""

    def __init__(self) -> None:
        self.names: dict[bytes, float] = {}  # those asked over TCP -> until when
        self.guarded = 0  # how often one came to be there
        self.unmatched = 0  # datagrams that matched no exchange
        self.wrong_case = 0  # ... and those that did, but for their letters (`slave.letters`)
        self._told = [0, 0, 0]  # of these, by event
        self._counts: dict[bytes, tuple[int, float]] = {}  # -> (mismatches, since when)

    def mismatch(self, name: bytes, now: float) -> bool:
        """Count one for `name`; tell whether it goes over TCP from here on."""
        count, since = self._counts.pop(name, (0, now))
        if now - since > WINDOW_S:
            count, since = 0, now
        count += 1
        self._counts[name] = (count, since)
        _bound(self._counts)
        if count >= MISMATCHES or name in self.names:
            self.guarded += self.names.pop(name, None) is None
            self.names[name] = now + HOLD_S
            _bound(self.names)
            return True
        return False

    def tell(self, out: list[bytes]) -> None:
        """Append frames that tell the master what was counted since it was told last."""
        counts = (self.unmatched, self.wrong_case, self.guarded)
        for event, count in zip((UNMATCHED, WRONG_CASE, GUARDED), counts, strict=True):
            if count > self._told[event]:
                out.append(pack_event(event, 0, count - self._told[event]))
                self._told[event] = count

    def suspects(self, query: bytes, now: float) -> bool:
        """Whether this query has to go over TCP."""
        name = question_name(query)
        until = self.names.get(name)
        if until is None:
            return False
        if until <= now:
            del self.names[name]
            return False
        return True


def _bound(table: dict[bytes, Any]) -> None:
    if len(table) > NAMES_MAX:
        del table[next(iter(table))]
