"""The embedded nameserver's answers: a small zone with something of everything.

It plays the site's nameserver where there is none (`codns run --embedded`, the demo, tests): it
says RA=1 and answers `example.` from the zone below. Every other name is REFUSED, or with
`synthesize` has an A record that follows from the name alone, so that any number of different
questions can be asked. Pure: bytes in, bytes out.
"""

import hashlib
import socket
from collections.abc import Iterator
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.rrset
import dns.zone

from codns.wire import build
from codns.wire.const import HEADER_SIZE, MESSAGE_SIZE_MAX, UDP_SIZE_MAX, UDP_SIZE_MIN, A
from codns.wire.errors import WireError
from codns.wire.name import is_under
from codns.wire.query import parse_query

CHAIN_MAX: Final = 8  # CNAMEs followed: the zone's longest chain has 3
SYNTHESIZED_TTL: Final = 300
_ORIGIN_WIRE: Final = b"\x07example\0"
_QNAME_POINTER: Final = b"\xc0\x0c"  # the question's name, behind the header

# TXT strings hold 255 bytes at most; 16 of them are over any UDP answer
_BIG: Final = "\n".join(f'big IN TXT "{n:02} {"x" * 200}"' for n in range(16))
_MANY: Final = "\n".join(f"many IN A 198.51.100.{n}" for n in range(1, 9))

ZONE: Final = f"""
$ORIGIN example.
$TTL 300
@          IN SOA   ns1 hostmaster 1 3600 600 86400 60
@          IN NS    ns1
@          IN NS    ns2
@          IN A     192.0.2.1
@          IN MX    10 mail
@          IN MX    20 mail2
@          IN TXT   "v=spf1 mx -all"
ns1        IN A     192.0.2.53
ns2        IN AAAA  2001:db8::53
www        IN A     192.0.2.80
www        IN AAAA  2001:db8::80
mail       IN A     192.0.2.25
mail       IN AAAA  2001:db8::25
mail2      IN A     192.0.2.26
txt        IN TXT   "first string" "second string"
v6         IN AAAA  2001:db8::6
short 5    IN A     192.0.2.5
alias      IN CNAME www
chain      IN CNAME chain2
chain2     IN CNAME chain3
chain3     IN CNAME www
dangling   IN CNAME missing
away       IN CNAME www.example.net.
*.wild     IN A     192.0.2.42
*.wild     IN TXT   "any name under wild.example"
a.deep     IN A     192.0.2.7
_dns._udp  IN SRV   0 5 53 ns1
_http._tcp IN SRV   10 5 80 www
{_MANY}
{_BIG}
"""

Found = tuple[dns.rcode.Rcode, list[dns.rrset.RRset], list[dns.rrset.RRset]]


class Responder:
    """Answers queries. `synthesize` may be changed at any time."""

    def __init__(self, *, synthesize: bool = False) -> None:
        self.synthesize = synthesize
        self._zone = dns.zone.from_text(ZONE, origin="example.", relativize=False)
        self._origin = dns.name.from_text("example.")
        self._names = {
            name.split(depth)[1]
            for name in self._zone
            for depth in range(len(self._origin), len(name) + 1)
        }  # with the empty non-terminals

    def respond(self, wire: bytes, *, tcp: bool = False) -> bytes | None:
        """Return the response to a query, None where silence is right (no query at all)."""
        if len(wire) < HEADER_SIZE or wire[2] & 0x80:
            return None
        if self.synthesize:
            quick = _quick(wire)
            if quick is not None:
                return quick
        try:
            query = dns.message.from_wire(wire)
        except (dns.exception.DNSException, ValueError):
            return _failure(wire, dns.rcode.FORMERR)
        if query.opcode() != dns.opcode.QUERY:
            return _failure(wire, dns.rcode.NOTIMP)
        if len(query.question) != 1:
            return _failure(wire, dns.rcode.FORMERR)
        response = dns.message.make_response(
            query, recursion_available=True, our_payload=UDP_SIZE_MAX
        )
        response.flags |= query.flags & dns.flags.CD
        response.ednsflags |= query.ednsflags & dns.flags.DO
        asked = query.question[0]
        if query.edns > 0:
            response.set_rcode(dns.rcode.BADVERS)
        elif asked.rdclass != dns.rdataclass.IN or (
            dns.rdatatype.is_metatype(asked.rdtype) and asked.rdtype != dns.rdatatype.ANY
        ):
            response.set_rcode(dns.rcode.REFUSED)
        else:
            rcode, answer, authority = self._lookup(asked.name, asked.rdtype)
            response.set_rcode(rcode)
            response.answer = answer
            response.authority = authority
            if asked.name.is_subdomain(self._origin):
                response.flags |= dns.flags.AA
        size_max = MESSAGE_SIZE_MAX if tcp else _udp_size(query)
        return _rendered(response, size_max)

    def _lookup(self, qname: dns.name.Name, qtype: dns.rdatatype.RdataType) -> Found:
        """Return rcode, answer and authority section."""
        answer: list[dns.rrset.RRset] = []
        for _ in range(CHAIN_MAX):
            if not qname.is_subdomain(self._origin):
                return self._outside(qname, qtype, answer)
            node = self._node(qname)
            if node is None:
                return dns.rcode.NXDOMAIN, answer, [self._soa()]
            found = list(_matching(node, qname, qtype))
            if found:
                return dns.rcode.NOERROR, answer + found, []
            alias = list(_matching(node, qname, dns.rdatatype.CNAME))
            if not alias:
                return dns.rcode.NOERROR, answer, [self._soa()]
            answer += alias
            qname = alias[0][0].target
        return dns.rcode.SERVFAIL, [], []

    def _node(self, qname: dns.name.Name) -> list[dns.rdataset.Rdataset] | None:
        """Return what is at a name, by way of a wildcard too (RFC 4592); None: NXDOMAIN."""
        if qname in self._names:
            node = self._zone.get_node(qname)
            return list(node.rdatasets) if node else []
        encloser = qname
        while encloser not in self._names:
            encloser = encloser.parent()
        wildcard = self._zone.get_node(dns.name.Name((b"*",)) + encloser)
        return list(wildcard.rdatasets) if wildcard else None

    def _soa(self) -> dns.rrset.RRset:
        rdataset = self._zone.get_rdataset(self._origin, dns.rdatatype.SOA)
        assert rdataset is not None
        return dns.rrset.from_rdata_list(self._origin, 60, list(rdataset))

    def _outside(
        self, qname: dns.name.Name, qtype: dns.rdatatype.RdataType, answer: list[dns.rrset.RRset]
    ) -> Found:
        """Answer for a name outside the zone."""
        if not self.synthesize:
            # the CNAME that led here is still an answer; the client asks for its target itself
            return (dns.rcode.NOERROR if answer else dns.rcode.REFUSED), answer, []
        if len(qname) > 1 and qtype in (dns.rdatatype.A, dns.rdatatype.ANY):
            address = synthesized(qname.to_digestable())
            rdata = dns.rdata.from_text("IN", "A", socket.inet_ntoa(address))
            made = dns.rrset.from_rdata(qname, SYNTHESIZED_TTL, rdata)
            return dns.rcode.NOERROR, [*answer, made], []
        top = dns.name.Name(qname.labels[-2:])
        text = f"ns.{top} hostmaster.{top} 1 3600 600 86400 60" if len(qname) > 1 else _ROOT_SOA
        rdata = dns.rdata.from_text("IN", "SOA", text)
        return dns.rcode.NOERROR, answer, [dns.rrset.from_rdata(top, 60, rdata)]


_ROOT_SOA: Final = "ns.example. hostmaster.example. 1 3600 600 86400 60"


def synthesized(qname: bytes) -> bytes:
    """Return the address made from a lower-case wire name.

    One of 198.18.0.0/15, which is for benchmarks (RFC 2544) and in nobody's private ranges.
    """
    digest = hashlib.blake2b(qname, digest_size=3).digest()
    return bytes((198, 18 + (digest[0] & 1), digest[1], digest[2]))


def _quick(wire: bytes) -> bytes | None:
    """Answer a question for a made address without dnspython, which takes 50 times as long."""
    try:
        query = parse_query(wire)
    except WireError:
        return None
    if query.qtype != A or len(query.name) == 1 or is_under(query.name, _ORIGIN_WIRE):
        return None
    body = build.record(_QNAME_POINTER, A, SYNTHESIZED_TTL, synthesized(query.name))
    return build.answer(
        query, rcode=0, ad=False, ancount=1, nscount=0, body=body, size_max=query.size
    )


def _matching(
    node: list[dns.rdataset.Rdataset], qname: dns.name.Name, qtype: dns.rdatatype.RdataType
) -> Iterator[dns.rrset.RRset]:
    for rdataset in node:
        if qtype in (rdataset.rdtype, dns.rdatatype.ANY):
            yield dns.rrset.from_rdata_list(qname, rdataset.ttl, list(rdataset))


def _udp_size(query: dns.message.Message) -> int:
    if query.edns < 0:
        return UDP_SIZE_MIN
    return max(UDP_SIZE_MIN, min(query.payload, UDP_SIZE_MAX))


def _rendered(response: dns.message.Message, size_max: int) -> bytes:
    try:
        # in the zone's order, not dnspython's random one: the same query, the same answer
        return response.to_wire(max_size=size_max, want_shuffle=False)
    except dns.exception.TooBig:
        response.answer, response.authority = [], []
        response.flags |= dns.flags.TC
        return response.to_wire(max_size=size_max)


def _failure(wire: bytes, rcode: dns.rcode.Rcode) -> bytes:
    """Return a header that says `rcode`: QR, opcode and RD as asked, RA."""
    flags = bytes((0x80 | wire[2] & 0x79, 0x80 | int(rcode)))
    return wire[:2] + flags + bytes(HEADER_SIZE - 4)
