"""Domains that are slow for everybody (RULES 5.7)."""

import pytest

from codns.core.slow_domains import DOMAINS_MAX, SlowDomains
from codns.wire.name import from_text

NAME = from_text("www.slow.example.")
SIBLING = from_text("a.b.slow.example.")
OTHER = from_text("www.other.example.")


def blocked(domains: SlowDomains, name: bytes, now: float) -> bool:
    return domains.blocked(name, now, failing=False)


@pytest.mark.parametrize(
    ("races", "at", "expected"),
    [
        ([], 0.0, False),
        ([(0.0, 1), (1.0, 1)], 2.0, False),
        ([(0.0, 1), (1.0, 1), (2.0, 1)], 2.0, True),
        ([(0.0, 3)], 0.0, True),  # one race with three attempts
        ([(0.0, 2), (1.0, 2)], 1.0, True),
        ([(0.0, 1), (1.0, 1), (2.0, 1)], 301.9, True),  # 5 min from the third
        ([(0.0, 1), (1.0, 1), (2.0, 1)], 302.0, False),
        ([(0.0, 1), (1.0, 1), (300.0, 1)], 300.0, False),  # the first is 5 min old
        ([(0.0, 1), (1.0, 1), (299.9, 1)], 299.9, True),
        ([(0.0, 3), (200.0, 3)], 300.0, False),  # races while stopped do not prolong it
        ([(0.0, 3), (301.0, 2)], 301.0, False),  # a fresh start behind it
        ([(0.0, 3), (301.0, 3)], 301.0, True),
        ([(0.0, 0), (1.0, 0), (2.0, 0)], 2.0, False),  # nobody was asked
    ],
)
def test_three_attempts_in_vain_within_five_minutes_stop_it_for_five(races, at, expected):
    domains = SlowDomains()
    for time, attempts in races:
        domains.raced(NAME, attempts, time, won=False)
    assert blocked(domains, NAME, at) is expected


def test_it_counts_by_the_last_two_labels():
    domains = SlowDomains()
    domains.raced(NAME, 2, 0.0, won=False)
    domains.raced(SIBLING, 1, 0.0, won=False)
    assert blocked(domains, from_text("slow.example."), 1.0)
    assert not blocked(domains, OTHER, 1.0)


def test_a_win_clears_it():
    domains = SlowDomains()
    domains.raced(NAME, 2, 0.0, won=False)
    domains.raced(NAME, 3, 1.0, won=True)
    domains.raced(NAME, 2, 2.0, won=False)
    assert not blocked(domains, NAME, 2.0)


def test_not_while_failing():
    domains = SlowDomains()
    domains.raced(NAME, 3, 0.0, won=False)
    assert not domains.blocked(NAME, 1.0, failing=True)


def test_explain_knows_until_when():
    domains = SlowDomains()
    domains.raced(NAME, 3, 10.0, won=False)
    assert domains.blocked_until(NAME, 20.0) == 310.0
    assert domains.blocked_until(OTHER, 20.0) == 20.0
    assert domains.stopped == 1


def test_4096_domains_least_recently_used_out():
    domains = SlowDomains()
    names = [from_text(f"www.d{number}.example{number}.") for number in range(DOMAINS_MAX + 1)]
    for name in names[:-1]:
        domains.raced(name, 3, 0.0, won=False)
    assert blocked(domains, names[0], 1.0)  # used: now the second is the oldest
    domains.raced(names[-1], 3, 1.0, won=False)
    assert len(domains) == DOMAINS_MAX
    assert blocked(domains, names[0], 1.0)
    assert not blocked(domains, names[1], 1.0)
    assert blocked(domains, names[-1], 1.0)


def test_a_local_answer_in_good_time_clears_the_domain():
    """Three slow names of a great domain do not stop the help for all its others."""
    slow, name = SlowDomains(), b"\1a\7example\3com\0"
    slow.raced(name, 3, 1.0, won=False)
    assert slow.blocked(name, 2.0, failing=False)
    slow.quick(b"\1b\7example\3org\0")
    assert slow.blocked(name, 2.0, failing=False)
    slow.quick(b"\3www\7example\3com\0")
    assert not slow.blocked(name, 2.0, failing=False)
