"""Whose domain a name is in, and that one's trouble is no other's (RULES 5.7, 6.2, 7.5)."""

import pytest

from codns.core.domains import domain
from codns.core.path_signs import Silence
from codns.core.private import PrivateNames
from codns.core.slow_domains import SlowDomains
from codns.wire.name import from_text, to_text


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("www.name.example.", "name.example."),
        ("name.example.", "name.example."),
        ("example.", "example."),
        (".", "."),
        ("www.shop.co.uk.", "shop.co.uk."),
        ("a.b.shop.co.uk.", "shop.co.uk."),
        ("shop.co.uk.", "shop.co.uk."),
        ("co.uk.", "co.uk."),
        ("uk.", "uk."),
        ("www.shop.com.co.", "shop.com.co."),
        ("www.uni.ac.jp.", "uni.ac.jp."),
        ("www.t.co.", "t.co."),  # two letters, and no label of many
        ("www.co.example.", "co.example."),  # no country
        ("www.net.org.", "net.org."),
        ("www.company.uk.", "company.uk."),
        ("www.shop.go.kr.", "shop.go.kr."),
    ],
)
def test_of_a_name(name, owner):
    assert to_text(domain(from_text(name))) == owner


ONE, OTHER = from_text("www.one.co.uk"), from_text("www.other.co.uk")


def test_a_slow_one_stops_no_other():
    slow = SlowDomains()
    slow.raced(ONE, 3, 0.0, won=False)
    assert slow.blocked(ONE, 1.0, failing=False)
    assert not slow.blocked(OTHER, 1.0, failing=False)
    slow.quick(OTHER)
    assert slow.blocked(ONE, 1.0, failing=False)


def test_a_private_address_in_one_makes_no_other_private():
    private = PrivateNames()
    assert private.learn_address(ONE, 0.0) == from_text("one.co.uk")
    assert private.is_private(ONE, 1.0)
    assert not private.is_private(OTHER, 1.0)
    assert private.learn_split(OTHER, None, 0.0) == from_text("other.co.uk")


def test_two_of_a_country_are_two_that_are_silent():
    silence = Silence()
    for name in (ONE, ONE, ONE, OTHER):
        silence.sent(name, 1.0)
    assert silence.due == 1.3
    silence.clear()
    for _ in range(4):
        silence.sent(ONE, 1.0)
    assert silence.due > 2.0
