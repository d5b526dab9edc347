"""What a slave makes of responses: outcomes, TTLs, what is dropped.

Responses are written by dnspython, bodies are read back by it behind the question.
"""

import pytest
from wire_samples import (
    SOA,
    ask,
    header,
    kept,
    lines,
    of,
    opt_record,
    presented,
    question,
    response,
    rr,
    ttls,
)

from codns.wire.derived import unpack_derived
from codns.wire.digest import Digest, digest, matches
from codns.wire.errors import WireError
from codns.wire.name import to_text
from codns.wire.outcome import Outcome

A = "www.example. 300 IN A 192.0.2.1"
AAAA = "www.example. 300 IN AAAA 2001:db8::1"
NS = "example. 3600 IN NS ns.example."
SIG = "A 8 2 300 20300101000000 20200101000000 1 example. AAAA"


def test_a_plain_answer():
    d = of([A])
    assert d == Digest(
        outcome=Outcome.ANSWER,
        rcode=0,
        tc=False,
        ad=False,
        cacheable=True,
        soa=False,
        ancount=1,
        nscount=0,
        ttl=300,
        body=b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4\xc0\0\2\1",
        offsets=b"\6\0",
        derived=b"",
    )
    assert type(d) is Digest


LAME, NODATA, NXDOMAIN, ANSWER = Outcome.LAME, Outcome.NODATA, Outcome.NXDOMAIN, Outcome.ANSWER
CNAME = "www.example. 60 IN CNAME cdn.example."
CDN = "cdn.example. 30 IN A 192.0.2.9"
SOA_0 = SOA.replace(" 900", " 0")


@pytest.mark.parametrize(
    ("answer", "authority", "rcode", "flags", "outcome", "ttl"),
    [
        ([A], [], 0, 0x8180, ANSWER, 300),
        ([A], [NS], 0, 0x8180, ANSWER, 300),
        ([A], [NS.replace("3600", "60")], 0, 0x8180, ANSWER, 60),
        ([A, A.replace("300", "7").replace("2.1", "2.2")], [], 0, 0x8180, ANSWER, 7),
        ([A.replace("300", "0")], [], 0, 0x8180, ANSWER, 0),
        ([CNAME, CDN], [], 0, 0x8180, ANSWER, 30),
        ([CDN, CNAME], [], 0, 0x8180, ANSWER, 30),
        ([A, f"www.example. 299 IN RRSIG {SIG}"], [], 0, 0x8180, ANSWER, 299),
        ([], [SOA], 0, 0x8180, NODATA, 900),
        ([], [SOA.replace("3600", "60")], 0, 0x8180, NODATA, 60),
        ([], [SOA_0], 0, 0x8180, NODATA, 0),
        ([], [SOA.replace("900", "2147483648")], 0, 0x8180, NODATA, 0),
        ([], [], 0, 0x8180, NODATA, 0),
        ([AAAA], [], 0, 0x8180, NODATA, 0),
        ([CNAME], [], 0, 0x8180, NODATA, 0),
        ([CNAME], [SOA], 0, 0x8180, NODATA, 60),
        ([], [SOA], 3, 0x8180, NXDOMAIN, 900),
        ([CNAME], [SOA], 3, 0x8180, NXDOMAIN, 60),
        ([], [], 3, 0x8180, NXDOMAIN, 0),
        ([], [NS], 3, 0x8180, NXDOMAIN, 0),
        ([], [NS], 0, 0x8180, LAME, 0),
        ([], [NS], 0, 0x8000, LAME, 0),
        ([], [". 3600 IN NS a.root-servers.net."], 0, 0x8180, LAME, 0),
        ([], ["other. 3600 IN NS ns.other."], 0, 0x8180, LAME, 0),
        (["other. 3600 IN A 192.0.2.1"], [NS], 0, 0x8180, LAME, 0),
        ([], [NS], 0, 0x8580, NODATA, 0),  # AA: no referral
        ([], [NS, SOA], 0, 0x8180, NODATA, 900),
        ([], [], 2, 0x8180, Outcome.SERVFAIL, 0),
        ([], [], 5, 0x8180, Outcome.REFUSED, 0),
        ([], [], 1, 0x8180, Outcome.FORMERR, 0),
        ([], [], 4, 0x8180, Outcome.NOTIMP, 0),
        ([], [], 6, 0x8180, Outcome.OTHER, 0),
        ([], [], 16, 0x8180, Outcome.OTHER, 0),
        ([], [], 4095, 0x8180, Outcome.OTHER, 0),
        ([A], [], 2, 0x8180, Outcome.SERVFAIL, 0),
        ([A], [], 16, 0x8180, Outcome.OTHER, 0),
    ],
)
def test_outcome_and_ttl(answer, authority, rcode, flags, outcome, ttl):
    d = of(answer, authority, rcode=rcode, flags=flags)
    assert (d.outcome, d.rcode, d.ttl, d.cacheable) == (outcome, rcode, ttl, ttl > 0)
    assert d.soa is (SOA in authority or any(" SOA " in line for line in authority))


@pytest.mark.parametrize("least", [0, 2**31, 2**32 - 1])
def test_a_ttl_with_the_high_bit_counts_as_0(least):
    records = [(300, b"\1\2\3\4"), (least, b"\1\2\3\5"), (200, b"\1\2\3\6")]
    query = ask()
    answer = b"".join(rr(b"\xc0\x0c", 1, data, ttl) for ttl, data in records)
    for extra in (b"", rr(b"\0", 2, b"\0", 9)):
        head = header(0, 0x8180, (1, 3, 1 if extra else 0, 0))
        d = digest(query, head + question() + answer + extra)
        assert (d.outcome, d.ttl, d.cacheable, d.ancount) == (ANSWER, 0, False, 3)


def test_ad_is_told():
    assert of([A], flags=0x81A0).ad is True
    assert of([], [SOA], flags=0x81A0).ad is True
    assert of([A]).ad is False


def test_the_additional_section_is_dropped_whatever_its_ttl():
    d = of([A], [NS], ["ns.example. 0 IN A 192.0.2.53"])
    assert (d.ancount, d.nscount, d.ttl) == (1, 1, 300)
    assert kept(d) == ([A], [NS])
    assert ttls(d) == [300, 3600]


def test_what_is_cached_of_a_negative_answer_ages_from_minimum():
    d = of([], [SOA], rcode=3)
    assert kept(d)[1] == [SOA.replace("3600", "900")]
    assert kept(of([], [SOA.replace("3600", "60")], rcode=3))[1] == [SOA.replace("3600", "60")]
    assert kept(of([A], [SOA]))[1] == [SOA]  # with a positive one it is just a record


OTHER_A = "other.example. 10 IN A 192.0.2.66"
SUB = "x.www.example. 10 IN A 192.0.2.67"
DELEGATION = "sub.example. 10 IN NS ns.attacker."
NSEC = "aaa.example. 5 IN NSEC bbb.example. A"
NSEC3 = (
    "h9p7u7tr2u91d0v0ljs9l1gidnp90u3h.example. 5 IN NSEC3 "
    "1 0 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr A"
)


@pytest.mark.parametrize(
    ("answer", "authority", "answer_kept", "authority_kept"),
    [
        ([A, OTHER_A], [], [A], []),  # at the end: still a slice
        ([OTHER_A, A], [], [A], []),
        ([A, SUB], [NS], [A], [NS]),
        ([OTHER_A, A, SUB], [NS], [A], [NS]),
        ([A], [DELEGATION, NS], [A], [NS]),
        ([A], [NS, DELEGATION], [A], [NS]),
        ([A], [". 5 IN NS a.root-servers.net."], [A], [". 5 IN NS a.root-servers.net."]),
        ([A], ["www.example. 5 IN NS ns.example."], [A], ["www.example. 5 IN NS ns.example."]),
        ([CDN, OTHER_A, CNAME], [], [CDN, CNAME], []),
        ([CNAME, CDN], ["cdn.example. 9 IN NS n.x."], [CNAME, CDN], ["cdn.example. 9 IN NS n.x."]),
        ([CDN], [], [], []),
        ([], [NSEC, SOA, NSEC3], [], [NSEC, SOA.replace("3600", "900"), NSEC3]),
        (
            ["www.example. 9 IN CNAME other.example.", CDN, OTHER_A],
            [],
            ["www.example. 9 IN CNAME other.example.", OTHER_A],
            [],
        ),
    ],
)
def test_records_off_the_chain_are_dropped(answer, authority, answer_kept, authority_kept):
    d = of(answer, authority)
    assert kept(d) == (answer_kept, authority_kept)
    assert ttls(d) == [int(line.split()[1]) for line in answer_kept + authority_kept]


def test_a_record_of_another_class_is_dropped_unless_any_was_asked():
    chaos = rr(b"\xc0\x0c", 1, b"\1\2\3\4", rclass=3)
    head = header(0, 0x8180, (1, 1, 0, 0))
    assert digest(ask(), head + question() + chaos).ancount == 0
    assert digest(ask(qclass=255), head + question(qclass=255) + chaos).ancount == 1


@pytest.mark.parametrize(
    ("answer", "authority", "rcode", "ttl", "derived_ttl"),
    [
        ([CNAME], [SOA], 3, 60, 900),
        ([CNAME], [SOA, NSEC], 0, 5, 5),
        (["www.example. 0 IN CNAME cdn.example."], [SOA], 3, 0, 900),
    ],
)
def test_a_negative_answer_behind_a_cname_holds_for_the_target(
    answer, authority, rcode, ttl, derived_ttl
):
    d = of(answer, authority, rcode=rcode)
    assert d.ttl == ttl
    target = unpack_derived(d.derived)
    assert (to_text(target.name), target.rcode, target.ttl) == ("cdn.example.", rcode, derived_ttl)
    query = ask("cdn.example.")
    message = presented(query, 0, target.nscount, target.body)
    assert lines(message.authority) == [SOA.replace("3600", "900"), *authority[1:]]
    assert len(target.offsets) == 2 * target.nscount


@pytest.mark.parametrize(
    ("answer", "authority", "rcode"),
    [
        ([], [SOA], 3),  # the question itself
        ([CNAME, CDN], [SOA], 0),  # positive
        ([CNAME], [], 3),
        ([CNAME], [SOA_0], 3),
        ([CNAME], [SOA], 2),
        (["www.example. 9 IN CNAME gone.other."], [SOA], 3),  # not the target's SOA
        (["www.example. 9 IN CNAME b.example.", "b.example. 9 IN CNAME www.example."], [SOA], 0),
    ],
)
def test_no_derived_answer(answer, authority, rcode):
    assert of(answer, authority, rcode=rcode).derived == b""


def test_a_derived_answer_has_only_what_belongs_to_the_target():
    d = of(
        ["www.example. 9 IN CNAME gone.other."],
        [SOA, "other. 100 IN SOA ns.other. h.other. 1 2 3 4 50", NSEC],
        rcode=3,
    )
    target = unpack_derived(d.derived)
    assert (target.ttl, target.nscount) == (5, 2)
    assert lines(presented(ask("gone.other."), 0, 2, target.body).authority) == [
        "other. 50 IN SOA ns.other. h.other. 1 2 3 4 50",
        NSEC,
    ]


def test_truncated_responses_have_no_body():
    d = of([A], flags=0x8380)
    assert (d.outcome, d.tc, d.cacheable, d.ancount, d.body) == (
        Outcome.TRUNCATED,
        True,
        False,
        0,
        b"",
    )
    assert of([], flags=0x8380, rcode=2).outcome is Outcome.SERVFAIL
    cut = response(ask(), [A, A.replace("2.1", "2.2")], flags=0x8380, edns=False)[:-3]
    assert digest(ask(), cut).outcome is Outcome.TRUNCATED


ANY_ANSWER = [
    "www.example. 9 IN MX 10 mail.example.",
    "www.example. 8 IN MX 20 mail.example.",
    f"www.example. 7 IN RRSIG {SIG.replace('A 8', 'MX 8')}",
    A,
    f"www.example. 6 IN RRSIG {SIG}",
]


def test_the_first_rrset_is_enough_for_any():
    query = ask(qtype="ANY")
    d = of(ANY_ANSWER, [NS], query=query, first_rrset=True)
    assert (d.outcome, d.ancount, d.nscount, d.ttl) == (ANSWER, 3, 0, 7)
    assert [line.split()[3] for line in kept(d, query)[0]] == ["MX", "MX", "RRSIG"]
    d = of(ANY_ANSWER, [NS], query=query)
    assert (d.outcome, d.ancount, d.nscount, d.ttl) == (ANSWER, 5, 1, 6)


def test_the_first_rrset_of_a_truncated_answer_is_enough_for_any():
    query = ask(qtype="ANY")
    d = of(ANY_ANSWER, query=query, first_rrset=True, flags=0x8380)
    assert (d.outcome, d.tc, d.cacheable, d.ancount) == (ANSWER, True, False, 3)
    for answer, cut in (([], None), (ANY_ANSWER, -3)):
        wire = response(query, answer, flags=0x8380, edns=False)[:cut]
        d = digest(query, wire, first_rrset=True)
        assert (d.outcome, d.body) == (Outcome.TRUNCATED, b"")


@pytest.mark.parametrize("qtype", ["CNAME", "ANY"])
def test_an_alias_is_itself_the_answer_for_cname_and_any(qtype):
    d = of([CNAME, CDN], query=ask(qtype=qtype))
    assert (d.outcome, d.ancount) == (ANSWER, 1)


MALFORMED = {
    "no record": (header(0, 0x8180, (1, 1, 0, 0)) + question()),
    "no authority": (header(0, 0x8180, (1, 0, 1, 0)) + question()),
    "no additional": (header(0, 0x8180, (1, 0, 0, 1)) + question()),
    "cut RDATA": header(0, 0x8180, (1, 1, 0, 0)) + question() + rr(b"\xc0\x0c", 1, b"1234")[:-1],
    "cut OPT": (
        header(0, 0x8180, (1, 1, 0, 1))
        + question()
        + rr(b"\xc0\x0c", 1, b"1234")
        + opt_record()[:-1]
    ),
    "OPT over the end": (
        header(0, 0x8180, (1, 1, 0, 1))
        + question()
        + rr(b"\xc0\x0c", 1, b"1234")
        + opt_record(options=b"123")[:-1]
    ),
    "looping owner": header(0, 0x8180, (1, 1, 0, 0)) + question() + rr(b"\xc0\x1d", 1, b"1234"),
    "short SOA": header(0, 0x8183, (1, 0, 1, 0)) + question() + rr(b"\0", 6, bytes(21)),
    "CNAME and more": (
        header(0, 0x8180, (1, 1, 0, 0)) + question() + rr(b"\xc0\x0c", 5, b"\1a\0\0")
    ),
    "empty CNAME": header(0, 0x8180, (1, 1, 0, 0)) + question() + rr(b"\xc0\x0c", 5, b""),
}


@pytest.mark.parametrize("wire", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_responses(wire):
    assert matches(ask(), wire)
    with pytest.raises(WireError):
        digest(ask(), wire)


def test_the_shortest_record_at_the_very_end():
    wire = header(0, 0x8180, (1, 2, 0, 0)) + question() + rr(b"\xc0\x0c", 1, b"1234")
    d = digest(ask(), wire + rr(b"\0", 16, b""))
    assert (d.outcome, d.ancount, d.ttl) == (ANSWER, 1, 300)


def test_bytes_behind_the_last_record_are_ignored():
    d = digest(ask(), response(ask(), [A]) + b"junk")
    assert (d.outcome, d.ttl, d.ancount) == (ANSWER, 300, 1)


@pytest.mark.parametrize("edns", [False, True])
def test_any_case_of_the_question_in_the_response(edns):
    wire = response(ask(), [CNAME, CDN], edns=edns)
    shouted = wire[:12] + wire[12:25].upper() + wire[25:]
    d = digest(ask(), shouted)
    assert (d.outcome, d.ancount, d.ttl) == (ANSWER, 2, 30)
