"""The records of a response: walking them, and writing chosen ones anew.

Records that are left out of the middle of an answer may hold what later names point into, so the
rest is written uncompressed then. Names inside RDATA are expanded for the types in which RFC 1035
compresses them or RFC 3597 4 says to expect that; the RDATA of all others passes byte for byte.
"""

import struct
from typing import Final, NamedTuple

from codns.wire.const import CNAME, DNAME, MESSAGE_SIZE_MAX, NS, PTR, SOA
from codns.wire.errors import WireError
from codns.wire.name import Names

_FIXED: Final = struct.Struct(">HHIH").unpack_from  # type, class, TTL, RDLENGTH
_FIXED_SIZE: Final = 10
_OFFSETS: Final = struct.Struct("<H")
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
    wire, known, records = names.wire, names.known, []
    total = len(wire)
    for _ in range(count):
        # Nearly every owner is a pointer to a name that was read before.
        owner = None
        if position + 1 < total and (head := wire[position]) >= 0xC0:
            target = (head & 0x3F) << 8 | wire[position + 1]
            if target < position:
                owner = known.get(target)
        if owner is None:
            owner, fixed = names.at(position)
        else:
            fixed = position + 2
        try:
            rtype, rclass, ttl, rdlength = _FIXED(wire, fixed)
        except struct.error:
            raise WireError("message ends in a record") from None
        end = fixed + _FIXED_SIZE + rdlength
        if end > total:
            raise WireError("message ends in a record")
        if ttl > 0x7FFFFFFF:
            ttl = 0
        records.append(_new(Record, (owner.lower(), rtype, rclass, ttl, position, fixed, end)))
        position = end
    return records, position


def rebuilt(names: Names, records: list[Record], qname: bytes) -> tuple[bytes, bytes]:
    """Return (body, offsets) of `records` for a question about `qname` (in lower case).

    The only compression left is the owner that is the qname itself.
    """
    wire = names.wire
    parts: list[bytes] = []
    offsets = bytearray()
    size = 0
    for r in records:
        owner = _QNAME if r.owner == qname else names.at(r.start)[0]
        rdata = _expanded(names, r)
        at = size + len(owner) + 4
        fixed = wire[r.fixed : r.fixed + 8]
        parts += (owner, fixed, len(rdata).to_bytes(2, "big"), rdata)
        size += len(owner) + _FIXED_SIZE + len(rdata)
        if size > MESSAGE_SIZE_MAX - 12 - len(qname) - 4:
            raise WireError("records over 64 KiB without compression")
        offsets += _OFFSETS.pack(at)
    return b"".join(parts), bytes(offsets)


def _expanded(names: Names, r: Record) -> bytes:
    """Return the RDATA of `r` with its names uncompressed."""
    wire = names.wire
    position = r.fixed + _FIXED_SIZE
    layout = _LAYOUTS.get(r.rtype)
    if layout is None or position == r.end:
        return wire[position : r.end]
    parts = []
    for before in layout:
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
