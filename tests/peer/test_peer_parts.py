"""Answers larger than a datagram, on the link and in the assembly itself."""

from random import Random

import pytest
from peerwire import A, B, C, acquainted, answer, link, query, source

from codns.core.messages import QueryReply, Status, too_large
from codns.peer import parts
from codns.peer.codec import PeerError
from codns.peer.frame import Frame
from codns.peer.parts import BYTES_MAX, MESSAGES_MAX, MESSAGES_PEER_MAX, PART_LIFE_S, Assembly
from codns.peer.seal import DATAGRAM_SIZE_MAX
from codns.wire.outcome import Outcome

BOOT = b"bootboot"


def pair():
    a, b = link(A), link(B)
    acquainted(a, b)
    return a, b


@pytest.mark.parametrize(
    ("size", "count"),
    [(0, 1), (500, 1), (1090, 1), (1110, 2), (2200, 2), (4096, 4), (8192, 8), (13_300, 12)],
)
def test_parts_arrive_in_any_order(size, count):
    a, b = pair()
    datagrams = a.seal(answer(1, size), B, 1.0)
    assert len(datagrams) == count
    assert all(len(datagram) <= DATAGRAM_SIZE_MAX for datagram in datagrams)
    Random(size).shuffle(datagrams)
    results = [b.receive(datagram, source(A), 1.0) for datagram in datagrams]
    assert results[:-1] == [None] * (count - 1)
    assert results[-1].message == answer(1, size)
    assert b.drops["parts"] == 0
    assert len(b._assembly) == 0


def test_a_full_datagram_is_full():
    """The largest size that goes in one, and no byte is given away."""
    a, _ = pair()
    sizes = [len(a.seal(answer(1, size), B, 1.0)[0]) for size in range(1080, 1110)]
    assert max(sizes) == DATAGRAM_SIZE_MAX
    label = link(C, cluster="c" * 32)
    assert max(len(d) for d in label.seal(answer(1, 9000), A, 1.0)) == DATAGRAM_SIZE_MAX


def test_too_large_is_the_callers_to_tell():
    a, b = pair()
    reply = answer(1, 13_500)
    with pytest.raises(PeerError, match="too large"):
        a.seal(reply, B, 1.0)
    (datagram,) = a.seal(too_large(reply), B, 1.0)
    assert b.receive(datagram, source(A), 1.0).message == QueryReply(
        1, Status.FAILURE, Outcome.TRUNCATED
    )


def test_a_lost_part_loses_the_message_and_nothing_else():
    a, b = pair()
    for datagram in a.seal(answer(1, 5000), B, 1.0)[1:]:
        assert b.receive(datagram, source(A), 1.0) is None
    messages = [b.receive(d, source(A), 1.0) for d in a.seal(answer(2, 5000), B, 1.0)]
    assert messages[-1].message == answer(2, 5000)
    assert len(b._assembly) == 1
    a_late = a.seal(answer(3, 5000), B, 1.0)
    b.receive(a_late[0], source(A), 1.0 + PART_LIFE_S)  # the rest of the first is dropped now
    assert (len(b._assembly), b.drops["parts"]) == (1, 4)


def test_parts_of_two_messages_interleave():
    a, b = pair()
    mixed = [
        datagram
        for both in zip(a.seal(answer(1, 3000), B, 1.0), a.seal(answer(2, 3000), B, 1.0), strict=1)
        for datagram in both
    ]
    got = [b.receive(datagram, source(A), 1.0) for datagram in mixed]
    assert [received.message.id for received in got if received] == [1, 2]


def test_parts_of_another_life_do_not_fit():
    a, b = pair()
    datagrams = a.seal(answer(1, 3000), B, 1.0)
    b.receive(datagrams[0], source(A), 1.0)
    again = link(A, "again")
    acquainted(again, b, now=5.0)
    assert [b.receive(datagram, source(A), 5.0) for datagram in datagrams[1:]] == [None, None]
    assert b.drops["boot"] == 4  # a first heartbeat each, and these


def test_a_peer_that_leaves_takes_its_parts_along():
    a, b = pair()
    b.receive(a.seal(answer(1, 3000), B, 1.0)[0], source(A), 1.0)
    b.set_peers([])
    assert (len(b._assembly), b.drops["parts"]) == (0, 1)


def part(counter, index=0, count=2, piece=b"x" * 1000):
    return Frame(BOOT, counter, b"", b"", index, count, piece)


def test_lives_and_peers_are_told_apart():
    assembly = Assembly()
    assembly.add("a", part(10, 0), 0.0)
    assert assembly.add("a", part(11, 1)._replace(boot=b"BOOTBOOT"), 0.0) is None
    assert assembly.add("b", part(11, 1), 0.0) is None
    assert assembly.add("a", part(11, 1), 0.0) is not None
    assert (len(assembly), assembly.dropped) == (2, 0)


def test_contradictions_are_dropped():
    assembly = Assembly()
    assert assembly.add("a", part(10, 0, 3), 0.0) is None
    for bad in (part(11, 1, 4), part(10, 0, 3), part(12, 3, 3), part(12, 2, 13), part(1, 1, 2)):
        assert assembly.add("a", bad, 0.0) is None
    assert assembly.dropped == 5
    assert assembly.add("a", part(12, 2, 3, b"z"), 0.0) is None
    assert assembly.add("a", part(11, 1, 3, b"y"), 0.0) == b"x" * 1000 + b"y" + b"z"


def test_one_peer_takes_no_more_than_its_share():
    assembly = Assembly()
    assembly.add("other", part(10), 0.0)
    for n in range(MESSAGES_PEER_MAX + 3):
        assembly.add("greedy", part(10 * n + 10), 0.0)
    assert (len(assembly), assembly.dropped) == (MESSAGES_PEER_MAX + 1, 3)
    assert assembly.add("other", part(11, 1), 0.0) is not None
    assert assembly.add("greedy", part(11, 1), 0.0) is None  # its first is gone: a new one begins
    assert assembly.add("greedy", part(10 * MESSAGES_PEER_MAX + 11, 1), 0.0) is not None


def test_all_peers_together_are_bounded():
    assembly = Assembly()
    for n in range(MESSAGES_MAX + 5):
        assembly.add(f"peer {n}", part(10), 0.0)
    assert (len(assembly), assembly.dropped) == (MESSAGES_MAX, 5)


def test_bytes_are_bounded():
    assembly = Assembly()
    for n in range(100):
        for index in range(11):
            assembly.add(f"peer {n}", part(20 + index, index, 12, b"x" * 1100), 0.0)
            assert assembly._size <= BYTES_MAX
    assert assembly._size == sum(p.size for p in assembly._partials.values())
    assert assembly.dropped * 1100 + assembly._size == 100 * 11 * 1100


def test_time_is_bounded():
    assembly = Assembly()
    assembly.add("a", part(10), 0.0)
    assert assembly.add("a", part(11, 1), PART_LIFE_S) is None
    assert assembly.dropped == 1


def test_twelve_is_the_rule():
    assert parts.PARTS_MAX == 12  # RULES 8.1
    assert len(parts.split(bytes(12_000), 1000)) == 12
    with pytest.raises(PeerError, match="too large"):
        parts.split(bytes(12_001), 1000)


def test_a_query_is_never_more_than_one():
    a, _ = pair()
    longest = ".".join(["a" * 63] * 3 + ["b" * 61]) + "."
    assert len(a.seal(query(2**63 - 1, longest), B, 1.0)) == 1
