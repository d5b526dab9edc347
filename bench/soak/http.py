"""Speaking to a daemon over HTTP, by TCP or by its control socket: one request a connection."""

from pathlib import Path
from typing import Final, NamedTuple

import trio

PATIENCE_S: Final = 10.0
CHUNK: Final = 65_536


class Answer(NamedTuple):
    """Status and body."""

    status: int
    body: bytes


async def ask(
    where: Path | tuple[str, int], path: str, *, method: str = "GET", raw: bytes | None = None
) -> Answer | None:
    """None: nobody there, or no answer in time. `raw` replaces the request."""
    with trio.move_on_after(PATIENCE_S):
        try:
            return await _ask(where, path, method, raw)
        except (OSError, trio.BrokenResourceError, ValueError, IndexError):
            return None
    return None


async def _ask(where: Path | tuple[str, int], path: str, method: str, raw: bytes | None) -> Answer:
    if isinstance(where, Path):
        stream: trio.SocketStream = await trio.open_unix_socket(where)
        host = "codns"
    else:
        stream = await trio.open_tcp_stream(*where)
        host = f"{where[0]}:{where[1]}"
    async with stream:
        request = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        await stream.send_all(raw or request.encode())
        received = bytearray()
        while chunk := await stream.receive_some(CHUNK):
            received += chunk
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    whole = unchunked(body) if b"chunked" in head.lower() else body
    return Answer(int(head.split(None, 2)[1]), whole)


def unchunked(body: bytes) -> bytes:
    """A chunked body put together."""
    found, at = [], 0
    while at < len(body):
        line_end = body.index(b"\r\n", at)
        size = int(body[at:line_end], 16)
        if size == 0:
            break
        found.append(body[line_end + 2 : line_end + 2 + size])
        at = line_end + 2 + size + 2
    return b"".join(found)
