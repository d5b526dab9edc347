"""Chains of aliases in an answer: CNAME, DNAME, loops, limits."""

from itertools import pairwise

import pytest
from wire_samples import SOA, ask, header, kept, of, question, rr

from codns.wire.chain import CHAIN_MAX
from codns.wire.digest import digest
from codns.wire.errors import WireError
from codns.wire.name import from_text
from codns.wire.outcome import Outcome

ANSWER, NODATA = Outcome.ANSWER, Outcome.NODATA
DNAME = "example. 50 IN DNAME other."
MADE = "www.example. 40 IN CNAME www.other."
TARGET = "www.other. 30 IN A 192.0.2.1"
SIGNED = "example. 20 IN RRSIG DNAME 8 1 300 20300101000000 20200101000000 1 example. AAAA"


def aliases(count):
    """www -> n1 -> n2 ... -> n<count>, which has an address."""
    names = ["www.example.", *[f"n{i}.example." for i in range(1, count + 1)]]
    links = [f"{a} 60 IN CNAME {b}" for a, b in pairwise(names)]
    return [*links, f"{names[-1]} 60 IN A 192.0.2.1"]


@pytest.mark.parametrize(
    ("answer", "outcome", "left"),
    [
        ([DNAME, MADE, TARGET], ANSWER, [0, 1, 2]),
        ([TARGET, MADE, DNAME], ANSWER, [0, 1, 2]),
        ([DNAME, TARGET], ANSWER, [0, 1]),  # the CNAME is ours to think of: RFC 6672 3.4
        ([DNAME, SIGNED, MADE, TARGET], ANSWER, [0, 1, 2, 3]),
        (["www.example. 9 IN DNAME other.", TARGET], NODATA, [0]),  # nothing below was asked
        (["x.example. 9 IN DNAME other.", TARGET], NODATA, []),
        (["other. 9 IN DNAME example.", MADE], NODATA, [0, 1]),  # round in a ring
        ([". 9 IN DNAME other.", "www.example.other. 9 IN A 192.0.2.1"], NODATA, None),
        ([SIGNED, TARGET], NODATA, [0]),
        (["example. 9 IN A 192.0.2.1"], NODATA, []),
        (["www.example. 9 IN CNAME www.example."], NODATA, [0]),
        ([*aliases(2), "n2.example. 9 IN AAAA 2001:db8::1"], ANSWER, [0, 1, 2, 3]),
    ],
)
def test_chains(answer, outcome, left):
    if left is None:  # a DNAME that leads below itself grows until it is refused
        with pytest.raises(WireError):
            of(answer)
        return
    d = of(answer)
    assert (d.outcome, d.ancount) == (outcome, len(left))
    assert kept(d)[0] == [answer[i] for i in left]


@pytest.mark.parametrize("step", [1, -1])
def test_the_longest_chain_in_either_order(step):
    d = of(aliases(CHAIN_MAX - 1)[::step])
    assert (d.outcome, d.ancount, d.ttl) == (ANSWER, CHAIN_MAX, 60)


def test_a_longer_chain_is_refused():
    with pytest.raises(WireError, match="too long"):
        of(aliases(CHAIN_MAX))


def test_a_ring_ends():
    ring = ["www.example. 9 IN CNAME b.example.", "b.example. 9 IN CNAME www.example."]
    d = of(ring, [SOA])
    assert (d.outcome, d.ancount, d.derived) == (NODATA, 2, b"")


def test_the_first_of_two_aliases_counts():
    answer = ["www.example. 9 IN CNAME a.example.", "a.example. 9 IN A 192.0.2.1"]
    other = ["www.example. 9 IN CNAME b.example.", "b.example. 9 IN A 192.0.2.2"]
    assert kept(of(answer + other))[0] == [*answer, other[0]]


def test_a_target_over_255_octets_is_none():
    long = ".".join(["a" * 60] * 4)
    query = ask("b" * 20 + ".example.")
    d = of([f"example. 9 IN DNAME {long}."], query=query, rcode=6)
    assert (d.outcome, d.ancount) == (Outcome.OTHER, 1)


def test_case_does_not_matter_in_a_chain():
    target = b"\3CDN\7eXample\0"
    wire = (
        header(0, 0x8180, (1, 2, 0, 0))
        + question()
        + rr(b"\3WWW\7EXAMPLE\0", 5, target)
        + rr(from_text("cdn.example."), 1, b"1234")
    )
    d = digest(ask(), wire)
    assert (d.outcome, d.ancount) == (ANSWER, 2)
    assert target in d.body
