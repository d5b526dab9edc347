"""Who may read over TCP: the Host check.

A page of somebody else's in an operator's browser may send requests to 127.0.0.1, and by giving
its own name that address (DNS rebinding) even read the answers. The browser then says the page's
name in `Host`; so what is taken is

  * the address, literally, on which the connection came in,
  * `localhost` on a loopback address: that name is nobody's to give another address,
  * a name that the operator listed in `http.hosts`.

Without `Host` (HTTP/1.0) there is no browser either. The port in `Host` does not matter: who
forwards a port changes it.

A forward proxy on this node (squid) would fetch our page for all its users, with a literal address
in `Host`. It tells of itself in `Via` or `X-Forwarded-For`, and is refused unless it asks for a
listed name, as a reverse proxy before us does. A proxy that hides has to be told by its own
configuration (squid: `to_localhost`).
"""

import ipaddress
from collections.abc import Collection, Sequence
from typing import Final

import trio

from codns.master.http_message import HttpError

_PROXIED: Final = frozenset((b"via", b"forwarded", b"x-forwarded-for"))


def check(headers: Sequence[tuple[bytes, bytes]], local: str, hosts: Collection[str]) -> None:
    """Check the headers (names in lower case) of a request that came in on address `local`.

    HttpError if it may not read.
    """
    said = [value for name, value in headers if name == b"host"]
    host = _host(said[0]) if said else ""
    listed = _listed(host, hosts)
    if not listed and any(name in _PROXIED for name, _ in headers):
        text = "came through a proxy: list the name it asks for in http.hosts if that is wanted"
        raise HttpError(403, text)
    if said and not listed and not _ours(host, local):
        text = "asked for under a name that is not known here: add it to http.hosts"
        raise HttpError(421, text)


def local_address(accepted: trio.socket.SocketType) -> str:
    """Return the address on which a connection came in."""
    return str(accepted.getsockname()[0])


def _host(value: bytes) -> str:
    """Return a Host header's name or address without port and brackets, in lower case."""
    text = value.decode("latin-1").strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].removesuffix(".")


def _listed(host: str, hosts: Collection[str]) -> bool:
    return any(
        host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
        for pattern in hosts
    )


def _ours(host: str, local: str) -> bool:
    address = _plain(local)
    if host == "localhost":
        return address.is_loopback
    try:
        return _plain(host) == address
    except ValueError:
        return False


def _plain(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return an address without scope; one of IPv4 in IPv6's form as IPv4."""
    address = ipaddress.ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address
