"""A client's query: the fields that matter of the bytes that came (RULES 1.2, 2).

Nearly every query is a header and a question, with or without a bare OPT: that is one straight
line here, because it runs on each cache miss. Whatever else it holds goes to `_extras`, which
walks the records behind the question.

What is wrong with a query is said in the order FORMERR, REFUSED, BADVERS, so that one message has
one answer; NOTIMP comes before all, since the rest of another opcode's message is not for us to
read.
"""

import struct
from typing import Final

from codns.wire.const import (
    AD,
    AXFR,
    BADVERS,
    CD,
    CHAOS,
    DO_FLAG,
    EDNS_ECS,
    HEADER_SIZE,
    IXFR,
    LABEL_SIZE_MAX,
    NAME_SIZE_MAX,
    NOTIMP,
    OPCODE,
    OPT,
    QR,
    RD,
    REFUSED,
    TKEY,
    TSIG,
    UDP_SIZE_MAX,
    UDP_SIZE_MIN,
)
from codns.wire.errors import WireError
from codns.wire.name import skip_name

# id, flags, QDCOUNT and ANCOUNT as one number, NSCOUNT and ARCOUNT as one number
_HEADER: Final = struct.Struct(">HHII").unpack_from
_NOT_A_QUERY: Final = QR | OPCODE
_COUNTS_OK: Final = 1 << 16  # QDCOUNT 1, ANCOUNT 0
_TYPE_CLASS: Final = struct.Struct(">HH").unpack_from
_OPT: Final = struct.Struct(">BHHBBHH").unpack_from  # root owner, type, size, rcode, version, DO
_RECORD: Final = struct.Struct(">HHIH").unpack_from  # type, class, TTL, RDLENGTH
_OPTION: Final = struct.Struct(">HH").unpack_from
_OPT_SIZE: Final = 11
_NAME_END_MAX: Final = HEADER_SIZE + NAME_SIZE_MAX
_ECS_SIZES: Final = range(4, 4 + 16 + 1)  # RFC 7871 6: family, two prefix lengths, address
_REFUSED_TYPES: Final = frozenset((AXFR, IXFR, TSIG, TKEY))
_KEY_FLAGS: Final = (b"\0", b"\1", b"\2", b"\3")


class Query:
    """What was asked.

    `question` is qname, qtype and qclass as they were sent; `name` the qname in lower case.
    `edns` tells whether there was an OPT, `do` and `size` are its DO bit and its payload size
    clamped to 512..1232 (512 without OPT). `plain` is a query that may fill the exact cache level
    (RULES 3.1): no record but an OPT without options. `ecs` is the whole client subnet option
    with its code and length. `key` is what the semantic cache level goes by.
    """

    __slots__ = (
        "ad",
        "cd",
        "do",
        "ecs",
        "edns",
        "flags",
        "id",
        "key",
        "name",
        "plain",
        "qclass",
        "qtype",
        "question",
        "rd",
        "size",
    )

    id: int
    flags: int
    rd: bool
    ad: bool
    cd: bool
    question: bytes
    name: bytes
    qtype: int
    qclass: int
    edns: bool
    do: bool
    size: int
    plain: bool
    ecs: bytes | None
    key: bytes


def parse_query(wire: bytes) -> Query:
    """Return what `wire` asks.

    Raises `WireError` with the rcode to answer, or None where silence is right: no header, or a
    response (RULES 1.1).
    """
    total = len(wire)
    if total < HEADER_SIZE:
        raise WireError("shorter than a header", None)
    query = Query()
    query.id, flags, counts, extras = _HEADER(wire)
    if flags & _NOT_A_QUERY:
        _refuse_header(flags)
    if counts != _COUNTS_OK:
        raise WireError("QDCOUNT not 1 or ANCOUNT not 0")
    end = HEADER_SIZE
    try:
        while size := wire[end]:
            if size > LABEL_SIZE_MAX:
                raise WireError("qname with a compression pointer")
            end += size + 1
        end += 1
        behind = end + 4
        qtype, qclass = _TYPE_CLASS(wire, end)
    except (IndexError, struct.error):
        raise WireError("message ends in the question") from None
    if end > _NAME_END_MAX:
        raise WireError("qname over 255 octets")
    if behind == total and not extras:
        query.edns = query.do = False
        query.size = UDP_SIZE_MIN
        query.plain = True
        query.ecs = None
        version = do = 0
    else:
        version, do = _read_opt(query, wire, behind, extras)
    if qclass == CHAOS or (qtype >= TKEY and qtype in _REFUSED_TYPES):
        raise WireError("zone transfer, TSIG, TKEY or class CHAOS", REFUSED)
    if version:
        raise WireError("EDNS version over 0", BADVERS)
    query.flags = flags
    query.rd = flags & RD != 0
    query.ad = flags & AD != 0
    query.cd = flags & CD != 0
    query.question = wire[HEADER_SIZE:behind]
    query.name = name = wire[HEADER_SIZE:end].lower()
    query.qtype = qtype
    query.qclass = qclass
    query.key = name + wire[end:behind] + _KEY_FLAGS[(flags & CD) >> 3 | do]
    return query


def _read_opt(query: Query, wire: bytes, position: int, counts: int) -> tuple[int, int]:
    """Fill the EDNS fields of `query`; return the EDNS version and DO as 0 or 1."""
    if counts == 1 and len(wire) == position + _OPT_SIZE:
        owner, rtype, payload, _, version, flags, rdlength = _OPT(wire, position)
        if rtype == OPT and owner == 0 and rdlength == 0:
            query.edns = query.plain = True
            query.ecs = None
            if payload > UDP_SIZE_MAX:  # min() and max() take three times as long
                payload = UDP_SIZE_MAX
            elif payload < UDP_SIZE_MIN:
                payload = UDP_SIZE_MIN
            query.size = payload
            do = flags >> 15
            query.do = do != 0
            return version, do
    version = _extras(query, wire, position, counts)
    return version, 1 if query.do else 0


def _refuse_header(flags: int) -> None:
    if flags & QR:
        raise WireError("a response", None)
    raise WireError("opcode other than QUERY", NOTIMP)


def _extras(query: Query, wire: bytes, position: int, counts: int) -> int:
    """Fill the EDNS fields of `query` from the records behind its question.

    `counts` is NSCOUNT in the high and ARCOUNT in the low half. Returns the EDNS version.
    """
    nscount, total = counts >> 16, (counts >> 16) + (counts & 0xFFFF)
    query.edns = query.do = False
    query.size = UDP_SIZE_MIN
    query.ecs = None
    query.plain = total == 1
    version, signed = 0, False
    for number in range(total):
        behind_name = skip_name(wire, position)
        try:
            rtype, rclass, ttl, rdlength = _RECORD(wire, behind_name)
        except struct.error:
            raise WireError("message ends in a record") from None
        end = behind_name + 10 + rdlength
        if end > len(wire):
            raise WireError("message ends in a record")
        if rtype == OPT:
            if query.edns or number < nscount or wire[position]:
                raise WireError("an OPT twice, with an owner or not in the additional section")
            query.edns = True
            query.do = ttl & DO_FLAG != 0
            query.size = min(max(rclass, UDP_SIZE_MIN), UDP_SIZE_MAX)
            query.ecs = _ecs(wire, end - rdlength, end)
            query.plain = query.plain and rdlength == 0
            version = ttl >> 16 & 0xFF
        elif rtype in {TSIG, TKEY}:
            signed = True
        position = end
    if position != len(wire):
        raise WireError("bytes behind the last record")
    if signed:
        raise WireError("TSIG or TKEY", REFUSED)
    query.plain = query.plain and query.edns
    return version


def _ecs(wire: bytes, position: int, end: int) -> bytes | None:
    """Check that the options fill an OPT's RDATA (RFC 6891 6.1.2); return the ECS one, if any."""
    ecs = None
    while position < end:
        if position + 4 > end:
            raise WireError("EDNS option ends early")
        code, size = _OPTION(wire, position)
        behind = position + 4 + size
        if behind > end:
            raise WireError("EDNS option ends early")
        if code == EDNS_ECS:
            if ecs is not None or size not in _ECS_SIZES:
                raise WireError("client subnet option twice or of a wrong size")
            ecs = wire[position:behind]
        position = behind
    return ecs
