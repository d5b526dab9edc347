"""Which nameserver a node depends on, in eight bytes, so that peers can be told apart by it.

A peer behind the same nameserver cannot help when that one is sick: the paper saw failures of
several nodes at once only where they shared one. So each node tells
its peers the identities of its nameservers, and two nodes are independent when theirs are
disjoint (RULES 7.3). An identity is blake2b-8 of the address in its canonical text, the port
left out: two ports of one machine fail together. To check one: `printf 192.0.2.1 | b2sum -l 64`.

Some addresses mean another machine in every place:
  1. private ones (RFC 1918, RFC 4193), link-local ones (RFC 3927, RFC 4291 2.5.6; clouds put their
     resolver at one) and carrier-grade NAT (RFC 6598): equal addresses are taken for the same
     nameserver, which is the careful guess, unless `peers.site` says where we are: then
     the site is part of the identity;
  2. loopback ones, and the unspecified address, which the kernel takes for loopback: they are
     this node's own, so its listed address is part of the identity.
The parts are divided by a zero byte, which is in no address and no label of a site.
"""

from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

IDENTITY_SIZE: Final = 8  # bytes; RULES 7.3

_PLACE_DEPENDENT: Final = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8",  # RFC 1918
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",  # RFC 3927
        "100.64.0.0/10",  # RFC 6598
        "fc00::/7",  # RFC 4193
        "fe80::/10",  # RFC 4291 2.5.6
    )
)


def identity(server: str, *, node: str, site: str | None = None) -> bytes:
    """The identity of the nameserver `server` ("192.0.2.1", "192.0.2.1#53", "fe80::1%eth0#53").

    `node` is our own address as peers list it, `site` the setting `peers.site`. ValueError if
    `server` is not an address.
    """
    address = _parsed(server)
    parts = [str(address)]
    if address.is_loopback or address.is_unspecified:
        parts.append(node)
    elif site is not None and any(address in network for network in _PLACE_DEPENDENT):
        parts.append(site)
    return blake2b("\0".join(parts).encode(), digest_size=IDENTITY_SIZE).digest()


def _parsed(server: str) -> IPv4Address | IPv6Address:
    """The address without port, zone (a name only this machine knows) and IPv4 mapping."""
    address = ip_address(server.partition("#")[0].partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
