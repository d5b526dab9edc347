"""Sockets that systemd opened for us (sd_listen_fds(3)).

Why: systemd keeps them open over a restart, so queries wait in the kernel's queue instead of being
refused; port 53 needs no capability; and the receive buffer may be larger than we could make it.

The protocol is three variables. LISTEN_PID says who is meant, LISTEN_FDS how many descriptors
there are from 3 on, LISTEN_FDNAMES what the unit's FileDescriptorName= calls them. They are taken
out of the environment, so that no child believes they are meant for it.

What is made of them:
  1. a UDP and a TCP socket of one address become a pair, as if we had bound them; one without the
     other is a mistake in the unit and ends the start, with the line that is missing;
  2. every pair is served, also where `listen` does not name it: systemd goes on holding the
     address, and queries to it would wait for ever (the daemon warns of it);
  3. an address of `listen` that is not among them is bound by ourselves, unless `listen` was left
     at its default: then the unit decides.
"""

import contextlib
import os
import socket
from collections.abc import Iterable, MutableMapping
from typing import Final, NamedTuple

from codns.master.sockets import BindError, Pair, bind, split_address

FIRST: Final = 3  # SD_LISTEN_FDS_START
SOCKETS_MAX: Final = 256  # 128 addresses; a unit with more is a mistake, LISTEN_FDS=999999 too
NAME: Final = "dns"  # FileDescriptorName= in codns.socket
_UNNAMED: Final = ("", "unknown", "codns.socket")  # what systemd says where the unit says nothing

_HOLD: Final = "systemctl edit codns.socket"


class Activation(NamedTuple):
    """The pairs to serve, and what the log should warn of."""

    pairs: list[Pair]
    warnings: list[str]


def inherited(
    environ: MutableMapping[str, str], pid: int
) -> tuple[list[socket.socket], list[str]]:
    """Take over the sockets meant for us: (sockets, warnings). BindError if they are none.

    A variable that is no number, or meant for another process, means that there are none.
    """
    meant = environ.pop("LISTEN_PID", "")
    count = environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "")
    if meant != str(pid) or not (count.isascii() and count.isdigit()):
        return [], []
    if not 0 < int(count) <= SOCKETS_MAX:
        raise BindError(f"LISTEN_FDS={count}: from 1 to {SOCKETS_MAX} sockets can be passed")
    called = names.split(":") if names else []
    called += [""] * (int(count) - len(called))
    ours: list[socket.socket] = []
    warnings: list[str] = []
    with contextlib.ExitStack() as opened:
        for number, name in zip(range(FIRST, FIRST + int(count)), called, strict=False):
            sock = opened.enter_context(_take(number))
            if name == NAME or name in _UNNAMED:
                ours.append(sock)
            else:
                sock.close()
                warnings.append(f"a socket that systemd calls {name!r} is not used")
        opened.pop_all()
    return ours, warnings


def activate(
    listen: Iterable[str],
    *,
    automatic: bool,
    environ: MutableMapping[str, str] | None = None,
) -> Activation:
    """Return the pairs to listen with: systemd's, and those we bind ourselves. BindError.

    `automatic`: `listen` is the default, not somebody's wish.
    """
    socks, warnings = inherited(os.environ if environ is None else environ, os.getpid())
    if not socks:
        return Activation(bind(listen, skip_absent=automatic), warnings)
    with contextlib.ExitStack() as opened:
        for sock in socks:
            opened.callback(sock.close)
        pairs = _pairs(socks)
        wanted = [split_address(text) for text in listen]
        if not automatic:
            have = {(pair.host, pair.port) for pair in pairs}
            missing = [text for text, at in zip(listen, wanted, strict=True) if at not in have]
            warnings += [
                f"{pair.address} is not in `listen`, but systemd holds it: served all the same "
                f"(`{_HOLD}` changes that)"
                for pair in pairs
                if (pair.host, pair.port) not in wanted
            ]
            pairs += _bound_beside(missing)
        opened.pop_all()
    return Activation(pairs, warnings)


def _bound_beside(missing: list[str]) -> list[Pair]:
    try:
        return bind(missing)
    except BindError as error:
        remedy = f"or add it to the unit that holds the others: `{_HOLD}`"
        raise BindError(f"{error}; {remedy}", error.code) from error


def _take(number: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=number)
    except OSError as error:
        raise BindError(f"descriptor {number} from systemd: {error.strerror}") from error
    sock.set_inheritable(False)  # systemd passes them on without CLOEXEC
    return sock


def _pairs(socks: list[socket.socket]) -> list[Pair]:
    """Put UDP and TCP sockets of the same address together, in the order of the UDP ones."""
    kinds: dict[int, dict[tuple[str, int], socket.socket]] = {
        socket.SOCK_DGRAM: {},
        socket.SOCK_STREAM: {},
    }
    for sock in socks:
        _check(sock)
        address = sock.getsockname()[:2]
        if address in kinds[sock.type]:
            raise BindError(f"systemd passed two sockets for {_text(address)}: list it once")
        kinds[sock.type][address] = sock
    udp, tcp = kinds[socket.SOCK_DGRAM], kinds[socket.SOCK_STREAM]
    for address in [*udp, *tcp]:
        if (address in udp) != (address in tcp):
            key = "ListenStream" if address in udp else "ListenDatagram"
            text = _text(address)
            raise BindError(f"{text}: DNS needs UDP and TCP: add {key}={text} to codns.socket")
    return [Pair.of(sock, tcp[address]) for address, sock in udp.items()]


def _check(sock: socket.socket) -> None:
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        raise BindError(f"systemd passed a socket of {sock.family.name}: codns.socket may name IP "
                        "addresses only")  # fmt: skip
    text = _text(sock.getsockname()[:2])
    if sock.type not in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        raise BindError(
            f"{text}: ListenDatagram= and ListenStream= are what codns.socket may have"
        )
    listens = sock.type == socket.SOCK_DGRAM or sock.getsockopt(
        socket.SOL_SOCKET, socket.SO_ACCEPTCONN
    )
    if not listens:
        raise BindError(f"{text}: systemd passed a connection: codns.socket needs Accept=no")
    if sock.family == socket.AF_INET6 and not sock.getsockopt(
        socket.IPPROTO_IPV6, socket.IPV6_V6ONLY
    ):
        raise BindError(f"{text}: hears IPv4 too: codns.socket needs BindIPv6Only=ipv6-only")


def _text(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
