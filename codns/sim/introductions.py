"""Who knows whose present life: the peer link's handshake, without its bytes (RULES 8.3).

A message of a life that the receiver does not know is dropped, and the sender is greeted with a
challenge; the echo of it makes the life known (`codns.peer.handshake` has the reasons). What it
costs is time, one and a half round trips after each start, and greetings may be lost as any
datagram. This follows its rules with two bits for the challenge and the echo in place of random
bytes: that nothing old is taken for new is the link's business, and tested there.
"""

from typing import Final, Protocol

from msgspec import Struct

from codns.core.messages import HeartbeatRequest, Message
from codns.peer.handshake import GREETING_S

UNKNOWN: Final = -1


class Greeting(Struct, array_like=True, frozen=True, gc=False, kw_only=True, tag=0):
    """A heartbeat of the link's own, without a message. `tag`: none of `core.messages` has it."""

    challenge: bool
    echo: bool


class Link(Protocol):
    """What carries greetings and is told of introductions."""

    def greet(self, source: int, target: int, greeting: Greeting) -> None:
        """A greeting leaves."""

    def introduced(self, node: int, peer: int) -> None:
        """`node` knows the present life of `peer` from now on."""


class Introductions:
    """What one life of a node knows of the others: their boots, by number of node."""

    __slots__ = ("_challenged", "_greeted", "_known", "_link", "_node")

    def __init__(self, link: Link, node: int) -> None:
        self._link = link
        self._node = node
        self._known: dict[int, int] = {}
        self._greeted: dict[int, float] = {}
        self._challenged: dict[int, int] = {}

    def knows(self, peer: int, boot: int) -> bool:
        """Is that life known here? Then whatever it says passes."""
        return self._known.get(peer, UNKNOWN) == boot

    def echoes(self, peer: int, boot: int) -> bool:
        """Does a heartbeat to that life carry the echo of its challenge?"""
        return self._challenged.get(peer, UNKNOWN) == boot

    def accepts(self, sender: int, boot: int, message: Message, now: float, *, echo: bool) -> bool:
        """May a message of that life pass? If not, it is greeted, once a second at most."""
        if self.knows(sender, boot):
            return True
        if echo and boot > self._known.get(sender, UNKNOWN):  # not a late one of a former life
            self._learn(sender, boot)
            self._link.introduced(self._node, sender)
            return True
        if now >= self._greeted.get(sender, -GREETING_S) + GREETING_S:
            self._greeted[sender] = now
            # A heartbeat to somebody unknown carries a challenge, which is echoed
            asked = isinstance(message, HeartbeatRequest)
            self._link.greet(self._node, sender, Greeting(challenge=True, echo=asked))
        return False

    def greeted(self, sender: int, boot: int, greeting: Greeting) -> None:
        """A greeting came."""
        if boot < self._known.get(sender, UNKNOWN):
            return  # a late one of a former life
        known = self.knows(sender, boot)
        news = greeting.echo and not known
        if news:
            self._learn(sender, boot)
        if greeting.challenge:
            self._challenged[sender] = boot
            reply = Greeting(challenge=not known and not news, echo=True)
            self._link.greet(self._node, sender, reply)
        if news:
            self._link.introduced(self._node, sender)

    def _learn(self, peer: int, boot: int) -> None:
        self._known[peer] = boot
        self._greeted.pop(peer, None)  # a thousand nodes have a million of these
