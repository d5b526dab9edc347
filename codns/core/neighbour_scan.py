"""The scan: every listed peer is heard now and then, at a pace that does not know the list's size.

At start the list is gone through at 20 heartbeats a second, so that the first neighbours are there
within 100 ms and 1,000 peers are seen in 50 s; afterwards one a second (RULES 7.2). A peer that
joins the list later is seen at the quick pace, before the pass goes on.

The order of each pass is a new shuffle, or the nodes of a fleet that were started together would
all call on the first of the list at once. Shuffling 1,000 peers in one go would be work of the
fleet's size in a single call; so the shuffle is Fisher and Yates's, one step a visit: swap the
entry at the position with a random one behind it, visit it, go on.
"""

import random
from collections.abc import Callable, Sequence
from typing import Final

from codns.core.peer_state import Peer

FAST_S: Final = 1 / 20  # RULES 7.2: 20 a second until the list was seen once
SLOW_S: Final = 1.0


class Scan:
    """A walk round the list. `looked` counts the entries it came by."""

    __slots__ = ("_fresh", "_position", "_ring", "_rng", "looked")

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._ring: list[Peer] = []
        self._position = 0
        self._fresh = 0  # the entries before this index were never visited, from _position on
        self.looked = 0

    def __len__(self) -> int:
        return len(self._ring)

    @property
    def fast(self) -> bool:
        """Is there a peer that was not visited yet?"""
        return self._position < self._fresh

    @property
    def pace_s(self) -> float:
        """Seconds to the next visit."""
        return FAST_S if self.fast else SLOW_S

    def set_list(self, gone: Sequence[Peer], new: Sequence[Peer]) -> None:
        """Leave out `gone`, visit `new` next. Work of the list's size; when it changes only."""
        leaving = {peer.address for peer in gone}
        unseen = [
            peer for peer in self._ring[self._position : self._fresh]
            if peer.address not in leaving
        ]  # fmt: skip
        waiting = {peer.address for peer in unseen}
        rest = [
            peer
            for peer in self._ring[self._position :] + self._ring[: self._position]
            if peer.address not in leaving and peer.address not in waiting
        ]
        self._ring = [*new, *unseen, *rest]
        self._position = 0
        self._fresh = len(new) + len(unseen)

    def visit(self, wanted: Callable[[Peer], bool], looks: int) -> Peer | None:
        """Return the next peer that is `wanted`, coming by at most `looks` entries."""
        ring = self._ring
        for _ in range(min(looks, len(ring))):
            end = self._fresh if self.fast else len(ring)
            other = self._rng.randrange(self._position, end)
            peer = ring[other]
            ring[other] = ring[self._position]
            ring[self._position] = peer
            self._step()
            self.looked += 1
            if wanted(peer):
                return peer
        return None

    def _step(self) -> None:
        self._position += 1
        if self._position == len(self._ring):
            self._position = 0
            self._fresh = 0
