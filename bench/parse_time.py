"""How long the worst bytes hold a loop: `python -m bench.parse_time`. Medians of 100.

The aim is at most 1 ms for 4 KiB and 5 ms for 64 KiB in the master's loop, which takes no more
than 4 KiB from a client in one datagram or message: 64 KiB come from slaves only. A read of a
connection may hold 115 queries, each with an aim of its own. What a nameserver sends is digested
in a slave, another process: its row tells what one such answer costs there, and holds
up that slave's other answers, not clients.
"""

import contextlib
import random
import statistics
import struct
from collections.abc import Callable
from time import perf_counter
from typing import Final

from codns.core.messages import Query, QueryReply, Status
from codns.core.model import Client, SendJob
from codns.core.node import Node
from codns.core.settings import Settings
from codns.core.vetting import vetted
from codns.peer.link import Link
from codns.wire.batch import Result
from codns.wire.digest import digest
from codns.wire.errors import WireError
from codns.wire.name import from_text
from codns.wire.outcome import Outcome
from codns.wire.tcp import Framer, frame

TIMES: Final = 100
QUESTION: Final = b"\3www\7example\0\0\1\0\1"
A, B = "192.0.2.1:7353", "192.0.2.2:7353"
A_RECORD: Final = b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\x041234"
TEXT_RECORD: Final = b"\xc0\x0c\0\x10\0\1\0\0\1\x2c\0\1\0"
ROOT: Final = b"\0\0\x10\0\1\0\0\1\x2c\0\0"  # the smallest record, of another name


def options(size: int) -> bytes:
    """A query with as many empty options as fit `size` octets."""
    room = size - 12 - len(QUESTION) - 11
    data = b"\xfd\xe9\0\0" * (room // 4)
    head = b"\0\7\1\0\0\1\0\0\0\0\0\1"
    return head + QUESTION + b"\0\0\x29\4\xd0\0\0\0\0" + len(data).to_bytes(2, "big") + data


def records(count: int, owner: bytes = b"\xc0\x0c", rtype: int = 1) -> bytes:
    rdata = b"1234" if rtype == 1 else b""
    head = b"\0\0\x81\x80\0\1" + struct.pack(">HHH", count, 0, 0)
    record = owner + struct.pack(">HHIH", rtype, 1, 300, len(rdata)) + rdata
    return head + QUESTION + record * count


def node() -> Node:
    return Node(Settings(nameservers=("192.0.2.53#53",), probe=False), random.Random(1), 0.0)


def client(number: int, transport: str = "udp") -> Client:
    kind = "tcp" if transport == "tcp" else "udp"
    return Client(kind, b"\x7f\0\0\1", number, lambda _: None)


def median(make: Callable[[int], Callable[[], object]]) -> float:
    """Seconds that `make(number)()` takes; making it is not counted."""
    times = []
    for number in range(TIMES):
        run = make(number)
        begun = perf_counter()
        run()
        times.append(perf_counter() - begun)
    return statistics.median(times)


def asked(wire: bytes) -> Callable[[int], Callable[[], object]]:
    def make(number: int) -> Callable[[], object]:
        one, who = node(), client(number)
        return lambda: one.cached(wire[2:], "udp", 0.0) or one.client_query(wire, who, 0.0)

    return make


def stream(data: bytes) -> Callable[[int], Callable[[], object]]:
    """What one read of a connection brings: framed, each message to the node."""

    def make(_: int) -> Callable[[], object]:
        one, framer = node(), Framer(4096)

        def run() -> None:
            for number, message in enumerate(framer.feed(data)):
                one.client_query(message, client(number, "tcp"), 0.0)

        return run

    return make


def answered(wire: bytes) -> Callable[[int], Callable[[], object]]:
    """A result of a slave, to its client: cached, aged, built."""

    def make(number: int) -> Callable[[], object]:
        one = node()
        query = b"\0\7\1\0\0\1\0\0\0\0\0\0" + QUESTION
        (job,) = [
            effect
            for effect in one.client_query(query, client(number, "tcp"), 0.0)
            if isinstance(effect, SendJob)
        ]
        d = digest(job.wire, job.wire[:2] + wire[2:])
        kept = (d.cacheable, d.soa, d.ancount, d.nscount, d.ttl, 0.004)
        done = Result(job.job, d.outcome, d.rcode, d.ad, *kept, d.body, d.offsets, d.derived)
        return lambda: one.job_done(done, 0.004)

    return make


def digested(wire: bytes) -> Callable[[int], Callable[[], object]]:
    query = b"\0\0\1\0\0\1\0\0\0\0\0\0" + QUESTION

    def run() -> None:
        with contextlib.suppress(WireError):
            digest(query, wire)

    return lambda _: run


def link(me: str, other: str) -> Link:
    rng = random.Random(me)
    settings = {"keys": [bytes(32)], "cluster": "x"}
    return Link(me, [other], boot=rng.randbytes(8), random=rng.randbytes, **settings)


def peered(*, forged: bool) -> Callable[[int], Callable[[], object]]:
    receiver, sender = link(A, B), link(B, A)

    def make(number: int) -> Callable[[], object]:
        message = Query(number, from_text("www.example."), 1, 1, False, False)
        (datagram,) = sender.seal(message, A, 0.0)
        if forged:
            datagram = (datagram + bytes(1232))[:1232]
        return lambda: receiver.receive(datagram, ("192.0.2.2", 7353), 0.0)

    return make


def replied(
    record: bytes, size: int, *, first: bytes = b""
) -> Callable[[int], Callable[[], object]]:
    """A peer's reply full of one record, `first` before it: all that is read of it."""
    count = (size - len(first)) // len(record)
    body, ancount = first + record * count, count + bool(first)
    reply = QueryReply(1, Status.ANSWER, Outcome.ANSWER, ancount=ancount, ttl=300, body=body)
    return lambda _: lambda: vetted(reply, QUESTION + b"\0")


def main() -> None:
    queries = b"".join(
        frame(number.to_bytes(2, "big") + b"\1\0\0\1\0\0\0\0\0\0" + b"\4%04d" % number + QUESTION)
        for number in range(115)
    )
    rows = {
        "master: datagram of 4 KiB, 1,000 options": (asked(options(4096)), 1.0),
        "master: 4 KiB of a stream, 115 lookups begun": (stream(queries[:4096]), 115.0),
        "master: answer of 4 KiB, 250 records": (answered(records(250)), 1.0),
        "master: answer of 64 KiB, 4,000 records": (answered(records(4000)), 5.0),
        "master: peer's datagram, unknown life": (peered(forged=False), 1.0),
        "master: peer's datagram of 1,232, forged": (peered(forged=True), 1.0),
        "master: peer's reply of one record": (replied(A_RECORD, 16), 1.0),
        "master: peer's reply of three records": (replied(A_RECORD, 48), 1.0),
        "master: peer's reply of 4 KiB, 256 records": (replied(A_RECORD, 4096), 1.0),
        "master: peer's reply of 4 KiB, off the chain": (replied(ROOT, 4096, first=A_RECORD), 1.0),
        "master: peer's reply of 12 parts, 875 records": (replied(A_RECORD, 14_000), 3.5),
        "master: peer's reply of 12 parts, off the chain": (
            replied(ROOT, 14_000, first=A_RECORD),
            3.5,
        ),
        "master: peer's reply of 12 parts, written anew": (
            replied(TEXT_RECORD, 14_000, first=ROOT + A_RECORD),
            3.5,
        ),
        "slave: answer of 4 KiB, 250 records": (digested(records(250)), 1.0),
        "slave: answer of 64 KiB, 4,000 records": (digested(records(4000)), 5.0),
        "slave: 64 KiB, 5,900 records off the chain": (
            digested(records(5900, b"\0", 16)),
            5.0,
        ),
    }
    for title, (make, aim) in rows.items():
        took = median(make) * 1000
        print(f"{title:46} {took:8.3f} ms   aim {aim:g} ms {'' if took <= aim else ' OVER'}")


if __name__ == "__main__":
    main()
