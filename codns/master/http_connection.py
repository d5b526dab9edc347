"""One HTTP/1.1 connection: requests in, responses out, everything bounded. Parsing is h11's.

What a client can do to us, and what bounds it:

  send a request without end   8 KiB of headers, 4 KiB of body; then 431 or 413 and the end
  send it in tiny pieces       128 lines, of headers and of chunks; then 431 and the end
  send it slowly               10 s from its first byte to its last; then the end
  say nothing                  60 s between requests (Prometheus asks every 15 to 60 s), less if
                               connections get scarce: then the one that was idle longest ends
  not take the answer          10 s for a send of at most 64 KiB; then the end
  ask for much                 bodies are made in slices, one slice a turn of the event loop for
                               *all* connections together (`Turns`)
  send what is no HTTP         400, if it can be said at all, and the end
  make a handler fail          500, an error in the log, and the next request is taken

Nothing is pipelined: the next request is read when the answer to the last has left.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeVar

import h11
import trio

from codns.master.http_message import HttpError, Request, Response, parse_target

RECEIVE_SIZE: Final = 4096
DRAIN_S: Final = 1.0  # for what a client goes on sending after it was refused
DRAIN_READS: Final = 16  # and 64 KiB of it
SEND_SIZE_MAX: Final = 64 << 10  # at a time: a reader on a slow line still gets it in 10 s

T = TypeVar("T")
Handler = Callable[[Request], Response]
Guard = Callable[[list[tuple[bytes, bytes]]], None]
Failed = Callable[[Exception, Request], None]


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """The bounds of HTTP. Sizes in bytes, times in seconds."""

    connections: int = 64  # a browser opens 6, Prometheus 1; each costs some 20 KiB
    headers_size: int = 8 << 10  # browsers send 1 KiB, and no cookies of ours
    body_size: int = 4 << 10  # what is asked stands in the URL: no request of ours has a body
    lines: int = 128  # of a request: browsers send 20, and 1,300 took h11 6 ms of the loop
    request_s: float = 10.0  # for one request; it fits one segment
    idle_s: float = 60.0  # between two; Prometheus' longest usual interval
    send_s: float = 10.0  # for one send of at most 64 KiB


class Turns:
    """One slice of work a turn of the event loop, whoever wants it.

    Without this, sixty connections with a slice of half a millisecond each would add up within a
    single turn, and DNS clients would wait for all of them.
    """

    def __init__(self) -> None:
        self._lock = trio.Lock()

    async def run(self, work: Callable[[], T]) -> T:
        """Do it when it is its turn."""
        async with self._lock:
            try:
                return work()
            finally:
                # The next one starts after everybody else had the loop
                await trio.lowlevel.cancel_shielded_checkpoint()


class HttpConnection:
    """Serve one stream until it is closed, by either side."""

    def __init__(
        self,
        stream: trio.SocketStream,
        handler: Handler,
        guard: Guard | None,
        *,
        limits: HttpLimits,
        turns: Turns,
        failed: Failed,
    ) -> None:
        self._stream = stream
        self._handler = handler
        self._guard = guard  # None: whoever may open the control socket may do everything
        self._limits = limits
        self._turns = turns
        self._failed = failed
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.headers_size)
        self.idle_since: float | None = trio.current_time()
        self._scope = trio.CancelScope()
        self._head = False  # the request wants no body

    def close(self) -> None:
        """End it now."""
        self._scope.cancel()

    async def run(self) -> None:
        """Serve it."""
        try:
            with self._scope, contextlib.suppress(trio.BrokenResourceError):  # the client is gone
                while await self._exchange():
                    self._http.start_next_cycle()
                    if not self._http.trailing_data[0]:
                        self.idle_since = trio.current_time()
        finally:
            await trio.aclose_forcefully(self._stream)

    async def _exchange(self) -> bool:
        """Take one request and answer it. False: the connection is over."""
        try:
            asked = await self._request()
            if asked is None:
                return False
            request = self._checked(asked)
            response = await self._turns.run(lambda: self._handle(request))
        except HttpError as error:
            request, response = None, error.response()
        except h11.RemoteProtocolError as error:
            request = None
            response = HttpError(error.error_status_hint, "this is no HTTP request").response()
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await self._respond(response, request)
        if request is None:
            await self._drain()
            return False
        return self._reusable()

    async def _drain(self) -> None:
        """Take the rest of what was refused: to close before would take our words back (RST)."""
        await self._stream.send_eof()
        with trio.move_on_after(DRAIN_S):
            for _ in range(DRAIN_READS):
                if not await self._stream.receive_some(RECEIVE_SIZE):
                    return

    def _reusable(self) -> bool:
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    # -- requests -------------------------------------------------------------------------------

    async def _request(self) -> h11.Request | None:
        """Read a whole request; None if none comes."""
        asked, size = None, 0
        lines = self._http.trailing_data[0].count(b"\n")
        self._head = False
        idle = self.idle_since is not None
        patience_s = self._limits.idle_s if idle else self._limits.request_s
        with trio.move_on_after(patience_s) as scope:
            while True:
                event = self._http.next_event()
                if event is h11.NEED_DATA:
                    if self._http.they_are_waiting_for_100_continue:
                        raise HttpError(413, "no request here has a body")
                    data = await self._stream.receive_some(RECEIVE_SIZE)
                    if self.idle_since is not None and data:
                        self.idle_since = None
                        scope.deadline = trio.current_time() + self._limits.request_s
                    lines += data.count(b"\n")
                    if lines > self._limits.lines:
                        raise HttpError(431, "more lines than a request here has")
                    self._http.receive_data(data)
                elif isinstance(event, h11.Request):
                    asked, self._head = event, event.method == b"HEAD"
                elif isinstance(event, h11.Data):
                    size += len(event.data)
                    if size > self._limits.body_size:
                        raise HttpError(413, "no request here has a body of that size")
                elif isinstance(event, h11.EndOfMessage):
                    return asked
                else:  # closed
                    return None
        return None  # too slow: what came is no request, so there is nothing to answer

    def _checked(self, asked: h11.Request) -> Request:
        if self._guard is not None:
            self._guard(list(asked.headers))
        method = asked.method.decode("ascii")
        return parse_target(method, asked.target, trusted=self._guard is None)

    def _handle(self, request: Request) -> Response:
        try:
            return self._handler(request)
        except HttpError:
            raise
        except Exception as error:  # noqa: BLE001 - DNS goes on, whatever happens here
            self._failed(error, request)
            raise HttpError(500, "a bug: the log has it") from None

    # -- responses ------------------------------------------------------------------------------

    async def _respond(self, response: Response, request: Request | None) -> None:
        body = response.body
        headers = [
            ("Content-Type", response.kind),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Server", "codns"),
            *response.headers,
        ]
        if isinstance(body, bytes):
            headers.append(("Content-Length", str(len(body))))
        else:
            headers.append(("Transfer-Encoding", "chunked"))
        if request is None:
            headers.append(("Connection", "close"))
        reason = HTTPStatus(response.status).phrase.encode()
        head = h11.Response(status_code=response.status, headers=headers, reason=reason)
        data = self._http.send(head) or b""
        if self._head:
            await self._send(data)
        elif isinstance(body, bytes):
            await self._send(data + (self._http.send(h11.Data(data=body)) or b""))
        elif not await self._stream_body(data, body, request):
            return
        await self._send(self._http.send(h11.EndOfMessage()) or b"")

    async def _stream_body(
        self, data: bytes, slices: Iterator[bytes], request: Request | None
    ) -> bool:
        """Send what the slices make; False when they break: the client sees it cut short."""
        gathered = bytearray(data)
        while True:
            try:
                made = await self._turns.run(lambda: next(slices, None))
            except Exception as error:  # noqa: BLE001 - as in `_handle`
                if request is not None:
                    self._failed(error, request)
                self._http.send_failed()
                return False
            if made is None:
                break
            if made:
                gathered += self._http.send(h11.Data(data=made)) or b""
            if len(gathered) >= SEND_SIZE_MAX:
                await self._send(bytes(gathered))
                gathered.clear()
        await self._send(bytes(gathered))
        return True

    async def _send(self, data: bytes) -> None:
        for start in range(0, len(data), SEND_SIZE_MAX):
            with trio.move_on_after(self._limits.send_s) as scope:
                await self._stream.send_all(data[start : start + SEND_SIZE_MAX])
            if scope.cancelled_caught:
                self._scope.cancel()
                await trio.lowlevel.checkpoint()
