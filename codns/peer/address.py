"""A peer's listed address, "192.0.2.7:7353" or "[2001:db8::7]:7353": its name on the link.

Sender and receiver stand in every sealed datagram as this text (RULES 8.1), so all nodes have to
write it alike whatever their configuration wrote: hosts as RFC 5952 has them, mapped IPv4 as IPv4.
"""

import re
from ipaddress import IPv6Address, ip_address
from typing import Final, NamedTuple

ADDRESS_SIZE_MAX: Final = 64  # "[" + 39 + "]:65535" is 47
PORT_MAX: Final = 65_535
# An IPv4 address that is its own canonical text. `ipaddress` takes seven times as long to say so,
# and a list has up to 4,096 of them.
_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_CANONICAL: Final = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
MAPPED: Final = "::ffff:"  # an IPv4 source as a dual-stack socket reports it (RFC 4291 2.5.5.2)


class Address(NamedTuple):
    """`text` is the canonical listed address; host and port are what sockets use."""

    text: str
    host: str
    port: int


def parse(listed: str) -> Address:
    """Return the address in its canonical form. Raises ValueError naming what is wrong."""
    host, colon, port = listed.rpartition(":")
    if not (colon and port.isascii() and port.isdigit() and 0 < int(port[:6]) <= PORT_MAX):
        raise ValueError(f"{listed!r} is no peer address: no port behind it (192.0.2.7:7353)")
    if _CANONICAL.fullmatch(host):
        return Address(f"{host}:{int(port)}", host, int(port))
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        ip = ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        raise ValueError(f"{listed!r} is no peer address: {host!r} is no IP address") from None
    if bracketed != isinstance(ip, IPv6Address):
        raise ValueError(f"{listed!r} is no peer address: IPv6, and only IPv6, goes in [ ]")
    if isinstance(ip, IPv6Address):
        if ip.scope_id is not None:
            raise ValueError(f"{listed!r} is no peer address: a scope means nothing elsewhere")
        ip = ip.ipv4_mapped or ip
    number = int(port)
    text = f"[{ip}]:{number}" if isinstance(ip, IPv6Address) else f"{ip}:{number}"
    return Address(text, str(ip), number)
