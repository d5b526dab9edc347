"""Queries as they come from clients."""

import dns.edns
import dns.flags
import dns.message
import dns.rdataclass
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_samples import header, opt_record, option, question, rr

from codns.wire.errors import WireError
from codns.wire.query import parse_query

WWW = question()
ECS = option(8, b"\0\1\x18\0\xc0\0\2")
COOKIE = option(10, b"abcdefgh")


def with_opt(record=None, flags=0x0100, qtype=1):
    return (
        header(flags=flags, counts=(1, 0, 0, 1))
        + question(qtype=qtype)
        + (opt_record() if record is None else record)
    )


def test_a_plain_query():
    q = parse_query(header(0xBEEF, 0x0100) + question("wWw.Example.", 28))
    assert (q.id, q.flags, q.rd, q.ad, q.cd) == (0xBEEF, 0x0100, True, False, False)
    assert q.question == b"\3wWw\7Example\0\0\x1c\0\1"
    assert q.name == b"\3www\7example\0"
    assert (q.qtype, q.qclass) == (28, 1)
    assert (q.edns, q.do, q.size, q.plain, q.ecs) == (False, False, 512, True, None)
    assert q.key == b"\3www\7example\0\0\x1c\0\1\0"


@pytest.mark.parametrize(
    ("flags", "opt_flags", "key_flags"),
    [(0x0100, 0, 0), (0x0100, 0x8000, 1), (0x0110, 0, 2), (0x0110, 0x8000, 3), (0x0120, 0, 0)],
)
def test_the_key_has_do_and_cd(flags, opt_flags, key_flags):
    q = parse_query(with_opt(opt_record(flags=opt_flags), flags))
    assert q.key == q.name + b"\0\1\0\1" + bytes((key_flags,))
    assert q.cd is bool(flags & 0x10)
    assert q.ad is bool(flags & 0x20)
    assert q.do is bool(opt_flags)
    with_cookie = parse_query(with_opt(opt_record(flags=opt_flags, options=COOKIE), flags))
    assert with_cookie.key == q.key


def test_letters_among_type_and_class_are_no_letters():
    assert (
        parse_query(header() + question(qtype=65)).key
        != parse_query(header() + question(qtype=97)).key
    )


@pytest.mark.parametrize(
    ("payload", "size"), [(0, 512), (511, 512), (512, 512), (700, 700), (1232, 1232), (4096, 1232)]
)
def test_the_size_is_clamped(payload, size):
    assert parse_query(with_opt(opt_record(payload))).size == size
    assert parse_query(with_opt(opt_record(payload, options=COOKIE))).size == size


@pytest.mark.parametrize(
    ("wire", "edns", "plain", "ecs"),
    [
        (with_opt(), True, True, None),
        (with_opt(opt_record(options=COOKIE)), True, False, None),
        (with_opt(opt_record(options=ECS)), True, False, ECS),
        (with_opt(opt_record(options=COOKIE + ECS)), True, False, ECS),
        (with_opt(opt_record(options=option(65001, b""))), True, False, None),
        (header(counts=(1, 0, 0, 1)) + WWW + rr(b"\0", 1, b"abcd"), False, False, None),
        (
            header(counts=(1, 0, 0, 2)) + WWW + rr(b"\xc0\x0c", 1, b"abcd") + opt_record(),
            True,
            False,
            None,
        ),
        (header(counts=(1, 0, 1, 1)) + WWW + rr(b"\0", 6, b"") + opt_record(), True, False, None),
    ],
)
def test_what_stands_behind_the_question(wire, edns, plain, ecs):
    q = parse_query(wire)
    assert (q.edns, q.plain, q.ecs) == (edns, plain, ecs)


FORMERR, NOTIMP, REFUSED, BADVERS = 1, 4, 5, 16
BAD = {
    "empty": (b"", None),
    "11 bytes": (header()[:11], None),
    "a response": (header(flags=0x8100) + WWW, None),
    "a response of another opcode": (header(flags=0xA800) + WWW, None),
    "opcode, header only": (header(flags=0x2000), NOTIMP),
    "opcode with garbage": (header(flags=0x2000) + b"\xff", NOTIMP),
    "no question": (header(counts=(0, 0, 0, 0)), FORMERR),
    "two questions": (header(counts=(2, 0, 0, 0)) + WWW + WWW, FORMERR),
    "an answer": (header(counts=(1, 1, 0, 0)) + WWW + rr(b"\0", 1, b"abcd"), FORMERR),
    "header only": (header(), FORMERR),
    "cut in the name": (header() + b"\3ww", FORMERR),
    "cut before the root": (header() + b"\3www", FORMERR),
    "cut in the type": (header() + WWW[:-3], FORMERR),
    "cut in the class": (header() + WWW[:-1], FORMERR),
    "trailing bytes": (header() + WWW + b"\0", FORMERR),
    "trailing bytes behind an OPT": (with_opt() + b"\0", FORMERR),
    "pointer as qname": (header() + b"\xc0\x0c\0\1\0\1", FORMERR),
    "pointer in qname": (header() + b"\3www\xc0\x0c\0\1\0\1", FORMERR),
    "label type 01": (header() + b"\x41a\0\0\1\0\1", FORMERR),
    "qname of 256 octets": (
        header() + (b"\x3f" + b"a" * 63) * 3 + b"\x3e" + b"a" * 62 + b"\0\0\1\0\1",
        FORMERR,
    ),
    "two OPTs": (header(counts=(1, 0, 0, 2)) + WWW + opt_record() * 2, FORMERR),
    "OPT of another owner": (with_opt(b"\1a" + opt_record()), FORMERR),
    "OPT of an owner by pointer": (with_opt(b"\xc0\x0c" + opt_record()[1:]), FORMERR),
    "OPT in the authority": (header(counts=(1, 0, 1, 0)) + WWW + opt_record(), FORMERR),
    "missing OPT": (header(counts=(1, 0, 0, 1)) + WWW, FORMERR),
    "uncounted OPT": (header() + WWW + opt_record(), FORMERR),
    "cut OPT": (with_opt()[:-1], FORMERR),
    "option over the end": (with_opt(opt_record(options=b"\0\x0a\0\x09abcdefgh")), FORMERR),
    "option of 3 bytes": (with_opt(opt_record(options=b"\0\x0a\0")), FORMERR),
    "ECS twice": (with_opt(opt_record(options=ECS + ECS)), FORMERR),
    "ECS of 3 bytes": (with_opt(opt_record(options=option(8, b"\0\1\0"))), FORMERR),
    "ECS of 21 bytes": (with_opt(opt_record(options=option(8, bytes(21)))), FORMERR),
    "AXFR": (header() + question(qtype=252), REFUSED),
    "IXFR": (header(counts=(1, 0, 1, 0)) + question(qtype=251) + rr(b"\0", 6, b""), REFUSED),
    "TSIG as type": (header() + question(qtype=250), REFUSED),
    "TKEY as type": (header() + question(qtype=249), REFUSED),
    "CHAOS": (header() + question("version.bind.", 16, 3), REFUSED),
    "signed": (header(counts=(1, 0, 0, 1)) + WWW + rr(b"\1k\0", 250, b"x", 0, 255), REFUSED),
    "signed and malformed": (
        header(counts=(1, 0, 0, 1)) + WWW + rr(b"\1k\0", 250, b"x", 0, 255) + b"\0",
        FORMERR,
    ),
    "AXFR with trailing bytes": (header() + question(qtype=252) + b"\0", FORMERR),
    "version 1": (with_opt(opt_record(version=1)), BADVERS),
    "version 255 with options": (with_opt(opt_record(version=255, options=COOKIE)), BADVERS),
    "AXFR of version 1": (with_opt(opt_record(version=1), qtype=252), REFUSED),
    "version 1 with bad options": (with_opt(opt_record(version=1, options=b"\0")), FORMERR),
}


@pytest.mark.parametrize(("wire", "rcode"), BAD.values(), ids=BAD.keys())
def test_what_is_not_answered_in_earnest(wire, rcode):
    with pytest.raises(WireError) as caught:
        parse_query(wire)
    assert caught.value.rcode == rcode


def test_the_longest_qname():
    name = (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"a" * 61 + b"\0"
    assert parse_query(header() + name + b"\0\1\0\1").name == name


@pytest.mark.parametrize("qtype", [0, 253, 254, 255, 256, 65280, 65535])
def test_unknown_types_pass(qtype):
    assert parse_query(header() + question(qtype=qtype)).qtype == qtype


NAMES = st.lists(st.text("abcXYZ019-_", min_size=1, max_size=20), max_size=6).map(
    lambda labels: ".".join([*labels, ""]) or "."
)


@given(
    NAMES,
    st.sampled_from([1, 2, 5, 16, 28, 43, 65, 255, 4711]),
    st.integers(0, 65535),
    st.booleans(),
    st.booleans(),
    st.one_of(st.none(), st.tuples(st.integers(0, 65535), st.booleans(), st.booleans())),
)
def test_dnspythons_queries_are_read_as_meant(name, qtype, ident, rd, cd, edns):
    made = dns.message.make_query(name, qtype, id=ident)
    made.flags = (dns.flags.RD if rd else 0) | (dns.flags.CD if cd else 0)
    if edns:
        payload, do, with_ecs = edns
        options = [dns.edns.ECSOption("192.0.2.0", 24)] if with_ecs else []
        made.use_edns(0, dns.flags.DO if do else 0, payload, options=options)
    q = parse_query(made.to_wire())
    assert (q.id, q.rd, q.cd, q.qtype, q.qclass) == (ident, rd, cd, qtype, 1)
    assert q.name == made.question[0].name.to_wire().lower()
    assert q.question[:-4] == made.question[0].name.to_wire()
    assert q.edns is (edns is not None)
    if edns:
        assert (q.do, q.size) == (do, min(max(payload, 512), 1232))
        assert q.ecs == (ECS if with_ecs else None)
