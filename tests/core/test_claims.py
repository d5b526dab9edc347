"""Claims become true at their time unless withdrawn before."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from codns.core.claims import Claims


def test_matures_at_its_time_and_not_before():
    claims = Claims()
    claims.make(1.0)
    assert claims.next_due() == 1.0
    assert claims.mature(0.999) == 0
    assert claims.mature(1.0) == 1
    assert claims.mature(2.0) == 0
    assert claims.next_due() == inf


def test_withdrawn_in_time_it_never_matures():
    claims = Claims()
    late, early = claims.make(2.0), claims.make(1.0)
    assert claims.withdraw(early)
    assert not claims.withdraw(early)
    assert claims.next_due() == 2.0
    assert claims.mature(5.0) == 1
    assert not claims.withdraw(late)


def test_clear_forgets_all():
    claims = Claims()
    handle = claims.make(1.0)
    claims.clear()
    assert (len(claims), claims.mature(9.0), claims.withdraw(handle)) == (0, 0, False)


@given(st.lists(st.tuples(st.floats(0, 10), st.booleans()), max_size=50))
def test_each_claim_ends_exactly_once(made):
    claims = Claims()
    handles = [(claims.make(due), withdrawn) for due, withdrawn in made]
    matured = claims.mature(5.0)
    taken_back = sum(claims.withdraw(handle) for handle, withdrawn in handles if withdrawn)
    assert matured == sum(due <= 5.0 for due, _ in made)
    assert matured + taken_back + claims.mature(10.0) == len(made)
    assert len(claims) == 0
