"""Ten thousand TCP clients that mean no good: a process of its own.

    python -m bench.overload.crowd HOST PORT ZONE COUNT SECONDS

Opens so many connections and keeps that many *wanted*: one that is refused or closed is tried
again, at most `CONNECTS_MAX` a second in all. The first 1,000 come from one address and meet the
limit per address, the others from 100 and meet the one on all connections. A third each:

  silent  connects and says nothing
  writer  sends a query, a byte a second
  reader  asks for 100 answers of 16 KB at once and takes none; its receive buffer is small

Prints `ready` when the first round of connects was made, and in the end what became of them as a
line of JSON. A connection counts as held once it was there for a second.
"""

import json
import select
import socket
import sys
import time
from collections import Counter, deque
from contextlib import suppress
from typing import Final

from bench.overload.traffic import tail

ADDRESSES: Final = 100
GREEDY: Final = 1_000  # of the one address
CONNECTS_MAX: Final = 1_500  # a second
HELD_S: Final = 1.0
PIPELINED: Final = 100
KINDS: Final = ("silent", "writer", "reader")


class Member:
    """One connection that is wanted."""

    def __init__(self, number: int) -> None:
        self.kind = KINDS[number % len(KINDS)]
        greedy = number < GREEDY
        self.address = "127.31.0.1" if greedy else f"127.30.{number % ADDRESSES}.1"
        self.sock: socket.socket | None = None
        self.since = 0.0
        self.sent = 0


class Crowd:
    """All of them, in one loop."""

    def __init__(self, server: tuple[str, int], zone: str, count: int) -> None:
        self.server = server
        self.poll = select.epoll()
        self.wanting = deque(Member(number) for number in range(count))
        self.by_fd: dict[int, Member] = {}
        self.counts: Counter[str] = Counter()
        self.most = 0
        query = b"\0\1" + tail("u", zone)
        self.slow = len(query).to_bytes(2, "big") + query
        asked = [i.to_bytes(2, "big") + tail("big", zone)[:-15] for i in range(PIPELINED)]
        # tail asks for A: here for TXT, and without an OPT
        self.greed = b"".join(self.framed(wire + b"\0\x10\0\1") for wire in asked)

    @staticmethod
    def framed(wire: bytes) -> bytes:
        """A message over TCP, its count of additional records put right."""
        wire = wire[:10] + b"\0\0" + wire[12:]
        return len(wire).to_bytes(2, "big") + wire

    def connect(self, member: Member, now: float) -> None:
        """Begin it; a connection on loopback is there or not at once."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        if member.kind == "reader":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.counts["offered"] += 1
        try:
            sock.bind((member.address, 0))
            with suppress(BlockingIOError):
                sock.connect(self.server)
            if member.kind == "reader":
                with suppress(BlockingIOError):
                    sock.send(self.greed)
        except OSError:
            self.counts["failed"] += 1
            sock.close()
            self.wanting.append(member)
            return
        member.sock, member.since, member.sent = sock, now, 0
        self.by_fd[sock.fileno()] = member
        # Readers do not read: only the end of the connection interests them
        events = select.EPOLLRDHUP | (0 if member.kind == "reader" else select.EPOLLIN)
        self.poll.register(sock, events)

    def closed(self, fd: int, now: float) -> None:
        """The server ended it: it is wanted again."""
        member = self.by_fd.pop(fd)
        assert member.sock is not None
        member.sock.close()
        member.sock = None
        self.counts["closed" if now - member.since >= HELD_S else "refused"] += 1
        self.wanting.append(member)

    def write(self, now: float) -> None:
        """Another byte of each slow writer."""
        for fd, member in list(self.by_fd.items()):
            if (
                member.kind == "writer"
                and member.sock is not None
                and member.sent < len(self.slow)
            ):
                try:
                    member.sock.send(self.slow[member.sent : member.sent + 1])
                except BlockingIOError:
                    continue
                except OSError:
                    self.closed(fd, now)
                    continue
                member.sent += 1

    def run(self, seconds: float) -> None:
        """For so long."""
        start = last = written = time.monotonic()
        allowance, first = 0.0, len(self.wanting)
        while (now := time.monotonic()) < start + seconds:
            allowance = min(100.0, allowance + (now - last) * CONNECTS_MAX)
            last = now
            while allowance >= 1 and self.wanting:
                allowance -= 1
                self.connect(self.wanting.popleft(), now)
                if self.counts["offered"] == first:
                    print("ready", flush=True)
            for fd, _ in self.poll.poll(0.01, 1_000):
                self.closed(fd, now)
            if now - written >= 1.0:
                written = now
                held = sum(now - member.since >= HELD_S for member in self.by_fd.values())
                self.most = max(self.most, held)
                self.write(now)


def main() -> None:
    """The process."""
    host, port, zone, count, seconds = sys.argv[1:6]
    crowd = Crowd((host, int(port)), zone, int(count))
    crowd.run(float(seconds))
    print(json.dumps({**crowd.counts, "held_at_once": crowd.most}), flush=True)


if __name__ == "__main__":
    main()
