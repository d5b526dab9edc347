"""The fast way through matching, digesting and framing says what the thorough one says."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_samples import ask, header, opt_record, option, question, response, rr

from codns.wire.batch import Result, unpack_result
from codns.wire.build import upstream_query
from codns.wire.digest import matches
from codns.wire.plain import PLAIN_MAX, plain_result
from codns.wire.sections import Question
from codns.wire.sift import sift

QUERY = ask()
ECS = upstream_query(
    b"\3www\7example\0", 1, 1, do=True, cd=False, ecs=option(8, b"\0\1\x18\0\xc0\0\2")
)
BARE = header() + question()
A = "www.example. 300 IN A 192.0.2.1"
OTHER = "www.example. 30 IN A 192.0.2.2"
NS = "example. 3600 IN NS ns.example."
SIG = "www.example. 20 IN RRSIG A 8 2 300 20300101000000 20200101000000 1 example. AAAA"


def thorough(query, wire):
    wire = wire[:10] + b"\0\0" + wire[12:]  # what is in front of a bare OPT goes unread
    end = query.index(b"\0\0\1\0\1", 12) + 1
    d = sift(wire, Question(query[12:end].lower(), 1, 1), end + 4)
    fields = d._asdict()
    del fields["tc"]
    return Result(job=7, elapsed=0.0015, **fields)


def plain(query, wire):
    """What `plain_result` says, which is nothing or what `sift` says."""
    frame = plain_result(7, query, wire, 1500)
    if frame is None:
        return None
    result = unpack_result(frame, 0)
    assert matches(query, wire)
    assert result == thorough(query, wire)
    assert type(result.ad) is type(result.cacheable) is type(result.soa) is bool
    return result


@pytest.mark.parametrize("query", [QUERY, BARE])
@pytest.mark.parametrize("flags", [0x8180, 0x8500, 0x81A0])
@pytest.mark.parametrize(
    ("answer", "authority", "ttl"),
    [
        ([A], [], 300),
        ([A], [NS], 300),
        ([A, OTHER], [], 30),
        ([A, OTHER, SIG], [NS, SIG.replace("www.", "").replace(" 20 ", " 2 ")], 2),
        ([A.replace("300", "0")], [], 0),
        ([A.replace("300", "2147483647")], [], 2147483647),
        (
            [A.replace("300", "60")] * 1 + [f"www.example. 9 IN A 192.0.2.{n}" for n in range(31)],
            [],
            9,
        ),
    ],
)
def test_plain_ones(query, flags, answer, authority, ttl):
    wire = response(query, answer, authority, flags=flags, edns=query is QUERY)
    result = plain(query, wire)
    assert result is not None
    assert (result.ttl, result.cacheable, result.ad) == (ttl, ttl > 0, flags == 0x81A0)
    assert (result.ancount, result.nscount) == (len(answer), len(authority))


CNAME = ["www.example. 60 IN CNAME cdn.example.", "cdn.example. 30 IN A 192.0.2.9"]


@pytest.mark.parametrize(
    ("answer", "authority", "more"),
    [
        ([], [], {}),
        ([], [NS], {}),
        (CNAME, [], {}),
        ([SIG], [], {}),
        ([A], ["org. 3600 IN NS ns.example."], {}),
        ([A], [], {"rcode": 3}),
        ([A], [], {"rcode": 16}),
        ([A], [], {"flags": 0x8380}),
        ([A], [], {"flags": 0x8980}),
        ([A], [], {"flags": 0x0180}),
        ([f"www.example. 9 IN A 192.0.2.{n}" for n in range(PLAIN_MAX + 1)], [], {}),
    ],
)
def test_others_are_left_to_those_who_look_closely(answer, authority, more):
    assert plain_result(7, QUERY, response(QUERY, answer, authority, **more), 0) is None


def reply(*records, query=QUERY, extra=b"", additional=0):
    counts = (1, len(records), 0, additional)
    return query[:2] + header(0, 0x8180, counts)[2:] + question() + b"".join(records) + extra


RECORD = rr(b"\xc0\x0c", 1, bytes(4))


@pytest.mark.parametrize(
    ("wire", "seen"),
    [
        (reply(RECORD), True),
        (reply(RECORD, extra=b"behind the message"), True),
        (reply(RECORD, extra=opt_record(), additional=1), True),
        (reply(RECORD, extra=opt_record(size=777), additional=1), True),
        (reply(RECORD, extra=RECORD + opt_record(), additional=2), True),
        (reply(RECORD, extra=opt_record(high=1), additional=1), False),
        (reply(RECORD, extra=opt_record(options=option(3, b"me")), additional=1), False),
        (reply(RECORD, extra=RECORD, additional=1), False),
        (reply(RECORD, additional=1), False),
        (reply(RECORD)[:-1], False),
        (reply(RECORD, RECORD)[:-1], False),
        (reply(rr(b"\xc0\x0c", 1, bytes(4), rclass=3)), False),
        (reply(rr(b"\xc0\x10", 1, bytes(4))), False),
        (reply(rr(b"\0", 1, bytes(4))), False),
    ],
)
def test_ends(wire, seen):
    assert (plain(QUERY, wire) is not None) is seen


def test_a_ttl_that_is_over_is_none():
    wire = reply(rr(b"\xc0\x0c", 1, bytes(4), ttl=1 << 31))
    frame = plain_result(7, QUERY, wire, 0)
    assert unpack_result(frame, 0)[8:9] == (0,)
    assert not unpack_result(frame, 0).cacheable


def test_case_and_options_and_zeros_in_labels_are_not_for_it():
    assert plain_result(7, QUERY, reply(RECORD).replace(b"www", b"wWw"), 0) is None
    assert plain_result(7, ECS, reply(RECORD, query=ECS), 0) is None
    query = upstream_query(b"\3a\0b\1c\0", 1, 1, do=False, cd=False)
    wire = header(0, 0x8180, (1, 1, 0, 0)) + query[12:-11] + RECORD
    assert matches(query, wire)
    assert plain_result(7, query, wire, 0) is None


def test_it_ends_with_the_message():
    whole = reply(RECORD, RECORD, extra=opt_record(), additional=1)
    for size in range(len(whole)):
        assert plain(QUERY, whole[:size]) is None


@given(
    st.sampled_from([[A], [A, OTHER, SIG], CNAME]),
    st.sampled_from([[], [NS]]),
    st.lists(st.tuples(st.integers(2, 120), st.integers(0, 255)), max_size=3),
)
def test_any_bytes(answer, authority, changes):
    wire = bytearray(response(QUERY, answer, authority))
    for place, value in changes:
        if place < len(wire):
            wire[place] = value
    plain(QUERY, bytes(wire))


@given(st.binary(max_size=100))
def test_noise(tail):
    plain(QUERY, QUERY[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0) + question() + tail)
    assert plain_result(7, QUERY, tail, 0) is None
