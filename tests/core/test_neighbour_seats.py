"""Seats: 64, FULL to the 65th, free again when left or silent."""

from codns.core.neighbour_seats import SEAT_LIFE_S, SEATS, Seats


def full_house(now: float = 0.0) -> Seats:
    seats = Seats()
    for number in range(SEATS):
        assert seats.heartbeat(f"peer{number}", now, wanted=True) is False
    return seats


def test_the_65th_is_told_full():
    seats = full_house()
    assert len(seats) == 64
    assert seats.heartbeat("late", 1.0, wanted=True) is True
    assert "late" not in seats


def test_who_has_a_seat_is_not_told_full():
    assert full_house().heartbeat("peer3", 1.0, wanted=True) is False


def test_looking_around_takes_no_seat_but_sees_that_there_is_none():
    seats = Seats()
    assert seats.heartbeat("scanner", 0.0, wanted=False) is False
    assert len(seats) == 0
    assert full_house().heartbeat("scanner", 1.0, wanted=False) is True


def test_a_heartbeat_without_the_wish_gives_the_seat_up():
    seats = full_house()
    assert seats.heartbeat("peer3", 1.0, wanted=False) is False
    assert seats.heartbeat("late", 1.0, wanted=True) is False
    assert seats.heartbeat("peer3", 1.5, wanted=True) is True


def test_silence_gives_the_seat_up():
    seats = full_house()
    for number in range(1, SEATS):
        seats.heartbeat(f"peer{number}", 2.0, wanted=True)
    assert seats.heartbeat("late", SEAT_LIFE_S - 0.001, wanted=True) is True
    assert seats.heartbeat("late", SEAT_LIFE_S, wanted=True) is False
    assert "peer0" not in seats
    assert len(seats) == 64


def test_who_leaves_the_list_leaves_its_seat():
    seats = full_house()
    seats.leave("peer3")
    seats.leave("nobody")
    assert seats.heartbeat("late", 1.0, wanted=True) is False
