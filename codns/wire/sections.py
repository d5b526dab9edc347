"""The records of a response: walking them, and writing chosen ones anew.

Records that are left out of the middle of an answer may hold what later names point into, so the
rest is written uncompressed then. Names inside RDATA are expanded for the types in which RFC 1035
compresses them or RFC 3597 4 says to expect that; the RDATA of all others passes byte for byte.

Two things of a hostile answer are dear, and bounded by what is cached at most, 1,024: records to
be written anew (an honest nameserver leaves no gaps, and 4,700 took 11 ms), and places in a
section's owners that pointers lead to (a chain and its proofs have dozens; 4,000 took 19 ms).
What is over is refused as a whole.
"""

import struct
from typing import Final, NamedTuple

from codns.wire.const import CNAME, DNAME, MESSAGE_SIZE_MAX, NS, PTR, RECORDS_MAX, SOA
from codns.wire.errors import WireError
from codns.wire.name import Names

_FIXED: Final = struct.Struct(">HHIH").unpack_from  # type, class, TTL, RDLENGTH
_FIXED_SIZE: Final = 10
_OWNED: Final = struct.Struct(">HHHIH").unpack_from  # the same behind a pointer
_OWNED_SIZE: Final = 12
_POINTER: Final = 0xC000
_UNREAD: Final = 0x0100  # as the first two octets of a record: neither root nor pointer
_TARGET: Final = 0x3FFF
_QNAME: Final = b"\xc0\x0c"  # a pointer to the question's name

# RDATA with names, as the number of bytes before each name; what follows the last is copied.
# A negative one: that many, then three character-strings.
_LAYOUTS: Final[dict[int, tuple[int, ...]]] = {
    NS: (0,),
    3: (0,),  # MD
    4: (0,),  # MF
    CNAME: (0,),
    SOA: (0, 0),
    7: (0,),  # MB
    8: (0,),  # MG
    9: (0,),  # MR
    PTR: (0,),
    14: (0, 0),  # MINFO
    15: (2,),  # MX
    17: (0, 0),  # RP
    18: (2,),  # AFSDB
    21: (2,),  # RT
    24: (18,),  # SIG
    26: (2, 0),  # PX
    30: (0,),  # NXT
    33: (6,),  # SRV
    35: (-4,),  # NAPTR: order, preference, flags, services, regexp (RFC 3403 4.1)
    36: (2,),  # KX
    DNAME: (0,),
}


class Question(NamedTuple):
    """What was asked: `name` in lower case."""

    name: bytes
    qtype: int
    qclass: int


class Record(NamedTuple):
    """A record where it stands: `owner` in lower case, `start` of the record, `fixed` its type.

    `end` is the offset behind it. A TTL over 2^31-1 is 0 (RFC 2181 8).
    """

    owner: bytes
    rtype: int
    rclass: int
    ttl: int
    start: int
    fixed: int
    end: int


_new: Final = tuple.__new__  # a third of the time of a call of the class


def walk(names: Names, position: int, count: int) -> tuple[list[Record], int]:
    """Return the `count` records from `position` on and the offset behind them."""
    wire, records = names.wire, []
    total = len(wire)
    owners: dict[int, bytes] = {}  # by the pointer to them, in lower case
    rtype = rclass = ttl = rdlength = 0
    for _ in range(count):
        owner, head = None, _UNREAD
        fixed = position + 2
        if position + _OWNED_SIZE <= total:  # nearly every owner is a pointer, seen before
            head, rtype, rclass, ttl, rdlength = _OWNED(wire, position)
            owner = owners.get(head)
            if owner is None and head >= _POINTER:
                owner = owners[head] = names.led(head & _TARGET, position).lower()
                if len(owners) > RECORDS_MAX:
                    raise WireError("too many owners")
        if owner is None:
            if head <= 0xFF:  # the root, of what a hostile answer has thousands
                owner, fixed = b"\0", position + 1
            else:
                owner, fixed = names.at(position)
                owner = owner.lower()
            try:
                rtype, rclass, ttl, rdlength = _FIXED(wire, fixed)
            except struct.error:
                raise WireError("message ends in a record") from None
        end = fixed + _FIXED_SIZE + rdlength
        if end > total:
            raise WireError("message ends in a record")
        if ttl > 0x7FFFFFFF:
            ttl = 0
        records.append(_new(Record, (owner, rtype, rclass, ttl, position, fixed, end)))
        position = end
    return records, position


def rebuilt(names: Names, records: list[Record], qname: bytes) -> tuple[bytes, bytes]:
    """Return (body, offsets) of `records` for a question about `qname` (in lower case).

    The only compression left is the owner that is the qname itself.
    """
    if len(records) > RECORDS_MAX:
        raise WireError("too many records to be written anew")
    wire = names.wire
    parts: list[bytes] = []
    offsets: list[int] = []
    size, size_max = 0, MESSAGE_SIZE_MAX - 12 - len(qname) - 4
    for r in records:
        owner = _QNAME if r.owner == qname else names.at(r.start)[0]
        offsets.append(size + len(owner) + 4)
        if r.rtype in _LAYOUTS:
            rdata = _expanded(names, r)
            parts += (owner, wire[r.fixed : r.fixed + 8], len(rdata).to_bytes(2, "big"), rdata)
            size += len(owner) + _FIXED_SIZE + len(rdata)
        else:
            parts += (owner, wire[r.fixed : r.end])
            size += len(owner) + r.end - r.fixed
        if size > size_max:
            raise WireError("records over 64 KiB without compression")
    return b"".join(parts), struct.pack(f"<{len(offsets)}H", *offsets)


def _expanded(names: Names, r: Record) -> bytes:
    """Return the RDATA of `r`, of a type that has names, with these uncompressed."""
    wire = names.wire
    position = r.fixed + _FIXED_SIZE
    if position == r.end:
        return b""
    parts = []
    for before in _LAYOUTS[r.rtype]:
        start = position
        position += abs(before)
        if before < 0:
            position = _behind_strings(wire, position, r.end)
        parts.append(wire[start:position])
        if position >= r.end:
            raise WireError("RDATA ends early")
        name, position = names.at(position)
        parts.append(name)
    if position > r.end:
        raise WireError("name leaves its RDATA")
    parts.append(wire[position : r.end])
    rdata = b"".join(parts)
    if len(rdata) > MESSAGE_SIZE_MAX:
        raise WireError("RDATA over 64 KiB without compression")
    return rdata


def _behind_strings(wire: bytes, position: int, end: int) -> int:
    for _ in range(3):
        if position >= end:
            raise WireError("RDATA ends early")
        position += wire[position] + 1
    return position
