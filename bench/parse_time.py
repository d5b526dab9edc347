"""How long the worst bytes hold a loop: `python -m bench.parse_time [--all]`. Medians of 100.

The aim for what enters the master's loop: at most 1 ms for 4 KiB and 5 ms for 64 KiB. A client's
datagram or message has 4 KiB at most, a read of its connection 2; a peer's datagram has 1,232
octets, the last of twelve brings 14 KiB; 64 KiB come from slaves only. What a nameserver
sends is digested in a slave, another process: its rows tell what one such answer costs there, and
how long that slave's other answers wait.

A row is the dearest of its kinds; `--all` prints each.
"""

import statistics
import sys
from collections.abc import Iterator
from time import perf_counter
from typing import Final, NamedTuple

from bench import hostile, parse_peers
from bench import parse_cases as cases
from bench.parse_cases import TIMES, Case
from codns.wire.digest import digest
from codns.wire.errors import WireError

KIB_4, KIB_64 = 4096, 65535
AIM: Final = {KIB_4: 1.0, KIB_64: 5.0}  # ms


class Row(NamedTuple):
    title: str
    aim: float  # ms
    kinds: dict[str, Case]


def median(make: Case) -> float:
    """Milliseconds that `make(number)()` takes; making it is not counted."""
    times = []
    for number in range(TIMES):
        run = make(number)
        begun = perf_counter()
        run()
        times.append(perf_counter() - begun)
    return statistics.median(times) * 1000


def digested(wire: bytes) -> Case:
    query, first = cases.query_for(wire), wire[hostile.START - 3] == 255
    wire = query[:2] + wire[2:]

    def run() -> None:
        try:
            digest(query, wire, first_rrset=first)
        except WireError:
            return

    return lambda _: run


def cacheable(size: int) -> bytes:
    """As many records as are cached, in this many octets."""
    count = min(1024, (size - hostile.START) // 12)
    rdata = bytes(max(0, (size - hostile.START) // count - 12))
    return hostile.message([hostile.rr(hostile.HERE, hostile.TXT, rdata)] * count, qtype=16)


def clients() -> Iterator[Row]:
    root, deep = hostile.rr(b"\0", 16), hostile.rr(b"\1a" * 126 + b"\0", 16)
    yield Row(
        "a client's datagram of 4 KiB",
        1.0,
        {
            "1,000 options": cases.asked(cases.options()),
            "370 records behind the question": cases.asked(cases.extras(root)),
            "owners of 127 labels": cases.asked(cases.extras(deep)),
        },
    )
    yield Row(
        "a read of 2 KiB from a client's connection",
        1.0,
        {
            "107 lookups begun": cases.stream([cases.small(i) for i in range(200)]),
            "146 headers": cases.stream([cases.ASK[:12]] * 200),
        },
    )


def nameservers() -> Iterator[Row]:
    for size in (KIB_4, KIB_64):
        wires = {title: make(size) for title, make in hostile.ANSWERS.items()}
        kinds = {title: cases.answered(wire) for title, wire in wires.items()}
        kinds["1,024 records, cached"] = cases.answered(cacheable(size))
        yield Row(f"a slave's result, {size} octets, to a TCP client", AIM[size], kinds)
        wire = cacheable(size)
        yield Row(
            f"an answer of {size} octets, 1,024 waiters",
            AIM[size],
            {
                "over UDP": cases.answered(wire, transport="udp", waiters=1024),
                "over TCP": cases.answered(wire, waiters=1024),
            },
        )
        yield Row(
            f"a query for a cached answer of {size} octets",
            1.0,
            {
                "over UDP, too large": cases.served(wire, "udp", 5.0),
                "over TCP": cases.served(wire, "tcp", 5.0),
                "over UDP, renewed": cases.renewed(cacheable(1200)),
                "of a peer": parse_peers.peer_asks(wire),
                "of a peer, in 12 parts": parse_peers.peer_asks(cacheable(11_000)),
            },
        )
        yield Row(f"a stale answer of {size} octets", AIM[size], {"": cases.stale(wire)})


def peers() -> Iterator[Row]:
    yield Row(
        "a peer's datagram",
        1.0,
        {
            "of 1,232, forged": parse_peers.forged(size=1232),
            "too long": parse_peers.forged(size=4096),
            "of an unknown life": parse_peers.stranger(),
        },
    )
    one, off = hostile.rr(hostile.HERE, 1, b"1234"), hostile.rr(b"\0", 16)
    for size, aim in ((16, 1.0), (KIB_4, 1.0), (14_000, 3.5)):
        yield Row(
            f"a peer's answer of {size} octets is read",
            aim,
            {
                "addresses": parse_peers.read(one, size),
                "off the chain": parse_peers.read(off, size, first=one),
            },
        )
    yield Row(
        "a peer's last part of 12",
        1.0,
        {
            "1,000 records, to a TCP client": parse_peers.peer_answers(denial=False),
            "a denial of what exists here": parse_peers.peer_answers(denial=True),
            **{title: parse_peers.decoded(payload) for title, payload in parse_peers.insiders()},
        },
    )


def many_peers() -> Iterator[Row]:
    kinds = {"12 parts each": parse_peers.peers_wait(64)}
    yield Row("a slave's result for which 64 peers wait", 1.0, kinds)


def others() -> Iterator[Row]:
    line, host = b"GET /v1/status HTTP/1.1\r\n", b"Host: localhost\r\n\r\n"
    query = b"GET /v1/explain?" + b"a=%61&" * 1000 + b"a=1 HTTP/1.1\r\n" + host
    yield Row(
        "an HTTP or control request of 8 KiB",
        1.0,
        {
            "1,300 headers": parse_peers.requested(line + b"a:1\r\n" * 1300 + b"\r\n"),
            "120 headers": parse_peers.requested(line + b"a:1\r\n" * 120 + host),
            "a long target": parse_peers.requested(query),
            "60 chunks, an octet each": parse_peers.requested(
                b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                + b"1\r\na\r\n" * 60
                + b"0\r\n\r\n"
            ),
            "one header that is folded 120 times": parse_peers.requested(
                line + b"a: b\r\n" + b" c\r\n" * 120 + host
            ),
        },
    )


def slaves() -> Iterator[Row]:
    for size in (KIB_4, KIB_64):
        kinds = {title: digested(make(size)) for title, make in hostile.ANSWERS.items()}
        yield Row(f"in a slave: an answer of {size} octets", AIM[size], kinds)


def threads() -> Iterator[Row]:
    wires = [make(KIB_64) for make in hostile.ANSWERS.values()]
    row = {"a wait of 1 ms": parse_peers.meanwhile(wires)}
    yield Row("while a thread reads of peers' names", 2.0, row)


def main() -> None:
    every = "--all" in sys.argv
    for rows in (clients, nameservers, peers, many_peers, others, slaves, threads):
        cases.collector(*(cases.SLAVE if rows is slaves else cases.MASTER))
        for row in rows():
            took = {title: median(make) for title, make in row.kinds.items()}
            worst = max(took, key=took.__getitem__)
            for title, ms in took.items() if every else [(worst, took[worst])]:
                over = "OVER" if ms > row.aim else ""
                print(f"{row.title:48} {ms:8.3f} ms  aim {row.aim:g}  {over:4} {title}")


if __name__ == "__main__":
    main()
