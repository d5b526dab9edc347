"""The kinds of value a configuration holds: how each is written, checked and kept.

A *kind* stands in a field's `Annotated` type and turns what YAML gave into a plain value (int,
float, str), so that the rest of the program and comparisons of two configurations need no types
of ours. `read` raises ValueError with a text that says what would be right.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, Protocol

from codns.config.problems import shown
from codns.wire import name

MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 86400
DNS_PORT: Final = 53
PEER_PORT: Final = 7353
HTTP_PORT: Final = 9853
SRV: Final = "srv:"  # before a name whose SRV records list the peers
PORT_MAX: Final = 65535  # 16 bits in UDP and TCP
SOCKET_PATH_MAX: Final = 107  # unix(7): sockaddr_un has 108, a zero among them

_UNITS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?(us|ms|s|m|h|d|w)")
_COUNT: Final = re.compile(r"([0-9]{1,15})([kM]?)")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_SHARE: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?) ?%")
_FACTORS: Final = {"": 1, "k": 1000, "M": 1_000_000}

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Kind(Protocol):
    """How one kind of value is read."""

    def read(self, value: object) -> object:
        """Return the plain value, or raise ValueError with what is wrong and what is right."""


def parse_duration(value: object) -> float:
    """Return the seconds of "200ms", "5s", "1h", "1d"; only 0 may stand without a unit."""
    if value == 0 and not isinstance(value, bool):
        return 0.0
    if isinstance(value, int | float) and not isinstance(value, bool):
        wrong = f"{value} has no unit; write {value}s, {value}ms, {value}m or {value}h"
        raise ValueError(wrong)  # noqa: TRY004 - every kind raises the same
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if not found:
        if value == "0":
            return 0.0
        raise ValueError(f"{shown(value)} is not a duration; write it like 200ms, 5s, 1h or 1d")
    # rounded: 200 * 1e-3 is not 0.2 in binary otherwise
    return round(float(found[1]) * _UNITS[found[2]], 9)


def format_duration(seconds: float) -> str:
    """Return a duration as the configuration writes it, in the largest unit that fits evenly."""
    if seconds == 0:
        return "0s"
    for unit in ("d", "h", "m", "s", "ms"):
        count = round(seconds / _UNITS[unit], 6)
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    return f"{round(seconds * 1e6)}us"


def parse_endpoint(value: object, port: int = DNS_PORT) -> tuple[str, int]:
    """Return (address, port) of "127.0.0.1:53", "[::1]:53", "192.0.2.1#53" or a bare address.

    The address comes back in its canonical text, a v4-mapped one as IPv4; `port` is the port of a
    bare address.
    """
    wrong = f"{shown(value)} is not an address; write it like 192.0.2.1:53 or [2001:db8::1]:53"
    if not isinstance(value, str):
        raise ValueError(wrong)  # noqa: TRY004 - every kind raises the same
    host, mark, port_text = value.partition("#")
    if not mark:
        if value.startswith("["):
            host, closing, rest = value[1:].partition("]")
            mark, port_text = rest[:1], rest[1:]
            if not closing or mark not in ("", ":"):
                raise ValueError(wrong)
        elif value.count(":") == 1:
            host, mark, port_text = value.partition(":")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(wrong) from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if mark:
        if not _PORT.fullmatch(port_text) or int(port_text) > PORT_MAX:
            raise ValueError(f"{shown(value)} has no valid port; ports are 1 to {PORT_MAX}")
        port = int(port_text)
    return str(address), port


def format_endpoint(host: str, port: int) -> str:
    """Return "127.0.0.1:53" or "[::1]:53"."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split_server(server: str) -> tuple[str, int]:
    """Return (address, port) of a nameserver as kept: "192.0.2.1#53"."""
    host, _, port = server.rpartition("#")
    return host, int(port)


def parse_name(value: object) -> str:
    """Return a domain name in lower case with its trailing dot; IDNs become punycode."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{shown(value)} is not a domain name; write it in quotes")
    try:
        text = value if value.isascii() else value.encode("idna").decode("ascii")
        return name.to_text(name.from_text(text.lower()))
    except ValueError:
        raise ValueError(f"{shown(value)} is not a domain name") from None


@dataclass(frozen=True)
class Seconds:
    """A duration in whole seconds, kept as int: what DNS counts TTLs in."""

    low: int
    high: int

    def read(self, value: object) -> int:
        """Return the seconds."""
        seconds = parse_duration(value)
        if seconds != int(seconds):
            raise ValueError(f"{shown(value)} is not a whole number of seconds")
        if not self.low <= seconds <= self.high:
            low, high = format_duration(self.low), format_duration(self.high)
            raise ValueError(f"{shown(value)} is out of range: {low} to {high}")
        return int(seconds)


@dataclass(frozen=True)
class Duration:
    """A duration of any fineness, kept as float seconds."""

    low: float
    high: float

    def read(self, value: object) -> float:
        """Return the seconds."""
        seconds = parse_duration(value)
        if not self.low <= seconds <= self.high:
            low, high = format_duration(self.low), format_duration(self.high)
            raise ValueError(f"{shown(value)} is out of range: {low} to {high}")
        return seconds


@dataclass(frozen=True)
class Share:
    """A part of a whole, "10%", kept as 0.1."""

    def read(self, value: object) -> float:
        """Return the share."""
        if value == 0 and not isinstance(value, bool):
            return 0.0
        found = _SHARE.fullmatch(value) if isinstance(value, str) else None
        if not found:
            raise ValueError(f"{shown(value)} is not a share; write it like 10%")
        share = round(float(found[1]) / 100, 6)
        if share > 1:
            raise ValueError(f"{shown(value)} is out of range: 0% to 100%")
        return share


@dataclass(frozen=True)
class Count:
    """A whole number, kept as int; "200k" and "1M" are allowed."""

    low: int
    high: int

    def read(self, value: object) -> int:
        """Return the number."""
        found = _COUNT.fullmatch(value) if isinstance(value, str) else None
        if found:
            count = int(found[1]) * _FACTORS[found[2]]
        elif isinstance(value, int) and not isinstance(value, bool):
            count = value
        else:
            raise ValueError(f"{shown(value)} is not a whole number")
        if not self.low <= count <= self.high:
            raise ValueError(f"{shown(value)} is out of range: {self.low} to {self.high}")
        return count


@dataclass(frozen=True)
class Listen:
    """An address and port of ours, kept as "127.0.0.1:53" or "[::1]:53". Port 0: any free one.

    `fixed`: the port is what others know us by, so 0 is none.
    """

    port: int = DNS_PORT
    fixed: bool = False

    def read(self, value: object) -> str:
        """Return the endpoint."""
        host, port = parse_endpoint(value, self.port)
        if port == 0 and self.fixed:
            raise ValueError(f"{shown(value)} has no valid port; ports are 1 to {PORT_MAX}")
        return format_endpoint(host, port)


@dataclass(frozen=True)
class Peer:
    """A node's address as the others list it, kept as "192.0.2.7:7353" or "[2001:db8::7]:7353"."""

    def read(self, value: object) -> str:
        """Return the endpoint."""
        host, port = parse_endpoint(value, PEER_PORT)
        address = _one_host(host, value)
        if address.version == 6 and "%" in host:
            raise ValueError(f"{shown(value)} has a scope, which means nothing on other nodes")
        if port == 0:
            raise ValueError(f"{shown(value)} has no valid port; ports are 1 to {PORT_MAX}")
        return format_endpoint(host, port)


@dataclass(frozen=True)
class Node:
    """Nodes of the fleet: an address as `Peer` keeps it, or names that stand for addresses.

    Kept as "srv:_codns._udp.example.net." and "node1.example.net.:7353".
    """

    def read(self, value: object) -> str:
        """Return the entry."""
        if isinstance(value, str) and value.startswith(SRV):
            return SRV + parse_name(value.removeprefix(SRV))
        try:
            return Peer().read(value)
        except ValueError:
            if not isinstance(value, str) or not _may_be_name(value):
                raise
        host, _, port = value.partition(":")
        if port and (not _PORT.fullmatch(port) or not 0 < int(port) <= PORT_MAX):
            raise ValueError(f"{shown(value)} has no valid port; ports are 1 to {PORT_MAX}")
        return f"{parse_name(host)}:{int(port or PEER_PORT)}"


def _may_be_name(value: str) -> bool:
    """Tell a host name from an address written wrong: its last label is not a number."""
    last = value.partition(":")[0].removesuffix(".").rpartition(".")[2]
    return value.count(":") <= 1 and not value.startswith("[") and bool(last.strip("0123456789"))


def is_name(node: str) -> bool:
    """Tell whether an entry as `Node` keeps it has to be resolved: its host ends with a dot."""
    return node.startswith(SRV) or node.rpartition(":")[0].endswith(".")


def _one_host(host: str, value: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(host)
    if address.is_unspecified or address.is_multicast or host == "255.255.255.255":
        raise ValueError(f"{shown(value)} is not the address of one host")
    return address


@dataclass(frozen=True)
class Nameserver:
    """A nameserver, kept as "192.0.2.1#53": the form `wire.batch` uses."""

    def read(self, value: object) -> str:
        """Return the nameserver."""
        host, port = parse_endpoint(value)
        _one_host(host, value)
        if port == 0:
            raise ValueError(f"{shown(value)} has no valid port; ports are 1 to {PORT_MAX}")
        return f"{host}#{port}"


@dataclass(frozen=True)
class Subnet:
    """A network or one address, kept as "127.0.0.0/8"."""

    def read(self, value: object) -> str:
        """Return the network."""
        wrong = f"{shown(value)} is not a network; write it like 192.0.2.0/24 or 2001:db8::/32"
        if not isinstance(value, str):
            raise ValueError(wrong)  # noqa: TRY004 - every kind raises the same
        try:
            network = ipaddress.ip_network(value, strict=False)
        except ValueError:
            raise ValueError(wrong) from None
        if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped:
            raise ValueError(f"{shown(value)} is IPv4 in disguise; write the IPv4 network")
        if ipaddress.ip_address(value.partition("/")[0]) != network.network_address:
            raise ValueError(f"{shown(value)} has bits set behind the prefix; write {network}")
        return str(network)


@dataclass(frozen=True)
class Zone:
    """A domain name, kept in lower case with its trailing dot."""

    def read(self, value: object) -> str:
        """Return the name."""
        return parse_name(value)


@dataclass(frozen=True)
class Label:
    """A short text without blanks, at most `size` bytes of it."""

    size: int

    def read(self, value: object) -> str:
        """Return the text."""
        if not isinstance(value, str) or not value or not value.isprintable() or " " in value:
            raise ValueError(f"{shown(value)} is not a label: a word without blanks")
        if len(value.encode()) > self.size:
            raise ValueError(f"{shown(value)} is over {self.size} bytes")
        return value


@dataclass(frozen=True)
class Place:
    """The absolute path of a file or folder: the daemon's working directory is nobody's guess."""

    def read(self, value: object) -> str:
        """Return the path."""
        if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
            raise ValueError(f"{shown(value)} is not an absolute path; write it like /etc/codns/x")
        return value


@dataclass(frozen=True)
class SocketPlace:
    """The absolute path of a Unix socket, which the kernel wants short."""

    def read(self, value: object) -> str:
        """Return the path."""
        path = Place().read(value)
        if len(path.encode()) > SOCKET_PATH_MAX:
            raise ValueError(f"{shown(value)} is over {SOCKET_PATH_MAX} bytes, too long a path")
        return path


@dataclass(frozen=True)
class HttpHost:
    """A host name that requests may be for, kept in lower case; "*.example.net" is all below."""

    def read(self, value: object) -> str:
        """Return the name, or the pattern."""
        below = isinstance(value, str) and value.startswith("*.")
        text = parse_name(value[2:] if below and isinstance(value, str) else value)
        if any(character in text for character in "*:/\\"):
            raise ValueError(f"{shown(value)} is not a host name; write it without port or path")
        return "*." * below + text.removesuffix(".")
