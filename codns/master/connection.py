"""One TCP connection of a client: messages in, answers out, and everything bounded.

Two tasks: one reads and hands over queries, one writes answers. Answers leave in the order they
come, whatever the order of the questions (RFC 7766 7); those ready together leave in one send, and
a length never leaves without its message (RFC 7766 8).

What a client can do to us, and what bounds it:

  ask without end        at most 128 queries outstanding; then reading pauses, TCP's own flow
                         control holds the client back, and nothing is dropped
  not take its answers   reading pauses at 256 KiB unsent; a send not done in 10 s is the end.
                         Many do so together: at 64 MiB unsent in all, a connection is read from
                         only when it has taken everything (1,024 that did not took 500 MiB)
  say nothing            10 s since the last *complete* message or answer. Single bytes do not
                         count (RFC 7766 6.2.3), or a byte every 9 s would hold the connection
  say half of something  a message that has begun has 5 s to end; a new connection 5 s to ask
  use an id twice        forbidden (RFC 7766 6.2.1), and the answers could not be told apart: the
                         second query waits until the first is answered. The very same message
                         again is dropped, the first one's answer serves it
  never get an answer    (rate limits drop silently): forgotten after 5 s, when RULES 4.2 says
                         that nothing comes any more; else 128 of them would stop the connection

A client that has sent all it wants and says so (shutdown of its sending side) gets the answers
still outstanding before the connection is closed.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio

from codns.core.model import Client
from codns.wire.const import HEADER_SIZE, MESSAGE_SIZE_MAX
from codns.wire.errors import WireError
from codns.wire.tcp import Framer, frame

RECEIVE_SIZE: Final = 2048  # at most 107 queries handed over at a time: below 1 ms of the loop
SEND_SIZE_MAX: Final = MESSAGE_SIZE_MAX + 2  # the greatest message fits one send
FILES_RESERVED: Final = 256  # of the limit on open files: listeners, slaves, peers, HTTP, the log

_ANY_ID: Final = b""


class _NotAQueryError(Exception):
    """A message that no client sends."""


_FAULTS: Final[dict[type[Exception], str]] = {
    trio.BrokenResourceError: "tcp_closed_reset",
    WireError: "tcp_closed_oversize",  # all that framing can say
    _NotAQueryError: "tcp_closed_malformed",
}


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """The bounds of DNS over TCP. Sizes in bytes, times in seconds."""

    connections: int = 1024  # each a file descriptor, two tasks and some 10 KiB
    connections_per_address: int = 256  # a client with a connection a query has fewer by far
    outstanding: int = 128  # queries of one connection; half the waiters of a busy web proxy
    unsent_size: int = 256 << 10  # answers waiting for one client; four of the greatest
    unsent_size_all: int = 64 << 20  # of all connections; one address's 256 may be at their own
    query_size: int = 4096  # a question with options takes less than 1,000
    first_s: float = 5.0  # from the connection to its first message: stubs wait no longer
    idle_s: float = 10.0  # RFC 9210 suggests this order; RFC 7766 6.2.3 "a few seconds"
    idle_pressed_s: float = 2.0  # when connections get scarce
    incomplete_s: float = 5.0  # a query fits one segment; several round trips are allowed for
    send_s: float = 10.0  # for one send, at most 64 KiB: slower than 6.5 KB/s is not reading
    answer_s: float = 5.0  # RULES 4.2: everybody has been answered by 4.5 s

    @classmethod
    def within(cls, files: int) -> "TcpLimits":
        """Return the limits for a process that may have so many files open (RLIMIT_NOFILE)."""
        connections = max(16, min(cls().connections, files - FILES_RESERVED))
        per_address = min(cls().connections_per_address, connections)
        return cls(connections=connections, connections_per_address=per_address)


class Unsent:
    """Bytes of answers that wait to be taken, of all connections together."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0


def _nobody(_: bytes) -> None:
    """Take an answer that comes too late."""


class Connection:
    """Serve one stream until it is closed, by either side."""

    def __init__(
        self,
        stream: trio.abc.Stream,
        address: bytes,
        number: int,
        *,
        query: Callable[[bytes, Client], None],
        limits: TcpLimits,
        unsent: Unsent,
        count: Callable[[str], None],
    ) -> None:
        self.address = address
        self.number = number
        self.pressed = False  # connections are scarce: less patience
        self.spared_until = -math.inf  # many lose it at once: this one not before
        self._stream = stream
        self._query = query
        self._limits = limits
        self._count = count
        self._client = Client("tcp", address, ("tcp", number), self._reply)
        self._framer = Framer(limits.query_size)
        self._outstanding: dict[bytes, tuple[bytes, float]] = {}  # id: message, forgotten at
        self._ready: deque[bytes] = deque()
        self._unsent_size = 0
        self._unsent = unsent
        self._opened = trio.current_time()
        self._active: float | None = None  # when the last message or answer was complete
        self._begun: float | None = None  # when the message that is incomplete began
        self._scope = trio.CancelScope()
        self._receiving = trio.CancelScope()
        self._room = trio.Event()  # an answer was given or sent: reading may go on
        self._work = trio.Event()  # there is something to send, or no more will come
        self._reason = ""
        self._stopping = False
        self._drained = False

    async def run(self) -> None:
        """Serve it to its end, and count why it ended."""
        self.arm()
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    await self._read()
            if self._scope.cancelled_caught and not self._reason:
                self._reason = self._overdue()
        finally:
            self._outstanding.clear()
            # What is answered from now on is for nobody. Our client must not hold us, whom we hold
            self._client.reply = _nobody
            self._unsent.size -= self._unsent_size
            self._count(self._reason or "tcp_closed_stop")
            await trio.aclose_forcefully(self._stream)

    def stop(self) -> None:
        """Take no more queries; end when those taken are answered."""
        self._stopping = True
        self._receiving.cancel()

    def arm(self) -> None:
        """Set the time at which patience ends, from what is known now."""
        deadline = math.inf
        if not self._unsent_size:  # else `send_s` is what counts
            deadline = self._quiet_until()
        if self._begun is not None:
            deadline = min(deadline, self._begun + self._limits.incomplete_s)
        self._scope.deadline = deadline

    def _quiet_until(self) -> float:
        limits = self._limits
        # Who waits for an answer is not idle, and answers take up to 4.5 s
        idle_s = limits.idle_pressed_s if self.pressed and not self._outstanding else limits.idle_s
        if self._active is None:
            until = self._opened + min(limits.first_s, idle_s)
        else:
            until = self._active + idle_s
        return max(until, self.spared_until)

    def _overdue(self) -> str:
        """Return which deadline it was that passed."""
        if self._begun is None or self._begun + self._limits.incomplete_s > trio.current_time():
            return "tcp_closed_idle"
        return "tcp_closed_incomplete"

    def _close(self, reason: str) -> None:
        self._reason = reason
        self._scope.cancel()

    # -- reading

    async def _read(self) -> None:
        try:
            while not self._stopping:
                await self._wait_for_room(_ANY_ID)
                data = await self._receive()
                if not data:
                    break
                await self._take(data)
        except (trio.BrokenResourceError, WireError, _NotAQueryError) as error:
            self._close(_FAULTS[type(error)])
            return
        self._begun = None  # what has no end now never will
        self.arm()
        while self._outstanding:
            await self._answered()
        self._reason = "" if self._stopping else "tcp_closed_client"
        self._drained = True
        self._work.set()

    async def _receive(self) -> bytes:
        """Return what came, or nothing if nothing more will (or is wanted)."""
        with trio.CancelScope() as self._receiving:
            return bytes(await self._stream.receive_some(RECEIVE_SIZE))
        return b""

    async def _take(self, data: bytes) -> None:
        """Hand over the messages that are now complete, as far as there is room for them."""
        messages = self._framer.feed(data)
        begun, self._begun = self._begun, None
        for message in messages:
            if len(message) < HEADER_SIZE or message[2] & 0x80:  # QR: a response (RULES 1.1)
                raise _NotAQueryError
            known = self._outstanding.get(message[:2])
            if known is not None and known[0] == message:
                self._count("tcp_duplicates")
                continue
            await self._wait_for_room(message[:2])
            now = self._active = trio.current_time()
            self._outstanding[message[:2]] = message, now + self._limits.answer_s
            self._count("tcp_queries")
            self._query(message, self._client)
        if self._framer.pending:
            self._begun = trio.current_time() if messages or begun is None else begun
        self.arm()

    def _has_room(self, ident: bytes) -> bool:
        return (
            len(self._outstanding) < self._limits.outstanding
            and self._unsent_size < self._limits.unsent_size
            and not self._crowded()
            and ident not in self._outstanding
        )

    def _crowded(self) -> bool:
        """All together wait for their clients with too much, this one too."""
        return self._unsent_size > 0 and self._unsent.size >= self._limits.unsent_size_all

    async def _wait_for_room(self, ident: bytes) -> None:
        """Return once a query of this id may be handed over; at once, mostly."""
        if self._has_room(ident):
            return
        self._count("tcp_unsent" if self._crowded() else "tcp_paused")
        begun, self._begun = self._begun, None  # its rest may have come: it is us who do not read
        self.arm()
        while not self._has_room(ident):
            await self._answered()
        if begun is not None:
            self._begun = trio.current_time()
            self.arm()

    async def _answered(self) -> None:
        """Wait for an answer to be given or sent, or for a query to be past all answers."""
        self._room = trio.Event()
        oldest = next(iter(self._outstanding.values()), None)
        with trio.move_on_at(math.inf if oldest is None else oldest[1]):
            await self._room.wait()
        now = trio.current_time()
        for ident, (_, forgotten_at) in list(self._outstanding.items()):
            if forgotten_at > now:  # in the order they were asked, so the rest is younger
                break
            del self._outstanding[ident]

    # -- answering

    def _reply(self, message: bytes) -> None:
        if self._outstanding.pop(message[:2], None) is None:
            return  # the connection has ended, or nobody counts on this any more
        framed = frame(message)
        self._ready.append(framed)
        self._unsent_size += len(framed)
        self._unsent.size += len(framed)
        self._work.set()
        self._room.set()

    async def _write(self) -> None:
        while True:
            while not self._ready:
                if self._drained:
                    return
                self._work = trio.Event()
                await self._work.wait()
            data = self._gather()
            self.arm()
            try:
                with trio.fail_after(self._limits.send_s):
                    await self._stream.send_all(data)
            except trio.TooSlowError:
                self._close("tcp_closed_slow")
                return
            except trio.BrokenResourceError:
                self._close("tcp_closed_reset")
                return
            self._unsent_size -= len(data)
            self._unsent.size -= len(data)
            self._active = trio.current_time()
            self.arm()
            self._room.set()

    def _gather(self) -> bytes:
        """Return the answers that are ready, as many as one send takes."""
        size = len(self._ready[0])
        parts = [self._ready.popleft()]
        while self._ready and size + len(self._ready[0]) <= SEND_SIZE_MAX:
            size += len(self._ready[0])
            parts.append(self._ready.popleft())
        return b"".join(parts)
