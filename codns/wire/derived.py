"""The negative answer for the last target of a CNAME chain, as it travels with a result.

"www.example. is an alias of gone.example., which does not exist" is two answers: this one to the
question, and one that holds for gone.example. by itself (RFC 2308 2.1; RULES 3.2).
"""

import struct
from typing import Final, NamedTuple

# name size, rcode, ttl, nscount, body size; the offsets are the rest
_DERIVED: Final = struct.Struct("<BHIHH")


class Derived(NamedTuple):
    """A negative answer: `name` is the target in lower case.

    `body` is an authority section that follows a question of that name, `offsets` its TTL fields
    as in `batch.Result`, `ttl` what it may be kept for.
    """

    name: bytes
    rcode: int
    ttl: int
    nscount: int
    body: bytes
    offsets: bytes


def pack_derived(d: Derived) -> bytes:
    """Return `d` as bytes."""
    fixed = _DERIVED.pack(len(d.name), d.rcode, d.ttl, d.nscount, len(d.body))
    return fixed + d.name + d.body + d.offsets


def unpack_derived(packed: bytes) -> Derived:
    """Return what `pack_derived` packed."""
    name_size, rcode, ttl, nscount, body_size = _DERIVED.unpack_from(packed)
    a = _DERIVED.size + name_size
    b = a + body_size
    return Derived(packed[_DERIVED.size : a], rcode, ttl, nscount, packed[a:b], packed[b:])
