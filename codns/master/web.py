"""HTTP put together: the two sockets, the app behind them, the loop's lag.

None of it is needed for answering queries, so nothing of it keeps codns from starting: is the
TCP port taken, that is logged with the holder's name and tried again; so is it when the default
control socket cannot be had. One thing does end the start: a control socket at a path that
somebody chose and that a living daemon has, for then `codns flush` would go to the wrong one.
"""

import os
import socket
from collections.abc import Callable, Mapping
from typing import Final

import trio

from codns.config.paths import CONTROL, control_places
from codns.config.schema import Config
from codns.master.control_socket import ControlError, ControlSocket
from codns.master.http_app import App, Inside, Metrics
from codns.master.http_connection import HttpLimits, Turns
from codns.master.http_server import BACKLOG, HttpServer
from codns.master.lag import Lag
from codns.master.sockets import BindError, bind_tcp

AGAIN_S: Final = 10.0  # until a taken port is tried again: a restart's overlap is shorter

# The CLI asks one thing at a time; `top` and a script beside it need no more
_CONTROL_LIMITS: Final = HttpLimits(connections=16)

Log = Callable[[str, str, dict[str, object]], None]


class Web:
    """Made before the loop runs: BindError where the start must end."""

    def __init__(self, config: Config, log: Log, environ: Mapping[str, str] = os.environ) -> None:
        self._log = log
        self._listen = config.http.listen
        self.lag = Lag()
        self.metrics: Metrics | None = None  # set before `run`
        self._control = self._open_control(config.control, environ)
        self._tcp = self._open_tcp()
        self._servers: list[HttpServer] = []

    @property
    def address(self) -> str | None:
        """Where HTTP is served over TCP now, with the port really bound."""
        if self._tcp is None or self._tcp.fileno() < 0:
            return None
        host, port = self._tcp.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def control(self) -> str | None:
        """Where the control socket is."""
        return str(self._control.path) if self._control is not None else None

    def connections(self) -> tuple[int, int]:
        """Return how many are open, and how many were one too many."""
        servers = self._servers
        return sum(s.connections for s in servers), sum(s.refused for s in servers)

    def status(self) -> dict[str, object]:
        """Return what is open, as JSON can carry it."""
        connections, refused = self.connections()
        return {
            "listen": self.address,
            "control": self.control,
            "connections": connections,
            "refused": refused,
        }

    async def run(self, inside: Inside) -> None:
        """Serve until cancelled."""
        app, turns = App(inside, self.metrics), Turns()
        tcp = HttpServer(
            app, self._log, turns, trusted=False, hosts=lambda: inside.config.http.hosts
        )
        control = HttpServer(app, self._log, turns, trusted=True, limits=_CONTROL_LIMITS)
        self._servers = [tcp, control]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.lag.run)
            nursery.start_soon(inside.run)
            if self._control is not None:
                nursery.start_soon(control.serve, self._control.sock)
            if self._listen is not None:
                nursery.start_soon(self._serve_tcp, tcp)

    def release(self) -> None:
        """Close what is open, remove the control socket's file."""
        if self._control is not None:
            self._control.release()
        if self._tcp is not None:
            self._tcp.close()

    # -- sockets --------------------------------------------------------------------------------

    def _open_control(
        self, control: str | None, environ: Mapping[str, str]
    ) -> ControlSocket | None:
        if control is None:
            return None
        refused: ControlError | None = None
        for path in control_places(control, environ):
            try:
                return ControlSocket(path, BACKLOG)
            except ControlError as error:
                if error.taken and control != CONTROL:
                    raise BindError(str(error)) from error
                refused = refused or error
        fields: dict[str, object] = {"reason": str(refused)}
        self._log("warning", "no control socket: `codns status` and the like cannot work", fields)
        return None

    def _open_tcp(self) -> socket.socket | None:
        if self._listen is None:
            return None
        try:
            return bind_tcp(self._listen, "http.listen", BACKLOG)
        except BindError as error:
            fields: dict[str, object] = {"reason": str(error), "again_s": AGAIN_S}
            self._log("error", "metrics and status are not served", fields)
            return None

    async def _serve_tcp(self, server: HttpServer) -> None:
        assert self._listen is not None
        while self._tcp is None:
            await trio.sleep(AGAIN_S)
            try:
                self._tcp = bind_tcp(self._listen, "http.listen", BACKLOG, again=True)
            except BindError:
                continue
            self._log("info", "metrics and status are served now", {"listen": self.address})
        await server.serve(self._tcp)
