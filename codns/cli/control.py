"""Speaking to the running daemon: HTTP over its control socket.

Where that is: --socket says it, else `control` of the configuration, by the rule that the daemon
follows too. A configuration that is wrong at the moment does not keep anybody from asking the
daemon that runs: then the default places are tried.
"""

import http.client
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import click

from codns.cli.output import Common, Unreachable, config_option, json_option
from codns.config import load
from codns.config.paths import CONTROL, control_places
from codns.config.problems import ConfigError

TIMEOUT_S: Final = 10.0  # the daemon answers in milliseconds, or hangs


class Refused(click.ClickException):
    """The daemon understood and said no; its own words."""

    exit_code = 2


class _Connection(http.client.HTTPConnection):
    """HTTP to a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("codns", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(str(self._path))
        except BaseException:
            self.sock.close()
            raise


class Daemon:
    """The daemon behind one of `places`."""

    def __init__(self, places: list[Path]) -> None:
        self.places = places
        self._connection: _Connection | None = None

    def close(self) -> None:
        """Ask no more."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, path: str, **query: object) -> Any:
        """Return what a path says."""
        return json.loads(self._ask("GET", path, query).read())

    def post(self, path: str, **query: object) -> Any:
        """Do something, and return what came of it."""
        return json.loads(self._ask("POST", path, query).read())

    def lines(self, path: str, **query: object) -> Iterator[dict[str, Any]]:
        """Yield the objects that a path lists, as they come."""
        response = self._ask("GET", path, query)
        try:
            for line in response:
                yield json.loads(line)
        except (OSError, http.client.HTTPException) as error:
            raise self._gone(error) from None

    def verdict(self, path: str, method: str = "GET") -> tuple[bool, dict[str, Any]]:
        """Return whether a path says yes, and what it says: {"ok", "problems"}."""
        response = self._send(method, path, {})
        return response.status == 200, json.loads(response.read())

    def _ask(self, method: str, path: str, query: dict[str, object]) -> http.client.HTTPResponse:
        response = self._send(method, path, query)
        if response.status >= 400:
            said = json.loads(response.read())
            raise Refused(said["error"])
        return response

    def _send(self, method: str, path: str, query: dict[str, object]) -> http.client.HTTPResponse:
        target = f"{path}?{urlencode(query)}" if query else path
        again = self._connection is not None  # an idle connection may have been closed meanwhile
        while True:
            if self._connection is None:
                self._connection = self._connected()
            try:
                self._connection.request(method, target)
                return self._connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if not again:
                    raise self._gone(error) from None
                again = False

    def _connected(self) -> _Connection:
        first: OSError | None = None
        for path in self.places:
            connection = _Connection(path)
            try:
                connection.connect()
            except OSError as error:
                if first is None or isinstance(first, FileNotFoundError):
                    first = error
                continue
            return connection
        where = " or ".join(map(str, self.places))
        if isinstance(first, PermissionError):
            raise Unreachable(f"{where}: permission denied: ask as root, or as who runs codns")
        raise Unreachable(
            f"no daemon answers at {where}: is codns running? --socket or -c say where it is"
        )

    def _gone(self, error: Exception) -> Unreachable:
        said = str(error) or type(error).__name__
        return Unreachable(f"the daemon broke off: {said}; its log may say why")


def daemon(common: Common, path: Path | None) -> Daemon:
    """Return the daemon to ask."""
    if path is not None:
        return _opened([path])
    try:
        control = load.load(common.config, default=common.default_config).control
    except ConfigError as error:
        if common.config is not None and not common.config.exists():
            raise
        click.echo(f"codns: warning: {error.problems[0]}", err=True)
        control = CONTROL
    if control is None:
        raise Unreachable("`control` is null: the daemon has no control socket")
    return _opened(control_places(control, os.environ))


def _opened(places: list[Path]) -> Daemon:
    asked = Daemon(places)
    click.get_current_context().call_on_close(asked.close)
    return asked


def socket_option() -> click.Option:
    """Return --socket PATH, the parameter `path`."""
    return click.Option(
        ["--socket", "path"],
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="The daemon's control socket [`control` of the configuration].",
    )


def common_options() -> list[click.Parameter]:
    """Return the options of every command here: --socket, -c, --json."""
    return [socket_option(), config_option(), json_option()]
