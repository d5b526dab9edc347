"""Accepting HTTP connections: on TCP for whoever may read, on the control socket for the CLI.

Both have limits of their own, so that nobody on TCP keeps the operator from `codns status`. When
all connections are taken, the one that was idle longest makes room; are all of them busy, the new
one is closed.
"""

import errno
import socket
from collections.abc import Callable, Collection
from typing import Final

import trio

from codns.master import http_guard
from codns.master.http_connection import Handler, HttpConnection, HttpLimits, Turns
from codns.master.http_message import Request

BACKLOG: Final = 64  # connections that the kernel holds while the loop is busy
ACCEPT_PAUSE_S: Final = 0.1  # after an error that will not go away by itself (EMFILE)

_ABORTED: Final = (errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.EINTR)

Log = Callable[[str, str, dict[str, object]], None]


class HttpServer:
    """Serve one kind of listening socket. `trusted`: the control socket."""

    def __init__(
        self,
        handler: Handler,
        log: Log,
        turns: Turns,
        *,
        trusted: bool,
        limits: HttpLimits | None = None,
        hosts: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._handler = handler
        self._log = log
        self._turns = turns
        self._trusted = trusted
        self._limits = limits or HttpLimits()
        self._hosts = hosts
        self._open: set[HttpConnection] = set()
        self.refused = 0  # connections, because all were busy

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open)

    async def serve(
        self, sock: socket.socket, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve a listening socket, which is closed in the end, until cancelled."""
        with trio.socket.from_stdlib_socket(sock) as listening:
            async with trio.open_nursery() as nursery:
                task_status.started()
                await self._accept(listening, nursery)

    async def _accept(self, listening: trio.socket.SocketType, nursery: trio.Nursery) -> None:
        while True:
            try:
                accepted, _ = await listening.accept()
            except OSError as error:
                if error.errno not in _ABORTED:
                    await trio.sleep(ACCEPT_PAUSE_S)
                continue
            self._enter(accepted, nursery)

    def _enter(self, accepted: trio.socket.SocketType, nursery: trio.Nursery) -> None:
        try:
            local = None if self._trusted else http_guard.local_address(accepted)
            stream = trio.SocketStream(accepted)
        except OSError:  # it is gone already
            accepted.close()
            return
        if len(self._open) >= self._limits.connections and not self._make_room():
            self.refused += 1
            accepted.close()
            return

        def guard(headers: list[tuple[bytes, bytes]]) -> None:
            http_guard.check(headers, local or "", self._hosts())

        connection = HttpConnection(
            stream,
            self._handler,
            guard if local is not None else None,
            limits=self._limits,
            turns=self._turns,
            failed=self._failed,
        )
        self._open.add(connection)
        nursery.start_soon(self._run, connection)

    def _make_room(self) -> bool:
        """End the connection that was idle longest; False if none is."""
        idle = [c for c in self._open if c.idle_since is not None]
        if not idle:
            return False
        oldest = min(idle, key=lambda connection: connection.idle_since or 0.0)
        oldest.close()
        self._open.discard(oldest)
        return True

    async def _run(self, connection: HttpConnection) -> None:
        try:
            await connection.run()
        finally:
            self._open.discard(connection)

    def _failed(self, error: Exception, request: Request) -> None:
        fields: dict[str, object] = {
            "path": request.path,
            "error": f"{type(error).__name__}: {error}",
        }
        self._log("error", "an HTTP request failed, a bug", fields)
