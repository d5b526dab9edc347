"""Jobs and results between master and slaves: frames on a stream socketpair.

Both ends write many frames at once and read what there is: a system call a batch, not a message
(measured: a message a call halves the rate of misses). Every frame starts with its length, so a
reader keeps the incomplete tail for the next read.

Master to slave:  JOB      job, server, flags, timeout, query (without its id)
                  SERVER   server number, "address#port" to be used for it
                  PING     token
Slave to master:  RESULT   see `Result`
                  PONG     token
                  EVENT    what, server number, how often: what no result tells
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from codns.wire.outcome import Outcome

JOB: Final = 1
SERVER: Final = 2
PING: Final = 3
RESULT: Final = 4
PONG: Final = 5
EVENT: Final = 6

# What an EVENT is about
UNMATCHED: Final = 0  # datagrams that answered nothing that was asked
WRONG_CASE: Final = 1  # answers that were right in all but the letters of the question
GUARDED: Final = 2  # names that are asked over TCP for a while, as answers are forged
FOLDED: Final = 3  # this nameserver does not keep letters, and gets no random ones for a while

FLAG_TCP: Final = 1  # exchange over TCP from the start
FLAG_FIRST_RRSET: Final = 2  # ANY over UDP: keep the first RRset only (RFC 8482)
FLAG_MIXED_CASE: Final = 4  # ask in random letters, and want them back (DNS 0x20)

FRAME_SIZE_MAX: Final = 4 * 65535 + 1024  # a 64 KiB message, its offsets, a derived one: and room

_FRAME: Final = struct.Struct("<IB")  # size of all that follows the size field, kind
_JOB: Final = struct.Struct("<IBIHBI")  # size, kind, job, server, flags, timeout in ms
_SERVER: Final = struct.Struct("<IBH")
_TOKEN: Final = struct.Struct("<IBI")
_EVENT: Final = struct.Struct("<IBBHI")
# size, kind, job, outcome, rcode, ad, cacheable, soa, ancount, nscount, ttl, elapsed in us,
# body size, TTL fields, derived size. An extended rcode has 12 bits (RFC 6891 6.1.3).
_RESULT: Final = struct.Struct("<IBIBH???HHIIHHI")

# In place of the number of TTL fields: one, where a record has it whose owner is a pointer. It is
# what most answers have, so it is not sent.
LONE_RECORD: Final = 0xFFFF
_LONE_OFFSETS: Final = b"\6\0"

# For those who write and read one at a time a hundred thousand times a second: the calls of the
# functions below would cost them as much as the work.
JOB_SIZE: Final = _JOB.size
PACK_JOB: Final = _JOB.pack
UNPACK_JOB: Final = _JOB.unpack_from
RESULT_SIZE: Final = _RESULT.size
PACK_RESULT: Final = _RESULT.pack


class Result(NamedTuple):
    """What came of one job.

    `body` is the answer and authority section as they stood behind the question, which sits at
    offset 12 with the qname of the query: compression pointers stay valid under any case of it.
    `offsets` are the positions of TTL fields in `body`, as little-endian u16s.
    `ttl` in seconds is what it may be kept for: least TTL of a positive answer, RFC 2308 5's for
    a negative one, 0 if it must not be kept. `derived` is the negative answer for the last target
    of a CNAME chain, packed by `pack_derived`, or empty (RULES 3.2).
    """

    job: int
    outcome: Outcome
    rcode: int
    ad: bool
    cacheable: bool
    soa: bool
    ancount: int
    nscount: int
    ttl: int
    elapsed: float
    body: bytes
    offsets: bytes
    derived: bytes


_OUTCOMES: Final = tuple(Outcome)
_new: Final = tuple.__new__  # a third of the time of a call of the class


def pack_job(job: int, server: int, flags: int, timeout_s: float, query: bytes) -> bytes:
    """Frame a job; `query` is the whole message, its id is replaced by the slave."""
    size = _JOB.size - 4 + len(query)
    timeout_ms = int(timeout_s * 1000) if timeout_s > 0 else 0  # a moved job's may have run out
    return _JOB.pack(size, JOB, job, server, flags, timeout_ms) + query


def pack_server(server: int, address: str) -> bytes:
    """Tell what a server number means: `address` as "192.0.2.1#53" or "2001:db8::1#53"."""
    text = address.encode("ascii")
    return _SERVER.pack(_SERVER.size - 4 + len(text), SERVER, server) + text


def pack_token(kind: int, token: int) -> bytes:
    """Frame a PING or a PONG."""
    return _TOKEN.pack(_TOKEN.size - 4, kind, token)


def pack_event(event: int, server: int, count: int) -> bytes:
    """Frame an event; `server` is 0 where it is about none."""
    return _EVENT.pack(_EVENT.size - 4, EVENT, event, server, min(count, 0xFFFFFFFF))


def pack_result(r: Result) -> bytes:
    """Frame a result."""
    tail = r.body + r.offsets + r.derived
    return (
        _RESULT.pack(
            _RESULT.size - 4 + len(tail),
            RESULT,
            r.job,
            r.outcome,
            r.rcode,
            r.ad,
            r.cacheable,
            r.soa,
            r.ancount,
            r.nscount,
            r.ttl,
            min(int(r.elapsed * 1e6), 0xFFFFFFFF),
            len(r.body),
            len(r.offsets) >> 1,
            len(r.derived),
        )
        + tail
    )


def frames(buffer: bytes, position: int = 0) -> Iterator[tuple[int, int, int]]:
    """Yield (kind, start, end) of each complete frame from `position` on.

    `start` is the position of the size field, so that the structs above unpack from there.
    Raises ValueError on a size no frame has: the two ends no longer agree.
    """
    total = len(buffer)
    while position + 5 <= total:
        size, kind = _FRAME.unpack_from(buffer, position)
        if not 1 <= size <= FRAME_SIZE_MAX:
            raise ValueError(f"frame of {size} bytes between master and slave")
        end = position + 4 + size
        if end > total:
            return
        yield kind, position, end
        position = end


def unpack_job(buffer: bytes, start: int, end: int) -> tuple[int, int, int, float, bytes]:
    """Return (job, server, flags, timeout in seconds, query)."""
    _, _, job, server, flags, timeout_ms = _JOB.unpack_from(buffer, start)
    return job, server, flags, timeout_ms / 1000, buffer[start + _JOB.size : end]


def unpack_server(buffer: bytes, start: int, end: int) -> tuple[int, str]:
    """Return (server number, address)."""
    _, _, server = _SERVER.unpack_from(buffer, start)
    return server, buffer[start + _SERVER.size : end].decode("ascii")


def unpack_token(buffer: bytes, start: int) -> int:
    """Return the token of a PING or PONG."""
    token: int = _TOKEN.unpack_from(buffer, start)[2]
    return token


def unpack_event(buffer: bytes, start: int) -> tuple[int, int, int]:
    """Return (event, server number, count)."""
    _, _, event, server, count = _EVENT.unpack_from(buffer, start)
    return event, server, count


def unpack_result(buffer: bytes, start: int) -> Result:
    """Return the result whose frame starts there."""
    results: list[Result] = []
    _, _, end = next(frames(buffer, start))
    unpack_results(buffer[:end], start, results)
    return results[0]


def unpack_results(buffer: bytes, position: int, results: list[Result]) -> int:
    """Append the results that stand in a row from `position` on; return where the row ends.

    There is another frame, or an incomplete one.
    """
    append, unpack, outcomes, total = results.append, _RESULT.unpack_from, _OUTCOMES, len(buffer)
    while total - position >= RESULT_SIZE:
        (
            size, kind, job, outcome, rcode, ad, cacheable, soa,
            ancount, nscount, ttl, elapsed_us, body_size, ttls, derived_size,
        ) = unpack(buffer, position)  # fmt: skip
        end = position + 4 + size
        if kind != RESULT or end > total:
            break
        body = position + RESULT_SIZE
        tail = body + body_size
        fields = (
            job, outcomes[outcome], rcode, ad, cacheable, soa, ancount, nscount, ttl,
            elapsed_us / 1e6,
            buffer[body:tail],
            _LONE_OFFSETS if ttls == LONE_RECORD else buffer[tail : tail + 2 * ttls],
            buffer[end - derived_size : end] if derived_size else b"",
        )  # fmt: skip
        append(_new(Result, fields))
        position = end
    return position
