"""What the HTTP server and the app behind it hand to each other: requests, responses, errors.

A response's body is bytes, or an iterator that makes it piece by piece. Each `next` of such an
iterator is one *slice* of work and must stay well below a millisecond: between two of them the
event loop gets its turn, so that the whole state of a large fleet can be told without any client
of ours waiting for it.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

import msgspec

JSON: Final = "application/json"
LINES: Final = "application/x-ndjson"  # one JSON object a line
TEXT: Final = "text/plain; charset=utf-8"
QUERY_FIELDS_MAX: Final = 16  # of a query string; no request of ours has more than four

encode: Final = msgspec.json.Encoder(enc_hook=str).encode


class Request(NamedTuple):
    """One request. `trusted`: it came over the control socket, so it may change things."""

    method: str
    path: str
    query: Mapping[str, str]
    trusted: bool


class Response(NamedTuple):
    """What is answered. `headers` beside those that every answer of ours has."""

    status: int
    kind: str
    body: bytes | Iterator[bytes]
    headers: tuple[tuple[str, str], ...] = ()


class HttpError(Exception):
    """A request that is answered with an error; the text names cause and remedy."""

    def __init__(self, status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers

    def response(self) -> Response:
        """Return it as a response: JSON, as everything that programs read."""
        return Response(self.status, JSON, encode({"error": self.text}) + b"\n", self.headers)


def json(value: object, status: int = 200) -> Response:
    """Return a response that holds a small value."""
    return Response(status, JSON, encode(value) + b"\n")


def parse_target(method: str, target: bytes, *, trusted: bool) -> Request:
    """Return the request of a request line. HttpError."""
    try:
        text = target.decode("ascii")
        path, _, query = text.partition("?")
        fields = parse_qsl(
            query,
            keep_blank_values=True,
            strict_parsing=bool(query),
            max_num_fields=QUERY_FIELDS_MAX,
            errors="strict",
        )
    except ValueError:  # UnicodeDecodeError is one
        raise HttpError(400, "the request's target is not one") from None
    if not path.startswith("/"):
        raise HttpError(400, "only paths are asked for here: this is no proxy")
    return Request(method, path, dict(fields), trusted)
