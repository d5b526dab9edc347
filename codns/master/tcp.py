"""DNS over TCP: the listener (RFC 7766, RFC 9210).

A server that offers TCP offers its file descriptors, memory and time to whoever connects, and a
client can be slow, dead or hostile at every step. So each step has a bound of its own, in
`TcpLimits`; what happens on one connection is `connection.py`. Here it is decided who gets one:

  1. the address must be allowed, like a datagram's (RULES 1.1);
  2. there is a limit on connections in all, and one per client address, so that one client cannot
     have them all (RFC 9210 asks for both);
  3. over a limit the connection is taken and reset at once. Left in the backlog it would keep
     others from even being counted, and its client would wait where it could ask over UDP;
  4. above 3/4 of the limit quiet connections are closed after 2 s instead of 10 (RFC 7766 6.2.3
     lets a server under load be impatient), until not more than 1/2 of it is left. Two thresholds,
     because every crossing sets all the timers anew. Those that were quiet for longer already are
     closed one after the other: trio cancels all that is overdue without a pause, and UDP would
     wait for hundreds of them.
"""

import errno
import socket
import struct
from collections.abc import Callable
from math import inf
from typing import Final

import trio

from codns.core.model import Client
from codns.master.acl import packed_address
from codns.master.connection import Connection, TcpLimits, Unsent

__all__ = ["COUNTERS", "TcpLimits", "TcpListener"]

# Every name that is given to `count`
COUNTERS: Final = (
    "tcp_connections",  # accepted and served
    "tcp_refused_acl",
    "tcp_refused_full",  # the limit on connections in all
    "tcp_refused_address",  # the limit per client address
    "tcp_accept_failed",  # out of file descriptors or memory
    "tcp_pressure",  # times that connections went above 3/4 of the limit
    "tcp_queries",
    "tcp_duplicates",  # the same message again while the first is not answered
    "tcp_paused",  # times that reading stopped: queries outstanding, or unsent answers
    "tcp_unsent",  # ... because unsent answers of all connections together were too much
    "tcp_closed_client",  # the client had finished
    "tcp_closed_reset",  # the client broke it off
    "tcp_closed_idle",
    "tcp_closed_incomplete",  # a message did not come to its end in time
    "tcp_closed_malformed",  # no room for a header, or not a query
    "tcp_closed_oversize",
    "tcp_closed_slow",  # the client does not take its answers
    "tcp_closed_stop",  # codns stops
)

_ACCEPT_PAUSE_S: Final = 0.1  # without file descriptors accept() would fail in a tight loop
_CLOSING_S: Final = 0.001  # from one to the next; the end of one costs some 0.1 ms
_ABORTED: Final = (errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN, errno.EHOSTUNREACH)
_BROKEN: Final = (errno.EBADF, errno.EINVAL, errno.ENOTSOCK)  # the listening socket itself
_RESET: Final = struct.pack("ii", 1, 0)  # linger for 0 s: no TIME_WAIT for what was never served


class TcpListener:
    """Accept connections and serve them, within `limits`.

    `query(message, client)` takes a query; the answer comes through `client.reply`, at once or
    later or never. `allowed(address)` takes a packed address. `count(name)` takes one of COUNTERS.
    """

    def __init__(
        self,
        query: Callable[[bytes, Client], None],
        allowed: Callable[[bytes], bool],
        limits: TcpLimits,
        count: Callable[[str], None],
    ) -> None:
        self._query = query
        self._allowed = allowed
        self._limits = limits
        self._count = count
        self._unsent = Unsent()
        self._open: dict[int, Connection] = {}
        self._per_address: dict[bytes, int] = {}
        self._number = 0
        self._pressed = False
        self._stopping = False
        self._accepting: list[trio.CancelScope] = []

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._open)

    async def serve(
        self, sock: socket.socket, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve the connections to a listening socket, which is closed in the end.

        Returns when `stop` was called and the last of them has ended.
        """
        with trio.socket.from_stdlib_socket(sock) as listening:
            async with trio.open_nursery() as nursery:
                with trio.CancelScope() as accepting:
                    self._accepting.append(accepting)
                    if self._stopping:
                        accepting.cancel()
                    task_status.started()
                    await self._accept(listening, nursery)
                listening.close()  # who connects from now on is refused by the kernel, at once

    async def serve_stream(self, stream: trio.abc.Stream, address: bytes) -> None:
        """Serve one connection that was accepted already, until it is closed."""
        refusal = self._refusal(address)
        if refusal:
            self._count(refusal)
            await trio.aclose_forcefully(stream)
        else:
            await self._run(self._enter(stream, address))

    def stop(self) -> None:
        """Accept no more. Connections end once what they asked is answered, quiet ones now.

        Whoever calls bounds the time by cancelling `serve`.
        """
        self._stopping = True
        for accepting in self._accepting:
            accepting.cancel()
        for connection in list(self._open.values()):
            connection.stop()

    async def _accept(self, listening: trio.socket.SocketType, nursery: trio.Nursery) -> None:
        while True:
            try:
                sock, peer = await listening.accept()
            except OSError as error:
                if error.errno in _BROKEN:
                    raise
                if error.errno not in _ABORTED:
                    self._count("tcp_accept_failed")
                    await trio.sleep(_ACCEPT_PAUSE_S)
                continue
            address = packed_address(peer[0])
            refusal = self._refusal(address)
            if refusal:
                self._count(refusal)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                sock.close()
            else:
                nursery.start_soon(self._run, self._enter(trio.SocketStream(sock), address))

    def _refusal(self, address: bytes) -> str:
        """Return the counter of the reason not to serve this address now, or "" to serve it."""
        if not self._allowed(address):
            return "tcp_refused_acl"
        if len(self._open) >= self._limits.connections:
            return "tcp_refused_full"
        if self._per_address.get(address, 0) >= self._limits.connections_per_address:
            return "tcp_refused_address"
        return ""

    def _enter(self, stream: trio.abc.Stream, address: bytes) -> Connection:
        self._number += 1
        connection = Connection(
            stream,
            address,
            self._number,
            query=self._query,
            limits=self._limits,
            unsent=self._unsent,
            count=self._count,
        )
        self._open[self._number] = connection
        self._per_address[address] = self._per_address.get(address, 0) + 1
        self._count("tcp_connections")
        connection.pressed = self._pressed
        if not self._pressed and len(self._open) * 4 > self._limits.connections * 3:
            self._count("tcp_pressure")
            self._press(pressed=True)
        return connection

    def _leave(self, connection: Connection) -> None:
        del self._open[connection.number]
        left = self._per_address[connection.address] - 1
        if left:
            self._per_address[connection.address] = left
        else:
            del self._per_address[connection.address]
        if self._pressed and len(self._open) * 2 <= self._limits.connections:
            self._press(pressed=False)

    def _press(self, *, pressed: bool) -> None:
        self._pressed = pressed
        now = trio.current_time()
        for place, connection in enumerate(self._open.values()):  # oldest first
            connection.pressed = pressed
            connection.spared_until = now + place * _CLOSING_S if pressed else -inf
            connection.arm()

    async def _run(self, connection: Connection) -> None:
        try:
            await connection.run()
        finally:
            self._leave(connection)
