"""Asking much at once, and comparing what came back.

`exchange` is a client without retransmissions: what is lost is lost and shows. `seen` makes a
message comparable: everything a forwarder has to hand on, in order, with names in lower case.
"""

import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import dns.flags
import dns.message
import dns.rdata
import dns.rrset

WINDOW = 64  # outstanding; loopback buffers hold far more
WAIT_S_MAX = 6.0  # for one answer: a stub gives up after 5 s


class SilenceError(Exception):
    """Some queries got no answer."""


def framed(wire: bytes) -> bytes:
    """For TCP (RFC 1035 4.2.2)."""
    return len(wire).to_bytes(2, "big") + wire


def exchange(
    address: tuple[str, int], wires: Sequence[bytes], transport: str, window: int = WINDOW
) -> list[bytes]:
    """The answers to `wires`, in their order, over one socket, `window` in flight."""
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.connect(address)
        sock.setblocking(False)
        return Exchange(sock, wires, window, stream=transport == "tcp").run()


class Exchange:
    """One run of `exchange`. Ids are positions in the list, so answers may come in any order."""

    def __init__(
        self, sock: socket.socket, wires: Sequence[bytes], window: int, *, stream: bool
    ) -> None:
        assert len(wires) <= 0x10000
        self.sock, self.wires, self.window, self.stream = sock, wires, window, stream
        self.answers: list[bytes | None] = [None] * len(wires)
        self.next = self.done = 0
        self.out = b""
        self.inbound = b""
        self.order: list[int] = []  # positions as they were answered

    def run(self) -> list[bytes]:
        with selectors.DefaultSelector() as selector:
            selector.register(self.sock, selectors.EVENT_READ)
            patience = time.monotonic() + WAIT_S_MAX
            while self.done < len(self.wires):
                self.send()
                events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.out else 0)
                selector.modify(self.sock, events)
                before = self.done
                for _, ready in selector.select(max(0, patience - time.monotonic())):
                    if ready & selectors.EVENT_READ:
                        self.receive()
                if self.done > before:
                    patience = time.monotonic() + WAIT_S_MAX
                elif time.monotonic() > patience:
                    lost = [i for i in range(self.next) if self.answers[i] is None]
                    raise SilenceError(f"no answer to {len(lost)} queries: {lost[:20]}")
        return [answer for answer in self.answers if answer is not None]

    def send(self) -> None:
        while self.next < len(self.wires) and self.next - self.done < self.window:
            wire = self.next.to_bytes(2, "big") + self.wires[self.next][2:]
            self.next += 1
            if self.stream:
                self.out += framed(wire)
            else:
                self.sock.send(wire)
        if self.out:
            try:
                self.out = self.out[self.sock.send(self.out) :]
            except BlockingIOError:
                return

    def receive(self) -> None:
        for message in self.messages():
            position = int.from_bytes(message[:2], "big")
            assert self.answers[position] is None, "answered twice"
            self.answers[position] = message
            self.order.append(position)
            self.done += 1

    def messages(self) -> Iterator[bytes]:
        if not self.stream:
            try:
                while True:
                    yield self.sock.recv(65535)
            except BlockingIOError:
                return
        data = self.sock.recv(1 << 20)
        if not data:
            raise SilenceError(f"connection closed after {self.done} of {len(self.wires)} answers")
        self.inbound += data
        while len(self.inbound) >= 2:
            end = 2 + int.from_bytes(self.inbound[:2], "big")
            if len(self.inbound) < end:
                return
            yield self.inbound[2:end]
            self.inbound = self.inbound[end:]


class Record(NamedTuple):
    """One resource record without its TTL."""

    owner: str
    rclass: int
    rtype: int
    rdata: bytes


class Seen(NamedTuple):
    """A response, comparable. `flags` holds TC, AD and CD only: the others are checked apart."""

    rcode: int
    flags: int
    answer: list[Record]
    authority: list[Record]


class Parsed(NamedTuple):
    """A response and what is compared by other rules than equality."""

    seen: Seen
    ttls: list[int]
    message: dns.message.Message


def parse(wire: bytes) -> Parsed:
    """A message that is well-formed to dnspython, trailing bytes excluded."""
    return parse_tail(wire[2:])


@lru_cache(8192)  # a hit mostly has the very bytes of the answer before
def parse_tail(tail: bytes) -> Parsed:
    """`parse` without the id."""
    message = dns.message.from_wire(b"\0\0" + tail, one_rr_per_rrset=True)
    answer, authority = message.answer, message.authority
    flags = int(message.flags) & (dns.flags.TC | dns.flags.AD | dns.flags.CD)
    seen = Seen(int(message.rcode()), flags, records(answer), records(authority))
    return Parsed(seen, [rrset.ttl for rrset in (*answer, *authority)], message)


def records(rrsets: Sequence[dns.rrset.RRset]) -> list[Record]:
    """Names in lower case: compression may take a name's case from the question."""
    return [
        Record(
            rrset.name.to_text().lower(),
            int(rrset.rdclass),
            int(rrset.rdtype),
            next(iter(rrset)).to_digestable() if len(rrset) else b"",
        )
        for rrset in rrsets
    ]
