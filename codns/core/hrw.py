"""Highest random weight: the name picks the peer, the same one on every node.

Of the peers near enough to help, which is asked for a name? Round robin would be fair, and each
of them would have to recurse for the name once. Instead every node ranks the peers by a hash of
(peer, name) and attempt k goes to the k-th (RULES 7.3): the same name from anywhere meets the
same peer, whose cache and nameserver are warm for it by the second time, as in the paper. A peer
that leaves moves only the names it was first for, each to its second; no table is agreed upon and
none is exchanged.

The hash is part of the protocol: nodes of different versions must agree on it, so it must never
change. blake2b with a digest of 8 bytes, the peer's listed address as ascii for key, the name in
lower case as on the wire (RFC 1035 3.1, the root label included) for data; the digest read as a
big-endian number is the weight; the highest weight is first. (The paper takes the smallest hash,
which is the mirror image.) Equal weights, of which a fleet sees none, go by address.

The same hash with a node's own address in the name's place ranks peers that are equally near
(RULES 7.1): each node of a site then prefers others of them, and no peer is everybody's
neighbour.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

WEIGHT_SIZE: Final = (
    8  # bytes; RULES 7.3. 2^64 weights: two of 10,000 peers tie once in 10^11 names
)
ADDRESS_SIZE_MAX: Final = 64  # blake2b's longest key; "[8 x 4 hex digits]:port" has 47


def weight(address: str, name: bytes) -> int:
    """How much the peer listed as `address` is the one for `name` (lower-case wire qname).

    ValueError if the address is longer than ADDRESS_SIZE_MAX or not ascii.
    """
    digest = blake2b(name, digest_size=WEIGHT_SIZE, key=address.encode("ascii")).digest()
    return int.from_bytes(digest, "big")


def order(addresses: Iterable[str], name: bytes) -> list[str]:
    """The addresses in the order in which they are asked for `name`."""
    return sorted(addresses, key=lambda address: (-weight(address, name), address))


def affinity(me: str, peer: str) -> int:
    """HRW(me, peer): which of equally near peers this node prefers; the higher the better."""
    return weight(peer, me.encode("ascii"))
