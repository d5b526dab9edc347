"""Who may ask: source addresses against a list of networks (RULES 1.1).

The check runs for every datagram before anything else, so the answer for an address that asked
before is one dict look-up. A node's clients are few (mostly itself), and a table of 4,096 verdicts
holds them all; strangers with forged addresses can fill it, which costs a fresh check (about 2 us)
for everybody once in 4,096 forgeries and no memory.
"""

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Network, collapse_addresses
from typing import Final

VERDICTS_MAX: Final = 4096  # a /20 of clients; about 400 KiB

_MAPPED: Final = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96, RFC 4291 2.5.5.2


def packed_address(host: str) -> bytes:
    """Return an address as the kernel wrote it ("192.0.2.1", "fe80::1%eth0") as bytes.

    IPv4 gives 4 bytes, also when it comes mapped into IPv6 from a dual-stack socket, so that a
    client is one client however it reached us; other IPv6 gives 16.
    """
    if ":" not in host:
        return socket.inet_pton(socket.AF_INET, host)
    packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    return packed[12:] if packed.startswith(_MAPPED) else packed


class Acl:
    """The networks that may ask. Immutable: a reload makes a new one."""

    __slots__ = ("_v4", "_v6", "_verdicts")

    def __init__(self, networks: Iterable[IPv4Network | IPv6Network]) -> None:
        v4: list[IPv4Network] = []
        v6: list[IPv6Network] = []
        for network in networks:
            if isinstance(network, IPv4Network):
                v4.append(network)
            elif network.prefixlen >= 96 and network.network_address.packed.startswith(_MAPPED):
                low = IPv4Address(network.network_address.packed[12:])
                v4.append(IPv4Network((low, network.prefixlen - 96)))
            else:
                v6.append(network)
        self._v4 = _masks(collapse_addresses(v4))
        self._v6 = _masks(collapse_addresses(v6))
        self._verdicts: dict[bytes, bool] = {}

    def allows(self, packed: bytes) -> bool:
        """May this address ask? 4 or 16 bytes, as `packed_address` gives them."""
        verdict = self._verdicts.get(packed)
        return self._decide(packed) if verdict is None else verdict

    def _decide(self, packed: bytes) -> bool:
        masks = self._v4 if len(packed) == 4 else self._v6 if len(packed) == 16 else ()
        number = int.from_bytes(packed, "big")
        verdict = any(number & mask == network for mask, network in masks)
        if len(self._verdicts) >= VERDICTS_MAX:
            self._verdicts.clear()
        self._verdicts[packed] = verdict
        return verdict


def _masks(networks: Iterable[IPv4Network | IPv6Network]) -> tuple[tuple[int, int], ...]:
    return tuple((int(n.netmask), int(n.network_address)) for n in networks)
