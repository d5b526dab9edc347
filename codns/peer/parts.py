"""Messages that are more than a datagram: at most 12 parts, put together within bounds.

Each part is a datagram of its own, sealed and counted like any other. Parts leave with counters
in a row, so `counter - index` is the same for all parts of a message and names it: no field of its
own is needed. There is no retransmission; a message with a lost part is a lost message, which the
race behind it makes up for.

A sender holds memory here before its message is whole, so everything is bounded: 32 messages a
peer, 256 and 1 MiB in all, 2 s each. What is over takes the place of the oldest, the same peer's
first. The parts dropped that way, and those that contradict each other, are counted.
"""

from typing import Final

from codns.peer.codec import PeerError
from codns.peer.frame import Frame

PARTS_MAX: Final = 12  # RULES 8.1
PART_LIFE_S: Final = 2.0  # parts leave together; the longest path delay worth waiting for
MESSAGES_MAX: Final = 256
MESSAGES_PEER_MAX: Final = 32
BYTES_MAX: Final = 1 << 20


def split(payload: bytes, room: int) -> list[bytes]:
    """Return the payload in pieces of at most `room` bytes. PeerError "too large": over 12."""
    pieces = [payload[start : start + room] for start in range(0, len(payload), room)]
    if len(pieces) > PARTS_MAX:
        raise PeerError("too large")
    return pieces


class _Partial:
    __slots__ = ("count", "pieces", "since", "size")

    def __init__(self, count: int, since: float) -> None:
        self.count = count
        self.since = since
        self.pieces: dict[int, bytes] = {}
        self.size = 0


Key = tuple[str, bytes, int]  # peer, boot, counter of the first part


class Assembly:
    """The messages whose parts are still coming, oldest first. `dropped` counts parts."""

    __slots__ = ("_partials", "_size", "dropped")

    def __init__(self) -> None:
        self._partials: dict[Key, _Partial] = {}
        self._size = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._partials)

    def add(self, peer: str, frame: Frame, now: float) -> bytes | None:
        """Take a part; return the whole payload if it was the last one missing."""
        self._expire(now)
        index, count, piece = frame.part, frame.parts, frame.payload
        key = (peer, frame.boot, frame.counter - index)
        partial = self._partials.get(key)
        sound = index < count and 1 < count <= PARTS_MAX and index < frame.counter and piece
        if not sound or (
            partial is not None and (partial.count != count or index in partial.pieces)
        ):
            self.dropped += 1
            return None
        if partial is None:
            self._make_room(peer)
            partial = self._partials[key] = _Partial(count, now)
        partial.pieces[index] = piece
        partial.size += len(piece)
        self._size += len(piece)
        if len(partial.pieces) < count:
            while self._size > BYTES_MAX:
                self._drop(next(iter(self._partials)))
            return None
        del self._partials[key]
        self._size -= partial.size
        return b"".join(partial.pieces[i] for i in range(count))

    def forget(self, peer: str) -> None:
        """The peer is no longer listed."""
        for key in [key for key in self._partials if key[0] == peer]:
            self._drop(key)

    def _expire(self, now: float) -> None:
        while self._partials:
            key, partial = next(iter(self._partials.items()))
            if now < partial.since + PART_LIFE_S:
                return
            self._drop(key)

    def _make_room(self, peer: str) -> None:
        own = [key for key in self._partials if key[0] == peer]
        if len(own) >= MESSAGES_PEER_MAX:
            self._drop(own[0])
        elif len(self._partials) >= MESSAGES_MAX:
            self._drop(next(iter(self._partials)))

    def _drop(self, key: Key) -> None:
        partial = self._partials.pop(key)
        self._size -= partial.size
        self.dropped += len(partial.pieces)
