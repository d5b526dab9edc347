"""Messages that are built, read back by dnspython."""

import dns.edns
import dns.flags
import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_samples import header, opt_record, option, question, rr

from codns.wire.build import (
    answer,
    answer_tail,
    error_reply,
    opt,
    record,
    soa_rdata,
    upstream_query,
)
from codns.wire.errors import WireError
from codns.wire.name import from_text
from codns.wire.query import parse_query

A = record(b"\xc0\x0c", 1, 300, b"\xc0\0\2\1")
ECS = option(8, b"\0\1\x18\0\xc0\0\2")


def asked(*, flags=0x0100, edns=True, do=False, name="wWw.Example."):
    counts = (1, 0, 0, 1 if edns else 0)
    tail = opt_record(4096, flags=0x8000 if do else 0) if edns else b""
    return parse_query(header(0xBEEF, flags, counts) + question(name) + tail)


def say(query, *, rcode=0, ad=False, body=A, ancount=1, nscount=0, size_max=1232, **more):
    return answer(
        query,
        rcode=rcode,
        ad=ad,
        ancount=ancount,
        nscount=nscount,
        body=body,
        size_max=size_max,
        **more,
    )


@pytest.mark.parametrize(
    ("do", "cd"), [(False, False), (True, False), (False, True), (True, True)]
)
@pytest.mark.parametrize("ecs", [None, ECS])
def test_queries_to_nameservers(do, cd, ecs):
    wire = upstream_query(from_text("www.example."), 28, 1, do=do, cd=cd, ecs=ecs)
    message = dns.message.from_wire(wire)
    assert message.id == 0
    assert message.flags == dns.flags.RD | dns.flags.AD | (dns.flags.CD if cd else 0)
    assert [str(q) for q in message.question] == ["www.example. IN AAAA"]
    assert (message.edns, message.payload) == (0, 1232)
    assert message.ednsflags == (dns.flags.DO if do else 0)
    assert [o.to_text() for o in message.options] == (["ECS 192.0.2.0/24 scope/0"] if ecs else [])
    again = parse_query(wire)
    assert (again.do, again.cd, again.ecs, again.plain) == (do, cd, ecs, ecs is None)


@pytest.mark.parametrize(
    ("flags", "ad", "rcode", "sent"),
    [
        (0x0100, False, 0, 0x8180),
        (0x0000, False, 0, 0x8080),
        (0x0110, False, 0, 0x8190),
        (0x0120, False, 0, 0x8180),  # AD of the query is a wish, not an answer
        (0x0100, True, 3, 0x81A3),
        (0x0740, False, 2, 0x8182),  # AA, TC and Z of a query mean nothing
    ],
)
def test_flags_of_an_answer(flags, ad, rcode, sent):
    wire = say(asked(flags=flags), ad=ad, rcode=rcode)
    assert wire[:4] == b"\xbe\xef" + sent.to_bytes(2, "big")
    assert wire[12:29] == asked().question == question("wWw.Example.")


@pytest.mark.parametrize(
    ("edns", "do", "tail"),
    [(False, False, b""), (True, False, opt_record()), (True, True, opt_record(flags=0x8000))],
)
def test_an_answer_has_an_opt_iff_the_query_had(edns, do, tail):
    wire = say(asked(edns=edns, do=do))
    assert wire[4:12] == bytes((0, 1, 0, 1, 0, 0, 0, len(tail) // 11))
    assert wire[29:] == A + tail
    message = dns.message.from_wire(wire)
    assert str(message.answer[0]) == "wWw.Example. 300 IN A 192.0.2.1"
    assert message.edns == (0 if edns else -1)


def test_the_tail_is_the_answer_without_its_id():
    query = asked()
    tail = answer_tail(
        query, rcode=3, ad=True, ancount=1, nscount=0, body=A, size_max=512, ede=3, ede_text="x"
    )
    assert say(query, rcode=3, ad=True, ede=3, ede_text="x", size_max=512) == b"\xbe\xef" + tail


FULL = 12 + 17 + 16 + 11  # header, question, record, OPT


@pytest.mark.parametrize(
    ("edns", "size_max", "ede", "tc", "records", "reason"),
    [
        (True, FULL, None, False, 1, False),
        (True, FULL - 1, None, True, 0, False),
        (False, FULL - 11, None, False, 1, False),
        (False, FULL - 12, None, True, 0, False),
        (True, FULL + 6, 22, False, 1, True),
        (True, FULL + 5, 22, False, 1, False),  # the reason goes before the records
        (True, FULL, 22, False, 1, False),
        (True, FULL - 1, 22, True, 0, False),
    ],
)
def test_what_does_not_fit_leaves_truncated(edns, size_max, ede, tc, records, reason):
    wire = say(asked(edns=edns), size_max=size_max, ede=ede)
    assert len(wire) <= size_max
    message = dns.message.from_wire(wire)
    assert bool(message.flags & dns.flags.TC) is tc
    assert sum(map(len, message.answer)) == records
    assert message.edns == (0 if edns else -1)
    assert [o.otype for o in message.options] == ([dns.edns.OptionType.EDE] if reason else [])


@pytest.mark.parametrize(
    ("rcode", "edns", "seen"), [(16, True, 16), (23, True, 23), (4095, True, 4095), (16, False, 2)]
)
def test_extended_rcodes_need_an_opt(rcode, edns, seen):
    message = dns.message.from_wire(say(asked(edns=edns), rcode=rcode))
    assert message.rcode() == seen


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("", None),
        ("no answer in 4.5 s", "no answer in 4.5 s"),
        ("x" * 300, "x" * 128),
        ("é" * 100, "é" * 64),
        ("x" + "é" * 100, "x" + "é" * 63),  # cut between characters
    ],
)
def test_extended_errors(text, seen):
    message = dns.message.from_wire(
        say(asked(), rcode=2, ede=22, ede_text=text, body=b"", ancount=0)
    )
    (ede,) = message.options
    assert (ede.code, ede.text) == (22, seen)


def test_opt_by_itself():
    assert opt(do=False) == opt_record()
    assert opt(do=True) == opt_record(flags=0x8000)
    assert opt(do=True, rcode_high=1, size=4096) == opt_record(4096, 1, 0, 0x8000)
    assert opt(do=False, ede=3) == opt_record(options=option(15, b"\0\3"))


@pytest.mark.parametrize(
    ("wire", "rcode", "reply"),
    [
        (header(7, 0x0100, (0, 0, 0, 0)), 1, header(7, 0x8181, (0, 0, 0, 0))),
        (header(7, 0x2000), 4, header(7, 0xA084, (0, 0, 0, 0))),
        (header(7) + question() + b"\0", 1, header(7, 0x8181) + question()),
        (header(7, 0x0130) + question(qtype=252), 5, header(7, 0x8185) + question(qtype=252)),
        (header(7) + b"\xc0\x0c\0\1\0\1", 1, header(7, 0x8181, (0, 0, 0, 0))),
        (header(7) + b"\3www\xc0\x0c\0\1\0\1", 1, header(7, 0x8181, (0, 0, 0, 0))),
        (header(7) + question()[:-1], 1, header(7, 0x8181, (0, 0, 0, 0))),
        (header(7, counts=(2, 0, 0, 0)) + question() * 2, 1, header(7, 0x8181, (0, 0, 0, 0))),
        (
            header(7, counts=(1, 0, 0, 1)) + question() + opt_record(512, version=1, flags=0x8000),
            16,
            header(7, 0x8180, (1, 0, 0, 1)) + question() + opt_record(high=1, flags=0x8000),
        ),
        (
            header(7, counts=(1, 0, 0, 1)) + question(qtype=252) + opt_record(),
            5,
            header(7, 0x8185, (1, 0, 0, 1)) + question(qtype=252) + opt_record(),
        ),
        (header(7), 16, header(7, 0x8180, (0, 0, 0, 1)) + opt_record(high=1)),
        (
            header(7, counts=(1, 9, 9, 9)) + question() + rr(b"\0", 1, b"a")[:-1],
            1,
            header(7, 0x8181) + question(),
        ),
    ],
)
def test_replies_to_what_did_not_parse(wire, rcode, reply):
    assert error_reply(wire, rcode) == reply
    dns.message.from_wire(reply)


def test_records_and_soa():
    rdata = soa_rdata(from_text("ns.example."), from_text("host.example."), 1, 2, 3, 4, 5)
    body = record(from_text("example."), 6, 900, rdata)
    message = dns.message.from_wire(say(asked(), body=body, ancount=0, nscount=1))
    assert str(message.authority[0]) == ("example. 900 IN SOA ns.example. host.example. 1 2 3 4 5")
    assert record(b"\0", 1, 0, b"", 3) == b"\0\0\1\0\3\0\0\0\0\0\0"


@given(
    st.binary(min_size=12, max_size=120),
    st.sampled_from([1, 2, 4, 5, 16]),
)
def test_error_replies_to_any_bytes_are_valid(wire, rcode):
    reply = error_reply(wire, rcode)
    assert reply[:2] == wire[:2]
    assert dns.message.from_wire(reply, continue_on_error=False).rcode() == rcode


@given(st.binary(max_size=60))
def test_error_replies_to_nearly_valid_queries_are_valid(tail):
    wire = header(counts=(1, 0, 0, 1)) + question() + opt_record(options=tail)[:-1]
    try:
        parse_query(wire)
    except WireError as error:
        assert error.rcode == 1  # noqa: PT017
        assert dns.message.from_wire(error_reply(wire, 1)).rcode() == 1


@given(
    st.integers(0, 65535),
    st.booleans(),
    st.booleans(),
    st.integers(0, 15),
    st.integers(0, 30),
    st.integers(45, 1232),
    st.one_of(st.none(), st.integers(0, 30)),
)
def test_every_answer_fits_and_parses(ident, do, ad, rcode, count, size_max, ede):
    query = asked(do=do)
    query.id = ident
    wire = say(
        query, rcode=rcode, ad=ad, body=A * count, ancount=count, size_max=size_max, ede=ede
    )
    assert len(wire) <= size_max
    message = dns.message.from_wire(wire, one_rr_per_rrset=True)
    assert (message.id, message.rcode()) == (ident, rcode)
    assert bool(message.flags & dns.flags.AD) is ad
    assert bool(message.ednsflags & dns.flags.DO) is do
    fits = 12 + 17 + 16 * count + 11 <= size_max
    assert bool(message.flags & dns.flags.TC) is not fits
    assert len(message.answer) == (count if fits else 0)
