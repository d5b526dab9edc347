"""Peers that lie to a node, and what its clients and its cache get to see of that.

The next peer is asked at once, the liar's record suffers, each kind is counted; and whatever is
said, an answer is one that dnspython reads, about the question only, and the cache knows no other.
"""

import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lies import denial, reply, rr, soa, sound
from msgspec.structs import replace
from node_world import answers, failing, negative, silent
from scripted_peers import MET_S, fixed, raced, scripted

from codns.core.peer_state import Why

NAME = "www.name.example"
WIRE = b"\3www\4name\7example\0"
OTHER = b"\5other\7example\0"
A = rr()
YES = answers(0.02, address="203.0.113.2")


def says(said, delay=0.02):
    """A peer that says this, whatever it is asked."""
    return lambda query, now: (delay, said)


def rejected(cluster):
    return {why: n for why, n in cluster[0].fleet.counts.rejected.items() if n}


LIES = {
    "malformed": [reply(b"", 1), reply(A, 9), reply(A[:-1], 1), reply(rr(b"\xc0\x7f"), 1)],
    "outcome": [
        reply(rr(OTHER), 1),
        reply(b"", 0),
        replace(sound(), rcode=3),
        replace(sound(), rcode=0xFFF),
        replace(denial(), rcode=0),
    ],
    "soa": [denial(b"", 0, 0), denial(soa(OTHER)), denial(soa(), 1, 0)],
}


@pytest.mark.parametrize(("why", "lie"), [(why, lie) for why in LIES for lie in LIES[why]])
def test_the_next_peer_is_asked_at_once(why, lie):
    seen = raced(silent, says(lie), YES)
    assert seen.asked == [0.2, 0.22]
    assert seen.answer == ("p2", "NOERROR", 0.24)
    assert rejected(seen.cluster) == {why: 1}
    assert seen.cluster[0].fleet.counts.remote["failed"] == 1


def test_nobody_is_left_to_be_asked():
    seen = raced(answers(0.3), says(reply(b"", 1)))
    assert seen.answer == ("local", "NOERROR", 0.3)
    seen = raced(failing(0.3), says(reply(b"", 1)))
    assert seen.answer == ("error", "SERVFAIL", 0.3)


def test_a_lie_that_comes_after_the_answer_is_counted_all_the_same():
    seen = raced(answers(0.21), says(reply(b"", 1)))
    assert seen.answer == ("local", "NOERROR", 0.21)
    assert rejected(seen.cluster) == {"malformed": 1}


def test_who_lies_three_times_of_eight_is_out_for_ten_seconds():
    cluster, _ = scripted(silent, [says(reply(b"", 1))], settings=fixed(0.0, race_max_remote=1))
    cluster.run(MET_S)
    (peer,) = cluster[0].fleet.neighbours.neighbours
    for number in range(4):
        cluster.ask(0, f"www.d{number}.example", at=MET_S + number)
    cluster.run(MET_S + 3)
    assert len(cluster[0].remote) == 3
    assert peer.why(frozenset(), cluster.now, validating=False) is Why.UNANSWERING
    cluster.run(MET_S + 13)
    assert peer.why(frozenset(), cluster.now, validating=False) is Why.ELIGIBLE
    cluster.finish()


def test_a_liars_word_is_no_sign_that_others_should_have_answered():
    """Else one that lies would have all others put out for their silence (RULES 7.3)."""
    cluster, peers = scripted(silent, [silent, says(reply(b"", 1))], settings=fixed(0.0))
    cluster.run(MET_S)
    cluster.ask(0, NAME)
    cluster.run(MET_S + 10)
    (order,) = peers.asked.values()
    known = cluster[0].fleet.neighbours.peers
    assert [known[address]._unanswered for address in order] == [0, 1]
    cluster.finish()


def test_what_is_off_the_chain_is_neither_told_nor_kept():
    said = reply(A + rr(OTHER), 2)
    seen = raced(silent, says(said))
    assert seen.got.data == ["203.0.113.1"]
    assert kept(seen.cluster) == [WIRE]


@pytest.mark.parametrize("said", [replace(sound(), ttl=0), reply(rr(ttl=2**31 - 1), 1, ttl=0)])
def test_what_is_not_to_be_kept_is_not_told_for_longer_than_a_minute(said):
    seen = raced(silent, says(said))
    assert seen.got.ttl == 60
    assert kept(seen.cluster) == []


def test_offsets_of_a_liar_change_no_byte():
    """They pointed at the address: two seconds later it was another one."""
    cluster, _ = scripted(silent, [says(replace(sound(), offsets=b"\x0c\0"))], settings=fixed(0.0))
    cluster.run(MET_S)
    for later in (0, 2, 4):
        cluster.ask(0, NAME, at=MET_S + later)
    cluster.run(MET_S + 5)
    cluster.finish()
    assert [(g.data, g.ttl) for g in cluster[0].got] == [
        (["203.0.113.1"], 60),
        (["203.0.113.1"], 58),
        (["203.0.113.1"], 56),
    ]


def test_a_stale_word_of_a_peer_is_no_better_than_a_fresh_one():
    """A peer made the name up; when its minute is over another peer's denial counts."""
    cluster, _ = scripted(silent, [says(sound()), negative(0.02)], settings=fixed(0.0))
    cluster.run(MET_S)
    cluster.ask(0, NAME)
    cluster.ask(0, NAME, at=MET_S + 70)
    cluster.run(MET_S + 75)
    cluster.finish()
    assert [got.rcode for got in cluster[0].got] == ["NOERROR", "NXDOMAIN"]


# -- whatever a peer says -----------------------------------------------------------------------

_OWNERS = st.sampled_from(
    (b"\xc0\x0c", b"\xc0\x10", b"\xc0\x15", b"\xc0\x2e", b"\xc0\x01", WIRE, OTHER, b"\0", b"\1a")
)
_NAMES = st.sampled_from((WIRE, OTHER, b"\xc0\x10", b"\xc0\x2e"))
_SOUND = st.one_of(
    st.tuples(st.just(1), st.binary(min_size=4, max_size=4)),
    st.tuples(st.sampled_from((2, 5, 39)), _NAMES),
    st.tuples(st.just(6), st.just(soa()[12:])),
    st.tuples(st.just(65280), st.binary(max_size=9)),
)
_TTLS = st.sampled_from((0, 1, 59, 300, 2**31 - 1, 2**31, 2**32 - 1))


@st.composite
def _records(draw):
    rtype, data = draw(_SOUND)
    return rr(draw(_OWNERS), rtype, data, draw(_TTLS), draw(st.sampled_from((1, 1, 1, 3))))


@st.composite
def _replies(draw):
    body = b"".join(draw(st.lists(_records(), max_size=5)))
    outcome, rcode = draw(st.sampled_from(((0, 0), (1, 0), (2, 3), (0, 3), (2, 0))))
    return replace(
        sound(),
        outcome=denial().outcome.__class__(outcome),
        rcode=rcode,
        soa=True,
        ttl=draw(st.sampled_from((0, 300, 2**31 - 1))),
        ancount=draw(st.integers(0, 5)),
        nscount=draw(st.integers(0, 2)),
        body=body[: draw(st.integers(0, 20)) or len(body)],
        offsets=draw(st.binary(max_size=8)),
    )


@given(_replies())
@example(reply(A + rr(b"\xc0\x0c", 1, bytes(4), 0, 3), 2))  # of another class: dnspython fails
@settings(max_examples=150, deadline=None)
def test_whatever_a_peer_says(said):
    cluster, _ = scripted(silent, [says(said)], settings=fixed(0.0))
    cluster.run(MET_S)
    for later in (0, 1.5):
        cluster.ask(0, NAME, at=MET_S + later, client=later)
    cluster.run(MET_S + 8)
    cluster.finish()
    assert len(cluster[0].got) == 2
    for got in cluster[0].got:  # dnspython has read it (`Got.message`)
        check(got.message)
    assert kept(cluster) in ([], [WIRE])
    for entry in cluster[0].node._state.cache._entries.values():
        assert entry.ttl <= 60
        ttls = [
            int.from_bytes(entry.body[at : at + 4], "big")
            for (at,) in struct.iter_unpack("<H", entry.offsets)
        ]
        assert max(ttls) <= 60
        assert len(ttls) == entry.meta.ancount + entry.meta.nscount


def check(message):
    """All of the answer hangs together with the question; no TTL over a peer's minute."""
    chain, grew = {"www.name.example."}, True
    while grew:
        grew = False
        for rrset in message.answer:
            owner = rrset.name.to_text().lower()
            if rrset.rdtype == 5 and owner in chain:
                target = rrset[0].target.to_text().lower()
                grew, _ = grew or target not in chain, chain.add(target)
            elif rrset.rdtype == 39:
                moved = {
                    f"{n[: -len(owner)]}{rrset[0].target}".lower()
                    for n in chain
                    if n.endswith("." + owner)
                }
                grew, _ = grew or not moved <= chain, chain.update(moved)
    above = {name.split(".", n)[-1] for name in chain for n in range(9)} | {"."}
    for rrset in message.answer:
        assert rrset.name.to_text().lower() in (above if rrset.rdtype == 39 else chain)
    for rrset in message.authority:
        assert rrset.name.to_text().lower().rstrip(".") in {n.rstrip(".") for n in above}
    for rrset in message.answer + message.authority:
        assert rrset.ttl <= 60 or message.rcode() == 2


def kept(cluster):
    """The names in the cache."""
    return [key[:-5] for key in cluster[0].node._state.cache._entries]
