"""What is answered over HTTP: metrics, health, state, the status page, and the control verbs.

The same app serves TCP and the control socket. Over TCP everything is read-only and without the
names that clients ask for (`http.details` shows them); the verbs are on the socket only, where the
file's mode has decided who may.

    GET  /healthz                the event loop turns and slaves live: 200, else 503
    GET  /readyz                 a question that is not cached can be answered now: 200, else 503
    GET  /status, /v1/status     everything: node, daemon, peers, races (JSON)
    GET  /v1/summary             the same without the rows of peers
    GET  /v1/peers, /v1/races    ?neighbours=1 leaves out the other peers
    GET  /v1/history             the last ten minutes in steps of five seconds
    GET  /metrics                Prometheus' text format
    GET  /                       the status page
    and on the control socket
    GET  /v1/explain?name=&type=&do=&cd=
    GET  /v1/cache               every entry, one JSON object a line
    GET  /v1/cache/lookup?name=
    POST /v1/cache/flush?name=|zone=|all=1
    POST /v1/reload
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

from codns.config.schema import Config
from codns.core.node import Node
from codns.master import control_verbs
from codns.master.http_message import JSON, HttpError, Request, Response, encode, json
from codns.obs.assets import PAGES

Row = dict[str, object]
Route = Callable[[Request], Response]
Metrics = Callable[[], tuple[str, bytes | Iterator[bytes]]]

READ: Final = ("GET", "HEAD")
HIDDEN: Final = "(hidden)"  # in place of a name that clients asked for


class Inside(Protocol):
    """What the app needs of the daemon."""

    @property
    def config(self) -> Config:
        """What is in effect."""

    @property
    def node(self) -> Node:
        """The brain."""

    def clock(self) -> float:
        """Return the node's time."""

    def shell(self) -> Row:
        """Return what is the daemon's and not the node's, as JSON can carry it."""

    def ailing(self) -> list[str]:
        """Say why it is not healthy; nothing if it is."""

    def unready(self) -> list[str]:
        """Say why a question that is not cached cannot be answered now; nothing if it can."""

    async def run(self) -> None:
        """Keep the history until cancelled."""

    def history(self) -> list[Row]:
        """Return the last minutes in steps, oldest first."""

    def reload(self) -> list[str]:
        """Read the configuration again; returns what is wrong with it."""


class App:
    """Requests to responses. `metrics` returns (content type, body); None: there are none."""

    def __init__(self, inside: Inside, metrics: Metrics | None = None) -> None:
        self._inside = inside
        self.metrics = metrics
        self._routes: Mapping[str, Route] = {
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/status": self._status,
            "/metrics": self._render_metrics,
            "/v1/status": self._status,
            "/v1/summary": self._summary,
            "/v1/peers": self._peers,
            "/v1/races": self._races,
            "/v1/history": self._history,
            **dict.fromkeys(PAGES, self._page),
        }
        verbs = control_verbs.Verbs(inside)
        self._verbs: Mapping[tuple[str, str], Route] = {
            ("GET", "/v1/explain"): verbs.explain,
            ("GET", "/v1/cache"): verbs.cache_dump,
            ("GET", "/v1/cache/lookup"): verbs.cache_lookup,
            ("POST", "/v1/cache/flush"): verbs.cache_flush,
            ("POST", "/v1/reload"): verbs.reload,
        }

    def __call__(self, request: Request) -> Response:
        """Answer a request. HttpError."""
        route = self._routes.get(request.path)
        if route is not None:
            if request.method not in READ:
                raise HttpError(405, "this is only read", (("Allow", ", ".join(READ)),))
            return route(request)
        methods = [method for method, path in self._verbs if path == request.path]
        if not methods:
            raise HttpError(404, "there is nothing here")
        if not request.trusted:
            raise HttpError(403, "this is on the control socket only")
        if request.method not in methods:
            raise HttpError(405, f"this is asked for by {methods[0]}", (("Allow", methods[0]),))
        return self._verbs[request.method, request.path](request)

    # -- health ---------------------------------------------------------------------------------

    def _healthz(self, _: Request) -> Response:
        return _verdict(self._inside.ailing())

    def _readyz(self, _: Request) -> Response:
        return _verdict(self._inside.ailing() + self._inside.unready())

    def _render_metrics(self, _: Request) -> Response:
        if self.metrics is None:
            raise HttpError(404, "there is nothing here")
        kind, body = self.metrics()
        return Response(200, kind, body)

    def _page(self, request: Request) -> Response:
        return _PAGE_RESPONSES[request.path]

    # -- state ----------------------------------------------------------------------------------

    def _shown(self, request: Request) -> bool:
        """May this client see what names are asked for?"""
        return request.trusted or self._inside.config.http.details

    def _status(self, request: Request) -> Response:
        return Response(200, JSON, self._whole(named=self._shown(request)))

    def _whole(self, *, named: bool) -> Iterator[bytes]:
        """Everything in slices: a fleet's rows take longer than the loop may stand still."""
        yield encode(self._node_status(named=named))[:-1]
        yield b',"peers":['
        yield from self._rows(self._inside.node.peers_rows(self._inside.clock()))
        yield b"]}\n"

    def _summary(self, request: Request) -> Response:
        return json(self._node_status(named=self._shown(request)))

    def _node_status(self, *, named: bool) -> Row:
        inside = self._inside
        node, now = inside.node, inside.clock()
        races, slow = node.recent_races(now), node.slow_names(now)
        told = {**node.status(now), **inside.shell()}
        told["races"] = races if named else [_unnamed(race) for race in races]
        told["slow"] = slow if named else [_unnamed(lookup) for lookup in slow]
        told["named"] = named
        return told

    def _peers(self, request: Request) -> Response:
        slices = self._inside.node.peers_rows(self._inside.clock())
        if request.query.get("neighbours"):
            slices = _neighbours(slices)
        return Response(200, JSON, self._peer_list(slices))

    def _peer_list(self, slices: Iterator[list[Row]]) -> Iterator[bytes]:
        yield b"["
        yield from self._rows(slices)
        yield b"]\n"

    def _races(self, request: Request) -> Response:
        races = self._inside.node.recent_races(self._inside.clock())
        return json(races if self._shown(request) else [_unnamed(race) for race in races])

    def _history(self, _: Request) -> Response:
        return json(self._inside.history())

    @staticmethod
    def _rows(slices: Iterator[list[Row]]) -> Iterator[bytes]:
        """Yield rows as the inner part of a JSON list."""
        joint = b""
        for rows in slices:
            if rows:
                yield joint + encode(rows)[1:-1]
                joint = b","


def _neighbours(slices: Iterator[list[Row]]) -> Iterator[list[Row]]:
    """Yield the rows of neighbours, which come first."""
    for rows in slices:
        near = [row for row in rows if row["neighbour"]]
        yield near
        if len(near) < len(rows):
            return


def _unnamed(row: Row) -> Row:
    return {**row, "name": HIDDEN}


def _verdict(problems: list[str]) -> Response:
    return json({"ok": not problems, "problems": problems}, 503 if problems else 200)


# Scripts and styles are files of ours, so nothing inline is needed and nothing foreign can run;
# the page may not be framed, and talks to nobody but this daemon
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE_HEADERS: Final = (
    ("Content-Security-Policy", _POLICY),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
_PAGE_RESPONSES: Final = {
    path: Response(200, kind, content, _PAGE_HEADERS) for path, (kind, content) in PAGES.items()
}
