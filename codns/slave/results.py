"""What an exchange came to, as frames for the master.

And what can be told from a query and its answer alone: was EDNS not understood, is a truncated
answer to ANY of use.
"""

from typing import Final

from codns.slave.letters import without_mixed
from codns.wire.batch import FLAG_FIRST_RRSET, FLAG_MIXED_CASE, Result, pack_result
from codns.wire.const import FORMERR, HEADER_SIZE, NOTIMP, REFUSED, SERVFAIL
from codns.wire.digest import digest
from codns.wire.errors import WireError
from codns.wire.name import skip_name
from codns.wire.outcome import Outcome

FAILURES: Final = {
    SERVFAIL: Outcome.SERVFAIL,
    REFUSED: Outcome.REFUSED,
    FORMERR: Outcome.FORMERR,
    NOTIMP: Outcome.NOTIMP,
}


def without_opt(query: bytes) -> bytes:
    """Our query less its OPT, which is all that follows the question."""
    return query[:10] + b"\0\0" + query[12 : skip_name(query, HEADER_SIZE) + 4]


def did_not_understand(query: bytes, response: bytes) -> bool:
    """Whether this is what a nameserver says that knows no EDNS."""
    refused = response[3] & 15 in (FORMERR, NOTIMP)
    return refused and query[10:12] != b"\0\0" and response[10:12] == b"\0\0"


def has_records(query: bytes, response: bytes) -> bool:
    """Whether a truncated response to ANY is of use."""
    try:
        return digest(query, response, first_rrset=True).ancount > 0
    except WireError:
        return False


def failure(job: int, outcome: Outcome, elapsed_us: int) -> bytes:
    """The frame of a job that brought no records."""
    return pack_result(
        Result(job, outcome, 0, False, False, False, 0, 0, 0, elapsed_us / 1e6, b"", b"", b"")
    )


def result(job: int, query: bytes, response: bytes, flags: int, elapsed_us: int) -> bytes:
    """The frame of what came of a job."""
    try:
        d = digest(query, response, first_rrset=flags & FLAG_FIRST_RRSET != 0)
    except WireError:
        return failure(job, Outcome.FORMERR, elapsed_us)
    outcome, rcode, _, ad, cacheable, soa, ancount, nscount, ttl, body, offsets, derived = d
    if flags & FLAG_MIXED_CASE and body:
        body = without_mixed(body, offsets, query[HEADER_SIZE : skip_name(query, HEADER_SIZE)])
    kept = (ad, cacheable, soa, ancount, nscount, ttl, elapsed_us / 1e6, body, offsets, derived)
    return pack_result(Result(job, outcome, rcode, *kept))
