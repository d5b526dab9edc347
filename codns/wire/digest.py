"""What a slave makes of a response: outcome, what may be kept of it, where its TTLs stand.

The master never walks records (RULES 9.1): it gets a *body* that it puts behind a client's
question and that needs nothing but its TTLs changed. A body is a slice of the response wherever
that is possible: answer and authority section as they stood behind the question at offset 12.
Compression pointers into the question and into the body itself stay right, because the question
of an answer has the same size and labels as the one that was asked.

Dropped are the additional section with the OPT (RULES 2.3; the extended rcode is taken from it
first) and what does not belong to the question (`wire/chain.py`). Bytes behind the last record
are ignored. A truncated response has no body: the slave asks again over TCP (RULES 4.3), but for
ANY, where the first RRset is enough (RFC 8482 4.1).
"""

import struct
from typing import Final

from codns.wire.const import AD, HEADER_SIZE, NOERROR, RCODE, RRSIG, TC
from codns.wire.derived import Derived, pack_derived, unpack_derived
from codns.wire.outcome import Outcome
from codns.wire.sections import Question
from codns.wire.sift import TTL_MAX, Digest, extended_rcode, sift

__all__ = ["Derived", "Digest", "digest", "matches", "pack_derived", "unpack_derived"]

_HEADER: Final = struct.Struct(">HHHHHH").unpack_from
_TYPE_CLASS: Final = struct.Struct(">HH").unpack_from
_OWNED: Final = struct.Struct(">HHHIH").unpack_from  # pointer, type, class, TTL, RDLENGTH
_QNAME: Final = 0xC00C  # a pointer to the question's name
_UNUSUAL: Final = TC | RCODE
_OPT_SIZE: Final = 11
_PLAIN_MAX: Final = 32  # records for which appending bytes is the fastest; far over usual answers
_ANSWER: Final = Outcome.ANSWER
_new: Final = tuple.__new__  # a third of the time of a call of the class
_offset: Final = struct.Struct("<H").pack


def matches(query: bytes, response: bytes) -> bool:
    """Tell whether `response` answers `query` (RFC 5452 9.1), as far as its bytes say.

    The id, QR, the opcode and the one question: type and class exactly, the name in any case.
    `query` is a valid one, `response` anything.
    """
    try:
        if (
            response[2] & 0xF8 != 0x80
            or response[5] != 1
            or response[4] != 0
            or response[1] != query[1]
            or response[0] != query[0]
        ):
            return False
        # A query of ours ends in an OPT: all before its 11 bytes is the question, or more than
        # it when the OPT has options, and then the question is for the lines below.
        if query[11] == 1 and response.startswith(query[HEADER_SIZE:-_OPT_SIZE], HEADER_SIZE):
            return True
        end = HEADER_SIZE
        while size := query[end]:
            end += size + 1
    except IndexError:
        return False
    end += 1
    asked, said = query[end : end + 4], response[end : end + 4]
    if asked != said or len(said) != 4:
        return False
    return response[HEADER_SIZE:end].lower() == query[HEADER_SIZE:end].lower()


def digest(query: bytes, response: bytes, *, first_rrset: bool = False) -> Digest:
    """Return what is of use in `response`, which `matches` the query.

    `first_rrset` keeps only the first RRset of the answer (ANY over UDP, RFC 8482 4.1).
    Raises `WireError` if the response is malformed.
    """
    _, flags, _, ancount, nscount, arcount = _HEADER(response)
    end = HEADER_SIZE
    while size := query[end]:
        end += size + 1
    end += 1
    qtype, qclass = _TYPE_CLASS(query, end)
    if not (flags & _UNUSUAL or nscount or first_rrset or ancount > _PLAIN_MAX):
        try:
            plain = _plain(response, end + 4, qtype, qclass, flags, ancount, arcount)
        except struct.error:
            plain = None
        if plain is not None:
            return plain
    question = Question(query[HEADER_SIZE:end].lower(), qtype, qclass)
    return sift(response, question, end + 4, first_rrset=first_rrset)


def _plain(
    response: bytes, start: int, qtype: int, qclass: int, flags: int, ancount: int, arcount: int
) -> Digest | None:
    """Digest the straight line: NOERROR with nothing but records of the qname itself.

    Returns None, or raises struct.error, where something is different or wrong: that is for
    `sift` to judge.
    """
    position, least, found, fields = start, TTL_MAX + 1, False, b""
    for _ in range(ancount):
        owner, rtype, rclass, ttl, rdlength = _OWNED(response, position)
        if owner != _QNAME or rclass != qclass:
            return None
        if rtype == qtype:
            found = True
        elif rtype != RRSIG:
            return None
        fields += _offset(position + 6 - start)
        if ttl < least:
            least = ttl
        elif ttl > TTL_MAX:
            least = 0
        position += rdlength + 12
    if not found or position > len(response):
        return None
    if (arcount != 1 or not _bare_opt(response, position)) and extended_rcode(
        response, position, arcount, NOERROR
    ):
        return None
    cacheable, ad, body = least > 0, flags & AD != 0, response[start:position]
    result = (_ANSWER, NOERROR, False, ad, cacheable, False, ancount, 0, least, body, fields, b"")
    return _new(Digest, result)


def _bare_opt(response: bytes, position: int) -> bool:
    """Tell whether what is left is an OPT without options and high rcode bits."""
    return (
        response[position : position + 3] == b"\0\0\x29"
        and len(response) == position + 11
        and response[position + 5] == 0
        and response[-2:] == b"\0\0"
    )
