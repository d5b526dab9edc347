"""The replay window: which counters of one sender's boot were seen already (RFC 6479's problem).

The counters of the last 1,024 datagrams are an int used as a bitmap, bit n for `highest - n`;
a datagram may be overtaken by that many (RULES 8.2). Older ones are refused unread.

A window opens *closed*: the datagram that introduced the boot counts as the highest and everything
before it as seen. What was captured before a receiver's restart carries lower counters than the
echo of a challenge the receiver made after it, and so stays worthless.
"""

from typing import Final

WINDOW_SIZE: Final = 1024
_ALL_SEEN: Final = (1 << WINDOW_SIZE) - 1


class Window:
    """The counters seen of one (sender, boot)."""

    __slots__ = ("_highest", "_seen")

    def __init__(self, highest: int) -> None:
        self._highest = highest
        self._seen = _ALL_SEEN

    def accept(self, counter: int) -> bool:
        """Tell whether `counter` is new, and remember it."""
        ahead = counter - self._highest
        if ahead > 0:
            # The shift is bounded: a counter is the sender's choice of 64 bits.
            self._seen = (self._seen << ahead | 1) & _ALL_SEEN if ahead < WINDOW_SIZE else 1
            self._highest = counter
            return True
        if ahead <= -WINDOW_SIZE:
            return False
        bit = 1 << -ahead
        if self._seen & bit:
            return False
        self._seen |= bit
        return True
