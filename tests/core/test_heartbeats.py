"""Heartbeats under way: in time, late, never; our own stall; a challenge."""

import random

import pytest

from codns.core.heartbeats import Heartbeats, Sent
from codns.core.peer_state import Peer
from codns.core.timers import Timers


class Bench:
    """Heartbeats to one peer with an RTT of 20 ms; misses are noted with their time."""

    def __init__(self) -> None:
        self.timers = Timers()
        self.missed: list[float] = []
        self.beats = Heartbeats(self.timers, random.Random(1), self._miss)
        self.peer = Peer("a:1")
        self.peer.srtt = 0.020

    def _miss(self, sent: Sent, now: float) -> None:
        self.missed.append(now)


def test_in_time():
    bench = Bench()
    token = bench.beats.send(bench.peer, 5.0)
    assert bench.timers.next() == 5.25
    sent = bench.beats.answered("a:1", token)
    assert sent is not None
    assert (sent.at, sent.late) == (5.0, False)
    assert bench.timers.next() is None
    assert len(bench.beats) == 0


def test_late_and_too_late():
    bench = Bench()
    late = bench.beats.send(bench.peer, 5.0)
    never = bench.beats.send(bench.peer, 5.0)
    bench.timers.fire(5.25)
    assert bench.missed == [5.25, 5.25]
    sent = bench.beats.answered("a:1", late)
    assert sent is not None
    assert sent.late
    assert bench.timers.next() == 8.0
    bench.timers.fire(8.0)
    assert bench.beats.answered("a:1", never) is None
    assert bench.beats.strays == 1
    assert bench.missed == [5.25, 5.25]


def test_answers_to_nothing_are_counted():
    bench = Bench()
    token = bench.beats.send(bench.peer, 5.0)
    assert bench.beats.answered("b:1", token) is None  # another's token
    assert bench.beats.answered("a:1", token + 1) is None
    assert bench.beats.answered("a:1", token) is not None
    assert bench.beats.answered("a:1", token) is None  # twice
    assert bench.beats.strays == 3


@pytest.mark.parametrize(
    ("woken", "missed"),
    [
        ([5.25], [5.25]),
        ([5.34, 9.0], [5.34]),
        ([5.36, 5.6, 5.61], [5.61]),  # we did not run: 250 ms more
        ([9.0, 9.25], [9.25]),
        ([9.0, 20.0, 30.0], [20.0]),  # once
    ],
)
def test_our_own_stall_is_nobodys_fault(woken, missed):
    bench = Bench()
    bench.beats.send(bench.peer, 5.0)
    for now in woken:
        bench.timers.fire(now)
    assert bench.missed == missed


def test_a_challenge_is_followed_at_once_but_once_a_second():
    bench = Bench()
    first = bench.beats.send(bench.peer, 5.0)
    assert bench.beats.challenged(bench.peer, 5.02)
    second = bench.beats.send(bench.peer, 5.02)
    assert not bench.beats.challenged(bench.peer, 5.04)
    assert bench.beats.answered("a:1", first) is None  # the one dropped is forgotten
    assert bench.beats.answered("a:1", second) is not None
    assert not bench.beats.challenged(bench.peer, 7.0)  # nothing is under way
    bench.beats.send(bench.peer, 7.0)
    assert bench.beats.challenged(bench.peer, 7.02)
    assert bench.missed == []


def test_a_challenge_after_the_deadline_does_not_undo_the_miss():
    bench = Bench()
    bench.beats.send(bench.peer, 5.0)
    bench.timers.fire(5.25)
    assert not bench.beats.challenged(bench.peer, 5.3)


@pytest.mark.parametrize(
    ("woken", "answered", "timed"),
    [
        ([], 5.02, True),
        ([], 5.34, True),
        ([], 9.0, False),  # read before the timers are looked at
        ([9.0], 9.1, False),
        ([5.26], 5.40, True),  # late, but we ran
    ],
)
def test_what_lay_in_the_socket_is_no_rtt(woken, answered, timed):
    bench = Bench()
    token = bench.beats.send(bench.peer, 5.0)
    for now in woken:
        bench.timers.fire(now)
    sent = bench.beats.answered("a:1", token)
    assert sent is not None
    assert sent.timed(answered) == timed
