"""What slaves say of forged answers: counted in all, and an operator told where it matters.

Each slave finds out by itself that a nameserver does not keep the letters of a question
(`slave.letters`), and finds out again when it has tried once more: one line in the log for all of
them, and not more than one an hour.
"""

from collections.abc import Callable
from math import inf
from typing import Final

from codns.wire.batch import FOLDED, GUARDED, UNMATCHED, WRONG_CASE

LOG_S: Final = 3600.0
EVENTS: Final = {
    UNMATCHED: "unmatched",
    WRONG_CASE: "wrong_case",
    GUARDED: "guarded",
    FOLDED: "folded",
}

Log = Callable[[str, str, dict[str, object]], None]


class Forgery:
    """The counters of all slaves there were, by the words of `EVENTS`."""

    def __init__(self, log: Log, clock: Callable[[], float]) -> None:
        self.counts = dict.fromkeys(EVENTS.values(), 0)
        self._log = log
        self._clock = clock
        self._logged: dict[str, float] = {}  # by nameserver: as many as slaves know numbers of

    def told(self, event: int, server: str, count: int) -> None:
        """Take an event; `server` as "192.0.2.1#53", empty where it is about none. KeyError."""
        self.counts[EVENTS[event]] += count
        now = self._clock()
        if event == FOLDED and now - self._logged.get(server, -inf) >= LOG_S:
            self._logged[server] = now
            fields: dict[str, object] = {"nameserver": server}
            self._log("warning", "nameserver does not keep the letters of a question", fields)
