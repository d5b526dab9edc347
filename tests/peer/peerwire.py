"""Links in virtual time: a wire between them that tests can bend, and messages to send."""

import heapq
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from codns.core.messages import (
    HeartbeatReply,
    HeartbeatRequest,
    Message,
    Query,
    QueryReply,
    Report,
    Status,
)
from codns.peer.address import parse
from codns.peer.link import Link, Received
from codns.wire.name import from_text
from codns.wire.outcome import Outcome

A, B, C = "192.0.2.1:7353", "192.0.2.2:7353", "[2001:db8::3]:7353"
ALL = [A, B, C]
KEY, OTHER_KEY = bytes(range(32)), bytes(range(100, 132))
REPORT = Report(0.004, False, True, (b"nameserv",), 3, 32, "0.1.0")
DELAY = 0.010  # one way


def query(serial: int, text: str = "www.example.com.") -> Query:
    return Query(serial, from_text(text), 1, 1, False, False)


def answer(serial: int, size: int = 16) -> QueryReply:
    body = (b"\xc0\x0c\0\x01\0\x01\0\0\x01\x2c\0\x04\xc0\0\x02\x01" * (size // 16 + 1))[:size]
    offsets = b"\x06\0" if size >= 16 else b""
    return QueryReply(
        serial, Status.ANSWER, Outcome.ANSWER, 0, False, False, 300, 1, 0, body, offsets
    )


def heartbeat(token: int) -> HeartbeatRequest:
    return HeartbeatRequest(token, True, REPORT)


def source(address: str) -> tuple[str, int]:
    there = parse(address)
    return there.host, there.port


def link(address: str, seed: object = 0, **changes) -> Link:
    """A link of a new life: other seeds, other boots."""
    random = Random(f"{address} {seed}")
    settings = {"keys": [KEY], "cluster": "default", "boot": random.randbytes(8)} | changes
    peers = settings.pop("peers", ALL)
    return Link(address, peers, random=random.randbytes, **settings)


def acquainted(*links: Link, now: float = 0.0) -> None:
    """Let links of A, B (and C) learn each other's lives, in no time."""
    names = ALL[: len(links)]
    nodes = dict(zip(names, links, strict=True))
    for me in names:
        for other in names:
            if me != other:
                exchange(nodes, me, other, nodes[me].seal(heartbeat(1), other, now), now)


def exchange(nodes, sender: str, receiver: str, datagrams: list[bytes], now: float) -> None:
    """Deliver at once, reactions too."""
    for datagram in datagrams:
        got = nodes[receiver].receive(datagram, source(sender), now)
        if got is not None:
            exchange(nodes, receiver, sender, got.datagrams, now)


def sealed(sender: Link, receiver: str, body: bytes) -> bytes:
    """Any body at all under the cluster's seal, behind the right names."""
    peer = sender._peers[receiver]
    return sender._keyring.seal(peer.outgoing + body, bytes(24))


class Sent(NamedTuple):
    at: float
    sender: str
    receiver: str
    datagram: bytes


class Got(NamedTuple):
    at: float
    sender: str
    receiver: str
    message: Message


class Wire:
    """Nodes that answer heartbeats and greet at once whom they have just come to know.

    `fate(sent)` returns the delays after which copies of a datagram arrive: none is a loss.
    `sent`, `got` and `learned` ((time, who, whom)) are the transcript.
    """

    def __init__(self, nodes: dict[str, Link], fate: Callable[[Sent], list[float]] | None = None):
        self.nodes = nodes
        self.fate = fate or (lambda _: [DELAY])
        self.now = 0.0
        self.sent: list[Sent] = []
        self.got: list[Got] = []
        self.learned: list[tuple[float, str, str]] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0

    def at(self, when: float, action: Callable[[], None]) -> None:
        self._serial += 1
        heapq.heappush(self._events, (when, self._serial, action))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, action = heapq.heappop(self._events)
            action()
        self.now = until

    def send(self, sender: str, receiver: str, message: Message) -> None:
        self.put(sender, receiver, self.nodes[sender].seal(message, receiver, self.now))

    def beat(self, sender: str, receiver: str) -> None:
        self._serial += 1
        self.send(sender, receiver, heartbeat(self._serial))

    def put(self, sender: str, receiver: str, datagrams: list[bytes]) -> None:
        for datagram in datagrams:
            sent = Sent(self.now, sender, receiver, datagram)
            self.sent.append(sent)
            for delay in self.fate(sent):
                self.at(self.now + delay, lambda sent=sent: self.arrive(sent))

    def arrive(self, sent: Sent) -> Received | None:
        """Deliver `sent` now, from where it claims to be from."""
        me = sent.receiver
        received = self.nodes[me].receive(sent.datagram, source(sent.sender), self.now)
        if received is None:
            return None
        self.put(me, received.peer, received.datagrams)
        message = received.message
        if message is not None:
            self.got.append(Got(self.now, received.peer, me, message))
        if isinstance(message, HeartbeatRequest):
            self.send(me, received.peer, HeartbeatReply(message.token, False, REPORT))
        if received.learned:
            self.learned.append((round(self.now, 6), me, received.peer))
            self.beat(me, received.peer)
        return received

    def replies(self, to: str) -> list[float]:
        return [
            round(got.at, 6)
            for got in self.got
            if got.receiver == to and isinstance(got.message, HeartbeatReply)
        ]
