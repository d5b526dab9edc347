"""Everything that enters the master's loop and was written by others, at its dearest.

A case is `make(number)`, which prepares and returns what is then timed: all that the loop does for
it but system calls, so parsing, deciding, storing, ageing, building answers, sealing.
"""

import gc
import random
import struct
from collections.abc import Callable
from typing import Any, Final

from bench import hostile
from codns.core.messages import (
    HeartbeatReply,
    HeartbeatRequest,
    Report,
)
from codns.core.model import Client, Effect, SendJob, SendPeer
from codns.core.node import Node
from codns.core.settings import PeerSettings, Settings
from codns.master.connection import RECEIVE_SIZE
from codns.slave.main import GC_THRESHOLD
from codns.wire.batch import FLAG_FIRST_RRSET, Result, pack_result, unpack_results
from codns.wire.digest import digest
from codns.wire.errors import WireError
from codns.wire.outcome import Outcome
from codns.wire.tcp import Framer, frame

MASTER: Final = (0,)  # between turns (`master.garbage`), not within one
SLAVE: Final = (GC_THRESHOLD, 10, 10)

Timed = Callable[[], object]
Case = Callable[[int], Timed]

QUESTION: Final = hostile.NAME + b"\0\1\0\1"
ASK: Final = b"\0\7\1\0\0\1\0\0\0\0\0\0" + QUESTION
ME, PEER = "192.0.2.1:7353", "192.0.2.2:7353"
SERVER: Final = "192.0.2.53#53"
TIMES: Final = 100


# -- the surroundings --------------------------------------------------------------------------


def client(number: int, transport: str = "udp") -> Client:
    kind = "tcp" if transport == "tcp" else "udp"
    return Client(kind, b"\x7f\0\0\1", number, lambda _: None)


def report(server: bytes) -> Report:
    return Report(0.004, False, False, (server,), 0, 32, "bench")


def node(**settings: Any) -> Node:
    """A node with a peer that is near and well: what an answer teaches is learned, too."""
    made = {"probe": False, "peers": PeerSettings(ME), "race_delay_s": 0.01, **settings}
    one = Node(Settings(nameservers=(SERVER,), **made), random.Random(1), 0.0)
    heartbeats(one, one.set_peers([ME, PEER], 0.0) + one.start(0.0), 0.0)
    for now in (0.5, 1.0, 2.5, 4.5, 6.5):
        heartbeats(one, one.handle_timeout(now), now)
    return one


def heartbeats(one: Node, effects: list[Effect], now: float) -> None:
    for effect in effects:
        if isinstance(effect, SendPeer) and isinstance(effect.message, HeartbeatRequest):
            reply = HeartbeatReply(effect.message.token, False, report(b"nameserv"))
            one.peer_message(reply, effect.peer, now + 0.001)


BEGIN: Final = 7.0  # the time by which the peer is known


def job_of(effects: list[Effect]) -> SendJob:
    (job,) = [effect for effect in effects if isinstance(effect, SendJob)]
    return job


def told(job: SendJob, wire: bytes) -> bytes:
    """The frame a slave sends of this answer."""
    first = job.flags & FLAG_FIRST_RRSET != 0
    try:
        d = digest(job.wire, job.wire[:2] + wire[2:], first_rrset=first)
    except WireError:
        empty = (False, False, False, 0, 0, 0, 0.004, b"", b"", b"")
        return pack_result(Result(job.job, Outcome.FORMERR, 0, *empty))
    kept = (d.ad, d.cacheable, d.soa, d.ancount, d.nscount, d.ttl, 0.004)
    return pack_result(Result(job.job, d.outcome, d.rcode, *kept, d.body, d.offsets, d.derived))


def query_for(wire: bytes) -> bytes:
    return ASK[:12] + wire[12 : hostile.START]


# -- clients -----------------------------------------------------------------------------------


def asked(wire: bytes, transport: str = "udp") -> Case:
    def make(number: int) -> Timed:
        one, who = node(), client(number, transport)
        return lambda: (
            one.cached(wire[2:], who.transport, BEGIN) or one.client_query(wire, who, BEGIN)
        )

    return make


def opt(data: bytes = b"") -> bytes:
    return b"\0\0\x29\4\xd0\0\0\0\0" + len(data).to_bytes(2, "big") + data


def options() -> bytes:
    """A query with as many empty options as fit 4 KiB."""
    room = 4096 - len(ASK) - 11
    return ASK[:11] + b"\1" + QUESTION + opt(b"\xfd\xe9\0\0" * (room // 4))


def extras(record: bytes) -> bytes:
    """A query with records behind it, an OPT last: read, then refused, then read for the OPT."""
    count = (4096 - len(ASK) - 11) // len(record)
    counts = struct.pack(">HHH", 0, 0, count + 1)
    return ASK[:6] + counts + QUESTION + record * count + opt() + b"\0"


def stream(messages: list[bytes]) -> Case:
    """What one read of a connection brings: framed, each message to the node."""
    data = b"".join(map(frame, messages))[:RECEIVE_SIZE]

    def make(_: int) -> Timed:
        one, framer = node(), Framer(4096)

        def run() -> None:
            for number, message in enumerate(framer.feed(data)):
                tail = one.cached(message[2:], "tcp", BEGIN)
                if tail is None:
                    one.client_query(message, client(number, "tcp"), BEGIN)

        return run

    return make


def small(number: int) -> bytes:
    return (
        number.to_bytes(2, "big") + ASK[2:12] + b"\1" + number.to_bytes(1, "big") + b"\0\0\1\0\1"
    )


# -- nameservers -------------------------------------------------------------------------------


def answered(wire: bytes, *, transport: str = "tcp", waiters: int = 1, age: float = 0.004) -> Case:
    """A result of a slave: unpacked, stored, learned from, given to who waits."""
    query = query_for(wire)

    def make(number: int) -> Timed:
        one = node()
        job = job_of(one.client_query(query, client(number, transport), BEGIN))
        for other in range(1, waiters):
            one.client_query(
                other.to_bytes(2, "big") + query[2:], client(number, transport), BEGIN
            )
        data = told(job, wire)

        def run() -> None:
            results: list[Result] = []
            unpack_results(data, 0, results)
            for result in results:
                one.job_done(result, BEGIN + age)

        return run

    return make


def stored(wire: bytes, **settings: Any) -> Node:
    """A node that has this answer in its cache since BEGIN."""
    one = node(**settings)
    query = query_for(wire)
    job = job_of(one.client_query(query, client(0, "tcp"), BEGIN))
    results: list[Result] = []
    unpack_results(told(job, wire), 0, results)
    one.job_done(results[0], BEGIN)
    return one


def served(wire: bytes, transport: str, age: float) -> Case:
    """An answer of many records out of the cache, `age` seconds old."""
    query = query_for(wire)[:11] + b"\1" + wire[12 : hostile.START] + opt()
    one = stored(wire)

    def make(number: int) -> Timed:
        now = BEGIN + age + number * 0.001
        who = client(number, transport)
        return lambda: (
            one.cached(query[2:], who.transport, now) or one.client_query(query, who, now)
        )

    return make


def renewed(wire: bytes) -> Case:
    """A finished answer of UDP's size, aged anew for a new second."""
    query = query_for(wire)[:11] + b"\1" + wire[12 : hostile.START] + opt()
    one = stored(wire)
    one.client_query(query, client(1), BEGIN + 0.5)

    def make(number: int) -> Timed:
        now = BEGIN + 1.5 + number
        return lambda: one.cached(query[2:], "udp", now)

    return make


def stale(wire: bytes) -> Case:
    """An expired answer, given as no nameserver answers."""
    query = query_for(wire)

    def make(number: int) -> Timed:
        one = stored(wire, peers=None)
        now = BEGIN + 400
        one.client_query(query, client(number, "tcp"), now)
        for late in (0.2, 0.6, 1.0, 1.4, 1.7):
            one.handle_timeout(now + late)
        return lambda: one.handle_timeout(now + 1.9)

    return make


def collector(*thresholds: int) -> None:
    """Set the garbage collector as the daemon and its slaves do."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*thresholds)
