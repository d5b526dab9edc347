"""Replies of peers, record by record: sound ones, and what a liar may make of them."""

import struct

from codns.core.messages import QueryReply, Status
from codns.wire.build import soa_rdata
from codns.wire.outcome import Outcome

NAME = b"\3www\7example\0"
KEY = NAME + struct.pack(">HHB", 1, 1, 0)
OFFSET = b"\6\0"  # of a TTL behind a pointer
LAST = struct.Struct(">HHIH")


def rr(owner=b"\xc0\x0c", rtype=1, data=b"\xcb\0\x71\1", ttl=300, rclass=1):
    """A record: by default an A record of the question's name."""
    return owner + LAST.pack(rtype, rclass, ttl, len(data)) + data


def soa(owner=b"\xc0\x10", ttl=300, minimum=300):
    """A SOA, of "example." by default."""
    return rr(owner, 6, soa_rdata(b"\0", b"\0", 1, 2, 3, 4, minimum), ttl)


def reply(body, ancount, nscount=0, *, ttl=300):
    """An answer; its offsets are right for records whose owners are pointers."""
    offsets, at = b"", 0
    while at + 12 <= len(body) and body[at] >= 0xC0:
        offsets += struct.pack("<H", at + 6)
        at += 12 + int.from_bytes(body[at + 10 : at + 12], "big")
    offsets = offsets[: 2 * (ancount + nscount)]
    return QueryReply(
        1, Status.ANSWER, Outcome.ANSWER, 0, False, False, ttl, ancount, nscount, body, offsets
    )


def denial(body=None, ancount=0, nscount=1, outcome=Outcome.NXDOMAIN, rcode=3, *, ttl=300):
    """NXDOMAIN, with a SOA of its own or what it is given for one."""
    made = reply(soa() if body is None else body, ancount, nscount, ttl=ttl)
    return QueryReply(
        1, Status.ANSWER, outcome, rcode, False, True, ttl, ancount, nscount, made.body,
        made.offsets,
    )  # fmt: skip


def sound():
    """An address."""
    return reply(rr(), 1)
