"""The sites' nameservers: one process, an address for each, well until told otherwise.

`python -m bench.chaos.nameservers ADDRESS...` prints `ready`, then reads lines `SITE MODE`:

  well            an answer after 4 ms in the median, log-normal; names as in bench/masking
  silent          none
  closed          the ports are closed: the kernel says ICMP port unreachable, or resets
  random          as many random bytes as the answer has
  cut             the answer, cut off somewhere behind its header
  wrong-id        the answer to another id
  wrong-question  the answer to another question
  pointers        the answer's owner name is a compression pointer to itself
  huge            64 KiB of address records, as many as a datagram carries

Over TCP it answers when it is well and closes the connection when it is not. A name that begins
with `private` has a private address (10.0.0.1): codns learns from it that its zone is private.
"""

import heapq
import math
import random
import select
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from statistics import NormalDist
from typing import Any, Final

from bench.masking.emulator import MEDIAN_S, SIGMA, A, Query, answer, record
from bench.masking.load import traits

PORT: Final = 53
BUFFER: Final = 1 << 21  # a burst of datagrams must wait, not vanish
DATAGRAM_SIZE: Final = 65_507  # what UDP over IPv4 carries
TCP_S: Final = 1.0  # one exchange; the loop waits for it
WELL, SILENT, CLOSED = "well", "silent", "closed"
PRIVATE: Final = b"\7private"
PRIVATE_ADDRESS: Final = bytes((10, 0, 0, 1))
NORMAL: Final = NormalDist()

Spoil = Callable[[Query, bytes, random.Random], bytes]


def _wrong_question(query: Query, _: bytes, chance: random.Random) -> bytes:
    label = bytes((5, *(chance.randrange(97, 123) for _ in range(5))))
    qname = label + query.qname
    other = query.wire[:12] + qname + query.wire[12 + len(query.qname) :]
    asked = Query.parse(other)
    assert asked is not None
    return answer(asked, traits(qname))


def _pointers(query: Query, whole: bytes, _: random.Random) -> bytes:
    itself = (0xC000 | query.end).to_bytes(2, "big")
    return whole[: query.end] + itself + whole[query.end + 2 :]


def _huge(query: Query, whole: bytes, _: random.Random) -> bytes:
    one = record(b"\xc0\x0c", A, 300, PRIVATE_ADDRESS)
    count = (DATAGRAM_SIZE - query.end) // len(one)
    counts = b"\0\1" + count.to_bytes(2, "big") + bytes(4)
    return whole[:4] + counts + whole[12 : query.end] + one * count


GARBAGE: Final[dict[str, Spoil]] = {
    "random": lambda _, whole, chance: chance.randbytes(len(whole)),
    "cut": lambda _, whole, chance: whole[: chance.randrange(13, len(whole))],
    "wrong-id": lambda _, whole, chance: bytes((whole[0] ^ 1, chance.randrange(256))) + whole[2:],
    "wrong-question": _wrong_question,
    "pointers": _pointers,
    "huge": _huge,
}


def respond(wire: bytes, mode: str, chance: random.Random) -> bytes | None:
    """What a nameserver says in this mode; None: nothing."""
    query = Query.parse(wire)
    if query is None or mode == SILENT:
        return None
    found = traits(query.qname)
    if query.qname.startswith(PRIVATE):
        found = found._replace(address=PRIVATE_ADDRESS)
    whole = answer(query, found)
    return GARBAGE[mode](query, whole, chance) if mode in GARBAGE else whole


class Nameserver:
    """One of them. Its sockets are there unless it is `closed`."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.mode = WELL
        self.udp: socket.socket
        self.tcp: socket.socket
        self.open()

    def open(self) -> None:
        """Bind."""
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        self.udp.bind((self.host, PORT))
        self.udp.setblocking(False)
        self.tcp = socket.create_server((self.host, PORT), backlog=512)

    def turn(self, mode: str) -> None:
        """Be so from now on."""
        if mode == CLOSED and self.mode != CLOSED:
            self.udp.close()
            self.tcp.close()
        elif mode != CLOSED and self.mode == CLOSED:
            self.open()
        self.mode = mode


class Loop:
    """All of them."""

    def __init__(self, hosts: list[str]) -> None:
        self.nameservers = [Nameserver(host) for host in hosts]
        self.chance = random.Random(0)
        self.due: list[tuple[float, int, Nameserver, bytes, Any]] = []
        self.count = 0

    def run(self) -> None:
        """Until standard input ends."""
        while True:
            wait = max(0.0, self.due[0][0] - time.monotonic()) if self.due else None
            there = [ns for ns in self.nameservers if ns.mode != CLOSED]
            sockets = [sys.stdin, *(ns.udp for ns in there), *(ns.tcp for ns in there)]
            ready, _, _ = select.select(sockets, [], [], wait)
            self.send()
            for ns in there:
                if ns.udp in ready:
                    self.receive(ns)
                if ns.tcp in ready:
                    with suppress(OSError):
                        self.serve_tcp(ns)
            if sys.stdin in ready:
                line = sys.stdin.readline()
                if not line:
                    return
                site, mode = line.split()
                self.nameservers[int(site)].turn(mode)

    def receive(self, ns: Nameserver) -> None:
        """Datagrams: their answers leave later."""
        with suppress(OSError):
            while True:
                wire, client = ns.udp.recvfrom(4096)
                said = respond(wire, ns.mode, self.chance)
                if said is None:
                    continue
                took = MEDIAN_S * math.exp(SIGMA * NORMAL.inv_cdf(self.chance.random() + 1e-9))
                self.count += 1
                heapq.heappush(self.due, (time.monotonic() + took, self.count, ns, said, client))

    def send(self) -> None:
        """What is due."""
        while self.due and self.due[0][0] <= time.monotonic():
            _, _, ns, said, client = heapq.heappop(self.due)
            if ns.mode != CLOSED:
                with suppress(OSError):  # whoever asked has gone
                    ns.udp.sendto(said, client)

    def serve_tcp(self, ns: Nameserver) -> None:
        """One exchange at most."""
        connection, _ = ns.tcp.accept()
        with connection:
            connection.settimeout(TCP_S)
            if ns.mode != WELL:
                return
            data = connection.recv(4096)
            said = respond(data[2:], ns.mode, self.chance)
            if said is not None:
                connection.sendall(len(said).to_bytes(2, "big") + said)


def main() -> None:
    """The process."""
    loop = Loop(sys.argv[1:])
    print("ready", flush=True)
    loop.run()


if __name__ == "__main__":
    main()
