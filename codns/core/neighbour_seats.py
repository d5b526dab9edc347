"""Who has us for a neighbour: at most 64 others, and FULL to the 65th (RULES 7.1).

A node that is near to many and quick would be everybody's neighbour: its heartbeats and queries
would grow with the fleet. So a peer's heartbeat says whether it wants us for a neighbour, which
takes one of our seats, and the reply says FULL when none is left; it then looks elsewhere. A seat
is given up by a heartbeat that does not want it any more, or by silence. A peer that only looks
around (the scan) is told FULL as well when it could not sit down, so that it need not try.
"""

from typing import Final

SEATS: Final = 64  # RULES 7.1: with 10 wanted by each, six times a fair share
SEAT_LIFE_S: Final = 10.0  # five heartbeats of 2 s: three lost ones are a dead peer, and some more


class Seats:
    """The peers that have us for a neighbour, least recently heard first."""

    __slots__ = ("_heard", "_life_s", "_size")

    def __init__(self, size: int = SEATS, life_s: float = SEAT_LIFE_S) -> None:
        self._size = size
        self._life_s = life_s
        self._heard: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._heard)

    def __contains__(self, address: str) -> bool:
        return address in self._heard

    def heartbeat(self, address: str, now: float, *, wanted: bool) -> bool:
        """A heartbeat came from `address`: is the reply FULL? Amortised constant work."""
        seated = self._heard.pop(address, None) is not None
        self._expire(now)
        if not seated and len(self._heard) >= self._size:
            return True
        if wanted:
            self._heard[address] = now  # at the end: dicts keep the order of insertion
        return False

    def leave(self, address: str) -> None:
        """The address is on our list no longer."""
        self._heard.pop(address, None)

    def _expire(self, now: float) -> None:
        while self._heard:
            address, heard_at = next(iter(self._heard.items()))
            if now - heard_at < self._life_s:
                return
            del self._heard[address]
