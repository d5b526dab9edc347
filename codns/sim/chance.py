"""Chance that follows from what it is for, and not from what happened before.

Two policies ask a nameserver the same things at different times and in different order. Were its
answers drawn one after the other, the first difference would change everything behind it, and two
policies could be compared over thousands of lookups only. So each query's luck follows from
(nameserver, name, how often it was asked there): what differs then is what the policies do.
"""

from hashlib import blake2b
from statistics import NormalDist
from struct import Struct
from typing import Final

_NUMBERS: Final = Struct("<8Q").unpack
_SCALE: Final = 2.0**-64
_FLOOR: Final = 2.0**-65  # the normal distribution has no value for 0
_normal: Final = NormalDist().inv_cdf


class Chance:
    """Numbers drawn for one purpose, told by bytes."""

    __slots__ = ("_block", "_left", "_purpose")

    def __init__(self, purpose: bytes) -> None:
        self._purpose = purpose
        self._block = 0
        self._left: list[int] = []

    def random(self) -> float:
        """Return a number from 0 to 1, evenly."""
        if not self._left:
            block = self._block.to_bytes(2, "little")
            self._block += 1
            self._left = list(_NUMBERS(blake2b(self._purpose, salt=block).digest()))
        return self._left.pop() * _SCALE

    def gauss(self, mu: float, sigma: float) -> float:
        """Return a number of a normal distribution."""
        return mu + sigma * _normal(min(self.random() + _FLOOR, 1 - 2.0**-53))
