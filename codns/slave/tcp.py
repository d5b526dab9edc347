"""Exchanges over TCP (RFC 7766): after TC=1, under attack, or because the job says so.

A connection per exchange, non-blocking, in the same loop as everything else. It costs a round
trip more than a kept connection would, and keeps no state with nameservers that close idle ones
as they like. At most `TCP_MAX` at once; the others wait their turn, and their time runs.
"""

import select
import socket
from collections.abc import Callable
from typing import Final

from codns.slave.limits import TCP_MAX
from codns.slave.ports import Server, Task, is_own_limit
from codns.wire.const import MESSAGE_SIZE_MAX
from codns.wire.digest import matches
from codns.wire.errors import WireError
from codns.wire.outcome import Outcome
from codns.wire.tcp import Framer, frame

_READ_SIZE: Final = 65536
_BROKEN: Final = select.EPOLLERR | select.EPOLLHUP


class TcpExchange:
    """One exchange, from waiting for its turn to the answer."""

    __slots__ = (
        "doubted",
        "ends",
        "flags",
        "framer",
        "job",
        "query",
        "server",
        "sock",
        "started",
        "truncated",
        "unsent",
    )

    def __init__(
        self, task: Task, server: Server, ident: bytes, *, truncated: bool, doubted: bool
    ) -> None:
        self.job, query, self.started, self.ends, self.flags = task
        self.query = ident + query[2:]
        self.server = server
        self.truncated = truncated  # it went over UDP first, and came back with TC=1
        self.doubted = doubted  # ... or without the letters of its question (`slave.letters`)
        self.sock: socket.socket | None = None
        self.unsent = b""
        self.framer = Framer(MESSAGE_SIZE_MAX)


class Tcp:
    """All of a slave's exchanges over TCP.

    `handlers` maps descriptors to what is called with epoll's event mask; `answered` gets an
    exchange and the response that matches it, `failed` an exchange and why. Both are the end of
    the exchange as far as this class is concerned; so is `forget`.
    """

    def __init__(
        self,
        epoll: select.epoll,
        handlers: dict[int, Callable[[int], None]],
        answered: Callable[[TcpExchange, bytes], None],
        failed: Callable[[TcpExchange, Outcome], None],
    ) -> None:
        self._epoll = epoll
        self._handlers = handlers
        self._answered = answered
        self._failed = failed
        self._active = 0
        # Keys only, in order; a dict as those that time out leave from the middle
        self.waiting: dict[TcpExchange, None] = {}

    def start(self, exchange: TcpExchange) -> None:
        """Connect now, or as soon as another exchange ends."""
        self.waiting[exchange] = None

    def turn(self) -> None:
        """Let those that wait begin, as far as there is room: once per turn of the loop."""
        while self.waiting and self._active < TCP_MAX:
            exchange = next(iter(self.waiting))
            del self.waiting[exchange]
            self._connect(exchange)

    def forget(self, exchange: TcpExchange) -> None:
        """Its time is over: close what it holds."""
        self.waiting.pop(exchange, None)
        sock = exchange.sock
        if sock is not None:
            exchange.sock = None
            self._active -= 1
            del self._handlers[sock.fileno()]
            sock.close()

    def _connect(self, exchange: TcpExchange) -> None:
        server = exchange.server
        try:
            sock = socket.socket(server.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError:
            self._failed(exchange, Outcome.OVERLOAD)
            return
        exchange.sock = sock
        exchange.unsent = frame(exchange.query)
        exchange.framer = Framer(MESSAGE_SIZE_MAX)
        self._active += 1
        self._handlers[sock.fileno()] = lambda mask: self._event(exchange, mask)
        try:
            # One segment for two bytes of length and the query; the answer is awaited, not more
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect(server.address)
        except BlockingIOError:
            pass
        except OSError as error:
            self._fail(exchange, error)
            return
        self._epoll.register(sock, select.EPOLLIN | select.EPOLLOUT)

    def _event(self, exchange: TcpExchange, mask: int) -> None:
        sock = exchange.sock
        if sock is None:
            return
        try:
            if exchange.unsent and mask & (select.EPOLLOUT | _BROKEN):
                sent = sock.send(exchange.unsent)
                exchange.unsent = exchange.unsent[sent:]
                if not exchange.unsent:
                    self._epoll.modify(sock, select.EPOLLIN)
            if mask & (select.EPOLLIN | _BROKEN):
                self._read(exchange, sock)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(exchange, error)

    def _read(self, exchange: TcpExchange, sock: socket.socket) -> None:
        data = sock.recv(_READ_SIZE)
        if not data:
            self._fail(exchange, ConnectionResetError("closed before the answer"))
            return
        try:
            messages = exchange.framer.feed(data)
        except WireError:
            self._fail(exchange, ConnectionAbortedError("not a DNS message"))
            return
        for message in messages:
            if matches(exchange.query, message):
                self.forget(exchange)
                self._answered(exchange, message)
                return

    def _fail(self, exchange: TcpExchange, error: OSError) -> None:
        self.forget(exchange)
        own = is_own_limit(error)
        self._failed(exchange, Outcome.OVERLOAD if own else Outcome.UNREACHABLE)
