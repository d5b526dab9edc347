"""The client of `bench.overload`: open loop, many addresses, a process of its own.

    python -m bench.overload.traffic HOST PORT ZONE FILE

Reads a line of JSON from standard input, a list of phases, and plays them without a pause between
them; then listens for as long as a client has patience, writes a record of every query to FILE and
prints a line. Queries leave when they are due, whether answers come or not (Poisson, from a seed),
from 64 addresses in 127.20.0.0/16 through four sockets: 256 clients. A socket that is bound to
every address sends each datagram from the address that its IP_PKTINFO names, so that one
sendmmsg(2) carries queries of many clients.

Two kinds of query: names never asked before, and a stream of names that the cache holds (they were
asked for at the start). Both have an OPT, so that an answer can tell why it failed. Latency counts
from the time a query was *due*; how late it left is in the record too and has to stay small, else
it was not the load that it claims to be.
"""

import gc
import json
import pickle
import random
import select
import socket
import struct
import sys
import time
from array import array
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from codns.master.mmsg import H32, LEN32, SLOT_SIZE, SLOTS, Batch

PATIENCE_S: Final = 2.0  # c-ares' default; glibc and musl wait for 5
SOCKETS: Final = 4
ADDRESSES: Final = 64
HOT: Final = 100  # names that the cache holds
BUFFER: Final = 1 << 23  # answers must not be lost on our side
TICK_S: Final = 0.0005
SO_RCVBUFFORCE: Final = 33  # asm-generic/socket.h
IDS: Final = 1 << 16

UNIQUE, CACHED = 0, 1
NONE, GOOD, SHED, SERVFAIL, OTHER = range(5)  # NONE: no answer while it was waited for
OPT: Final = bytes.fromhex("00 0029 04d0 00000000 0000")
SHED_END: Final = bytes.fromhex("000f 0002 0000")  # EDE 0, without a text
_PACKET_INFO: Final = struct.Struct("=QIIIII4x")  # cmsghdr; ifindex, from, (unused)
IP_PKTINFO: Final = 8


class Phase(NamedTuple):
    """Queries a second, of both kinds."""

    unique: float
    cached: float
    seconds: float


class Records(NamedTuple):
    """An element a query, in the order they were due."""

    due_s: "array[float]"  # since the first phase began
    late_s: "array[float]"  # it left
    latency_s: "array[float]"  # of the answer, since it was due; negative: none
    kind: "array[int]"
    outcome: "array[int]"
    lost: int  # that our own kernel did not take
    strays: int  # answers to nothing, or twice


def tail(name: str, ends: str) -> bytes:
    """A query for A of it, without its id."""
    labels = [name, *ends.rstrip(".").split(".")]
    wire = b"".join(bytes((len(label),)) + label.encode() for label in labels)
    return bytes.fromhex("0100 0001 0000 0000 0001") + wire + b"\0\0\1\0\1" + OPT


def outcome(wire: bytes) -> int:
    """What an answer is to a client."""
    rcode = wire[3] & 15
    if rcode == 0 and wire[6:8] != b"\0\0":
        return GOOD
    if rcode == 2:
        return SHED if wire.endswith(SHED_END) else SERVFAIL
    return OTHER


class Client:
    """All clients: sockets, tables of what is in flight, the records."""

    def __init__(self, server: tuple[str, int], zone: str, seed: int) -> None:
        self.zone = zone
        self.chance = random.Random(seed)
        self.asked = 0  # unique names so far, of all plays
        self.poll = select.epoll()
        self.sockets = [self.open() for _ in range(SOCKETS)]
        self.by_fd = {sock.fileno(): i for i, sock in enumerate(self.sockets)}
        self.tables = [array("l", [-1]) * IDS for _ in self.sockets]
        self.ids = [0] * SOCKETS
        self.outward = Batch(ipv6=False, control=True)
        self.inward = Batch(ipv6=False, control=False)
        self.hot = [tail(f"hot{i}", zone) for i in range(HOT)]
        name = struct.pack("=H2s4s8x", socket.AF_INET, struct.pack("!H", server[1]),
                           socket.inet_aton(server[0]))  # fmt: skip
        self.origins = [name + self.source(i) for i in range(ADDRESSES)]
        self.records = self.fresh()
        self.began = 0.0
        self.lost = self.strays = 0

    def open(self) -> socket.socket:
        """One socket for all our addresses."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with suppress(OSError):  # only root may exceed the system's limit
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        sock.bind(("0.0.0.0", 0))
        sock.setblocking(False)
        self.poll.register(sock, select.EPOLLIN)
        return sock

    @staticmethod
    def source(number: int) -> bytes:
        """Control data that makes a datagram leave from this address of ours."""
        address = int.from_bytes(bytes((127, 20, number, 1)), sys.byteorder)
        return _PACKET_INFO.pack(28, socket.IPPROTO_IP, IP_PKTINFO, 0, address, 0)

    @staticmethod
    def fresh() -> Records:
        """Nothing recorded."""
        return Records(array("d"), array("f"), array("f"), array("B"), array("B"), 0, 0)

    def play(self, phases: list[Phase]) -> Records:
        """All of them, then patience."""
        self.records, self.lost, self.strays = self.fresh(), 0, 0
        for table in self.tables:
            table[:] = array("l", [-1]) * IDS
        self.began = start = time.monotonic()
        for phase in phases:
            self.run(phase, start)
            start += phase.seconds
        until = time.monotonic() + PATIENCE_S
        while (left := until - time.monotonic()) > 0:
            self.listen(min(left, 0.01))
        return self.records._replace(lost=self.lost, strays=self.strays)

    def run(self, phase: Phase, start: float) -> None:
        """Queries leave when they are due, in batches of what has become due meanwhile."""
        total, end = phase.unique + phase.cached, start + phase.seconds
        chance, share = self.chance, phase.cached / total
        due = start + chance.expovariate(total)
        pending: deque[tuple[float, int]] = deque()
        while due < end:
            now = time.monotonic()
            while due <= now and due < end:
                pending.append((due, CACHED if chance.random() < share else UNIQUE))
                due += chance.expovariate(total)
            while pending:
                self.send(pending)
            self.listen(TICK_S)

    def send(self, pending: deque[tuple[float, int]]) -> None:
        """Up to a batch, all through the next socket."""
        records, batch = self.records, self.outward
        number = len(records.due_s) // SLOTS % SOCKETS
        table, ident = self.tables[number], self.ids[number]
        count = min(SLOTS, len(pending))
        now = time.monotonic()
        for slot in range(count):
            due, kind = pending.popleft()
            at = len(records.due_s)
            records.due_s.append(due - self.began)
            records.late_s.append(now - due)
            records.latency_s.append(-1.0)
            records.kind.append(kind)
            records.outcome.append(NONE)
            if kind == UNIQUE:
                self.asked += 1
                message = tail(f"u{self.asked:07x}-www-example-site", self.zone)
            else:
                message = self.hot[at % HOT]
            ident = (ident + 1) % IDS
            table[ident] = at
            batch.stage(slot, self.origins[at % ADDRESSES], ident.to_bytes(2, "big") + message)
        self.ids[number] = ident
        self.lost += batch.send(self.sockets[number].fileno(), count)

    def listen(self, seconds: float) -> None:
        """Take what arrives."""
        for fd, _ in self.poll.poll(seconds):
            while self.receive(fd) == SLOTS:
                pass

    def receive(self, fd: int) -> int:
        """Up to a batch of answers."""
        batch, table, records = self.inward, self.tables[self.by_fd[fd]], self.records
        count = batch.receive(fd)
        now = time.monotonic() - self.began
        data, fields = batch.data, batch.fields
        for slot in range(count):
            at = slot * SLOT_SIZE
            wire = bytes(data[at : at + fields[slot * H32 + LEN32]])
            ident = int.from_bytes(wire[:2], "big")
            query = table[ident]
            if query < 0:
                self.strays += 1
                continue
            table[ident] = -1
            records.latency_s[query] = now - records.due_s[query]
            records.outcome[query] = outcome(wire)
        return count

    def warm(self) -> None:
        """Let the cache hold what it should, asked for one after the other."""
        for message in self.hot:
            for _ in range(20):
                self.outward.stage(0, self.origins[0], b"\0\0" + message)
                self.outward.send(self.sockets[0].fileno(), 1)
                if self.poll.poll(1.0) and self.inward.receive(self.sockets[0].fileno()):
                    break
            else:
                raise SystemExit("no answer while nothing else was asked")


def main() -> None:
    """The process."""
    host, port, zone, file = sys.argv[1:5]
    client = Client((host, int(port)), zone, 1)
    gc.disable()
    client.warm()
    print("ready", flush=True)
    for line in sys.stdin:
        records = client.play([Phase(*row) for row in json.loads(line)])
        Path(file).write_bytes(pickle.dumps(tuple(records)))
        print("done", flush=True)


if __name__ == "__main__":
    main()
