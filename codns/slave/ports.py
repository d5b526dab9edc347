"""Source ports: the sockets exchanges leave from, so that nobody can guess which (RFC 5452).

A forged answer must hit the id and the port. A socket per exchange gives the best port but costs
four system calls an exchange; one socket gives none. So per nameserver there are 512 connected
sockets, each on a port that the kernel chose at random, one picked at random per exchange, and a
socket is retired after 256 exchanges, 30 s, or the first datagram that nobody asked for: what a
forger learns of a port does not last (RULES 9.2). Connected, because then the kernel drops what
comes from another address or port, and tells of ICMP errors.

Is there no descriptor for its successor, the last socket of a set stays though old or used up: a
node that answers nothing has lost more than half of the guess that a forger has to make. One that
a forger has hit goes all the same. A connected socket keeps its source address. Did that leave
this host (another lease, another network), the socket cannot send and a new one can: so one that
does not send is given up for a new one, once an exchange.

A set grows when its nameserver is first asked: 64 sockets a turn of the loop, and until it is
full each exchange gets a fresh one, so that no query waits for 512 system calls. A set that was
not used for 30 s melts away.

Randomness is the kernel's (`os.urandom`), in blocks: a Mersenne Twister would be as quick, but
who sees 624 of its outputs knows all others, and every nameserver sees ids and ports.
"""

import errno
import os
import select
import socket
import struct
from collections.abc import Callable, Iterator
from os import write
from typing import Final

from codns.slave.letters import Letters
from codns.slave.limits import PORTS, ports_each

PORT_USES: Final = 256  # RULES 9.2
PORT_AGE_MAX_S: Final = 30.0  # RULES 9.2
PORT_AGE_MIN_S: Final = 15.0  # ages are spread, or a set made at once would be remade at once
PORT_AGAIN_S: Final = 1.0  # until the last socket, too old, is tried to be replaced again: a sweep
SENDS: Final = 2  # on one socket: what the first is told of may be an earlier query's ICMP error
GROW_SLICE: Final = 64  # sockets made per turn: under 1 ms
_BLOCK: Final = 16384  # bytes of randomness fetched at once

# No socket could be had: our own limits, not the nameserver's doing
_OWN_LIMITS: Final = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN, errno.EADDRNOTAVAIL)
)

# What is to be done: (job, query, when it began, when its time is over, flags). Times are integers
# of microseconds, as results tell of them.
Task = tuple[int, bytes, int, int, int]
# The same once it was sent, with its id in the query, and the port it left from
Exchange = tuple[int, bytes, int, int, int, "Port"]
SocketAddress = tuple[str, int] | tuple[str, int, int, int]


def random_pairs() -> Iterator[tuple[bytes, int]]:
    """Yield (two random bytes, random 16-bit number) for ever."""
    pairs = struct.Struct("<2sH")
    while True:
        yield from pairs.iter_unpack(os.urandom(_BLOCK))


def parse_address(text: str) -> tuple[socket.AddressFamily, SocketAddress]:
    """Read "192.0.2.1#53" or "fe80::1%eth0#53"; ValueError on anything else."""
    host, _, port = text.rpartition("#")
    try:
        # bytes, as a str would load the IDNA codec: 10 ms of start-up
        found = socket.getaddrinfo(
            host.encode("ascii"),
            int(port),
            type=socket.SOCK_DGRAM,
            flags=socket.AI_NUMERICHOST,
        )
    except OSError as error:
        raise ValueError(f"not an address: {text!r}") from error
    family, _, _, _, address = found[0]
    return family, address  # type: ignore[return-value]  # no AF_* but INET and INET6 is numeric


def is_own_limit(error: OSError) -> bool:
    """Whether this failure says that we lack something, and nothing about the nameserver."""
    return error.errno in _OWN_LIMITS


class Port:
    """One connected socket and the exchanges outstanding on it, by id."""

    __slots__ = (
        "expires",
        "fd",
        "late",
        "left",
        "pending",
        "retired",
        "server",
        "sock",
    )

    def __init__(self, server: "Server", sock: socket.socket, expires: float) -> None:
        self.server = server
        self.sock = sock
        self.fd = sock.fileno()
        self.pending: dict[bytes, Exchange] = {}
        # Queries given up, by id: their answers may still come and are no forgery
        self.late: dict[bytes, bytes] = {}
        self.left = PORT_USES
        self.expires = expires
        self.retired = False


class Server:
    """The set of sockets to one nameserver."""

    __slots__ = ("address", "family", "full", "growing", "letters", "live", "text", "used")

    def __init__(self, text: str) -> None:
        self.text = text
        self.family, self.address = parse_address(text)
        self.live: list[Port] = []
        self.full = False  # as many as there can be now: pick from `live`, do not open
        self.growing = False
        self.used = 0.0
        self.letters = Letters()


class Ports:
    """All sets of a slave, and the sockets by descriptor as epoll reports them."""

    def __init__(self, epoll: select.epoll, nofile: int) -> None:
        self.by_fd: dict[int, Port] = {}
        self.servers: dict[int, Server] = {}
        self.random = random_pairs().__next__
        self.growing: list[Server] = []
        self._epoll = epoll
        self._nofile = nofile
        self._each = PORTS

    def add_server(self, number: int, text: str) -> None:
        """Learn what a server number stands for."""
        old = self.servers.get(number)
        if old is None or old.text != text:
            self.servers[number] = Server(text)
            if old is not None:
                old.used = -PORT_AGE_MAX_S
                for port in list(old.live):
                    self._drop(port)
        self._divide()

    def number_of(self, server: Server) -> int | None:
        """What the master calls it; None if it has forgotten it."""
        return next((n for n, known in self.servers.items() if known is server), None)

    def fresh(self, server: Server, now: float) -> Port:
        """A new socket for this exchange: the set is not full yet. OSError if none can be had."""
        try:
            port = self._open(server, now)
        except OSError as error:
            if not server.live or not is_own_limit(error):
                raise
            server.full = True  # make do; `sweep` tries again
            return server.live[self.random()[1] % len(server.live)]
        if len(server.live) >= self._each:
            server.full = True
        elif not server.growing:
            server.growing = True
            self.growing.append(server)
            self._divide()
        return port

    def grow(self, now: float) -> None:
        """Add a slice to each set that is not full."""
        for server in self.growing:
            try:
                for _ in range(min(GROW_SLICE, self._each - len(server.live))):
                    self._open(server, now)
            except OSError:
                server.full = bool(server.live)
                server.growing = False
            if len(server.live) >= self._each:
                server.full = True
                server.growing = False
        self.growing = [server for server in self.growing if server.growing]

    def send(
        self, server: Server, query: bytes, now: float, told: Callable[[Port], None]
    ) -> tuple[Port, bytes]:
        """Send from a socket of the set: returns which, and the query with its id. OSError.

        `told` takes a socket whose exchanges have come to nothing: an ICMP error for one of them
        is what the next to send is told, once, or its source address is gone.
        """
        live = server.live
        port = live[self.random()[1] % len(live)] if server.full else self.fresh(server, now)
        query = self._named(port, query)
        for _ in range(SENDS):
            try:
                write(port.fd, query)
            except OSError as error:
                if is_own_limit(error):
                    raise
                told(port)
            else:
                return port, query
        self._drop(port)
        port = self.fresh(server, now)
        query = self._named(port, query)
        write(port.fd, query)
        return port, query

    def _named(self, port: Port, query: bytes) -> bytes:
        """Return the query with an id that is not in use on this socket."""
        ident = self.random()[0]
        while ident in port.pending or ident in port.late:
            ident = self.random()[0]
        return ident + query[2:]

    def retire(self, port: Port, now: float, *, forged: bool = False) -> None:
        """No new exchanges on it; another takes its place, if its nameserver is in use.

        `forged`: somebody knows it.
        """
        if port.retired:
            return
        server = port.server
        if now - server.used < PORT_AGE_MAX_S:
            try:
                self._open(server, now)
            except OSError as error:
                if len(server.live) == 1 and is_own_limit(error) and not forged:
                    port.left, port.expires = PORT_USES, now + PORT_AGAIN_S
                    return
                server.full = len(server.live) > 1
        self._drop(port)

    def sweep(self, now: float) -> None:
        """Once a second: retire what is too old, give sets that made do another chance."""
        for server in self.servers.values():
            for port in [port for port in server.live if port.expires <= now]:
                self.retire(port, now)
            server.full = len(server.live) >= self._each
        self._divide()

    def close(self, port: Port) -> None:
        """The end of a retired socket on which nothing is outstanding."""
        if self.by_fd.pop(port.fd, None) is not None:
            port.sock.close()  # leaves the epoll set by itself

    def _drop(self, port: Port) -> None:
        port.retired = True
        server = port.server
        server.live.remove(port)
        if not server.live:
            server.full = False
        if not port.pending:
            self.close(port)

    def _open(self, server: Server, now: float) -> Port:
        sock = socket.socket(server.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            sock.connect(server.address)
            self._epoll.register(sock, select.EPOLLIN)
        except OSError:
            sock.close()
            raise
        spread = self.random()[1] / 65536
        age = PORT_AGE_MIN_S + (PORT_AGE_MAX_S - PORT_AGE_MIN_S) * spread
        port = Port(server, sock, now + age)
        self.by_fd[port.fd] = port
        server.live.append(port)
        return port

    def _divide(self) -> None:
        in_use = sum(1 for server in self.servers.values() if server.live)
        self._each = ports_each(self._nofile, in_use)
        for server in self.servers.values():
            while len(server.live) > self._each:
                self._drop(server.live[-1])
