import pytest
from hypothesis import given
from hypothesis import strategies as st

from codns.peer.window import WINDOW_SIZE, Window


@pytest.mark.parametrize(
    ("counters", "accepted"),
    [
        ([101, 102, 103], [True, True, True]),
        ([101, 101], [True, False]),
        ([100, 99, 1, 0], [False, False, False, False]),  # closed: before the introduction
        ([103, 101, 102, 101], [True, True, True, False]),  # reordered, then a copy
        ([1125, 102, 101, 103], [True, True, False, True]),  # 1,023 behind, 1,024, 1,022
        ([1124, 100, 101], [True, False, True]),  # the introduction itself stays seen
        ([2**64 - 1, 101, 2**64 - 1, 2**64 - 2], [True, False, False, True]),
        ([100 + 1024, 100 + 2048, 100 + 1024, 100 + 1025], [True, True, False, True]),
    ],
)
def test_a_window_opened_by_100(counters, accepted):
    window = Window(100)
    assert [window.accept(counter) for counter in counters] == accepted


@given(
    st.integers(0, 5000),
    st.lists(st.integers(0, 8000) | st.integers(2**64 - 3000, 2**64 - 1), max_size=60),
)
def test_like_a_set_of_all_that_was_seen(first, counters):
    window, seen, highest = Window(first), set(range(first + 1)), first
    for counter in counters:
        expected = counter not in seen and counter > highest - WINDOW_SIZE
        assert window.accept(counter) is expected
        if expected:
            seen.add(counter)
            highest = max(highest, counter)


def test_its_memory_is_bounded():
    window = Window(0)
    for counter in range(1, 5000, 3):
        window.accept(counter)
        assert window._seen < 1 << WINDOW_SIZE
    assert WINDOW_SIZE == 1024  # RULES 8.2
