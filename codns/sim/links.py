"""Links between nodes: how long a message takes, or None if it is lost. For scenario tests.

A link is called with the numbers of source and target, the message, and the time it leaves at.
`network.Network` is one too, with distances, loss and partitions.
"""

from collections.abc import Callable, Sequence
from math import inf

from codns.core.messages import Message

Link = Callable[[int, int, Message, float], float | None]


def same(delay: float = 0.001) -> Link:
    """All ways take the same time; one way, so the round trip is twice that."""
    return lambda _source, _target, _message, _now: delay


def matrix(delays: Sequence[Sequence[float]]) -> Link:
    """Each way its own: `delays[source][target]`."""
    return lambda source, target, _message, _now: delays[source][target]


def cut(link: Link, groups: Sequence[Sequence[int]], since: float = 0.0, to: float = inf) -> Link:
    """Nothing passes between the groups from `since` until `to`."""
    group = {node: number for number, nodes in enumerate(groups) for node in nodes}

    def pass_on(source: int, target: int, message: Message, now: float) -> float | None:
        if since <= now < to and group.get(source) != group.get(target):
            return None
        return link(source, target, message, now)

    return pass_on


def losing(link: Link, lost: Callable[[int, int, Message, float], bool]) -> Link:
    """Lose what `lost` says: exactly these, for a test about one lost datagram."""

    def pass_on(source: int, target: int, message: Message, now: float) -> float | None:
        if lost(source, target, message, now):
            return None
        return link(source, target, message, now)

    return pass_on
