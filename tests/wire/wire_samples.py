"""Messages for the tests of the wire layer, mostly made by dnspython."""

import struct
from collections.abc import Sequence

import dns.flags
import dns.message
import dns.rrset

from codns.wire.build import upstream_query
from codns.wire.digest import Digest, digest, matches
from codns.wire.name import from_text

SOA = "example. 3600 IN SOA ns.example. host.example. 1 2 3 4 900"


def header(
    ident: int = 0x1234,
    flags: int = 0x0100,
    counts: tuple[int, int, int, int] = (1, 0, 0, 0),
) -> bytes:
    return struct.pack(">HHHHHH", ident, flags, *counts)


def question(name: str = "www.example.", qtype: int = 1, qclass: int = 1) -> bytes:
    return from_text(name) + struct.pack(">HH", qtype, qclass)


def rr(owner: bytes, rtype: int, rdata: bytes, ttl: int = 300, rclass: int = 1) -> bytes:
    return owner + struct.pack(">HHIH", rtype, rclass, ttl, len(rdata)) + rdata


def opt_record(
    size: int = 1232, high: int = 0, version: int = 0, flags: int = 0, options: bytes = b""
) -> bytes:
    return b"\0" + struct.pack(">HHBBHH", 41, size, high, version, flags, len(options)) + options


def option(code: int, data: bytes) -> bytes:
    return struct.pack(">HH", code, len(data)) + data


def rrsets(lines: Sequence[str]) -> list[dns.rrset.RRset]:
    """One RRset a record, in the order of the lines: "owner ttl IN type rdata"."""
    made = []
    for line in lines:
        owner, ttl, rclass, rtype, rdata = line.split(None, 4)
        made.append(dns.rrset.from_text(owner, int(ttl), rclass, rtype, rdata))
    return made


def response(
    query: bytes,
    answer: Sequence[str] = (),
    authority: Sequence[str] = (),
    additional: Sequence[str] = (),
    *,
    rcode: int = 0,
    flags: int = 0x8180,
    edns: bool = True,
) -> bytes:
    """What a nameserver says to `query`, as dnspython writes it."""
    message = dns.message.from_wire(query)
    message.use_edns(0 if edns else False, payload=1232)
    message.flags = dns.flags.Flag(flags)
    message.set_rcode(rcode)
    message.answer = rrsets(answer)
    message.authority = rrsets(authority)
    message.additional = rrsets(additional)
    return message.to_wire(max_size=65535)


def presented(query: bytes, ancount: int, nscount: int, body: bytes) -> dns.message.Message:
    """The body behind the question of `query`, read by dnspython (which keeps every record)."""
    head = struct.pack(">HHHHHH", 0, 0x8180, 1, ancount, nscount, 0)
    end = 12 + query.index(b"\0", 12) - 12 + 5
    return dns.message.from_wire(head + query[12:end] + body, one_rr_per_rrset=True)


def lines(section: Sequence[dns.rrset.RRset]) -> list[str]:
    return [str(rrset) for rrset in section]


TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "MX": 15, "AAAA": 28, "DNAME": 39, "ANY": 255}


def ask(name="www.example.", qtype="A", qclass=1):
    return upstream_query(from_text(name), TYPES[qtype], qclass, do=False, cd=False)


def of(answer=(), authority=(), additional=(), *, query=None, first_rrset=False, **more) -> Digest:
    query = query or ask()
    wire = response(query, answer, authority, additional, **more)
    assert matches(query, wire)
    d = digest(query, wire, first_rrset=first_rrset)
    presented(query, d.ancount, d.nscount, d.body)
    return d


def kept(d, query=None):
    """The lines of the answer and of the authority section as dnspython reads them."""
    message = presented(query or ask(), d.ancount, d.nscount, d.body)
    return lines(message.answer), lines(message.authority)


def ttls(d):
    at = [d.offsets[i] | d.offsets[i + 1] << 8 for i in range(0, len(d.offsets), 2)]
    return [int.from_bytes(d.body[i : i + 4], "big") for i in at]
