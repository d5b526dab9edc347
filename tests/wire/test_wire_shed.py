"""SERVFAIL without parsing is what the parser's would be; so is the key of the cache."""

import dns.edns
import dns.flags
import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_samples import header, opt_record, question

from codns.wire import const
from codns.wire.build import answer_tail
from codns.wire.errors import WireError
from codns.wire.query import parse_query
from codns.wire.shed import plain_key, shed_reply, shed_tail


def by_fields(wire):
    return answer_tail(
        parse_query(wire),
        rcode=const.SERVFAIL,
        ad=False,
        ancount=0,
        nscount=0,
        body=b"",
        size_max=const.MESSAGE_SIZE_MAX,
        ede=const.EDE_OTHER,
    )


def asked(name="www.example.", qtype="A", **options):
    return dns.message.make_query(name, qtype, id=0x1234, **options).to_wire()


@pytest.mark.parametrize("edns", [False, 0])
@pytest.mark.parametrize("dnssec", [False, True])
@pytest.mark.parametrize("flags", ["", "RD", "CD", "RD CD AD"])
@pytest.mark.parametrize(
    ("name", "qtype"),
    [(".", "NS"), ("a.", "A"), ("WwW.Example.", "HTTPS"), ("x" * 63 + ".example.", "TYPE65280")],
)
def test_the_quick_answer_is_that_of_the_parser(edns, dnssec, flags, name, qtype):
    message = dns.message.make_query(name, qtype, use_edns=edns, want_dnssec=dnssec)
    message.flags = dns.flags.from_text(flags)
    wire = message.to_wire()
    assert shed_tail(wire[2:]) == by_fields(wire) == shed_reply(wire[2:])
    assert plain_key(wire[2:]) == parse_query(wire).key


def test_what_a_client_gets():
    wire = asked(use_edns=0)
    got = dns.message.from_wire(wire[:2] + shed_tail(wire[2:]))
    assert dns.message.from_wire(wire).is_response(got)
    assert (got.rcode(), got.edns, len(got.answer)) == (2, 0, 0)
    assert [(o.otype, o.code) for o in got.options] == [(15, 0)]  # RFC 8914: Other
    bare = asked(use_edns=False)
    got = dns.message.from_wire(bare[:2] + shed_tail(bare[2:]))
    assert (got.rcode(), got.edns) == (2, -1)


@pytest.mark.parametrize(
    ("wire", "rcode"),
    [
        (asked(use_edns=0, options=[dns.edns.GenericOption(10, b"12345678")]), 2),
        (header(counts=(1, 0, 0, 1)) + question() + opt_record(version=1), 16),
        (header(counts=(2, 0, 0, 0)) + question() + question(), 1),
        (header(flags=4 << 11) + question(), 4),
        (header() + question() + b"x", 1),
        (header() + b"\3ww\0\1\0\1\0\1", 1),
        (header(flags=0x8100) + question(), None),
        (b"\0" * 11, None),
        (b"\0" * 2, None),
    ],
    ids=repr,
)
def test_what_is_not_of_the_usual_form_takes_the_long_way(wire, rcode):
    assert shed_tail(wire[2:]) is None
    reply = shed_reply(wire[2:])
    if rcode is None:
        assert reply == b""
    else:
        assert dns.message.from_wire(wire[:2] + reply).rcode() == rcode


@given(st.binary(max_size=80), st.sampled_from([b"", header(), header(counts=(1, 0, 0, 1))]))
def test_no_bytes_raise_anything(data, head):
    tail = (head + data)[2:]
    plain_key(tail)
    shed_reply(tail)
    quick = shed_tail(tail)
    if quick is not None:
        assert len(quick) <= len(tail) + 6  # no amplifier
        try:
            parse_query(b"\0\0" + tail)
        except WireError:
            return  # odd, and told SERVFAIL all the same
        assert quick == by_fields(b"\0\0" + tail)
