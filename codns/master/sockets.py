"""Opening the sockets clients talk to: a UDP and a TCP one for each address, or none at all.

What fails here is what people meet first, so an error is one line that names the cause (who has
the port) and the remedy. Everything is done on the socket object with the family it says it has:
sockets opened by somebody else (systemd) pass through the same `Pair.of`.
"""

import contextlib
import errno
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from codns.master.acl import packed_address
from codns.master.holder import Holder, find_holder

BACKLOG: Final = 512  # the accept loop drains it at once; it covers one stall of the event loop
UDP_BUFFER_SIZE: Final = 4 << 20  # 10,000 queries of 400 bytes (with the kernel's overhead)
PORT_TRIES: Final = 16  # for port 0: a port free for UDP may be taken for TCP

# Linux's numbers, which the socket module does not name (asm-generic/socket.h, linux/in.h)
_SO_SNDBUFFORCE: Final = 32
_SO_RCVBUFFORCE: Final = 33
_IP_PKTINFO: Final = 8

_ABSENT: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENODEV)


class BindError(Exception):
    """A listening address cannot be had. The text is one line: cause and remedy."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Pair:
    """The two sockets of one listening address, non-blocking, TCP listening already.

    `wildcard`: bound to every address, so the UDP socket tells with each datagram which one was
    asked (IP_PKTINFO, IPV6_PKTINFO) and the answer has to leave from there.
    `receive_size` and `send_size` are what the kernel gave the UDP socket's buffers, in bytes
    (it counts its own overhead in).
    """

    udp: socket.socket
    tcp: socket.socket
    host: str
    port: int
    wildcard: bool
    receive_size: int
    send_size: int

    @classmethod
    def of(cls, udp: socket.socket, tcp: socket.socket) -> "Pair":
        """Make a pair of two bound sockets, whoever bound them."""
        for sock in (udp, tcp):
            sock.setblocking(False)
        host, port = udp.getsockname()[:2]
        wildcard = not any(packed_address(host))
        if wildcard:
            _want_packet_info(udp)
        return cls(
            udp,
            tcp,
            host,
            port,
            wildcard,
            _grow(udp, _SO_RCVBUFFORCE, socket.SO_RCVBUF),
            _grow(udp, _SO_SNDBUFFORCE, socket.SO_SNDBUF),
        )

    @property
    def address(self) -> str:
        """The address as written in the configuration, with the port really bound."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def close(self) -> None:
        """Close both sockets."""
        self.udp.close()
        self.tcp.close()


def split_address(text: str) -> tuple[str, int]:
    """Return ("127.0.0.1", 53) of "127.0.0.1:53", ("::1", 53) of "[::1]:53". BindError."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        literal = ":" in host
    else:
        literal = ":" not in host
    with contextlib.suppress(OSError, ValueError):
        packed_address(host)
        if colon and literal and port.isascii() and port.isdigit() and int(port) <= 0xFFFF:
            return host, int(port)
    raise BindError(f"{text}: not an address and port like 127.0.0.1:53 or [::1]:53", errno.EINVAL)


def bind(listen: Iterable[str], *, skip_absent: bool = False) -> list[Pair]:
    """Open a pair for each "host:port". If one fails, none stays open: BindError.

    With `skip_absent` an address that this machine does not have is left out, as long as another
    one is there: the default list names ::1, and a container may have no IPv6. Port 0 takes a
    free port, the same for UDP and TCP.
    """
    pairs: list[Pair] = []
    absent: BindError | None = None
    with contextlib.ExitStack() as opened:
        for text in listen:
            try:
                pair = _bind_pair(text)
            except BindError as error:
                if not skip_absent or error.code not in _ABSENT:
                    raise
                absent = error
                continue
            opened.callback(pair.close)
            pairs.append(pair)
        if absent is not None and not pairs:
            raise absent
        opened.pop_all()
    return pairs


def _bind_pair(text: str) -> Pair:
    host, port = split_address(text)
    tries = PORT_TRIES if port == 0 else 1
    while True:
        tries -= 1
        with contextlib.ExitStack() as opened:
            kind = "udp"
            try:
                udp = opened.enter_context(_bound(host, port, socket.SOCK_DGRAM))
                kind = "tcp"
                tcp = opened.enter_context(_bound(host, udp.getsockname()[1], socket.SOCK_STREAM))
                # Listening can fail as well: of two binders with SO_REUSEADDR one may listen
                tcp.listen(BACKLOG)
                pair = Pair.of(udp, tcp)
            except OSError as error:
                if tries and error.errno == errno.EADDRINUSE:
                    continue
                raise _explained(text, host, port, kind, error) from error
            opened.pop_all()
            return pair


def bind_udp(text: str, key: str) -> socket.socket:
    """Open one UDP socket, non-blocking: BindError, whose remedy is another address in `key`.

    Unlike clients' sockets, [::] hears IPv4 as well: the peer link has one socket.
    """
    host, port = split_address(text)
    try:
        udp = _bound(host, port, socket.SOCK_DGRAM, both=True)
    except OSError as error:
        other = f"choose another address in {key}"
        raise _explained(text, host, port, "udp", error, other, other) from error
    udp.setblocking(False)
    _grow(udp, _SO_RCVBUFFORCE, socket.SO_RCVBUF)
    _grow(udp, _SO_SNDBUFFORCE, socket.SO_SNDBUF)
    return udp


def bind_tcp(text: str, key: str, backlog: int, *, again: bool = False) -> socket.socket:
    """Open one listening TCP socket, non-blocking; [::] hears IPv4 as well. BindError.

    `again`: why it failed was told before. Finding out takes too long for a running event loop.
    """
    host, port = split_address(text)
    try:
        tcp = _bound(host, port, socket.SOCK_STREAM, both=True)
        tcp.listen(backlog)
    except OSError as error:
        if again:
            raise BindError(f"{text}: {error.strerror}", error.errno or 0) from error
        other = f"choose another address in {key}"
        raise _explained(text, host, port, "tcp", error, other, other) from error
    tcp.setblocking(False)
    return tcp


def _bound(host: str, port: int, kind: socket.SocketKind, *, both: bool = False) -> socket.socket:
    # A literal never goes to a resolver, which would be ourselves; the scope of fe80::1%eth0
    # becomes the number the kernel wants
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    family, *_, address = socket.getaddrinfo(host, port, type=kind, flags=flags)[0]
    sock = socket.socket(family, kind)
    try:
        if family == socket.AF_INET6:
            # IPv4 has sockets of its own; without this [::]:53 and 0.0.0.0:53 exclude each other
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not both))
        if kind == socket.SOCK_STREAM:
            # A restart must not wait for connections in TIME_WAIT. Not for UDP: there it would
            # let a second daemon take the port from under us
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


def _want_packet_info(udp: socket.socket) -> None:
    if udp.family == socket.AF_INET6:
        udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        udp.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)


def _grow(udp: socket.socket, force: int, option: int) -> int:
    """Enlarge a buffer as far as the kernel lets us, and return its size.

    One stall of 10 ms at 100,000 queries/s is 1,000 datagrams, several times the default buffer.
    One that systemd made larger is left alone: what we may set without privileges is less.
    """
    given = udp.getsockopt(socket.SOL_SOCKET, option)
    if given >= UDP_BUFFER_SIZE:
        return given
    try:
        udp.setsockopt(socket.SOL_SOCKET, force, UDP_BUFFER_SIZE)  # CAP_NET_ADMIN
    except PermissionError:
        udp.setsockopt(socket.SOL_SOCKET, option, UDP_BUFFER_SIZE)  # bounded by net.core.*_max
    return udp.getsockopt(socket.SOL_SOCKET, option)


def _explained(
    text: str,
    host: str,
    port: int,
    kind: str,
    error: OSError,
    other: str = "choose another address with --listen",
    unprivileged: str = "use --listen 127.0.0.1:5300",
) -> BindError:
    code = error.errno or 0
    if code == errno.EADDRINUSE:
        line = _in_use(find_holder(Path("/proc"), kind, packed_address(host), port), other)
    elif code in (errno.EACCES, errno.EPERM):
        line = f"needs root or CAP_NET_BIND_SERVICE, or {unprivileged}"
    elif code in (errno.EADDRNOTAVAIL, errno.ENODEV):
        line = f"this machine has no such address (`ip address` shows them): {other}"
    elif code == errno.EAFNOSUPPORT:
        line = f"this machine has no IPv6: {other}"
    else:
        line = f"{error.strerror or error} ({kind.upper()}): {other}"
    joint = " " if code == errno.EADDRINUSE else ": "
    return BindError(f"{text}{joint}{line}", code)


def _in_use(holder: Holder | None, other: str) -> str:
    if holder is None:
        return f"is in use by another program (`ss -lnptu` as root shows it): stop it or {other}"
    if holder.pid == os.getpid():
        return "is in use by codns itself: is it listed twice, or covered by 0.0.0.0 or [::]?"
    who = f"is in use by {holder.name} (pid {holder.pid})"
    if holder.name == "systemd-resolved":
        remedy = "set DNSStubListener=no in /etc/systemd/resolved.conf and restart it"
        return f"{who}: {remedy}, or {other}"
    return f"{who}: stop it or {other}"
