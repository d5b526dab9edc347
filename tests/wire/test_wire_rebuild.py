"""Bodies with gaps: what is left is written anew, uncompressed."""

import dns.message
import pytest
from wire_samples import (
    ask,
    header,
    kept,
    lines,
    presented,
    question,
    response,
    rr,
)

from codns.wire.build import upstream_query
from codns.wire.digest import digest
from codns.wire.errors import WireError
from codns.wire.name import from_text

OTHER_A = "other.example. 10 IN A 192.0.2.66"


def test_without_gaps_the_body_is_a_slice_and_with_gaps_names_are_expanded():
    mx = "www.example. 9 IN MX 10 mail.example."
    query = ask(qtype="MX")
    wire = response(query, [mx, OTHER_A])
    d = digest(query, wire)
    assert d.body in wire
    assert b"\xc0\x10" in d.body  # mail + pointer
    d = digest(query, response(query, [OTHER_A, mx]))
    assert d.body == rr(b"\xc0\x0c", 15, b"\0\x0a\4mail\7example\0", 9)
    assert d.offsets == b"\6\0"


RDATA = [
    "NS ns.example.",
    "PTR www.example.",
    "SOA ns.example. host.example. 1 2 3 4 5",
    "MX 10 mail.example.",
    "RP box.example. txt.example.",
    "AFSDB 1 db.example.",
    "RT 1 route.example.",
    "PX 1 map.example. x400.example.",
    "KX 1 kx.example.",
    "SRV 1 2 3 srv.example.",
    'NAPTR 1 2 "s" "SIP+D2U" "" _sip.example.',
    'TXT "two" "strings"',
    "HTTPS 1 svc.example. alpn=h2",
    'CAA 0 issue "ca.example"',
    "TYPE65280 \\# 3 c00c00",
    "DNAME other.example.",
]


@pytest.mark.parametrize("rdata", RDATA)
def test_rebuilt_rdata_means_the_same(rdata):
    record = f"www.example. 9 IN {rdata}"
    made = dns.message.make_query("www.example.", rdata.split()[0])
    query = upstream_query(from_text("www.example."), made.question[0].rdtype, 1, do=0, cd=0)
    d = digest(query, response(query, [OTHER_A, record]))
    assert kept(d, query) == (
        lines(presented(query, 1, 0, digest(query, response(query, [record])).body).answer),
        [],
    )
    assert d.ancount == 1


def compressed_rdata(rtype, rdata):
    """A record behind one that is dropped, its RDATA with pointers into the question."""
    query = upstream_query(from_text("www.example."), rtype, 1, do=False, cd=False)
    junk = rr(b"\1x\xc0\x0c", 1, b"\1\2\3\4")
    head = header(0, 0x8180, (1, 2, 0, 0)) + question(qtype=rtype)
    return query, head + junk + rr(b"\xc0\x0c", rtype, rdata, 9)


W = b"\3www\7example\0"


@pytest.mark.parametrize(
    ("rtype", "rdata", "expanded"),
    [
        (2, b"\xc0\x0c", W),
        (6, b"\xc0\x0c\1h\xc0\x0c" + bytes(20), W + b"\1h" + W + bytes(20)),
        (15, b"\0\1\xc0\x0c", b"\0\1" + W),
        (26, b"\0\1\xc0\x0c\xc0\x0c", b"\0\1" + W + W),
        (30, b"\xc0\x0c\1\2\3", W + b"\1\2\3"),
        (33, b"\0\1\0\2\0\3\xc0\x0c", b"\0\1\0\2\0\3" + W),
        (35, b"\0\1\0\2\1s\0\2ab\xc0\x0c", b"\0\1\0\2\1s\0\2ab" + W),
        (24, bytes(18) + b"\xc0\x0csignature", bytes(18) + W + b"signature"),
        (65280, b"\xc0\x0c", b"\xc0\x0c"),
        (46, bytes(18) + b"\xc0\x0c", bytes(18) + b"\xc0\x0c"),  # RFC 4034 3.1.7: never compressed
        (15, b"", b""),
    ],
)
def test_names_in_rdata_are_expanded_by_type(rtype, rdata, expanded):
    d = digest(*compressed_rdata(rtype, rdata))
    assert d.body == rr(b"\xc0\x0c", rtype, expanded, 9)


@pytest.mark.parametrize(
    ("rtype", "rdata"),
    [
        (2, b"\3ww"),
        (2, b"\xc0"),
        (2, b"\xff\xff"),
        (15, b"\0\1"),
        (15, b"\0"),
        (6, b"\xc0\x0c"),
        (35, b"\0\1\0\2\1s\0\x20ab\xc0\x0c"),
        (35, b"\0\1\0\2\1s"),
    ],
)
def test_names_that_leave_their_rdata_are_refused_when_expanded(rtype, rdata):
    with pytest.raises(WireError):
        digest(*compressed_rdata(rtype, rdata))
