"""The mean time of our nameservers' answers, as peers are told it."""

import math

import pytest

from codns.core.mean_times import MEAN_S, MeanTimes
from codns.core.nameserver import Nameserver


def answering(server: Nameserver, *seconds: float) -> None:
    for elapsed in seconds:
        server.heard(elapsed)


def test_none_before_any_answer():
    assert MeanTimes().least([Nameserver("192.0.2.1#53")], 5.0) is None
    assert MeanTimes().least([], 5.0) is None


def test_all_answers_count_the_same_at_first():
    server, times = Nameserver("192.0.2.1#53"), MeanTimes()
    answering(server, *[0.002] * 9, 1.0)
    assert times.least([server], 0.0) == pytest.approx(0.1018)
    # The smoothed RTT makes of the same ten what the last of them was
    assert server.srtt == pytest.approx(0.127, abs=0.001)


def test_an_answer_counts_for_less_the_older_it_is():
    server, times = Nameserver("192.0.2.1#53"), MeanTimes()
    answering(server, 0.010)
    times.least([server], 0.0)
    answering(server, 0.110)
    weight = math.exp(-60.0 / MEAN_S)
    expected = (0.010 * weight + 0.110) / (weight + 1)
    assert times.least([server], 60.0) == pytest.approx(expected)


def test_one_ten_times_as_slow_is_three_times_as_slow_after_half_a_minute():
    server, times = Nameserver("192.0.2.1#53"), MeanTimes()
    for second in range(600):
        answering(server, 0.010)
        times.least([server], float(second))
    for second in range(600, 630):
        answering(server, 0.100)
        mean = times.least([server], float(second))
    assert mean == pytest.approx(0.030, abs=0.001)


def test_the_mean_of_one_that_is_asked_no_more_stays():
    server, times = Nameserver("192.0.2.1#53"), MeanTimes()
    answering(server, 0.010, 0.030)
    for hour in range(200):
        assert times.least([server], 3600.0 * hour) == pytest.approx(0.020)


def test_nor_does_it_move_when_billions_were_answered():
    server, times = Nameserver("192.0.2.1#53"), MeanTimes()
    answering(server, 0.010)
    times.least([server], 0.0)
    server.answers, server.duration.total = 2_000_000_000, 20_000_000.0
    for minute in range(1, 600):
        assert times.least([server], 60.0 * minute) == pytest.approx(0.010)


def test_a_long_life_before_the_first_look_does_not_outweigh_what_comes():
    server, times = Nameserver("192.0.2.1#53"), MeanTimes()
    server.answers, server.duration.total = 8_640_000, 86_400.0
    assert times.least([server], 0.0) == pytest.approx(0.010)
    answering(server, *[0.100] * 100)
    assert times.least([server], 1.0) > 0.085


def test_the_least_of_those_that_are_up():
    quick, slow, times = Nameserver("192.0.2.1#53"), Nameserver("192.0.2.2#53"), MeanTimes()
    answering(quick, 0.001)
    answering(slow, 0.050)
    assert times.least([quick, slow], 0.0) == pytest.approx(0.001)
    quick.dead(1.0)
    assert times.least([quick, slow], 1.0) == pytest.approx(0.050)
    quick.alive()
    assert times.least([quick, slow], 2.0) == pytest.approx(0.001)
    slow.dead(3.0)
    quick.dead(3.0)
    assert times.least([quick, slow], 3.0) is None


def test_a_nameserver_that_is_configured_no_more_is_forgotten():
    server, other, times = Nameserver("192.0.2.1#53"), Nameserver("192.0.2.2#53"), MeanTimes()
    answering(server, 1.0)
    times.least([server], 0.0)
    assert times.least([other], 1.0) is None
    assert len(times._means) == 0
