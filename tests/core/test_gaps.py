"""The times at which peers are asked (RULES 5.1), to the millisecond."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codns.core.gaps import (
    CONTACTS_MAX,
    REMOTE_MAX,
    SAMPLES_MAX,
    SPREAD_MAX_S,
    SPREAD_MIN_S,
    RemoteTimes,
    Schedule,
)


def run(schedule: Schedule) -> list[float]:
    """Ask a peer whenever it is time; nobody answers."""
    times = []
    while schedule.next_at != inf:
        times.append(round(schedule.next_at, 6))
        schedule.attempted(schedule.next_at)
    return times


@pytest.mark.parametrize(
    ("delay", "spread", "remote_max", "times"),
    [
        (0.200, 0.100, 3, [0.200, 0.600, 1.400]),  # the rule's example: g = 2d
        (0.000, 0.100, 3, [0.000, 0.100, 0.300]),  # 0, m, 3m
        (0.000, 0.020, 3, [0.000, 0.020, 0.060]),
        (0.000, 0.400, 3, [0.000, 0.400, 1.200]),
        (0.010, 0.100, 3, [0.010, 0.110, 0.310]),  # m wins over 2d
        (0.050, 0.100, 3, [0.050, 0.150, 0.350]),  # equal
        (0.060, 0.100, 3, [0.060, 0.180, 0.420]),
        (0.200, 0.100, 2, [0.200, 0.600]),
        (0.200, 0.100, 1, [0.200]),
        (0.200, 0.100, 0, []),
    ],
)
def test_attempts_leave_at_d_d_plus_g_d_plus_3g(delay, spread, remote_max, times):
    assert run(Schedule(0.0, delay, spread, remote_max)) == times


def test_times_count_from_the_start_of_the_lookup():
    assert run(Schedule(7.0, 0.200, 0.100)) == [7.2, 7.6, 8.4]


def test_a_failure_before_the_delay_sends_the_first_at_once():
    schedule = Schedule(0.0, 0.200, 0.100)
    schedule.hurry(0.030)
    assert run(schedule) == [0.030, 0.430, 1.230]  # later gaps count from then


def test_a_failure_of_the_first_sends_the_second_at_once():
    schedule = Schedule(0.0, 0.200, 0.100)
    schedule.attempted(0.200)
    schedule.hurry(0.230)
    assert run(schedule) == [0.230, 1.030]  # 2g behind the second


def test_a_failure_after_the_last_sends_nothing():
    schedule = Schedule(0.0, 0.0, 0.100)
    run(schedule)
    schedule.hurry(0.4)
    assert schedule.next_at == inf


def test_a_failure_never_delays_what_is_due():
    schedule = Schedule(0.0, 0.200, 0.100)
    schedule.hurry(0.250)
    assert schedule.next_at == 0.200


def test_busy_took_no_attempt_and_the_next_leaves_at_once():
    schedule = Schedule(0.0, 0.200, 0.100)
    schedule.attempted(0.200)
    schedule.busy(0.210)
    assert (schedule.sent, schedule.contacted) == (0, 1)
    assert run(schedule) == [0.210, 0.610, 1.410]
    assert (schedule.sent, schedule.contacted) == (3, 4)


def test_at_most_five_are_contacted():
    schedule = Schedule(0.0, 0.0, 0.100)
    now = 0.0
    while schedule.next_at != inf:
        now = schedule.next_at
        schedule.attempted(now)
        schedule.busy(now + 0.001)
    assert (schedule.sent, schedule.contacted) == (0, 5)
    assert now == pytest.approx(0.004)


def test_a_healthy_path_that_failed_a_name_asks_one_peer():
    schedule = Schedule(0.0, 0.200, 0.100)
    schedule.limit(1, 0.030)
    assert run(schedule) == [0.030]


def test_a_limit_already_reached_ends_it():
    schedule = Schedule(0.0, 0.0, 0.100)
    schedule.attempted(0.0)
    schedule.limit(1, 0.030)
    assert schedule.next_at == inf


def test_a_denied_attempt_waits_for_the_next_turn():
    schedule = Schedule(0.0, 0.200, 0.100)
    schedule.denied(0.200)
    assert (schedule.sent, schedule.contacted) == (0, 0)
    assert run(schedule) == [0.600, 1.400, 3.000]


def test_an_attempt_denied_for_ever_is_given_up_after_8_turns():
    schedule, turns = Schedule(0.0, 0.010, 0.020), []
    while schedule.next_at != inf:
        turns.append(round(schedule.next_at, 3))
        schedule.denied(schedule.next_at)
    assert turns == [0.010, 0.030, 0.070, 0.150, 0.310, 0.630, 1.270, 2.550]
    schedule.reopen(3.0)  # the path fails: what was denied leaves at once
    assert run(schedule) == [3.000, 3.020, 3.060]


def test_stop_is_final():
    schedule = Schedule(0.0, 0.0, 0.100)
    schedule.attempted(0.0)
    schedule.stop()
    schedule.hurry(0.1)
    schedule.busy(0.2)
    assert schedule.next_at == inf


@given(
    st.lists(st.sampled_from(["attempted", "denied", "hurry", "busy", "limit"]), max_size=40),
    st.floats(0, 0.2),
)
def test_never_more_than_three_attempts_nor_five_contacts(events, delay):
    schedule = Schedule(0.0, delay, 0.1)
    now, out = 0.0, 0
    for event in events:
        now += 0.01
        if event in {"attempted", "denied"}:
            if schedule.next_at == inf:
                continue
            now = max(now, schedule.next_at)
            getattr(schedule, event)(now)
            out += event == "attempted"
        elif event == "busy":
            if out:
                out -= 1
                schedule.busy(now)
        elif event == "hurry":
            schedule.hurry(now)
        else:
            schedule.limit(2, now)
        assert 0 <= schedule.sent <= REMOTE_MAX
        assert schedule.sent <= schedule.contacted <= CONTACTS_MAX


@pytest.mark.parametrize(
    ("times", "spread"),
    [
        ([], 0.100),
        ([0.300] * 15, 0.100),  # under 16 samples
        ([0.050] * 16, 0.050),  # no deviation
        ([0.040, 0.060] * 8, 0.060),  # mean 50, sigma 10
        ([0.010] * 16, 0.020),  # clamped
        ([0.500] * 16, 0.400),
        ([0.300] * 64 + [0.050] * 64, 0.050),  # only the last 64 count
    ],
)
def test_spread_is_mean_and_one_sigma(times, spread):
    remote = RemoteTimes()
    for time in times:
        remote.add(time)
    assert remote.spread() == pytest.approx(spread)
    assert len(remote) == min(len(times), SAMPLES_MAX)


@given(st.lists(st.floats(0, 100), max_size=200))
def test_spread_stays_within_its_clamps(times):
    remote = RemoteTimes()
    for time in times:
        remote.add(time)
        assert SPREAD_MIN_S <= remote.spread() <= SPREAD_MAX_S
