"""TTL fields of a kept body, changed without reading its records.

A slave found where they stand (`wire/digest.py`): `offsets` holds their positions in `body` as
little-endian u16s. Nearly every answer has one to three of them.
"""

import struct
from typing import Final

_OFFSET: Final = struct.Struct("<H")
_TTL: Final = struct.Struct(">I")
_read_ttl: Final = _TTL.unpack_from
_pack_ttl: Final = _TTL.pack
_write_ttl: Final = _TTL.pack_into
_each: Final = _OFFSET.iter_unpack


def aged(body: bytes, offsets: bytes, age: int) -> bytes:
    """Return `body` with every TTL lowered by `age` seconds, none under 0."""
    if age == 0:
        return body
    if len(offsets) == 2:
        at = offsets[0] | offsets[1] << 8
        ttl = _read_ttl(body, at)[0] - age
        return body[:at] + _pack_ttl(max(0, ttl)) + body[at + 4 :]
    out = bytearray(body)
    for (at,) in _each(offsets):
        ttl = _read_ttl(body, at)[0] - age
        _write_ttl(out, at, max(0, ttl))
    return bytes(out)


def capped(body: bytes, offsets: bytes, cap: int) -> bytes:
    """Return `body` with no TTL over `cap` (stale answers: RFC 8767 5, RULES 3.6)."""
    out = bytearray(body)
    for (at,) in _each(offsets):
        if _read_ttl(body, at)[0] > cap:
            _write_ttl(out, at, cap)
    return bytes(out)


def floored(body: bytes, offsets: bytes, floor: int) -> bytes:
    """Return `body` with no TTL under `floor` (`cache.min_ttl`)."""
    out = bytearray(body)
    for (at,) in _each(offsets):
        if _read_ttl(body, at)[0] < floor:
            _write_ttl(out, at, floor)
    return bytes(out)
