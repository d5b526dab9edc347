"""What is found in a peer's answer, whatever it says: each kind of lie, and no honest word."""

import struct
from random import Random

import dns.name
import dns.wire
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lies import KEY, NAME, OFFSET, denial, reply, rr, soa, sound
from msgspec.structs import replace

from codns.core.messages import QueryReply, Status, is_answer
from codns.core.stats import REJECTED
from codns.core.vetting import vetted
from codns.wire.ageing import aged
from codns.wire.digest import digest
from codns.wire.errors import WireError
from codns.wire.outcome import Outcome

OTHER = b"\5other\7example\0"
A = rr()

LIES = {
    "no records": (reply(b"", 1), "malformed"),
    "more records than there are": (reply(A, 2), "malformed"),
    "65,535 records": (reply(A, 0xFFFF, 0xFFFF), "malformed"),
    "a record cut short": (reply(A[:-1], 1), "malformed"),
    "an owner that points forward": (reply(rr(b"\xc0\x30") + A, 2), "malformed"),
    "an owner that points into the header": (reply(rr(b"\xc0\x02"), 1), "malformed"),
    "a label type nobody knows": (reply(rr(b"\x80a\0"), 1), "malformed"),
    "an alias that leads out of its RDATA": (reply(rr(rtype=5, data=b"\1a"), 1), "malformed"),
    "a SOA without numbers": (denial(rr(b"\xc0\x10", 6, b"\0\0")), "malformed"),
    "an answer of records off the chain": (reply(rr(OTHER), 1), "outcome"),
    "an answer of another type": (reply(rr(rtype=16, data=b"\1x"), 1), "outcome"),
    "an answer of another class": (reply(rr(rclass=3), 1), "outcome"),
    "an answer without records": (reply(b"", 0), "outcome"),
    "an answer in the authority section": (reply(A, 0, 1), "outcome"),
    "NODATA with what was asked for": (denial(A + soa(), 1, 1, Outcome.NODATA, 0), "outcome"),
    "an answer with the rcode of a denial": (replace(reply(A, 1), rcode=3), "outcome"),
    "a denial with the rcode of an answer": (replace(denial(), rcode=0), "outcome"),
    "an rcode that is AD in a header": (replace(reply(A, 1), rcode=0x20), "outcome"),
    "a denial without its SOA": (denial(b"", 0, 0), "soa"),
    "the SOA of another zone": (denial(soa(OTHER)), "soa"),
    "the SOA of a name below": (denial(soa(b"\1a" + NAME)), "soa"),
    "a SOA of another class": (denial(rr(b"\xc0\x10", 6, soa()[12:], rclass=3)), "soa"),
    "a SOA in the answer section": (denial(soa(), 1, 0), "soa"),
    "NODATA that is a referral": (
        denial(rr(b"\xc0\x10", 2, b"\0"), 0, 1, Outcome.NODATA, 0),
        "soa",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_is_no_answer(lie):
    said, why = LIES[lie]
    assert is_answer(said)
    assert vetted(said, KEY) == why


def test_every_reason_is_counted():
    assert {why for _, why in LIES.values()} == set(REJECTED)


FOUND = {
    "the truth": (reply(A, 1), reply(A, 1)),
    "offsets that point elsewhere": (replace(reply(A, 1), offsets=b"\0\0\1\0\2\0"), reply(A, 1)),
    "no offsets": (replace(reply(A, 1), offsets=b""), reply(A, 1)),
    "odd offsets": (replace(reply(A, 1), offsets=b"\6"), reply(A, 1)),
    "offsets behind the body": (replace(reply(A, 1), offsets=b"\xff\xff"), reply(A, 1)),
    "a TTL over that of the records": (replace(reply(A, 1), ttl=2**31 - 1), reply(A, 1)),
    "a TTL under it": (replace(reply(A, 1), ttl=7), replace(reply(A, 1), ttl=7)),
    "a TTL of 2^31": (reply(rr(ttl=2**31), 1, ttl=60), reply(rr(ttl=2**31), 1, ttl=0)),
    "a SOA it has not": (replace(reply(A, 1), soa=True), reply(A, 1)),
    "records behind those counted": (reply(A + rr(OTHER), 1), reply(A, 1)),
    "records off the chain behind others": (reply(A + rr(OTHER), 2), reply(A, 1)),
    "records off the chain before others": (reply(rr(OTHER) + A, 2), reply(A, 1)),
    "additional records": (reply(A + rr(b"\0", 41, b""), 1), reply(A, 1)),
    "a SOA of other than an ancestor": (reply(A + soa(OTHER), 1, 1), reply(A, 1)),
    "a MINIMUM under the TTL of its SOA": (
        denial(soa(ttl=3600, minimum=9), ttl=3600),
        denial(soa(ttl=9, minimum=9), ttl=9),
    ),
    "a denial kept for longer than its SOA": (
        replace(denial(soa(ttl=9, minimum=3600)), ttl=3600),
        denial(soa(ttl=9, minimum=3600), ttl=9),
    ),
}


@pytest.mark.parametrize("said", FOUND)
def test_what_is_found_counts_not_what_is_said(said):
    lie, truth = FOUND[said]
    assert vetted(lie, KEY) == truth


def test_over_1024_records_are_given_and_not_kept():
    found = vetted(replace(reply(rr(data=b"") * 1025, 1025), offsets=b""), KEY)
    assert (found.ancount, found.ttl, len(found.offsets)) == (1025, 0, 2050)


def honest(found, age=0):
    """What `core.helping` makes of a digest."""
    body = aged(found.body, found.offsets, age)
    return QueryReply(
        1, Status.ANSWER, found.outcome, found.rcode, found.ad, found.soa,
        max(0, found.ttl - age), found.ancount, found.nscount, body, found.offsets,
    )  # fmt: skip


_NAMES = st.sampled_from(
    (b"\xc0\x0c", b"\xc0\x10", NAME, OTHER, b"\1a\xc0\x10", b"\0", b"\7example\0", b"\xc0\x2b")
)
_TYPES = st.sampled_from((1, 2, 5, 6, 15, 16, 28, 39, 46, 47, 50, 65280))
_DATA = _NAMES | st.just(soa()[12:]) | st.binary(max_size=24)
_RECORDS = st.lists(
    st.builds(rr, _NAMES, _TYPES, _DATA, st.sampled_from((0, 1, 300, 2**31)), st.just(1)),
    max_size=6,
)


@given(_RECORDS, st.integers(0, 6), st.sampled_from((0, 3)), st.sampled_from((1, 5, 15, 28)))
@settings(max_examples=400, deadline=None)
def test_what_passed_the_digest_once_passes_again_unchanged(records, cut, rcode, qtype):
    """So nobody who makes records can make honest peers look like liars."""
    question = NAME + struct.pack(">HH", qtype, 1)
    counts = (min(cut, len(records)), len(records) - min(cut, len(records)), 0)
    head = struct.pack(">HHHHHH", 0, 0x8180 | rcode, 1, *counts)
    try:
        found = digest(head + question, head + question + b"".join(records))
    except WireError:
        return
    for age in (0, 1) if found.ttl > 1 else (0,):  # what is not kept is not aged
        said = honest(found, age)
        if is_answer(said):
            assert vetted(said, question + b"\0") == said


@pytest.mark.parametrize("seed", range(4))
def test_arbitrary_bodies_are_refused_or_read_by_dnspython(seed):
    """Owners, counts and sizes; RDATA passes byte for byte, as a nameserver's does."""
    rng, read = Random(seed), 0
    for _ in range(2000):
        body = bytearray(A + rr(b"\xc0\x10", 65280, b"xy") + soa())
        for _ in range(rng.randrange(4)):
            body[rng.randrange(len(body))] = rng.choice((0, 1, 0xC0, 0x0C, rng.randrange(256)))
        said = replace(
            sound(), body=bytes(body[: rng.choice((16, 30, 99))]), ancount=rng.randrange(4),
            nscount=rng.randrange(3), offsets=rng.randbytes(4), ttl=rng.randrange(2**31),
        )  # fmt: skip
        found = vetted(said, KEY)
        if isinstance(found, str):
            assert found in REJECTED
            continue
        read += 1
        owners = owners_of(found)
        assert owners <= {"www.example.", "example.", "."}
        ttls = [int.from_bytes(found.body[at : at + 4], "big") for at in places(found)]
        assert found.ttl <= min(ttls)
    assert read > 200


def places(found):
    return [at for (at,) in struct.iter_unpack("<H", found.offsets)]


def owners_of(found):
    """The owners by dnspython's reader of names; offsets have to be where it finds the TTLs."""
    wire = bytes(12) + KEY[:-1] + found.body
    parser = dns.wire.Parser(wire, 12 + len(KEY) - 1)
    owners, at = set(), []
    for _ in range(found.ancount + found.nscount):
        owners.add(dns.name.from_wire_parser(parser).to_text().lower())
        at.append(parser.current + 4 - 12 - len(KEY) + 1)
        parser.get_bytes(parser.get_struct("!HHIH")[3])
    assert parser.remaining() == 0
    assert at == places(found)
    return owners


def test_a_sound_answer_has_its_offset():
    assert vetted(sound(), KEY).offsets == OFFSET
