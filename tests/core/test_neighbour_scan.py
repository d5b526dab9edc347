"""The scan: everybody once a pass, the new first, a bounded number of looks a visit."""

import random

import pytest

from codns.core.neighbour_scan import FAST_S, SLOW_S, Scan
from codns.core.peer_state import Peer


def peers(count: int, first: int = 0) -> list[Peer]:
    return [
        Peer(f"10.0.{number // 256}.{number % 256}:1") for number in range(first, first + count)
    ]


def walk(scan: Scan, visits: int) -> list[str]:
    visited = [scan.visit(lambda peer: True, 1) for _ in range(visits)]
    return [peer.address for peer in visited if peer is not None]


@pytest.mark.parametrize("size", [1, 2, 10, 1000])
def test_each_pass_comes_by_everybody_once_in_another_order(size):
    scan = Scan(random.Random(1))
    everybody = peers(size)
    scan.set_list([], everybody)
    passes = [walk(scan, size) for _ in range(3)]
    for order in passes:
        assert sorted(order) == sorted(peer.address for peer in everybody)
    assert size < 10 or (passes[0] != passes[1] != passes[2])


def test_fast_until_the_list_was_seen_once():
    scan = Scan(random.Random(1))
    scan.set_list([], peers(3))
    paces = []
    for _ in range(5):
        paces.append(scan.pace_s)
        walk(scan, 1)
    assert paces == [FAST_S] * 3 + [SLOW_S] * 2


def test_the_new_are_seen_next_and_fast():
    scan = Scan(random.Random(1))
    old = peers(20)
    scan.set_list([], old)
    walk(scan, 25)
    new = peers(3, first=20)
    scan.set_list(old[:2], new)
    assert scan.pace_s == FAST_S
    assert sorted(walk(scan, 3)) == [peer.address for peer in new]
    assert scan.pace_s == SLOW_S
    assert sorted(walk(scan, 18)) == sorted(peer.address for peer in old[2:])
    assert len(scan) == 21


def test_a_list_that_changes_in_the_first_pass_is_still_seen_fast():
    scan = Scan(random.Random(1))
    first = peers(10)
    scan.set_list([], first)
    seen = walk(scan, 4)
    waiting = [peer for peer in first if peer.address not in seen]
    new = peers(2, first=10)
    scan.set_list(waiting[:1], new)
    expected = sorted(peer.address for peer in [*waiting[1:], *new])
    fast = []
    while scan.fast:
        fast += walk(scan, 1)
    assert sorted(fast) == expected


def test_looks_are_bounded():
    scan = Scan(random.Random(1))
    scan.set_list([], peers(1000))
    assert scan.visit(lambda peer: False, 20) is None
    assert scan.looked == 20


def test_a_short_list_is_not_gone_round_twice():
    scan = Scan(random.Random(1))
    scan.set_list([], peers(3))
    assert scan.visit(lambda peer: False, 20) is None
    assert scan.looked == 3


def test_an_empty_list():
    scan = Scan(random.Random(1))
    assert scan.visit(lambda peer: True, 20) is None
    old = peers(2)
    scan.set_list([], old)
    scan.set_list(old, [])
    assert scan.visit(lambda peer: True, 20) is None
