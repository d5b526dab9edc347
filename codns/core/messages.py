"""What peers say to each other: values only, no bytes of any encoding.

`peer/` encodes and seals them; introducing a restarted node (challenge and echo, RULES 8.3) is
the link's own affair and appears in no message here. What core may rely on in a message it is
given: it is from the peer it is said to be from, it is no copy of an earlier one, and every
length and number is inside the bounds below. That what it says is true is for nobody to rely on.

How versions mix: a message is an array, its kind first. Fields are only ever added at the end and
with a default, so that an older node passes over them and a newer one fills them in. A kind that
a node does not know is dropped and counted there. Never change a field's meaning, bounds or
place; a `Status` that a node does not know is read as FAILURE.

    node                                   peer
      | HeartbeatRequest(token, report) ->   |     every 2 s to a neighbour, rarely to others
      |   <- HeartbeatReply(token, report)   |
      | Query(id, name ...) ->               |
      |   <- QueryReply(id, status ...)      |     from its cache or its own nameserver, only
"""

from enum import IntEnum
from typing import Annotated, Final

from msgspec import Meta, Struct

from codns.wire.const import NAME_SIZE_MAX, RECORDS_MAX
from codns.wire.outcome import Outcome

IDENTITY_SIZE: Final = 8  # blake2b-8 of a nameserver's address (RULES 7.3)
NAMESERVERS_MAX: Final = 16  # resolv.conf holds 3; a site with more tells its first 16
VERSION_SIZE_MAX: Final = 32  # characters of "1.2.3.dev4+g0123456"
NAMESERVER_S_MAX: Final = 60.0  # no exchange lasts that long (RULES 4.2: a lookup lives 10 s)
LOAD_MAX: Final = 65_535  # window is at most 512 and its queue twice that (RULES 7.4); room
ID_MAX: Final = 2**63 - 1  # tokens and query ids: never used twice in a node's life
BODY_SIZE_MAX: Final = 16_384  # more than 12 parts hold (RULES 8.1), so it never decides
OFFSETS_SIZE_MAX: Final = 2 * RECORDS_MAX
TTL_MAX: Final = 2**31 - 1  # RFC 2181 8

_U16 = Annotated[int, Meta(ge=0, le=0xFFFF)]
_Id = Annotated[int, Meta(ge=0, le=ID_MAX)]
_Load = Annotated[int, Meta(ge=0, le=LOAD_MAX)]
_Identity = Annotated[bytes, Meta(min_length=IDENTITY_SIZE, max_length=IDENTITY_SIZE)]


class Status(IntEnum):
    """What a peer made of a query."""

    ANSWER = 0  # a usable answer (RULES 4.4)
    FAILURE = 1  # its nameserver gave none; `outcome` and `rcode` tell why
    BUSY = 2  # no room for it now: ask another, and this one not for 1 s (RULES 7.3)
    FULL = 3  # neighbour of 64 others already: look for another neighbour (RULES 7.1)

    @classmethod
    def _missing_(cls, _value: object) -> "Status":
        """What a newer version may come to say is no answer to us."""
        return cls.FAILURE


class Report(Struct, array_like=True, frozen=True, gc=False):
    """How a node is: what its peers choose their neighbours by (RULES 7.1, 7.3).

    `nameserver_s` is the mean time of its nameservers' answers in seconds, None before the first
    one; `failing` its judgement of its own path (RULES 6.2); `nameservers` their identities,
    blake2b-8 each; `load` and `window` the remote queries in service there and how many may be.
    """

    nameserver_s: Annotated[float, Meta(ge=0, le=NAMESERVER_S_MAX)] | None
    failing: bool
    validates: bool
    nameservers: Annotated[tuple[_Identity, ...], Meta(max_length=NAMESERVERS_MAX)]
    load: _Load
    window: _Load
    version: Annotated[str, Meta(max_length=VERSION_SIZE_MAX)]


class HeartbeatRequest(Struct, array_like=True, frozen=True, gc=False, tag=1):
    """Are you there? `token` comes back and so measures the round trip.

    `neighbour` tells that the receiver is one of the sender's neighbours, not merely looked at in
    its scan of the list: what the receiver counts its 64 by. `report` is the sender's.
    """

    token: _Id
    neighbour: bool
    report: Report


class HeartbeatReply(Struct, array_like=True, frozen=True, gc=False, tag=2):
    """Yes. `full`: it is neighbour of as many as it takes and the asker is not among them."""

    token: _Id
    full: bool
    report: Report


class Query(Struct, array_like=True, frozen=True, gc=False, tag=3):
    """A remote query. `name` is an uncompressed wire name in lower case (checked on arrival)."""

    id: _Id
    name: Annotated[bytes, Meta(min_length=1, max_length=NAME_SIZE_MAX)]
    qtype: _U16
    qclass: _U16
    do: bool
    cd: bool


class QueryReply(Struct, array_like=True, frozen=True, gc=False, tag=4):
    """What became of the query with this id; all behind `outcome` is for ANSWER only.

    `body`, `offsets`, `ancount` and `nscount` are those of `wire.batch.Result`: records behind a
    question whose name is the query's, and where their TTLs are. The TTLs are already lowered by
    the entry's age, rounded up (RULES 3.3). `ttl` is the seconds the answer may be kept for, 0 if
    it must not be; `soa`: a negative answer has its SOA (RFC 2308). All of that is the peer's
    word: who asked reads the records (`core.vetting`). Offsets are for nodes that did not yet.
    """

    id: _Id
    status: Status
    outcome: Outcome = Outcome.OTHER
    rcode: Annotated[int, Meta(ge=0, le=0xFFF)] = 0
    ad: bool = False
    soa: bool = False
    ttl: Annotated[int, Meta(ge=0, le=TTL_MAX)] = 0
    ancount: _U16 = 0
    nscount: _U16 = 0
    body: Annotated[bytes, Meta(max_length=BODY_SIZE_MAX)] = b""
    offsets: Annotated[bytes, Meta(max_length=OFFSETS_SIZE_MAX)] = b""


Message = HeartbeatRequest | HeartbeatReply | Query | QueryReply


def too_large(reply: QueryReply) -> QueryReply:
    """Return what is sent when `reply` is more than the link carries (RULES 8.1).

    To the asker this is an answer that came cut short and could not be had whole.
    """
    return QueryReply(reply.id, Status.FAILURE, Outcome.TRUNCATED, rcode=reply.rcode)


def is_answer(reply: QueryReply) -> bool:
    """Say whether it claims to be usable (RULES 4.4). A negative one needs its SOA (RULES 5.3)."""
    if reply.status is not Status.ANSWER or not reply.outcome.usable:
        return False
    return reply.outcome is Outcome.ANSWER or reply.soa
