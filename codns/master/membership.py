"""What makes this host a member of its fleet: its own listed address, and the cluster's keys.

Peers know each other by the address in their lists, and drop whatever names another sender or
comes from another source. So a node has to know under which address it is listed, and one file
should do for all of them. In this order:

  1. `peers.advertise`, where translation hides us
  2. the address in `peers.listen`, unless it is a wildcard
  3. the first listed address with the port of `listen` that this host has
  4. the address from which this host reaches the first listed one, else the Internet: a guess,
     which lasts until a list tells better

Nothing is sent to find out: the kernel is asked what it would do.
"""

import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from codns.config.problems import ConfigError, Problem
from codns.config.resolvconf import is_local
from codns.config.schema import PeersSettings
from codns.config.units import format_endpoint, is_name, parse_endpoint
from codns.peer import keyfile

WILDCARDS: Final = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
_FAR: Final = ("192.0.2.1", "2001:db8::1")  # documentation: only the way there counts


def route(host: str) -> str | None:
    """Return the address this host would send from to `host`, None if it has no way there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((host, 9))  # a datagram socket: nothing leaves
            source: str = probe.getsockname()[0]
    except OSError:
        return None
    return None if source in WILDCARDS else source


class Host(NamedTuple):
    """What the kernel is asked; another host in tests."""

    is_local: Callable[[str], bool] = is_local
    route: Callable[[str], str | None] = route


HERE: Final = Host()


def own_address(peers: PeersSettings, listed: Iterable[str], on: Host = HERE) -> str:
    """Return our listed address, "192.0.2.7:7353".

    `listed` are the addresses of the fleet known so far, in the list's order. A host that has no
    way anywhere yet gets its wildcard back, which no peer can take for anybody.
    """
    assert peers.listen is not None
    if peers.advertise is not None:
        return peers.advertise
    host, port = parse_endpoint(peers.listen)
    if host not in WILDCARDS:
        return peers.listen
    known = [parse_endpoint(address) for address in listed]
    for there, its_port in known:
        if its_port == port and _fits(there, host) and on.is_local(there):
            return format_endpoint(there, port)
    for there in [*(there for there, _ in known), *_FAR]:
        source = on.route(there) if _fits(there, host) else None
        if source is not None:
            return format_endpoint(source, port)
    return peers.listen


def is_guess(peers: PeersSettings) -> bool:
    """Tell whether our own address is for the list to tell: rules 3 and 4."""
    assert peers.listen is not None
    return peers.advertise is None and parse_endpoint(peers.listen)[0] in WILDCARDS


def _fits(host: str, listen: str) -> bool:
    """Tell whether `host` is of a family that the wildcard `listen` has."""
    return listen == "::" or ":" not in host


def others_of_ours(
    peers: PeersSettings, me: str, listed: Iterable[str], on: Host = HERE
) -> Iterator[str]:
    """Yield listed addresses that are this host's as well, where a wildcard hears them all.

    Peers would take them for one node more, which never answers.
    """
    assert peers.listen is not None
    host, port = parse_endpoint(peers.listen)
    if host not in WILDCARDS:
        return
    for address in listed:
        there, its_port = parse_endpoint(address)
        if address != me and its_port == port and same_family(address, me) and on.is_local(there):
            yield address


def same_family(address: str, me: str) -> bool:
    """Tell whether two listed addresses can talk: both IPv4, or both IPv6."""
    return address.startswith("[") == me.startswith("[")


def literals(peers: PeersSettings) -> list[str]:
    """Return the nodes that are addresses."""
    return [node for node in peers.nodes if not is_name(node)]


def load_keys(peers: PeersSettings) -> list[bytes]:
    """Return the cluster's keys. ConfigError names what is wrong with the file."""
    assert peers.key_file is not None
    try:
        return keyfile.load(Path(peers.key_file))
    except keyfile.KeyFileError as error:
        raise ConfigError([Problem("peers.key_file", str(error))]) from None
