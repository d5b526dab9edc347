"""The waste budget (RULES 5.6), token by token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codns.core.budget import Budget, Payment


def emptied(share: float = 0.1) -> Budget:
    budget = Budget(share)
    while budget.take(1, 0.0, failing=False) is Payment.PAID:
        pass
    return budget


def test_full_at_the_start_with_50():
    budget = Budget()
    assert budget.tokens(0.0) == 50
    paid = [budget.take(1, 0.0, failing=False) for _ in range(51)]
    assert paid == [Payment.PAID] * 50 + [Payment.DENIED]
    assert (budget.taken, budget.denied) == (50, 1)


def test_ten_misses_earn_one():
    budget = emptied()
    for _ in range(9):
        budget.earn()
    assert not budget.take(1, 0.0, failing=False)
    budget.earn()
    assert budget.take(1, 0.0, failing=False)
    assert budget.tokens(0.0) == 0


def test_misses_earn_no_more_than_50():
    budget = Budget()
    budget.earn()
    assert budget.tokens(0.0) == 50


def test_third_attempts_need_25():
    budget = Budget()
    for _ in range(25):
        assert budget.take(1, 0.0, failing=False)
    assert budget.take(3, 0.0, failing=False)  # 25 -> 24
    assert not budget.take(3, 0.0, failing=False)
    assert budget.take(2, 0.0, failing=False)
    assert budget.tokens(0.0) == 23


def test_unused_while_failing():
    budget = emptied()
    assert budget.take(3, 0.0, failing=True) is Payment.FREE
    assert budget.tokens(0.0) == 0


@pytest.mark.parametrize(
    ("after", "refunded"),
    [
        (0.000, 0),
        (0.009, 0),
        (0.0625, 1),  # by 10 ms or more
        (5.000, 1),
    ],
)
def test_a_win_by_10_ms_gives_the_token_back(after, refunded):
    budget = Budget()
    budget.take(1, 1.0, failing=False)
    handle = budget.won(1.0)
    budget.local_answered(handle, 1.0 + after)
    assert budget.tokens(1.0 + after) == 49 + refunded
    assert budget.tokens(99.0) == 49 + refunded
    assert budget.refunded == refunded


def test_it_is_back_10_ms_after_the_win_though_local_is_still_out():
    budget = emptied()
    budget.won(1.0)
    assert not budget.take(1, 1.009, failing=False)
    assert budget.take(1, 1.010, failing=False)


def test_local_failing_behind_the_win_gives_it_back_at_once_and_once():
    budget = emptied()
    handle = budget.won(1.0)
    budget.local_failed(handle, 1.002)
    assert budget.tokens(1.002) == 1
    budget.local_failed(handle, 2.0)
    assert budget.tokens(2.0) == 1


def test_a_win_after_local_failed_gives_it_back():
    budget = emptied()
    budget.refund()
    assert budget.tokens(0.0) == 1


def test_no_share_means_no_waste_at_all():
    budget = Budget(0.0)
    budget.earn()
    assert not budget.take(1, 0.0, failing=False)
    assert budget.take(1, 0.0, failing=True)


def test_reload_keeps_what_was_saved():
    budget = Budget()
    budget.take(1, 0.0, failing=False)
    budget.configure(0.25)
    assert budget.tokens(0.0) == 49
    budget.earn()
    assert budget.tokens(0.0) == 49.25
    budget.configure(0.0)
    assert budget.tokens(0.0) == 0


def test_explain_has_the_figures():
    budget = Budget()
    budget.take(1, 0.0, failing=False)
    budget.won(0.0)
    assert budget.explain(0.001) == {
        "tokens": 49.0,
        "capacity": 50.0,
        "per_miss": 0.1,
        "pays": 0.0,
        "taken": 1,
        "refunded": 0,
        "denied": 0,
        "undecided": 1,
    }


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["earn", "take", "won", "answered", "failed", "refund", "declined"]),
        st.integers(1, 3),
        st.floats(0, 0.05),
    ),
    max_size=200,
)


@given(EVENTS, st.sampled_from([0.0, 0.1, 1.0]))
def test_never_negative_never_over_the_cap(events, share):
    budget, now, handles = Budget(share), 0.0, []
    for kind, number, step in events:
        now += step
        if kind == "earn":
            budget.earn()
        elif kind == "take":
            budget.take(number, now, failing=False)
        elif kind == "won":
            handles.append(budget.won(now))
        elif kind == "refund":
            budget.refund()
        elif kind == "declined":
            budget.declined()
        elif handles:
            handle = handles.pop()
            if kind == "answered":
                budget.local_answered(handle, now)
            else:
                budget.local_failed(handle, now)
        assert 0 <= budget.tokens(now) <= 50
        assert 0 <= budget.pays(now) < 1


@given(st.integers(0, 2000))
def test_waste_is_at_most_the_start_and_a_tenth_of_misses(misses):
    budget, sent = Budget(), 0
    for _ in range(misses):
        budget.earn()
        sent += budget.take(1, 0.0, failing=False) is Payment.PAID
    assert sent <= 50 + misses / 10
