"""The lookups that took long lately: the first thing an operator asks for.

Only what clients waited for, however it ended. The list is short and the oldest leave: it tells
what is slow now, not what was slowest ever. Names are in it, so who may see it is for the shell to
decide.
"""

from typing import Final, NamedTuple

from codns.core.model import Source

SLOW_S: Final = 0.1  # what a person notices; the paper's figure 2 begins there too
KEPT_MAX: Final = 64  # some seconds of a node in trouble; a screen shows 20


class Slow(NamedTuple):
    """One of them: `ended` on the node's clock, how long its first client waited."""

    ended: float
    key: bytes
    source: Source
    took_s: float
