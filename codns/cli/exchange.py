"""One exchange with a nameserver for `codns query`: blocking, by UDP or TCP.

Not the slaves' way: a person asks once, wants to see whatever comes back, and wants to be told why
nothing did. The UDP socket is connected, so a port where nobody listens is told at once.
"""

import socket
import time
from typing import Final, NamedTuple

from codns.cli.output import Unreachable
from codns.config.units import format_duration, format_endpoint
from codns.wire.const import HEADER_SIZE, MESSAGE_SIZE_MAX
from codns.wire.errors import WireError
from codns.wire.tcp import Framer, frame

REMEDY: Final = "is codns running? (codns run)"


class Server(NamedTuple):
    """Who is asked."""

    host: str
    port: int

    def __str__(self) -> str:
        return format_endpoint(self.host, self.port)

    @property
    def family(self) -> socket.AddressFamily:
        """The family of its address."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET


class Reply(NamedTuple):
    """A response and the seconds since the query left."""

    wire: bytes
    elapsed_s: float


def ask(server: Server, query: bytes, timeout_s: float, *, tcp: bool) -> Reply:
    """Return the response, Unreachable when there is none."""
    start = time.perf_counter()
    transport = "TCP" if tcp else "UDP"
    try:
        wire = (_ask_tcp if tcp else _ask_udp)(server, query, timeout_s)
    except TimeoutError:
        said = f"no answer by {transport} within {format_duration(timeout_s)}"
        raise Unreachable(f"{server}: {said}; try --timeout or another @SERVER") from None
    except ConnectionRefusedError:
        said = f"nobody listens there ({transport}); {REMEDY}"
        raise Unreachable(f"{server}: {said}") from None
    except OSError as error:
        said = error.strerror or str(error)
        raise Unreachable(f"{server}: {said} ({transport})") from None
    return Reply(wire, time.perf_counter() - start)


def _answers(query: bytes, response: bytes) -> bool:
    """Tell whether it is a response with our id. Its question may be missing: an error reply."""
    return len(response) >= HEADER_SIZE and response[:2] == query[:2] and response[2] & 0x80 != 0


def _ask_udp(server: Server, query: bytes, timeout_s: float) -> bytes:
    """Ask, and once more after half the time: the query or the answer may be lost."""
    with socket.socket(server.family, socket.SOCK_DGRAM) as udp:
        udp.connect((server.host, server.port))
        start = time.monotonic()
        for until in (start + timeout_s / 2, start + timeout_s):
            udp.send(query)
            while (left := until - time.monotonic()) > 0:
                udp.settimeout(left)
                try:
                    response = udp.recv(MESSAGE_SIZE_MAX)
                except TimeoutError:
                    break
                if _answers(query, response):
                    return response
    raise TimeoutError


def _ask_tcp(server: Server, query: bytes, timeout_s: float) -> bytes:
    until = time.monotonic() + timeout_s
    framer = Framer()
    with socket.socket(server.family, socket.SOCK_STREAM) as tcp:
        tcp.settimeout(timeout_s)
        tcp.connect((server.host, server.port))
        tcp.sendall(frame(query))
        while (left := until - time.monotonic()) > 0:
            tcp.settimeout(left)
            data = tcp.recv(MESSAGE_SIZE_MAX)
            if not data:
                raise ConnectionResetError(0, "the connection was closed without an answer")
            try:
                found = [m for m in framer.feed(data) if _answers(query, m)]
            except WireError as error:
                raise OSError(0, str(error)) from None
            if found:
                return found[0]
    raise TimeoutError
