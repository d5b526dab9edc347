"""The straight line of `wire/digest.py`: NOERROR, records of the qname itself, authority above it.

Most responses to cache misses are that, so it is written for speed: `plain_result` matches,
digests and frames a response in one go, without an object between. What it does not recognise is
not judged here: None means that `matches` and `digest` have to look.
"""

import struct
from typing import Final

from codns.wire.batch import LONE_RECORD, PACK_RESULT, RESULT, RESULT_SIZE
from codns.wire.const import HEADER_SIZE, RRSIG

TTL_MAX: Final = 0x7FFFFFFF  # RFC 2181 8: what is over counts as 0
PLAIN_MAX: Final = 32  # records for which appending bytes is the fastest; far over usual answers

_FIELDS: Final = struct.Struct(">HHHHH").unpack_from  # the header less its id
_FIRST: Final = struct.Struct(">IHIIH").unpack_from  # the question's type and class, and as below
_OWNED: Final = struct.Struct(">HIIH").unpack_from  # pointer, type and class, TTL, RDLENGTH
_FIXED_SIZE: Final = 12  # of a record whose owner is a pointer
_QNAME: Final = 0xC00C  # a pointer to the question's name
_SIGNATURE: Final = RRSIG << 16
_DECIDING: Final = 0xFA0F  # QR, opcode, TC, rcode
_GOOD: Final = 0x8000  # a response to a standard query, whole, NOERROR
_AD_SHIFT: Final = 5
_OPT_SIZE: Final = 11
# OPT of the usual sizes, with DO or without: one look at most responses instead of four
_USUAL_END: Final = frozenset(
    struct.pack(">BHHIH", 0, 41, size, flags, 0)
    for size in (512, 1220, 1232, 1280, 1400, 1410, 1432, 1452, 1472, 4096, 65494, 65535)
    for flags in (0, 0x8000)
)
_offset: Final = struct.Struct("<H").pack


def plain_result(job: int, query: bytes, response: bytes, elapsed_us: int) -> bytes | None:
    """Return the frame of what came of `job`, if `response` is a plain answer to `query`.

    `query` is one of ours: a question, and behind it an OPT or nothing. The caller has compared
    the ids.
    """
    try:
        flags, questions, ancount, nscount, arcount = _FIELDS(response, 2)
        # The first zero byte ends the name, or is part of a label or behind the name: then the
        # size cannot be that of a question with an OPT without options, or with none.
        end = query.find(0, HEADER_SIZE) + 5
        if (
            flags & _DECIDING != _GOOD
            or questions != 1
            or end + query[11] * _OPT_SIZE != len(query)
            or not response.startswith(query[HEADER_SIZE:end], HEADER_SIZE)
        ):
            return None
        asked, owner, kind, ttl, size = _FIRST(response, end - 4)
        if ancount != 1 or nscount or owner != _QNAME or kind != asked:
            found = straight(response, end, asked, ancount, nscount)
            if found is None:
                return None
            position, ttl, offsets = found
            fields = len(offsets) >> 1
        else:
            position, offsets, fields = end + _FIXED_SIZE + size, b"", LONE_RECORD
            if ttl > TTL_MAX:
                ttl = 0
        if arcount:
            if response[position:] not in _USUAL_END and not is_bare_end(response, position):
                return None
        elif position > len(response):
            return None
        size = position - end
        head = PACK_RESULT(
            RESULT_SIZE - 4 + size + len(offsets), RESULT, job, 0, 0,
            flags >> _AD_SHIFT & 1, ttl, 0, ancount, nscount, ttl, elapsed_us,
            size, fields, 0,
        )  # fmt: skip
    except struct.error:
        return None
    if offsets:
        return head + response[end:position] + offsets
    return head + response[end:position]


def straight(
    response: bytes, start: int, asked: int, ancount: int, nscount: int
) -> tuple[int, int, bytes] | None:
    """Walk the records from `start` on; return (end, least TTL, TTL fields).

    `asked` is the question's type and class as one number. None, or struct.error, where
    something is different or wrong.
    """
    if ancount + nscount > PLAIN_MAX:
        return None
    position, least, found, offsets = start, TTL_MAX + 1, False, b""
    signature, left = asked & 0xFFFF | _SIGNATURE, ancount
    for _ in range(ancount + nscount):
        owner, kind, ttl, size = _OWNED(response, position)
        if left:
            left -= 1
            if owner != _QNAME or kind not in (asked, signature):
                return None
            found = found or kind == asked
        elif kind & 0xFFFF != asked & 0xFFFF or not _is_ancestor(response, owner, start):
            return None
        offsets += _offset(position + 6 - start)
        if ttl < least:
            least = ttl
        elif ttl > TTL_MAX:
            least = 0
        position += size + _FIXED_SIZE
    return (position, least, offsets) if found else None


def _is_ancestor(response: bytes, owner: int, start: int) -> bool:
    """Tell whether an owner is a pointer to a label of the question's name, which ends before."""
    target = owner & 0x3FFF
    if owner < 0xC000 or target >= start - 5:
        return False
    position = HEADER_SIZE
    while position < target:
        position += response[position] + 1
    return position == target


def is_bare_end(response: bytes, position: int) -> bool:
    """Tell whether the message ends in an OPT without options and high rcode bits.

    What else is in the additional section is dropped unread, so its form does not matter.
    """
    return (
        response[-6] == 0
        and response[-11:-8] == b"\0\0\x29"
        and response[-2:] == b"\0\0"
        and len(response) >= position + _OPT_SIZE
    )
