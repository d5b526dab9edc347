"""A response of any kind, record by record: what it says, and what of it belongs to the question.

This is the thorough half of `wire/digest.py`, which knows what a `Digest` is for.
"""

import struct
from typing import Final, NamedTuple

from codns.wire.chain import PROOFS, Chain, follow, kept_answers, kept_authority
from codns.wire.const import (
    AA,
    AD,
    ANY,
    FORMERR,
    HEADER_SIZE,
    NOERROR,
    NOTIMP,
    NS,
    NXDOMAIN,
    OPT,
    RCODE,
    RECORDS_MAX,
    REFUSED,
    RRSIG,
    SERVFAIL,
    SOA,
    TC,
)
from codns.wire.derived import Derived, pack_derived
from codns.wire.errors import WireError
from codns.wire.name import Names, ancestors, skip_name
from codns.wire.outcome import Outcome
from codns.wire.sections import Question, Record, rebuilt, walk

TTL_MAX: Final = 0x7FFFFFFF  # RFC 2181 8: what is over counts as 0

_HEADER: Final = struct.Struct(">HHHHHH").unpack_from
_FIXED: Final = struct.Struct(">HHIH").unpack_from  # type, class, TTL, RDLENGTH
_FIXED_SIZE: Final = 10
_POINTER: Final = 0xC0
_new: Final = tuple.__new__  # a third of the time of a call of the class
_NUMBER: Final = struct.Struct(">I")
_SOA_SIZE_MIN: Final = 22  # two root names and five numbers
_OUTCOMES: Final = {
    NOERROR: Outcome.ANSWER,
    NXDOMAIN: Outcome.NXDOMAIN,
    SERVFAIL: Outcome.SERVFAIL,
    REFUSED: Outcome.REFUSED,
    FORMERR: Outcome.FORMERR,
    NOTIMP: Outcome.NOTIMP,
}
_ANSWER: Final = Outcome.ANSWER
_NODATA: Final = Outcome.NODATA
_NXDOMAIN: Final = Outcome.NXDOMAIN


class Digest(NamedTuple):
    """What `batch.Result` says of a response, and whether it was truncated.

    `ttl` is in seconds, 0 unless `cacheable`. `offsets` are the TTL fields in `body` as
    little-endian u16s.
    """

    outcome: Outcome
    rcode: int
    tc: bool
    ad: bool
    cacheable: bool
    soa: bool
    ancount: int
    nscount: int
    ttl: int
    body: bytes
    offsets: bytes
    derived: bytes


def extended_rcode(response: bytes, position: int, count: int, rcode: int) -> int:
    """Return `rcode` with the high bits that an OPT holds (RFC 6891 6.1.3).

    Walks the additional section, `count` records from `position`; the first OPT counts.
    """
    total = len(response)
    seen = False
    for _ in range(count):
        head = response[position] if position < total else 1
        if head == 0:
            fixed = position + 1
        elif head >= _POINTER:  # where it leads is nobody's concern
            fixed = position + 2
        else:
            fixed = skip_name(response, position)
        try:
            rtype, _, ttl, rdlength = _FIXED(response, fixed)
        except struct.error:
            raise WireError("message ends in a record") from None
        position = fixed + _FIXED_SIZE + rdlength
        if position > total:
            raise WireError("message ends in a record")
        if rtype == OPT and not seen:
            seen = True
            rcode |= ttl >> 20 & 0xFF0
    return rcode


def sift(response: bytes, question: Question, start: int, *, first_rrset: bool = False) -> Digest:
    """Digest a response whose records begin at `start`, behind the question. See `digest`."""
    _, flags, _, ancount, nscount, arcount = _HEADER(response)
    tc = flags & TC != 0
    rcode = flags & RCODE
    if tc and not first_rrset:
        return _truncated(rcode)
    qname, qtype, qclass = question
    names, chain = _seeded(response, qname)
    try:
        answers, position = walk(names, start, ancount)
        authority, position = walk(names, position, nscount)
        rcode = extended_rcode(response, position, arcount, rcode)
        follow(names, chain, question, answers)
    except WireError:
        if tc:  # cut in the middle of a record: some do
            return _truncated(rcode)
        raise
    kept = kept_answers(names, chain, qclass, answers)
    kept_ns = kept_authority(chain, qclass, authority) if authority else []
    if first_rrset and kept:
        kept, kept_ns = _first_rrset(response, kept), []
    if tc and not kept:
        return _truncated(rcode)
    soa = None
    for r in kept_ns:
        if r.rtype == SOA:
            soa = r
            break
    outcome = _OUTCOMES.get(rcode, Outcome.OTHER)
    if outcome is _ANSWER and not _has_type(kept, chain.names[-1], qtype):
        outcome = _NODATA
        if not kept and soa is None and not flags & AA and _has_referral(authority):
            outcome = Outcome.LAME
    records = kept + kept_ns
    body, offsets = _body(names, start, answers + authority, records, qname)
    ttl, derived = 0, b""
    if tc or len(records) > RECORDS_MAX:
        pass
    elif outcome is _ANSWER:
        ttl = _least(records, TTL_MAX)
    elif soa is not None and (outcome is _NODATA or outcome is _NXDOMAIN):
        minimum = _minimum(response, soa)
        ttl = _least(records, minimum)
        if soa.ttl > minimum:
            body = _lowered(body, offsets, len(kept) + kept_ns.index(soa), minimum)
        if len(chain.names) > 1 and not chain.loops:
            derived = _derived(names, chain, kept_ns, rcode)
    ad, count, count_ns = flags & AD != 0, len(kept), len(kept_ns)
    told = (outcome, rcode, tc, ad, ttl > 0, soa is not None, count, count_ns, ttl)
    return _new(Digest, (*told, body, offsets, derived))


def _has_type(kept: list[Record], owner: bytes, qtype: int) -> bool:
    """Tell whether the answer holds what was asked for, at the end of the chain."""
    for r in reversed(kept):  # noqa: SIM110 a generator costs more than this usually takes
        if (r.rtype == qtype or qtype == ANY) and r.owner == owner:  # noqa: PLR1714
            return True
    return False


def _has_referral(authority: list[Record]) -> bool:
    return any(r.rtype == NS for r in authority)


def _least(records: list[Record], least: int) -> int:
    """Return the least TTL of `records`, at most `least`."""
    for r in records:
        if r.ttl < least:  # noqa: PLR1730 min() takes three times as long
            least = r.ttl
    return least


def _seeded(response: bytes, qname: bytes) -> tuple[Names, Chain]:
    """Return the names of `response`, those in its question known, and the chain's beginning.

    Owners are nearly always pointers into the question.
    """
    names = Names(response)
    known, above = names.known, {b"\0"}
    position = 0
    while size := qname[position]:
        name = known[HEADER_SIZE + position] = qname[position:]
        above.add(name)
        position += size + 1
    return names, Chain(qname, above)


def _truncated(rcode: int) -> Digest:
    """Return the digest of a response that is to be asked for again over TCP."""
    outcome = _OUTCOMES.get(rcode, Outcome.OTHER)
    if outcome.usable:
        outcome = Outcome.TRUNCATED
    return Digest(outcome, rcode, True, False, False, False, 0, 0, 0, b"", b"", b"")


def _first_rrset(response: bytes, kept: list[Record]) -> list[Record]:
    """Return the records of the owner and type of the first, and their signatures."""
    owner, rtype = kept[0].owner, kept[0].rtype
    covered = rtype.to_bytes(2, "big")
    return [
        r
        for r in kept
        if r.owner == owner
        and (
            r.rtype == rtype
            or (r.rtype == RRSIG and response[r.fixed + 10 : r.fixed + 12] == covered)
        )
    ]


def _body(
    names: Names, start: int, records: list[Record], kept: list[Record], qname: bytes
) -> tuple[bytes, bytes]:
    """Return (body, offsets): a slice of the response, or `kept` anew if it has gaps."""
    if not kept:
        return b"", b""
    if kept[-1] is not records[len(kept) - 1]:
        return rebuilt(names, kept, qname)
    shift = 4 - start
    offsets = struct.pack(f"<{len(kept)}H", *[r.fixed + shift for r in kept])
    return names.wire[start : kept[-1].end], offsets


def _minimum(response: bytes, soa: Record) -> int:
    """Return what a negative answer may be kept for: SOA TTL or MINIMUM (RFC 2308 5)."""
    if soa.end - soa.fixed < _FIXED_SIZE + _SOA_SIZE_MIN:
        raise WireError("SOA ends early")
    minimum: int = _NUMBER.unpack_from(response, soa.end - 4)[0]
    return min(soa.ttl, minimum if minimum <= TTL_MAX else 0)


def _lowered(body: bytes, offsets: bytes, number: int, ttl: int) -> bytes:
    """Return `body` with the TTL of its record `number` lowered to `ttl`.

    RFC 2308 3 has the SOA's TTL no higher than MINIMUM. Left higher, the next cache behind us
    would count the time anew from it.
    """
    at = offsets[2 * number] | offsets[2 * number + 1] << 8
    return body[:at] + _NUMBER.pack(ttl) + body[at + 4 :]


def _derived(names: Names, chain: Chain, authority: list[Record], rcode: int) -> bytes:
    """Return the same negative answer for the last target, empty without a SOA of its own."""
    above = set(ancestors(chain.last))
    kept = [r for r in authority if r.rtype in PROOFS or r.owner in above]
    number = next((i for i, r in enumerate(kept) if r.rtype == SOA), None)
    if number is None:
        return b""
    minimum = _minimum(names.wire, kept[number])
    ttl = _least(kept, minimum)
    if ttl == 0:
        return b""
    body, offsets = rebuilt(names, kept, chain.last)
    body = _lowered(body, offsets, number, minimum)
    return pack_derived(Derived(chain.last, rcode, ttl, len(kept), body, offsets))
