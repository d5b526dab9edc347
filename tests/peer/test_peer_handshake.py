"""Two lives get to know each other: exact times, every loss, restarts, captures."""

import pytest
from peerwire import (
    A,
    B,
    C,
    Sent,
    Wire,
    acquainted,
    answer,
    heartbeat,
    link,
    query,
    sealed,
    source,
)

from codns.peer import frame
from codns.peer.frame import Frame
from codns.peer.handshake import CHALLENGE_LIFE_S, GREETING_S


def fresh(**changes) -> Wire:
    return Wire({A: link(A, **changes), B: link(B, **changes)})


def test_one_starts():
    wire = fresh()
    wire.beat(A, B)
    wire.run(1.0)
    assert wire.learned == [(0.020, A, B), (0.030, B, A)]  # 1 and 1.5 round trips
    assert wire.replies(A) == [0.040]  # the heartbeat A sends at once is answered
    assert wire.nodes[B].drops["boot"] == 1  # A's first heartbeat
    assert wire.nodes[A].drops["boot"] == 0


def test_both_start_at_once():
    wire = fresh()
    wire.beat(A, B)
    wire.beat(B, A)
    wire.run(1.0)
    assert wire.learned == [(0.020, A, B), (0.020, B, A)]
    assert wire.replies(A) == wire.replies(B) == [0.040]


def test_the_receiver_restarts():
    wire = fresh()
    wire.beat(A, B)
    wire.run(5.0)
    wire.nodes[B] = link(B, "again")
    wire.send(A, B, query(1))  # A still believes in the old life
    wire.run(6.0)
    # at B dropped, its challenge leaves at 10 ms, A's echo and challenge at 20, B's echo at 30
    assert wire.learned[2:] == [(5.030, B, A), (5.040, A, B)]
    assert all(got.message != query(1) for got in wire.got)
    wire.send(A, B, query(2))
    wire.run(7.0)
    assert wire.got[-1].message == query(2)


def test_while_a_life_is_doubted_heartbeats_ask_too():
    """A's greeting is lost and the next is a second off: the heartbeat carries what it said."""
    wire = fresh()
    wire.beat(A, B)
    wire.run(5.0)
    wire.nodes[B] = link(B, "again")
    wire.fate = lambda sent: [] if sent.sender == A and 5.0 < sent.at < 5.5 else [0.010]
    wire.send(A, B, query(1))
    wire.at(5.5, lambda: wire.beat(A, B))
    wire.run(6.0)
    assert wire.learned[2:] == [(5.510, B, A), (5.520, A, B)]


def test_the_sender_restarts():
    wire = fresh()
    wire.beat(A, B)
    wire.run(5.0)
    wire.nodes[A] = link(A, "again")
    wire.beat(A, B)
    wire.run(6.0)
    assert wire.learned[2:] == [(5.020, A, B), (5.030, B, A)]


def test_both_restart_at_once():
    wire = fresh()
    wire.beat(A, B)
    wire.run(5.0)
    wire.nodes.update({A: link(A, "again"), B: link(B, "again")})
    wire.beat(A, B)
    wire.beat(B, A)
    wire.run(6.0)
    assert wire.learned[2:] == [(5.020, A, B), (5.020, B, A)]


@pytest.mark.parametrize(
    ("lost", "a_knows", "b_knows"),
    [
        ((), 0.020, 0.030),
        ((0,), 2.020, 2.030),  # A's heartbeat: as if it began with the next
        ((1,), 2.020, 2.030),  # B's greeting
        ((2,), 0.020, 0.030),  # A's greeting: the heartbeat beside it echoes too
        ((3,), 0.020, 0.030),  # that heartbeat
        ((2, 3), 0.020, 2.010),  # both: the next heartbeat still carries the echo
    ],
)
def test_any_datagram_of_it_may_be_lost(lost, a_knows, b_knows):
    wire = fresh()
    wire.fate = lambda _: [] if len(wire.sent) - 1 in lost else [0.010]
    for beat in range(4):
        wire.at(2.0 * beat, lambda: wire.beat(A, B))
    wire.run(8.0)
    assert wire.learned == [(a_knows, A, B), (b_knows, B, A)]


def test_requests_of_an_unknown_boot_are_challenged_once_a_second():
    node, asker = link(B), link(A)
    greeted = []
    for ms in range(0, 3500, 10):
        for datagram in asker.seal(query(ms), B, ms / 1000):
            received = node.receive(datagram, source(A), ms / 1000)
            assert received is None or received.message is None
            greeted += [ms / 1000] * (received is not None)
    assert greeted == [0.0, 1.0, 2.0, 3.0]
    assert node.drops["boot"] == 350


def test_a_challenge_holds_ten_seconds():
    for wait, learned in ((CHALLENGE_LIFE_S - 0.01, True), (CHALLENGE_LIFE_S, False)):
        node, asker = link(B), link(A)
        (request,) = asker.seal(heartbeat(1), B, 0.0)
        greeting = node.receive(request, source(A), 0.0)
        echo = asker.receive(greeting.datagrams[0], source(B), 0.0)
        late = node.receive(echo.datagrams[0], source(A), wait)
        assert late.learned is learned


def test_a_challenge_is_good_for_one_echo():
    """Another life of the sender cannot ride on a challenge that is used up."""
    node, first, second = link(B), link(A, 1), link(A, 2)
    greeting = node.receive(first.seal(heartbeat(1), B, 0.0)[0], source(A), 0.0).datagrams[0]
    echoes = [asker.receive(greeting, source(B), 0.0).datagrams[0] for asker in (first, second)]
    assert node.receive(echoes[0], source(A), 0.1).learned
    assert node.receive(echoes[1], source(A), 0.2) is None  # B greeted at 0: not again yet
    assert node.drops["boot"] == 2
    assert node.receive(first.seal(query(1), B, 0.3)[0], source(A), 0.3).message == query(1)


def test_a_replaced_boot_needs_a_new_echo():
    node, old, new = link(B), link(A, "old"), link(A, "new")
    acquainted(old, node)
    captured = old.seal(query(1), B, 0.0)[0]
    acquainted(new, node, now=5.0)
    assert node.receive(captured, source(A), 9.0).message is None
    assert node.drops["boot"] == 3  # the first heartbeat of each life, and this


def test_a_captured_handshake_is_worth_nothing():
    """Replayed in full, in any order, before and after the receiver's next life knows A."""
    wire = fresh()
    wire.beat(A, B)
    wire.run(1.0)
    wire.send(A, B, query(1))
    wire.send(B, A, answer(1))
    wire.run(2.0)
    captured = list(wire.sent)
    for life in ("second", "third"):
        wire.nodes[B] = link(B, life)
        wire.fate = lambda _: []  # nothing genuine gets through
        got, learned = len(wire.got), len(wire.learned)
        for sent in (*captured, *reversed(captured)):
            wire.arrive(sent)
            wire.now += 0.3
        assert (len(wire.got), len(wire.learned)) == (got, learned)

        wire.fate = lambda _: [0.010]
        wire.beat(A, B)
        wire.run(wire.now + 5.0)
        assert wire.learned[learned:]  # now they do know each other
        captured += wire.sent[len(captured) :]
        got, learned = len(wire.got), len(wire.learned)
        for sent in (*captured, *reversed(captured)):
            wire.arrive(sent)
            wire.now += 0.3
        assert (len(wire.got), len(wire.learned)) == (got, learned)


def test_what_was_held_back_over_a_restart_is_not_let_in_by_the_handshake():
    """The window opens behind the echo: lower counters of the same boot count as seen."""
    old, asker = link(B, "old"), link(A)
    acquainted(asker, old)
    held = [asker.seal(query(n), B, 0.0)[0] for n in range(5)]
    node = link(B, "new")
    acquainted(asker, node, now=5.0)
    assert asker.knows(B)
    assert node.knows(A)
    assert [node.receive(datagram, source(A), 6.0) for datagram in held] == [None] * 5
    assert node.drops["replay"] == 5


@pytest.mark.parametrize(
    ("rate", "learned"),
    [
        (2, [(2.010, A, B), (2.020, B, A)]),
        (50, [(2.020, B, A), (2.030, A, B)]),  # A's challenge is overwritten by old ones
    ],
)
def test_replays_of_a_dead_life_cannot_keep_two_apart(rate, learned):
    """B, restarted, is flooded with A's old life, and A is back half a second later."""
    wire = fresh()
    wire.beat(A, B)
    wire.run(1.0)
    captured = [sent for sent in wire.sent if sent.receiver == B]
    wire.nodes.update({A: link(A, "again"), B: link(B, "again")})
    wire.fate = lambda sent: [] if sent.receiver == A and sent.at < 1.5 else [0.010]
    for n in range(10 * rate):
        sent = captured[n % len(captured)]
        wire.at(1.0 + n / rate, lambda sent=sent: wire.arrive(sent))
    for n in range(5):
        wire.at(1.505 + 2.0 * n, lambda: wire.beat(A, B))
    wire.run(11.0)
    # B challenged at 1.0, so not A's heartbeat of 1.505; the flood itself has it do so at 2.0.
    assert wire.learned[2:] == learned
    assert [sent.at for sent in wire.sent if sent.sender == B and 1.0 <= sent.at < 2.01] == [1, 2]


def test_a_known_life_that_is_doubted_clears_the_doubt():
    """An old life's datagram makes B challenge A; A, alive, echoes; nothing else changes."""
    node, dead, alive = link(B), link(A, "dead"), link(A, "alive")
    acquainted(dead, node)
    captured = dead.seal(query(1), B, 0.0)[0]
    acquainted(alive, node, now=2.0)
    wire = Wire({A: alive, B: node})
    wire.now = 5.0
    wire.arrive(Sent(0.0, A, B, captured))
    wire.run(6.0)
    assert [sent.sender for sent in wire.sent] == [B, A]
    assert (wire.got, wire.learned) == ([], [])
    assert node._peers[A].handshake.heartbeat(6.0).challenge == b""


def test_a_third_node_learns_nothing_from_two():
    wire = Wire({A: link(A), B: link(B), C: link(C)})
    wire.beat(A, B)
    wire.run(1.0)
    for sent in list(wire.sent):
        assert wire.arrive(Sent(1.0, sent.sender, C, sent.datagram)) is None
    assert wire.nodes[C].drops["receiver"] == len(wire.sent)
    assert not wire.nodes[C].knows(A)


def test_a_known_life_is_echoed_at_once_the_same_challenge_once_a_second():
    """A new challenge means that the last one is used up or lost: its echo may not wait."""
    a, b = link(A), link(B)
    acquainted(a, b)
    one, two = b"1" * 16, b"2" * 16
    reactions = []
    for now, challenge in [(1.0, one), (1.1, one), (1.2, two), (1.9, two), (2.2, two)]:
        b._peers[A].counter += 1
        body = frame.pack(Frame(b._boot, b._peers[A].counter, challenge))
        received = a.receive(sealed(b, A, body), source(B), now)
        reactions.append(0 if received is None else len(received.datagrams))
    assert reactions == [1, 0, 1, 0, 1]


def test_greeting_interval_is_the_rule():
    assert GREETING_S == 1.0  # RULES 8.3
