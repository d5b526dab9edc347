"""What waits to be taken, how much of it, and what is shed: exact times, no sockets."""

import pytest

from codns.master.backlog import QUERIES_MAX, TAKEN, TOLD, WAIT_S, Backlog


def filled(count, now=0.0):
    backlog = Backlog()
    for n in range(count):
        backlog.add(b"%d" % n, None, now)
    return backlog


def numbers(taken):
    return [int(wire) for wire, _, _ in taken]


def test_oldest_first_and_so_many_at_a_time():
    backlog = filled(TAKEN + 2)
    assert numbers(backlog.take(0.0)) == list(range(TAKEN))
    assert numbers(backlog.take(0.0)) == [TAKEN, TAKEN + 1]
    assert backlog.take(0.0) == []
    assert len(backlog) == 0


def test_nothing_is_shed_while_nothing_waits():
    assert not Backlog().sheds(1e9)


@pytest.mark.parametrize(("age", "sheds"), [(0.0, False), (WAIT_S - 0.001, False), (WAIT_S, True)])
def test_the_oldest_has_waited_long_enough(age, sheds):
    assert filled(1, now=5.0).sheds(5.0 + age) is sheds


def test_a_burst_of_as_many_as_may_be_in_flight_is_kept():
    backlog = filled(QUERIES_MAX - 1)
    assert not backlog.sheds(0.0)
    backlog.add(b"0", None, 0.0)
    assert backlog.sheds(0.0)


@pytest.mark.parametrize(
    ("pace_s", "most"), [(0.0001, WAIT_S / 0.0001), (0.001, 400), (0.00001, QUERIES_MAX)]
)
def test_what_would_wait_too_long_at_the_present_pace_is_shed(pace_s, most):
    """Though nothing is old yet: load has just jumped."""
    backlog, now = Backlog(), 0.0
    for _ in range(100):
        for _ in range(TAKEN + 1):  # one is left each time: the time until the next is all work
            backlog.add(b"0", None, now)
        backlog.take(now)
        now += pace_s * TAKEN
    while len(backlog) > TAKEN:
        backlog.take(now)
        now += pace_s * TAKEN
    backlog.take(now)
    assert len(backlog) == 0
    kept = 0
    while not backlog.sheds(now):
        backlog.add(b"0", None, now)
        kept += 1
    assert kept == pytest.approx(most, rel=0.01)


def test_a_pause_without_work_is_no_pace():
    backlog = filled(1)
    backlog.take(0.0)
    backlog.add(b"0", None, 1_000.0)
    backlog.take(1_000.0)
    for _ in range(QUERIES_MAX - 1):
        backlog.add(b"0", None, 1_000.0)
    assert not backlog.sheds(1_000.0)


def test_each_turn_has_its_room_to_tell():
    backlog = filled(1)
    backlog.room_to_tell -= TOLD
    backlog.take(0.0)
    assert backlog.room_to_tell == TOLD
