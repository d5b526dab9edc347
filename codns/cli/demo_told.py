"""What the demo and its world (`demo_load`) say to each other: lines of JSON.

Apart from both, so that the one that draws does not have to load the other's nameservers.
"""

from typing import Final, NamedTuple

import msgspec

TELL_S: Final = 0.25  # as often as a screen is worth drawing
ANSWER: Final = "answer"
SILENCE: Final = "silence"  # for as long as a stub resolver has patience


class Spec(msgspec.Struct):
    """What to play."""

    seconds: float
    rate: float
    seed: int
    nodes: list[tuple[str, int]]  # where each is asked


class Done(NamedTuple):
    """A lookup that is over; seconds since the load began."""

    node: int
    at: float
    took: float
    outcome: str  # ANSWER, SILENCE, or a failure: "rcode 2"


class Looked(msgspec.Struct):
    """What came of the lookups lately."""

    at: float
    done: list[Done]
    waiting: list[list[float]]  # for each node, when those left that have no answer yet
    late: list[float]  # how late those left that left, seconds


class Told(msgspec.Struct, omit_defaults=True):
    """A line."""

    silent: tuple[float, bool] | None = None  # the sick nameserver fell silent, or is so no more
    looked: Looked | None = None
    end: bool = False
