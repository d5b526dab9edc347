"""A remote query while it is under way, and what is noted of a race."""

from typing import TYPE_CHECKING, Final, NamedTuple

from codns.core.peer_state import Peer

if TYPE_CHECKING:
    from codns.core.race import Race

ATTEMPTS_MAX: Final = 8_192  # remote queries in flight: as many as clients may wait
REMOTE_TIMEOUT_S: Final = 2.0  # a peer's queue (200 ms) and recursion fit; stale comes at 1.8 s


class RemoteAttempt:
    """A query on its way to a peer."""

    __slots__ = ("ends", "paid", "peer", "race", "sent")

    def __init__(self, race: "Race", peer: Peer, *, paid: bool, now: float) -> None:
        self.race = race
        self.peer = peer
        self.paid = paid
        self.sent = now
        self.ends = now + REMOTE_TIMEOUT_S


class Event(NamedTuple):
    """Something that happened in a race, `at` seconds after its lookup began."""

    at: float
    who: str  # "local" or a peer's address
    what: str
