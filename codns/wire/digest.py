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

from codns.wire.const import AD, HEADER_SIZE, NOERROR, RCODE, TC
from codns.wire.derived import Derived, pack_derived, unpack_derived
from codns.wire.outcome import Outcome
from codns.wire.plain import is_bare_end, straight
from codns.wire.sections import Question
from codns.wire.sift import Digest, extended_rcode, sift

__all__ = ["Derived", "Digest", "digest", "matches", "pack_derived", "unpack_derived"]

_HEADER: Final = struct.Struct(">HHHHHH").unpack_from
_TYPE_CLASS: Final = struct.Struct(">HH").unpack_from
_UNUSUAL: Final = TC | RCODE
_OPT_SIZE: Final = 11
_ANSWER: Final = Outcome.ANSWER
_new: Final = tuple.__new__  # a third of the time of a call of the class


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
    if not (flags & _UNUSUAL or first_rrset):
        asked = qtype << 16 | qclass
        try:
            plain = _plain(response, end + 4, asked, flags, ancount, nscount, arcount)
        except struct.error:
            plain = None
        if plain is not None:
            return plain
    question = Question(query[HEADER_SIZE:end].lower(), qtype, qclass)
    return sift(response, question, end + 4, first_rrset=first_rrset)


def _plain(
    response: bytes, start: int, asked: int, flags: int, ancount: int, nscount: int, arcount: int
) -> Digest | None:
    """Digest the straight line.

    Returns None, or raises struct.error, where something is different or wrong: that is for
    `sift` to judge.
    """
    found = straight(response, start, asked, ancount, nscount)
    if found is None:
        return None
    position, ttl, offsets = found
    if position > len(response):
        return None
    bare = not arcount or is_bare_end(response, position)
    if not bare and extended_rcode(response, position, arcount, NOERROR):
        return None
    cacheable, ad, body = ttl > 0, flags & AD != 0, response[start:position]
    result = (
        _ANSWER, NOERROR, False, ad, cacheable, False, ancount, nscount, ttl, body, offsets, b"",
    )  # fmt: skip
    return _new(Digest, result)
