"""The embedded nameserver's answers."""

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codns.cli.embedded_zone import Responder

PLAIN = Responder()
SYNTHESIZING = Responder(synthesize=True)
SOA = "example. 60 IN SOA ns1.example. hostmaster.example. 1 3600 600 86400 60"


def ask(name, rdtype="A", responder=PLAIN, *, tcp=False, **options):
    """The response to a question, as a message."""
    query = dns.message.make_query(name, rdtype, **options)
    response = dns.message.from_wire(responder.respond(query.to_wire(), tcp=tcp))
    assert query.is_response(response)
    assert response.flags & dns.flags.RA
    return response


def lines(section):
    """Records as sorted text."""
    return sorted(line for rrset in section for line in rrset.to_text().split("\n"))


@pytest.mark.parametrize(
    ("name", "rdtype", "rcode", "answer", "authority"),
    [
        ("www.example", "A", "NOERROR", ["www.example. 300 IN A 192.0.2.80"], []),
        ("WWW.Example", "AAAA", "NOERROR", ["WWW.Example. 300 IN AAAA 2001:db8::80"], []),
        (
            "example",
            "MX",
            "NOERROR",
            ["example. 300 IN MX 10 mail.example.", "example. 300 IN MX 20 mail2.example."],
            [],
        ),
        (
            "txt.example",
            "TXT",
            "NOERROR",
            ['txt.example. 300 IN TXT "first string" "second string"'],
            [],
        ),
        (
            "_dns._udp.example",
            "SRV",
            "NOERROR",
            ["_dns._udp.example. 300 IN SRV 0 5 53 ns1.example."],
            [],
        ),
        ("www.example", "MX", "NOERROR", [], [SOA]),
        ("nowhere.example", "A", "NXDOMAIN", [], [SOA]),
        ("a.www.example", "A", "NXDOMAIN", [], [SOA]),
        ("x.wild.example", "A", "NOERROR", ["x.wild.example. 300 IN A 192.0.2.42"], []),
        ("x.y.wild.example", "A", "NOERROR", ["x.y.wild.example. 300 IN A 192.0.2.42"], []),
        ("x.wild.example", "AAAA", "NOERROR", [], [SOA]),
        ("wild.example", "A", "NOERROR", [], [SOA]),  # an empty non-terminal
        ("deep.example", "A", "NOERROR", [], [SOA]),
        ("alias.example", "CNAME", "NOERROR", ["alias.example. 300 IN CNAME www.example."], []),
        (
            "chain.example",
            "A",
            "NOERROR",
            [
                "chain.example. 300 IN CNAME chain2.example.",
                "chain2.example. 300 IN CNAME chain3.example.",
                "chain3.example. 300 IN CNAME www.example.",
                "www.example. 300 IN A 192.0.2.80",
            ],
            [],
        ),
        ("alias.example", "MX", "NOERROR", ["alias.example. 300 IN CNAME www.example."], [SOA]),
        (
            "dangling.example",
            "A",
            "NXDOMAIN",
            ["dangling.example. 300 IN CNAME missing.example."],
            [SOA],
        ),
        ("away.example", "A", "NOERROR", ["away.example. 300 IN CNAME www.example.net."], []),
        ("www.example.net", "A", "REFUSED", [], []),
        (".", "NS", "REFUSED", [], []),
        ("www.example", "AXFR", "REFUSED", [], []),
    ],
)
def test_answer(name, rdtype, rcode, answer, authority):
    response = ask(name, rdtype)
    assert dns.rcode.to_text(response.rcode()) == rcode
    assert lines(response.answer) == answer
    assert lines(response.authority) == authority


def test_the_same_query_has_the_same_answer():
    query = dns.message.make_query("many.example", "A").to_wire()
    assert len({PLAIN.respond(query) for _ in range(5)}) == 1


def test_flags_are_copied_and_versions_refused():
    response = ask("www.example", want_dnssec=True, flags=dns.flags.RD | dns.flags.CD)
    assert response.flags & dns.flags.CD
    assert response.ednsflags & dns.flags.DO
    response = ask("www.example", use_edns=1)
    assert response.rcode() == dns.rcode.BADVERS
    assert response.answer == []


def test_any_is_everything():
    kinds = {rrset.rdtype for rrset in ask("example", "ANY").answer}
    assert kinds == {dns.rdatatype.from_text(t) for t in ("SOA", "NS", "A", "MX", "TXT")}


@pytest.mark.parametrize(
    ("options", "tcp", "truncated"),
    [
        ({}, False, True),
        ({"use_edns": 0, "payload": 4096}, False, True),  # 1232 is all that leaves by UDP
        ({}, True, False),
    ],
)
def test_big_needs_tcp(options, tcp, truncated):
    response = ask("big.example", "TXT", tcp=tcp, **options)
    assert bool(response.flags & dns.flags.TC) is truncated
    assert len(lines(response.answer)) == (0 if truncated else 16)


@pytest.mark.parametrize(
    ("name", "rdtype", "answer", "soa"),
    [
        ("www.example.net", "A", ["www.example.net. 300 IN A 198.18.187.231"], None),
        ("WWW.example.NET", "A", ["WWW.example.NET. 300 IN A 198.18.187.231"], None),
        ("com", "A", ["com. 300 IN A 198.18.85.78"], None),
        ("www.example.net", "AAAA", [], "net."),
        (".", "NS", [], "."),
        (
            "away.example",
            "A",
            [
                "away.example. 300 IN CNAME www.example.net.",
                "www.example.net. 300 IN A 198.18.187.231",
            ],
            None,
        ),
        ("www.example", "A", ["www.example. 300 IN A 192.0.2.80"], None),  # the zone first
    ],
)
def test_synthesized(name, rdtype, answer, soa):
    for options in ({}, {"use_edns": 0}):
        response = ask(name, rdtype, SYNTHESIZING, **options)
        assert response.rcode() == dns.rcode.NOERROR
        assert lines(response.answer) == answer
        assert [rrset.name.to_text() for rrset in response.authority] == ([soa] if soa else [])
        assert response.edns == options.get("use_edns", -1)


def test_no_nonsense_is_answered():
    query = dns.message.make_query("www.example", "A").to_wire()
    assert PLAIN.respond(query[:11]) is None
    assert PLAIN.respond(query[:2] + b"\x80" + query[3:]) is None  # a response
    for wire, rcode in [
        (query[:2] + b"\x21" + query[3:], dns.rcode.NOTIMP),  # opcode NOTIFY
        (query[:-3], dns.rcode.FORMERR),
        (query[:4] + b"\0\0" + query[6:12], dns.rcode.FORMERR),  # no question
    ]:
        response = dns.message.from_wire(PLAIN.respond(wire))
        assert (response.rcode(), response.id) == (rcode, int.from_bytes(query[:2], "big"))


@given(st.binary(max_size=100))
def test_any_bytes_raise_nothing(data):
    for responder in (PLAIN, SYNTHESIZING):
        responder.respond(data)
        responder.respond(b"\1\2\1\0\0\1\0\0\0\0\0\0" + data)
