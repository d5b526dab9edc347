"""Arbitrary bytes, and valid messages with a few bytes changed: `WireError` or a sound result."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_samples import SOA, ask, header, opt_record, option, question, response

from codns.wire.build import answer, error_reply
from codns.wire.derived import unpack_derived
from codns.wire.digest import digest, matches
from codns.wire.errors import WireError
from codns.wire.name import Names
from codns.wire.outcome import Outcome
from codns.wire.query import parse_query
from codns.wire.sections import walk
from codns.wire.tcp import Framer

ECS = option(8, b"\0\1\x18\0\xc0\0\2")
QUERIES = [
    header() + question(),
    header(counts=(1, 0, 0, 1)) + question() + opt_record(),
    header(counts=(1, 0, 0, 1)) + question() + opt_record(options=option(10, b"12345678") + ECS),
]
CNAME = "www.example. 60 IN CNAME cdn.example."
CDN = "cdn.example. 30 IN A 192.0.2.9"
NS = "example. 9 IN NS ns.example."
SIG = "example. 9 IN RRSIG SOA 8 1 300 20300101000000 20200101000000 1 example. AAAA"
RESPONSES = [
    response(ask(), ["www.example. 300 IN A 192.0.2.1"]),
    response(ask(), [CNAME, CDN], [NS], ["ns.example. 9 IN A 1.2.3.4"]),
    response(ask(), ["other. 9 IN A 192.0.2.1", CNAME, CDN]),
    response(ask(), [CNAME], [SOA, SIG], rcode=3),
    response(ask(), ["example. 9 IN DNAME other.", "www.other. 9 IN A 192.0.2.1"], edns=False),
    response(ask(), [], ["other. 9 IN NS ns.other.", SOA], rcode=3),
]

CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["set", "cut", "insert", "pointer", "drop"]),
        st.integers(0, 400),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=4,
)


def changed(wire, changes, keep=0):
    out = bytearray(wire)
    for how, at, byte in changes:
        i = keep + at % max(1, len(out) - keep)
        if how == "set":
            out[i : i + 1] = bytes((byte,))
        elif how == "cut":
            del out[i:]
        elif how == "insert":
            out.insert(i, byte)
        elif how == "pointer":
            out[i : i + 2] = bytes((0xC0, byte))
        else:
            del out[i : i + 1 + byte % 8]
    return bytes(out)


def check_query(wire):
    try:
        query = parse_query(wire)
    except WireError as error:
        assert error.rcode in {None, 1, 4, 5, 16}  # noqa: PT017
        if error.rcode is not None:
            reply = error_reply(wire, error.rcode)
            assert reply[:2] == wire[:2]
            assert reply[2] & 0x80
        return
    assert wire[12:].startswith(query.question)
    assert query.key == query.name + query.question[-4:] + bytes((query.do | query.cd << 1,))
    assert 512 <= query.size <= 1232
    reply = answer(query, rcode=0, ad=False, ancount=0, nscount=0, body=b"", size_max=512)
    assert matches(wire[:10] + b"\0\0" + query.question, reply)


def check_records(asked, ancount, nscount, body, offsets):
    """The body holds that many records behind the question, their TTLs where `offsets` says."""
    wire = header(0, 0x8180, (1, ancount, nscount, 0)) + asked + body
    records, end = walk(Names(wire), 12 + len(asked), ancount + nscount)
    assert end == len(wire)
    fields = struct.unpack(f"<{len(offsets) // 2}H", offsets)
    assert [r.fixed + 4 - 12 - len(asked) for r in records] == list(fields)
    return records


def check_response(wire, *, first_rrset):
    if not matches(ask(), wire):
        return
    try:
        d = digest(ask(), wire, first_rrset=first_rrset)
    except WireError:
        return
    records = check_records(question(), d.ancount, d.nscount, d.body, d.offsets)
    assert d.cacheable is (d.ttl > 0)
    assert not d.cacheable or d.outcome.usable
    assert not d.cacheable or d.ttl <= min(r.ttl for r in records)
    assert d.outcome is not Outcome.ANSWER or d.ancount > 0
    if d.derived:
        target = unpack_derived(d.derived)
        asked = target.name + b"\0\1\0\1"
        records = check_records(asked, 0, target.nscount, target.body, target.offsets)
        assert 0 < target.ttl <= min(r.ttl for r in records)


@given(st.binary(max_size=100))
def test_any_bytes_as_query(data):
    check_query(data)
    check_query(header() + data)
    check_query(QUERIES[1][:-2] + data)


@given(st.sampled_from(QUERIES), CHANGES)
def test_changed_queries(wire, changes):
    check_query(changed(wire, changes))
    check_query(changed(wire, changes, keep=12))


@given(st.binary(max_size=100), st.booleans(), *[st.integers(0, 3)] * 3, st.sampled_from([0, 2]))
def test_any_bytes_as_response(data, first, ancount, nscount, arcount, tc):
    head = header(0, 0x8180 | tc << 8, (1, ancount, nscount, arcount))
    check_response(head + question() + data, first_rrset=first)
    check_response(data, first_rrset=first)


@given(st.sampled_from(RESPONSES), CHANGES, st.booleans())
def test_changed_responses(wire, changes, first):
    check_response(changed(wire, changes), first_rrset=first)
    check_response(changed(wire, changes, keep=12 + len(question())), first_rrset=first)


@pytest.mark.parametrize("wire", RESPONSES)
def test_every_cut_of_a_response_is_an_error(wire):
    for size in range(12 + len(question()), len(wire)):
        with pytest.raises(WireError):
            digest(ask(), wire[:size])


@pytest.mark.parametrize("wire", [*RESPONSES, *QUERIES])
def test_every_byte_replaced_by_some(wire):
    for position in range(len(wire)):
        for byte in (0, 1, 5, 12, 39, 41, 63, 64, 128, 192, 255):
            out = wire[:position] + bytes((byte,)) + wire[position + 1 :]
            check_response(out, first_rrset=bool(byte & 1))
            check_query(out)


@given(st.lists(st.binary(max_size=50), max_size=5), st.integers(0, 100))
def test_any_bytes_on_a_connection(pieces, size_max):
    framer = Framer(size_max)
    try:
        for piece in pieces:
            assert all(len(message) <= size_max for message in framer.feed(piece))
            assert framer.pending <= size_max + 2
    except WireError as error:
        assert error.rcode is None  # noqa: PT017
