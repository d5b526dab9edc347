"""One peer: RTT, alive or not, helpful or not; each with its way back."""

import random
from math import inf, isclose, nan

import pytest
from msgspec.structs import replace
from neighbour_world import report

from codns.core.peer_state import Peer, Why

MINE = frozenset({b"mine...."})
OTHER = (b"other...",)
GOOD = report(0.010, nameservers=OTHER)


class NoJitter(random.Random):
    """Back-offs without jitter."""

    def random(self) -> float:
        return 0.0


RNG = NoJitter()


def neighbour() -> Peer:
    """A neighbour with an RTT of 20 ms and a nameserver of 10 ms."""
    peer = Peer("192.0.2.7:7353")
    peer.heard(0.0, 0.020, late=False)
    peer.report(GOOD, 0.020)
    peer.slot = 0
    return peer


def lost(peer: Peer, *times: float) -> list[bool]:
    return [peer.missed(time - 0.25, time, RNG) for time in times]


# Near


def test_rtt_is_smoothed_as_in_rfc_6298():
    peer = Peer("a:1")
    peer.heard(0.0, 0.080, late=False)
    assert (peer.srtt, peer.rttvar) == (0.080, 0.040)
    peer.heard(2.0, 2.160, late=False)
    assert peer.srtt is not None
    assert isclose(peer.srtt, 0.090)
    assert isclose(peer.rttvar, 0.050)


@pytest.mark.parametrize(
    ("srtt", "deadline"),
    [(None, 1.0), (0.001, 0.250), (0.0625, 0.250), (0.100, 0.400), (0.500, 2.0), (2.0, 3.0)],
)
def test_deadlines(srtt, deadline):
    peer = Peer("a:1")
    peer.srtt = srtt
    assert peer.deadline_s() == deadline


@pytest.mark.parametrize(
    ("mean", "score"),
    [
        (0.010, 0.030),
        (0.0, 0.020),
        (None, 0.070),  # unknown counts as a typical lookup
        (nan, 0.070),
        (-1.0, 0.070),
        (inf, 10.020),
        (12.0, 10.020),
    ],
)
def test_scores(mean, score):
    peer = neighbour()
    peer.report(replace(GOOD, nameserver_s=mean), 1.0)
    assert isclose(peer.score, score)


def test_never_heard_is_infinitely_far():
    assert Peer("a:1").score == inf


def test_the_estimator_is_not_locked_at_its_floor():
    """spegel 1469: only answers in time were heard, so a way that got longer never was."""
    peer = neighbour()
    for beat in range(1, 20):
        sent = 2.0 * beat
        if peer.deadline_s() < 0.600:
            peer.missed(sent, sent + peer.deadline_s(), RNG)
            peer.heard(sent, sent + 0.600, late=True)
        else:
            peer.heard(sent, sent + 0.600, late=False)
            break
    assert beat == 3  # 20 -> 92 -> 156 ms: the deadline is 625 ms
    assert not peer.down
    assert peer.why(MINE, 100.0, validating=False) is Why.ELIGIBLE


# Alive


def test_one_miss_excludes_until_the_next_answer():
    peer = neighbour()
    assert lost(peer, 2.25) == [False]
    assert peer.why(MINE, 2.25, validating=False) is Why.MISSED
    peer.heard(4.0, 4.02, late=False)
    assert peer.why(MINE, 4.02, validating=False) is Why.ELIGIBLE


def test_late_is_not_dead_but_not_in_time_either():
    peer = neighbour()
    lost(peer, 2.25, 4.25)
    peer.heard(4.0, 4.4, late=True)
    assert peer.why(MINE, 4.4, validating=False) is Why.MISSED
    assert lost(peer, 6.25, 8.25, 10.25) == [False, False, True]


def test_a_miss_older_than_the_last_answer_is_a_lost_packet():
    peer = neighbour()
    peer.heard(4.0, 4.02, late=False)
    assert peer.missed(3.9, 4.15, RNG) is False
    assert peer.missing is False


def test_three_running_is_down_and_the_back_off_doubles_to_60():
    peer = neighbour()
    assert lost(peer, 2.25, 4.25, 6.25) == [False, False, True]
    assert peer.why(MINE, 6.25, validating=False) is Why.DOWN
    waits = [peer.retry_at - 6.25]
    for _ in range(6):
        now = peer.retry_at + 0.25
        assert peer.missed(peer.retry_at, now, RNG) is False
        waits.append(peer.retry_at - now)
    assert waits == pytest.approx([4, 8, 16, 32, 60, 60, 60])


def test_jitter_only_shortens_by_at_most_a_quarter():
    rng = random.Random(7)
    for _ in range(200):
        peer = neighbour()
        for now in (2.0, 4.0, 6.0):
            peer.missed(now - 0.25, now, rng)
        assert 3.0 <= peer.retry_at - 6.0 <= 4.0


def test_two_running_is_up():
    peer = neighbour()
    lost(peer, 2.25, 4.25, 6.25)
    assert peer.heard(10.25, 10.30, late=False) is False
    assert peer.missed(12.3, 12.55, RNG) is False  # not running: again from the start
    assert peer.heard(20.55, 20.60, late=False) is False
    assert peer.down
    assert peer.heard(22.6, 22.65, late=False) is True
    assert peer.why(MINE, 22.65, validating=False) is Why.ELIGIBLE


def test_after_an_absence_the_rtt_starts_anew():
    peer = neighbour()
    lost(peer, 2.25, 4.25, 6.25)
    peer.heard(10.25, 10.35, late=False)
    assert peer.srtt == pytest.approx(0.100)


@pytest.mark.parametrize(("steady", "wait"), [(59.0, 8.0), (60.0, 4.0)])
def test_a_flapping_peer_keeps_its_back_off(steady, wait):
    peer = neighbour()
    lost(peer, 2.0, 4.0, 6.0)
    peer.heard(10.0, 10.02, late=False)
    peer.heard(12.0, 12.02, late=False)
    down_at = 12.02 + steady
    lost(peer, down_at - 4, down_at - 2, down_at)
    assert peer.down
    assert peer.retry_at - down_at == pytest.approx(wait)


# Helpful


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, Why.ELIGIBLE),
        ({"slot": None}, Why.NOT_NEIGHBOUR),
        ({"confirmed": False}, Why.UNHEARD),
        ({"missing": True}, Why.MISSED),
        ({"down": True}, Why.DOWN),
        ({"full": True, "slot": None}, Why.FULL),
        ({"failing": True}, Why.FAILING),
        ({"busy_until": 1.001}, Why.BUSY),
        ({"busy_until": 1.0}, Why.ELIGIBLE),
        ({"nameservers": MINE}, Why.SAME_NAMESERVER),
        ({"nameservers": MINE | frozenset(OTHER)}, Why.SAME_NAMESERVER),  # one shared is enough
        ({"nameservers": MINE, "slot": None}, Why.SAME_NAMESERVER),
        ({"nameservers": frozenset()}, Why.ELIGIBLE),
        ({"out_until": 1.001}, Why.UNANSWERING),
        ({"down": True, "failing": True, "missing": True, "slot": None}, Why.DOWN),
    ],
)
def test_why_not(change, why):
    peer = neighbour()
    for field, value in change.items():
        setattr(peer, field, value)
    assert peer.why(MINE, 1.0, validating=False) is why


@pytest.mark.parametrize(
    ("validates", "wanted", "why"),
    [
        (False, False, Why.ELIGIBLE),
        (False, True, Why.NOT_VALIDATING),
        (True, False, Why.ELIGIBLE),
        (True, True, Why.ELIGIBLE),
    ],
)
def test_validation(validates, wanted, why):
    peer = neighbour()
    peer.report(replace(GOOD, validates=validates), 1.0)
    assert peer.why(MINE, 1.0, validating=wanted) is why


def test_the_vocabulary_is_closed_and_fit_for_labels():
    assert [str(why) for why in Why] == [
        "eligible", "down", "full", "same_nameserver", "not_neighbour", "unheard", "missed",
        "failing", "busy", "not_validating", "unanswering", "slower",
    ]  # fmt: skip


def test_busy_lasts_a_second():
    peer = neighbour()
    peer.busy(5.0)
    assert peer.why(MINE, 5.999, validating=False) is Why.BUSY
    assert peer.why(MINE, 6.0, validating=False) is Why.ELIGIBLE


@pytest.mark.parametrize(
    ("queries", "out"),
    [
        ("..", False),
        ("...", True),  # three need not wait for eight
        (".+.+.", True),
        (".++++.+.", True),  # 3 of 8
        (".+++++..", True),
        (".++++++..", False),  # the first is out of the last eight
        ("++++++++..", False),
        ("++++++++...", True),
    ],
)
def test_three_of_eight_unanswered(queries, out):
    peer = neighbour()
    for query in queries:
        if query == "+":
            peer.query_answered()
        else:
            peer.query_unanswered(10.0)
    assert (peer.why(MINE, 10.0, validating=False) is Why.UNANSWERING) == out


def test_out_10_s_doubling_to_60_and_forgiven_after_eight_answers():
    peer = neighbour()
    lengths = []
    now = 0.0
    for _ in range(4):
        for _ in range(3):
            peer.query_unanswered(now)
        lengths.append(peer.out_until - now)
        now = peer.out_until
        assert peer.why(MINE, now, validating=False) is Why.ELIGIBLE
    assert lengths == [10, 20, 40, 60]
    for _ in range(8):
        peer.query_answered()
    for _ in range(3):
        peer.query_unanswered(now)
    assert peer.out_until - now == 10


def test_failing_since_is_the_first_report():
    peer = neighbour()
    for now in (1.0, 3.0):
        peer.report(replace(GOOD, failing=True), now)
    assert peer.failing_since == 1.0
    peer.report(GOOD, 5.0)
    assert peer.failing_since == inf
