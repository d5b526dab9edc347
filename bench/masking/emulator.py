"""Nameservers that take their time, and one that fails: a process of its own.

`python -m bench.masking.emulator SPEC`: every nameserver of a run in one loop, because each query
costs a few tens of microseconds and most of them wait. It prints `ready`, reads `start TIME...`
(for every fleet when its load begins, on the monotonic clock), answers until its standard input
ends, and then writes what it saw: every DNS query that arrived, lost ones, probes and
retransmissions included, and how late its own answers left.

An answer takes 4 ms in the median (log-normal), and 150 ms for 1 %: for half of those because the
name is slow, here and everywhere and every time, for half by chance, drawn for each query. Chance
is a function of (nameserver's site, name, how often it was asked for here), so that every system
meets the same: what differs between them is what they do.

Names under the zone have an A record, the zone and the root have SOA and NS, so that probes of all
kinds find something; other types are NODATA, other names NXDOMAIN.
"""

import gc
import heapq
import json
import math
import os
import pickle
import select
import socket
import sys
import time
from array import array
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from statistics import NormalDist
from typing import Any, Final, NamedTuple, Self

from bench.masking.faults import Fault
from bench.masking.load import ZONE, Traits, traits, wire_name

MEDIAN_S: Final = 0.004
SIGMA: Final = 0.35  # p99 is 9 ms
SLOW_S: Final = 0.150
SLOW_SHARE: Final = 0.005  # by the name, and as much again by chance
BUFFER: Final = 1 << 22  # a burst of datagrams must wait, not vanish
SO_RCVBUFFORCE: Final = 33  # asm-generic/socket.h; Python does not name it
NORMAL: Final = NormalDist()

A, NS, SOA, OPT = 1, 2, 6, 41
APEX: Final = wire_name(ZONE)
ROOT: Final = b"\0"
OPT_RECORD: Final = bytes.fromhex("00 0029 04d0 00000000 0000")
SOA_DATA: Final = wire_name("ns.example.") + wire_name("h.example.") + bytes(20)
NS_DATA: Final = wire_name("ns.example.")


class Spec(NamedTuple):
    """One nameserver."""

    host: str
    port: int
    fleet: int
    site: int  # from 0
    fault: str


class Query(NamedTuple):
    """What is asked, as far as it matters."""

    wire: bytes
    qname: bytes  # lower case
    qtype: int
    end: int  # of the question
    edns: bool

    @classmethod
    def parse(cls, wire: bytes) -> Self | None:
        """None: not a query."""
        if len(wire) < 17 or wire[2] & 0x80:
            return None
        i = 12
        while i < len(wire) and wire[i]:
            i += wire[i] + 1
        if i + 5 > len(wire):
            return None
        qtype = int.from_bytes(wire[i + 1 : i + 3], "big")
        return cls(wire, wire[12 : i + 1].lower(), qtype, i + 5, wire[11] > 0)


def slow_everywhere(qname: bytes) -> bool:
    """Whether the name takes long wherever it is asked for; in lower case."""
    if not qname.endswith(APEX) or qname == APEX:
        return False
    return traits(qname).draw < SLOW_SHARE


def record(owner: bytes, qtype: int, ttl: int, data: bytes) -> bytes:
    """A resource record of class IN."""
    head = qtype.to_bytes(2, "big") + b"\0\1" + ttl.to_bytes(4, "big")
    return owner + head + len(data).to_bytes(2, "big") + data


def answer(query: Query, found: Traits) -> bytes:
    """The whole message."""
    rcode, answers, authority = 0, b"", b""
    if query.qname in (APEX, ROOT) and query.qtype in (SOA, NS):
        data = SOA_DATA if query.qtype == SOA else NS_DATA
        answers = record(b"\xc0\x0c", query.qtype, 3600, data)
    elif query.qname.endswith(APEX) and query.qtype == A:
        answers = record(b"\xc0\x0c", A, found.ttl, found.address)
    else:
        inside = query.qname.endswith(APEX)
        rcode = 0 if inside or query.qname == ROOT else 3
        authority = record(APEX if inside else ROOT, SOA, 60, SOA_DATA)
    flags = bytes((0x80 | query.wire[2] & 0x79, 0x80 | query.wire[3] & 0x10 | rcode))
    counts = (1, len(answers) > 0, len(authority) > 0, query.edns)
    head = query.wire[:2] + flags + b"".join(n.to_bytes(2, "big") for n in counts)
    extra = OPT_RECORD if query.edns else b""
    return head + query.wire[12 : query.end] + answers + authority + extra


class Kind(NamedTuple):
    """What is kept of a name once it was asked for."""

    number: int
    traits: Traits
    slow: bool


class Seen(NamedTuple):
    """What the emulator saw; the arrays have one element a query."""

    names: list[str]  # by number
    time_s: "array[float]"  # monotonic
    server: "array[int]"  # index in the list of specs
    name: "array[int]"  # its number
    qtype: "array[int]"
    delay_s: "array[float]"  # of the answer; negative: none was sent
    late_s: "array[float]"  # of every answer sent: after it was due


class Nameserver:
    """One of them: its sockets, its fault, its chance."""

    def __init__(self, index: int, spec: Spec) -> None:
        self.index, self.spec = index, spec
        self.fault = Fault("none", 0)
        self.start = math.inf
        self.asked: dict[bytes, int] = {}
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        with suppress(OSError):  # only root may exceed the system's limit
            self.udp.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        self.udp.bind((spec.host, spec.port))
        self.udp.setblocking(False)
        self.tcp = socket.create_server((spec.host, spec.port), backlog=512)
        self.tcp.setblocking(False)

    def delay(self, qname: bytes, slow_name: bool, now: float) -> float | None:
        """How long the answer takes; None: there is none."""
        count = self.asked[qname] = self.asked.get(qname, 0) + 1
        digest = blake2b(b"%d %d %b" % (self.spec.site, count, qname), digest_size=12).digest()
        chance, shape, loss = (int.from_bytes(digest[i : i + 4], "big") / 2**32 for i in (0, 4, 8))
        further = self.fault.verdict(now - self.start, loss)
        if further is None:
            return None
        if slow_name or chance < SLOW_SHARE:
            return SLOW_S + further
        return MEDIAN_S * math.exp(SIGMA * NORMAL.inv_cdf(shape + 1e-9)) + further


class Emulator:
    """The loop. Waits by select, whose time-outs are finer than epoll's milliseconds."""

    def __init__(self, specs: list[Spec], seconds: float) -> None:
        self.seconds = seconds
        self.nameservers = [Nameserver(i, spec) for i, spec in enumerate(specs)]
        self.poll = select.epoll()
        self.by_fd: dict[int, Nameserver | Connection] = {}
        for nameserver in self.nameservers:
            for sock in (nameserver.udp, nameserver.tcp):
                self.by_fd[sock.fileno()] = nameserver
                self.poll.register(sock, select.EPOLLIN)
        self.due: list[tuple[float, int, Nameserver | Connection, bytes, Any]] = []
        self.sent = 0
        self.kinds: dict[bytes, Kind] = {}
        self.seen = Seen(
            [], array("d"), array("H"), array("I"), array("H"), array("f"), array("f")
        )

    def run(self) -> None:
        """Until standard input ends."""
        control = sys.stdin.fileno()
        while True:
            wait = max(0.0, self.due[0][0] - time.monotonic()) if self.due else 1.0
            ready, _, _ = select.select([self.poll.fileno(), control], [], [], wait)
            self.send_due()
            if self.poll.fileno() in ready:
                for fd, _ in self.poll.poll(0):
                    self.readable(fd)
            if control in ready and not self.command(sys.stdin.readline()):
                return

    def command(self, line: str) -> bool:
        """`start` and the times; False: the end."""
        if line.startswith("start"):
            starts = [float(word) for word in line.split()[1:]]
            for nameserver in self.nameservers:
                nameserver.start = starts[nameserver.spec.fleet]
                nameserver.fault = Fault(nameserver.spec.fault, self.seconds)
        return bool(line)

    def send_due(self) -> None:
        """All answers whose time has come."""
        now = time.monotonic()
        while self.due and self.due[0][0] <= now:
            at, _, to, message, address = heapq.heappop(self.due)
            with suppress(OSError):  # whoever asked has gone
                if isinstance(to, Connection):
                    to.sock.send(len(message).to_bytes(2, "big") + message)
                else:
                    to.udp.sendto(message, address)
            now = time.monotonic()
            self.seen.late_s.append(now - at)

    def readable(self, fd: int) -> None:
        """Datagrams, a new connection, or bytes on one."""
        source = self.by_fd[fd]
        if isinstance(source, Connection):
            for wire in source.messages():
                self.received(source.nameserver, wire, source, None)
            if source.closed:
                del self.by_fd[fd]
                source.sock.close()
        elif fd == source.udp.fileno():
            with suppress(BlockingIOError):
                for _ in range(16):  # then the others', and what is due
                    wire, address = source.udp.recvfrom(4096)
                    self.received(source, wire, source, address)
        else:
            with suppress(OSError):
                connection = Connection(source)
                self.by_fd[connection.sock.fileno()] = connection
                self.poll.register(connection.sock, select.EPOLLIN)

    def received(
        self, nameserver: Nameserver, wire: bytes, to: "Nameserver | Connection", address: Any
    ) -> None:
        """One query: counted, and answered later."""
        now = time.monotonic()
        query = Query.parse(wire)
        if query is None:
            return
        known = self.kinds.get(query.qname)
        if known is None:
            kind = Kind(len(self.seen.names), traits(query.qname), slow_everywhere(query.qname))
            known = self.kinds[query.qname] = kind
            self.seen.names.append(text(query.qname))
        number, found, slow = known
        delay = nameserver.delay(query.qname, slow, now)
        seen = self.seen
        seen.time_s.append(now)
        seen.server.append(nameserver.index)
        seen.name.append(number)
        seen.qtype.append(query.qtype)
        seen.delay_s.append(-1.0 if delay is None else delay)
        if delay is not None:
            self.sent += 1
            message = answer(query, found)
            heapq.heappush(self.due, (now + delay, self.sent, to, message, address))


class Connection:
    """A TCP client."""

    def __init__(self, nameserver: Nameserver) -> None:
        """Accepts it; OSError: it has gone already."""
        self.nameserver = nameserver
        self.sock, _ = nameserver.tcp.accept()
        self.sock.setblocking(False)
        self.buffer = b""
        self.closed = False

    def messages(self) -> list[bytes]:
        """The whole ones that have come."""
        try:
            chunk = self.sock.recv(65_536)
        except BlockingIOError:
            return []
        except OSError:
            chunk = b""
        self.closed = not chunk
        self.buffer += chunk
        found = []
        while len(self.buffer) >= 2:
            size = int.from_bytes(self.buffer[:2], "big")
            if len(self.buffer) < 2 + size:
                break
            found.append(self.buffer[2 : 2 + size])
            self.buffer = self.buffer[2 + size :]
        return found


def text(qname: bytes) -> str:
    """Of a wire name, for people."""
    labels, i = [], 0
    while i < len(qname) and qname[i]:
        labels.append(qname[i + 1 : i + 1 + qname[i]].decode("ascii", "replace"))
        i += qname[i] + 1
    return ".".join(labels) + "."


def main() -> None:
    """The process."""
    spec = json.loads(Path(sys.argv[1]).read_text())
    emulator = Emulator([Spec(*row) for row in spec["nameservers"]], spec["seconds"])
    with suppress(OSError):
        os.nice(-10)  # it stands for other machines, which this one's load does not slow down
    gc.disable()
    print("ready", flush=True)
    emulator.run()
    Path(spec["seen"]).write_bytes(pickle.dumps(tuple(emulator.seen)))


if __name__ == "__main__":
    main()
