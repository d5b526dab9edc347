"""What enters the master's loop from peers, over HTTP, and about peers' names, at its dearest.

See `parse_cases`.
"""

import contextlib
import random
import select
import struct
import sys
import threading
from collections.abc import Iterator
from typing import Any, Final

import dns.exception
import dns.message
import trio

from bench import hostile
from bench.parse_cases import (
    ASK,
    BEGIN,
    ME,
    PEER,
    TIMES,
    Case,
    Timed,
    client,
    job_of,
    node,
    report,
    stored,
    told,
)
from codns.core.messages import HeartbeatRequest, Query, QueryReply, Status
from codns.core.model import SendJob, SendPeer
from codns.core.node import Node
from codns.core.vetting import vetted
from codns.master.asking import _parsed
from codns.master.daemon import _SWITCH_S
from codns.master.http_connection import HttpConnection, HttpLimits, Turns
from codns.master.http_guard import check
from codns.master.http_message import Request, Response
from codns.peer.codec import PeerError, decode, encode
from codns.peer.link import Link
from codns.peer.parts import split
from codns.wire.batch import Result, unpack_results
from codns.wire.const import RECORDS_MAX, UDP_SIZE_MAX
from codns.wire.outcome import Outcome


def link(me: str, other: str, seed: int = 0) -> Link:
    rng = random.Random(f"{me} {seed}")
    made = {"keys": [bytes(32)], "cluster": "x"}
    return Link(me, [other], boot=rng.randbytes(8), random=rng.randbytes, **made)


HOST: Final = {ME: ("192.0.2.1", 7353), PEER: ("192.0.2.2", 7353)}


def greeted() -> tuple[Link, Link]:
    """Two ends that know each other."""
    near, far = link(ME, PEER), link(PEER, ME)
    pairs = [(near, far, datagram, PEER) for datagram in far.seal(beat(1), ME, 0.0)]
    while pairs:
        receiver, sender, datagram, source = pairs.pop()
        got = receiver.receive(datagram, HOST[source], 0.0)
        back = PEER if source == ME else ME
        pairs += [(sender, receiver, each, back) for each in (got.datagrams if got else [])]
    return near, far


def beat(token: int) -> HeartbeatRequest:
    return HeartbeatRequest(token, True, report(b"nameserv"))


def forged(*, size: int) -> Case:
    near, far = greeted()

    def make(number: int) -> Timed:
        (datagram,) = far.seal(beat(number), ME, 0.0)
        datagram = (datagram + bytes(size))[:size]
        return lambda: near.receive(datagram, HOST[PEER], 0.0)

    return make


def stranger() -> Case:
    """Sealed by another life of the peer, which is then challenged."""

    def make(number: int) -> Timed:
        near, far = link(ME, PEER), link(PEER, ME, number)
        (datagram,) = far.seal(beat(number), ME, 0.0)
        return lambda: near.receive(datagram, HOST[PEER], 0.0)

    return make


def many_records(size: int) -> tuple[bytes, bytes, int]:
    """A body of as many records as may be kept, and where their TTLs are."""
    count = min(RECORDS_MAX, size // 12)
    offsets = struct.pack(f"<{count}H", *range(6, 12 * count, 12))
    return hostile.rr(hostile.HERE, 1) * count, offsets, count


def reply(ident: int, *, denial: bool = False) -> QueryReply:
    """The longest an insider can send."""
    body, offsets, count = many_records(11_000)
    outcome = Outcome.NXDOMAIN if denial else Outcome.ANSWER
    counts = (0, count) if denial else (count, 0)
    rcode = 3 if denial else 0
    return QueryReply(
        ident, Status.ANSWER, outcome, rcode, False, denial, 3600, *counts, body, offsets
    )


def read(record: bytes, size: int, *, first: bytes = b"") -> Case:
    """A peer's answer full of one record, `first` before it, read as a nameserver's is."""
    count = (size - len(first)) // len(record)
    body, ancount = first + record * count, count + bool(first)
    said = QueryReply(1, Status.ANSWER, Outcome.ANSWER, ancount=ancount, ttl=300, body=body)
    key = hostile.NAME + b"\0\1\0\1\0"
    return lambda _: lambda: vetted(said, key)


def remote_asked(one: Node, number: int, now: float) -> tuple[int, SendJob]:
    """A client's lookup that has gone to the peer: the id of that query, and the local job."""
    job = job_of(one.client_query(ASK, client(number, "tcp"), now))
    for late in (0.01, 0.03, 0.06, 0.1, 0.2):
        for effect in one.handle_timeout(now + late):
            if isinstance(effect, SendPeer) and isinstance(effect.message, Query):
                return effect.message.id, job
    raise RuntimeError("the peer was not asked")


def peer_answers(*, denial: bool) -> Case:
    """The last part of a reply in 12 parts: opened, put together, decoded, stored, given.

    A denial comes after our own nameserver has said that the name exists: what differs is learned.
    """

    def make(number: int) -> Timed:
        near, far = greeted()
        one = node()
        ident, job = remote_asked(one, number, BEGIN)
        *first, last = far.seal(reply(ident, denial=denial), ME, BEGIN)
        for datagram in first:
            near.receive(datagram, HOST[PEER], BEGIN)
        if denial:
            results: list[Result] = []
            wire = hostile.message([hostile.rr(hostile.HERE, 1, b"\xc6\x33\x64\1")])
            unpack_results(told(job, wire), 0, results)
            one.job_done(results[0], BEGIN + 0.2)

        def run() -> None:
            received = near.receive(last, HOST[PEER], BEGIN)
            assert received is not None
            assert received.message is not None
            one.peer_message(received.message, PEER, BEGIN + 0.21)

        return run

    return make


def peer_asks(wire: bytes) -> Case:
    """A query of a peer for an answer in the cache: aged, encoded, sealed in parts."""
    one = stored(wire)
    near, far = greeted()
    name = hostile.NAME
    qtype = int.from_bytes(wire[hostile.START - 4 : hostile.START - 2], "big")

    def make(number: int) -> Timed:
        (datagram,) = far.seal(Query(number, name, qtype, 1, False, False), ME, BEGIN)

        def run() -> None:
            received = near.receive(datagram, HOST[PEER], BEGIN)
            assert received is not None
            assert received.message is not None
            for effect in one.peer_message(received.message, PEER, BEGIN + 5):
                if isinstance(effect, SendPeer):
                    with contextlib.suppress(PeerError):
                        near.seal(effect.message, PEER, BEGIN)

        return run

    return make


def peers_wait(count: int) -> Case:
    """A result for which so many peers wait: encoded and sealed for each, in as many parts."""
    body, offsets, records = many_records(11_000)
    peers = [f"192.0.2.{number}:7353" for number in range(2, count + 2)]

    def make(number: int) -> Timed:
        one = node()
        near = Link(ME, peers, keys=[bytes(32)], cluster="x", boot=bytes(8), random=rng.randbytes)
        job = None
        for ident, peer in enumerate(peers):
            asked = Query(number * 64 + ident, hostile.NAME, hostile.TXT, 1, False, False)
            for effect in one.peer_message(asked, peer, BEGIN):
                job = effect if isinstance(effect, SendJob) else job
        assert job is not None
        kept = (True, False, records, 0, 300, 0.004, body, offsets, b"")
        result = Result(job.job, Outcome.ANSWER, 0, False, *kept)

        def run() -> None:
            sent = 0
            for effect in one.job_done(result, BEGIN + 0.004):
                if isinstance(effect, SendPeer):
                    sent += len(near.seal(effect.message, effect.peer, BEGIN))
            assert sent >= 10

        return run

    rng = random.Random(2)
    return make


def insiders() -> Iterator[tuple[str, bytes]]:
    """Payloads under the seal that are no messages, of the size that 12 parts hold."""
    room = 12_000
    yield "arrays in arrays", b"\x9c\3" + b"\x91" * room
    yield "12,000 empty arrays behind it", encode(beat(1))[:1] + b"\1" + b"\x90" * room
    tail = b"\xdd" + (room).to_bytes(4, "big") + b"\xc0" * room
    yield "a field of 12,000 nils", b"\x94" + encode(beat(1))[1:] + tail
    keys = b"".join(b"\xa3%03d\xc0" % (i % 1000) for i in range(room // 5))
    tail = b"\xdf" + (room // 5).to_bytes(4, "big") + keys
    yield "a field that is a map of 2,400", b"\x94" + encode(beat(1))[1:] + tail


def decoded(payload: bytes) -> Case:
    split(payload, UDP_SIZE_MAX - 150)  # it fits 12 parts

    def run() -> None:
        with contextlib.suppress(PeerError):
            decode(payload)

    return lambda _: run


# -- HTTP, the list of peers -------------------------------------------------------------------


class Pieces:
    """A stream that brings these bytes, as many at a time as a read takes, and takes all."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def receive_some(self, size: int) -> bytes:
        piece, self._data = self._data[:size], self._data[size:]
        return piece

    async def send_all(self, _data: bytes) -> None:
        pass

    async def send_eof(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


def requested(data: bytes) -> Case:
    """All that a connection does with these bytes, to its end: trio's 0.1 ms is in it."""

    async def serve() -> None:
        def nothing(_request: Request) -> Response:
            return Response(200, "text/plain", b"")

        def guard(headers: list[tuple[bytes, bytes]]) -> None:
            check(headers, "127.0.0.1", ())

        stream: Any = Pieces(data)
        made = {"limits": HttpLimits(), "turns": Turns(), "failed": lambda _error, _request: None}
        await HttpConnection(stream, nothing, guard, **made).run()

    return lambda _: lambda: trio.run(serve)


def meanwhile(wires: list[bytes]) -> Case:
    """A wait of 1 ms, as the loop waits, while a thread reads answers about peers' names."""
    sys.setswitchinterval(_SWITCH_S)
    stop = False

    def read() -> None:
        while not stop:
            for wire in wires:
                with contextlib.suppress(ValueError, dns.exception.DNSException):
                    _parsed(dns.message.make_query("www.example.", "A", id=7), b"\0\7" + wire[2:])

    def make(number: int) -> Timed:
        nonlocal stop
        if number == 0:
            threading.Thread(target=read, daemon=True).start()
        stop = number == TIMES - 1
        return lambda: poller.poll(0.001)

    poller = select.epoll()
    return make
