"""SERVFAIL for a query that there is no time for, made without parsing it.

Who sheds load does so because time is short: parsing the query and building the answer field by
field takes 8 us, a third of what resolving it takes the master, and at three times the capacity
two queries are shed for each that is resolved. So the usual form, a question and at most an OPT
without options, is answered by slices. All else (None) takes the long way, `shed_reply`.

Works on messages without their two bytes of id, as the exact level of the cache does.
"""

from typing import Final

from codns.wire import const
from codns.wire.build import answer_tail, error_reply, opt
from codns.wire.errors import WireError
from codns.wire.query import parse_query

_BARE: Final = b"\0\1\0\0\0\0\0\0"  # counts: a question
_WITH_OPT: Final = b"\0\1\0\0\0\0\0\1"
_OPT_SIZE: Final = 11
_OPT_HEAD: Final = b"\0\0\x29"  # root owner, type
_QUESTION: Final = 10  # where it starts
_FIXED: Final = 5  # the name's last octet, type and class
_OPCODE: Final = 0x78  # of the first octet; with QR 0xf8
_FAILED: Final = [  # by RD and CD as they were asked: QR, RA, SERVFAIL
    bytes((0x80 | rd, 0x80 | cd | const.SERVFAIL)) for rd in (0, 1) for cd in (0, 0x10)
]
_NO_KEY: Final = bytes(5)
_FLAGS: Final = {0: b"\0", 0x10: b"\2"}  # of a semantic key, by CD; with DO
_FLAGS_DO: Final = {0: b"\1", 0x10: b"\3"}
_REASON: Final = opt(do=False, ede=const.EDE_OTHER)
_REASON_DO: Final = opt(do=True, ede=const.EDE_OTHER)


def shed_tail(tail: bytes) -> bytes | None:
    """Return SERVFAIL, with EDE 0 if there was an OPT; None for what is not of a usual form."""
    counts = tail[2:_QUESTION]
    if counts == _WITH_OPT:
        end = len(tail) - _OPT_SIZE
        if tail[end : end + 3] != _OPT_HEAD or tail[end + 6] or tail[-2:] != b"\0\0":
            return None  # an option, or an EDNS version that is not ours
        reason = _REASON_DO if tail[-4] & 0x80 else _REASON
    elif counts == _BARE:
        end, reason = len(tail), b""
    else:
        return None
    # The first zero octet has to be the name's last: no name ends elsewhere, bar odd ones
    if tail.find(0, _QUESTION) != end - _FIXED or tail[0] & (0x80 | _OPCODE):
        return None
    head = _FAILED[(tail[0] & 1) << 1 | (tail[1] & 0x10) >> 4]
    return head + counts + tail[_QUESTION:end] + reason


def shed_reply(tail: bytes) -> bytes:
    """Return the same for any message; what is no query gets its own error, or nothing."""
    wire = b"\0\0" + tail
    try:
        query = parse_query(wire)
    except WireError as error:
        return b"" if error.rcode is None else error_reply(wire, error.rcode)[2:]
    return answer_tail(
        query,
        rcode=const.SERVFAIL,
        ad=False,
        ancount=0,
        nscount=0,
        body=b"",
        size_max=const.MESSAGE_SIZE_MAX,
        ede=const.EDE_OTHER,
    )


def plain_key(tail: bytes) -> bytes:
    """Return what is likely the query's semantic key (`Query.key`).

    Right for every query with one question whose name holds no zero octet and whose OPT, if any,
    follows the question. A wrong one finds nothing in the cache, or what the parser then will.
    """
    if len(tail) < _QUESTION:
        return _NO_KEY
    end = tail.find(0, _QUESTION) + 1
    behind = end + 4
    if tail[behind : behind + 3] == _OPT_HEAD:
        flags = _FLAGS_DO if tail[behind + 7 : behind + 8] >= b"\x80" else _FLAGS
    else:
        flags = _FLAGS
    return tail[_QUESTION:end].lower() + tail[end:behind] + flags[tail[1] & 0x10]
