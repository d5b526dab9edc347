"""The verbs of the control socket: explain a name, look into the cache and flush it, reload.

Names are taken as people write them, types as numbers: who asks knows their names. What may take
long is made in slices, and a flush that has begun is finished even if who asked for it has left:
half a flush is nothing to build on.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from codns.master.http_message import JSON, LINES, HttpError, Request, Response, encode, json
from codns.wire.name import from_text

if TYPE_CHECKING:
    from codns.master.http_app import Inside

TYPE_MAX: Final = 65535  # RFC 1035 3.2.2: 16 bits
_TRUE: Final = ("1", "true", "yes")


class Verbs:
    """Each takes a request and returns a response. HttpError 400 for what makes no sense."""

    def __init__(self, inside: "Inside") -> None:
        self._inside = inside

    def explain(self, request: Request) -> Response:
        """Tell how a name would be, or was, looked up."""
        query = request.query
        name = _name(query.get("name", ""))
        qtype = _type(query.get("type", "1"))
        do, cd = query.get("do") in _TRUE, query.get("cd") in _TRUE
        return json(self._inside.node.explain(name, qtype, self._inside.clock(), do=do, cd=cd))

    def cache_dump(self, _: Request) -> Response:
        """Tell everything that is kept."""
        slices = self._inside.node.cache_dump(self._inside.clock)
        return Response(200, LINES, (b"".join(_line(row) for row in rows) for rows in slices))

    def cache_lookup(self, request: Request) -> Response:
        """Tell what is kept of one name."""
        name = _name(request.query.get("name", ""))
        slices = self._inside.node.cache_lookup(name, self._inside.clock)
        return Response(200, LINES, (b"".join(_line(row) for row in rows) for rows in slices))

    def cache_flush(self, request: Request) -> Response:
        """Forget one name, all of a zone, or everything."""
        query = request.query
        said = [key for key in ("name", "zone", "all") if key in query]
        if len(said) != 1 or (said == ["all"] and query["all"] not in _TRUE):
            raise HttpError(400, "say one of name=, zone= or all=1")
        name = None if said == ["all"] else _name(query[said[0]])
        steps = self._inside.node.cache_flush(name, zone=said == ["zone"])
        return Response(200, JSON, _flushed(steps))

    def reload(self, _: Request) -> Response:
        """Read the configuration again."""
        problems = self._inside.reload()
        return json({"ok": not problems, "problems": problems}, 409 if problems else 200)


def _flushed(steps: Iterator[int]) -> Iterator[bytes]:
    """Flush step by step; a client that left is no reason to stop."""
    removed = 0
    for count in steps:
        removed += count
        yield b""
    yield encode({"flushed": removed}) + b"\n"


def _line(row: dict[str, object]) -> bytes:
    return encode(row) + b"\n"


def _name(text: str) -> bytes:
    if not text:
        raise HttpError(400, "name: is missing")
    try:
        ascii_text = text if text.isascii() else text.encode("idna").decode("ascii")
        return from_text(ascii_text).lower()
    except ValueError as error:
        raise HttpError(400, f"name: {error}") from None


def _type(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= TYPE_MAX):
        raise HttpError(400, f"type: write a number up to {TYPE_MAX}")
    return int(text)
