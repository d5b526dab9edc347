"""What goes in and out of `core.Node`: clients, effects, answers' sources."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from codns.core.messages import Message

Transport = Literal["udp", "tcp"]
Source = Literal["cache", "stale", "local", "peer", "special", "error"]

SOURCES: Final[tuple[Source, ...]] = ("cache", "stale", "local", "peer", "special", "error")


class Client:
    """Who waits for an answer.

    `transport` is "udp" or "tcp". `address` is the source address without its port, as bytes
    (what the per-address limit counts by). `key` tells this client's socket apart from any other
    (address and port, or the connection), so that the same query sent again is the same waiter.
    `reply` is the shell's: it takes the finished message. Core never calls it. `waited` is for how
    many seconds the query had lain in the shell when core was told of it: part of what its answer
    took, as the client sees it.
    """

    __slots__ = ("address", "key", "reply", "transport", "waited")

    def __init__(
        self,
        transport: Transport,
        address: bytes,
        key: object,
        reply: Callable[[bytes], None],
    ) -> None:
        self.transport = transport
        self.address = address
        self.key = key
        self.reply = reply
        self.waited = 0.0


class Answer(NamedTuple):
    """Send `wire` to `client`."""

    client: Client
    wire: bytes


class SendJob(NamedTuple):
    """Give a slave this exchange. `server` as "192.0.2.1#53"; `flags` of `wire.batch`."""

    job: int
    server: str
    flags: int
    timeout_s: float
    wire: bytes


@dataclass(slots=True)
class Note:
    """Tell the operator of a change of state, once (the shell logs it).

    `level` is a logging level's name in lower case; `event` a sentence without values, constant
    per kind, so that it can be searched for; `fields` the values.
    """

    level: Literal["info", "warning", "error"]
    event: str
    fields: dict[str, object]


class SendPeer(NamedTuple):
    """Send a message to a peer, named as it is listed."""

    peer: str
    message: Message


Effect = Answer | SendJob | Note | SendPeer
