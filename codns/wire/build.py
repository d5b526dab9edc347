"""Messages that leave: queries to nameservers, answers to clients, records made here.

An answer is put together from parts that already have their final form: the question as the
client sent it, a body whose compression pointers lead into that question or into itself
(`wire/digest.py`), and an OPT. Nothing is encoded per record, so it costs the same for one record
as for fifty. EDNS is per hop (RFC 6891 6.2.6): the OPT is always ours.
"""

import struct
from typing import Final

from codns.wire.const import (
    AD,
    CD,
    DO_FLAG,
    EDNS_EDE,
    HEADER_SIZE,
    IN,
    OPCODE,
    OPT,
    QR,
    RA,
    RCODE,
    RD,
    SERVFAIL,
    TC,
    UDP_SIZE_MAX,
)
from codns.wire.errors import WireError
from codns.wire.name import skip_name
from codns.wire.query import Query

EDE_TEXT_SIZE_MAX: Final = 128  # a reason, not a story: it must not push records out of an answer

_HEADER: Final = struct.Struct(">HHHHHH")
_PACK: Final = _HEADER.pack
_TAIL: Final = struct.Struct(">HHHHH").pack  # the header behind its id
_OPT: Final = struct.Struct(
    ">xHHBBHH"
).pack  # root owner, type, size, rcode, version, DO, RDLENGTH
_EDE: Final = struct.Struct(">HHH").pack  # option code, its length, info code
_FIXED: Final = struct.Struct(">HHIH")  # type, class, TTL, RDLENGTH
_TYPE_CLASS: Final = struct.Struct(">HH").pack
_SOA: Final = struct.Struct(">IIIII").pack
_COPIED: Final = RD | CD
_ANSWERED: Final = QR | RA

_OPT_PLAIN: Final = _OPT(OPT, UDP_SIZE_MAX, 0, 0, 0, 0)
_OPT_DO: Final = _OPT(OPT, UDP_SIZE_MAX, 0, 0, DO_FLAG, 0)
_OPT_SIZE: Final = len(_OPT_PLAIN)
# The header of a query to a nameserver, id 0. RD: it shall recurse. AD: it shall say what it
# validated, even to those that do not ask for DNSSEC records (RFC 6840 5.7).
_ASK: Final = _HEADER.pack(0, RD | AD, 1, 0, 0, 1)
_ASK_CD: Final = _HEADER.pack(0, RD | AD | CD, 1, 0, 0, 1)


def upstream_query(
    name: bytes, qtype: int, qclass: int, *, do: bool, cd: bool, ecs: bytes | None = None
) -> bytes:
    """Return a query for a nameserver: id 0, RD, AD, CD as asked, our OPT.

    `ecs` is a whole client subnet option to send along (RULES 2.5).
    """
    record = _OPT_DO if do else _OPT_PLAIN
    if ecs is not None:
        record = _with_option(record, ecs)
    return (_ASK_CD if cd else _ASK) + name + _TYPE_CLASS(qtype, qclass) + record


def opt(
    *,
    do: bool,
    rcode_high: int = 0,
    ede: int | None = None,
    ede_text: str = "",
    size: int = UDP_SIZE_MAX,
) -> bytes:
    """Return an OPT record (RFC 6891 6.1.2), with an extended error if `ede` (RFC 8914 2)."""
    if rcode_high or size != UDP_SIZE_MAX:
        record = _OPT(OPT, size, rcode_high, 0, DO_FLAG if do else 0, 0)
    else:
        record = _OPT_DO if do else _OPT_PLAIN
    if ede is None:
        return record
    text = ede_text.encode()[:EDE_TEXT_SIZE_MAX]
    if len(text) == EDE_TEXT_SIZE_MAX:  # the cut may be inside a character
        text = text.decode(errors="ignore").encode()
    return _with_option(record, _EDE(EDNS_EDE, 2 + len(text), ede) + text)


def _with_option(record: bytes, option: bytes) -> bytes:
    return record[:-2] + len(option).to_bytes(2, "big") + option


def upstream_question(question: bytes, flags: int) -> bytes:
    """Return what `upstream_query` does, for a question in its final form.

    `flags` as in a semantic key: DO is 1, CD is 2.
    """
    return (_ASK_CD if flags & 2 else _ASK) + question + (_OPT_DO if flags & 1 else _OPT_PLAIN)


def plain_answer(
    query: Query, rcode: int, ad: bool, ancount: int, nscount: int, body: bytes, size_max: int
) -> bytes:
    """Return what `answer` does, without an extended error and for an rcode up to 15.

    Every answer from the cache or a nameserver passes here, so it does nothing twice.
    """
    flags = _ANSWERED | query.flags & _COPIED | rcode
    if ad:
        flags |= AD
    question = query.question
    if query.edns:
        record = _OPT_DO if query.do else _OPT_PLAIN
        message = _PACK(query.id, flags, 1, ancount, nscount, 1) + question + body + record
        if len(message) <= size_max:
            return message
        return _PACK(query.id, flags | TC, 1, 0, 0, 1) + question + record
    message = _PACK(query.id, flags, 1, ancount, nscount, 0) + question + body
    if len(message) <= size_max:
        return message
    return _PACK(query.id, flags | TC, 1, 0, 0, 0) + question


def answer(
    query: Query,
    *,
    rcode: int,
    ad: bool,
    ancount: int,
    nscount: int,
    body: bytes,
    size_max: int,
    ede: int | None = None,
    ede_text: str = "",
) -> bytes:
    """Return the finished answer to `query`, at most `size_max` bytes (RULES 2).

    `body` holds `ancount` and `nscount` records and follows the question directly. What does not
    fit leaves as TC=1 with no records (RULES 2.4).
    """
    return query.id.to_bytes(2, "big") + _tail(
        query, rcode, ad, ancount, nscount, body, size_max, ede, ede_text
    )


def answer_tail(
    query: Query,
    *,
    rcode: int,
    ad: bool,
    ancount: int,
    nscount: int,
    body: bytes,
    size_max: int,
    ede: int | None = None,
    ede_text: str = "",
) -> bytes:
    """Return `answer` without its two bytes of id, which is what a cache keeps."""
    return _tail(query, rcode, ad, ancount, nscount, body, size_max, ede, ede_text)


def _tail(
    query: Query,
    rcode: int,
    ad: bool,
    ancount: int,
    nscount: int,
    body: bytes,
    size_max: int,
    ede: int | None,
    ede_text: str,
) -> bytes:
    flags = _ANSWERED | query.flags & _COPIED | rcode & RCODE
    if ad:
        flags |= AD
    if query.edns:
        additional, record = 1, _OPT_DO if query.do else _OPT_PLAIN
        if ede is not None or rcode > RCODE:
            bare = opt(do=query.do, rcode_high=rcode >> 4)
            record = opt(do=query.do, rcode_high=rcode >> 4, ede=ede, ede_text=ede_text)
            fixed = HEADER_SIZE + len(query.question) + len(body)
            if fixed + len(record) > size_max:  # RFC 8914 3: the reason goes first
                record = bare
    else:
        additional, record = 0, b""
        if rcode > RCODE:  # cannot be said without an OPT
            flags = flags & ~RCODE | SERVFAIL
    question = query.question
    if HEADER_SIZE + len(question) + len(body) + len(record) > size_max:
        return _TAIL(flags | TC, 1, 0, 0, additional) + question + record
    return _TAIL(flags, 1, ancount, nscount, additional) + question + body + record


def error_reply(wire: bytes, rcode: int) -> bytes:
    """Return the answer to a query that did not parse: `wire` has at least a header.

    The id, the opcode and RD are copied, the question too if it can be read. An OPT is answered
    with an OPT (RFC 6891 6.1.1) where it can be found; a BADVERS always has one.
    """
    ident, flags, qdcount, ancount, nscount, arcount = _HEADER.unpack_from(wire)
    flags = QR | RA | flags & (OPCODE | RD) | rcode & RCODE
    question, record = b"", b""
    if qdcount == 1:
        try:
            end = skip_name(wire, HEADER_SIZE) + 4
            # A pointer in a question leads nowhere: nothing stands before it.
            if end <= len(wire) and wire[end - 5] == 0:
                question = wire[HEADER_SIZE:end]
                do = _opt_flags(wire, end, ancount + nscount + arcount)
                if do is not None:
                    record = opt(do=do & DO_FLAG != 0, rcode_high=rcode >> 4)
        except WireError:
            pass
    if rcode > RCODE and not record:
        record = opt(do=False, rcode_high=rcode >> 4)
    counts = (1 if question else 0, 0, 0, 1 if record else 0)
    return _HEADER.pack(ident, flags, *counts) + question + record


def _opt_flags(wire: bytes, position: int, count: int) -> int | None:
    """Return the TTL field of the first OPT among `count` records, None without one."""
    for _ in range(count):
        fixed = skip_name(wire, position)
        if fixed + _FIXED.size > len(wire):
            return None
        rtype, _, ttl, rdlength = _FIXED.unpack_from(wire, fixed)
        if rtype == OPT:
            return int(ttl)
        position = fixed + _FIXED.size + rdlength
    return None


def record(owner: bytes, rtype: int, ttl: int, rdata: bytes, rclass: int = IN) -> bytes:
    """Return a resource record (RFC 1035 4.1.3); `owner` may be a pointer."""
    return owner + _FIXED.pack(rtype, rclass, ttl, len(rdata)) + rdata


def soa_rdata(
    mname: bytes, rname: bytes, serial: int, refresh: int, retry: int, expire: int, minimum: int
) -> bytes:
    """Return the RDATA of a SOA (RFC 1035 3.3.13)."""
    return mname + rname + _SOA(serial, refresh, retry, expire, minimum)
