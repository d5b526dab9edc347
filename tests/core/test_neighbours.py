"""Neighbours in virtual time: start, heartbeats, death and return, what peers report."""

from itertools import pairwise
from math import isclose

import pytest
from msgspec.structs import replace
from neighbour_world import ME, Far, World, address, report

from codns.core.neighbour_effects import Chosen, Dropped, PeerDown, PeerUp, SendHeartbeat
from codns.core.neighbours import NEIGHBOURS
from codns.core.peer_state import Why

WWW = b"\x03www\x07example\x00"
GOOD = report()


def times(world: World, number: int, since: float = 0.0) -> list[float]:
    return [time for time, _ in world.far[address(number)].heard if time >= since]


# Start


def test_the_first_neighbour_is_there_after_one_rtt():
    world = World()
    world.fleet(3)
    world.run(0.2)
    assert world.chosen() == [address(0), address(1), address(2)]
    chosen = [time for time, _ in world.since(0.0, Chosen)]
    assert chosen == [0.020, 0.070, 0.120]  # the quick scan, 20 a second
    assert len(world.node.eligible(WWW, world.now)) == 3


def test_ourselves_is_skipped():
    world = World()
    world.fleet(3)
    assert ME not in world.node.peers
    assert world.node.listed
    world.do(world.node.set_list([address(0)], 0.0))
    assert not world.node.listed


def test_the_list_is_seen_at_20_a_second_then_one_a_second():
    world = World()
    world.fleet(100)
    world.run(60.0)
    scans = [
        time
        for time, effect in world.since(0.0, SendHeartbeat)
        if not effect.neighbour
    ]  # fmt: skip
    fast = [time for time in scans if time < 5.0]
    assert len(fast) == 100
    assert fast == pytest.approx([number * 0.05 for number in range(100)])
    assert len(scans) - len(fast) == 55  # one a second from 5.95 s on
    assert {len(far.heard) > 0 for far in world.far.values()} == {True}


def test_the_ten_nearest_are_chosen_from_the_first_pass():
    world = World()
    world.fleet(60, rtt_s=lambda number: 0.010 + 0.006 * (number * 7 % 60))
    world.run(10.0)
    nearest = sorted(world.far, key=lambda peer: world.far[peer].rtt_s)[:NEIGHBOURS]
    assert world.chosen() == sorted(nearest)


def test_different_nameservers_first():
    """Three sites of 20 nodes with a nameserver each: all three are among the ten."""
    world = World(mine=frozenset({b"ns0"}))
    world.listed({
        address(number): Far(0.001 + 0.01 * (number // 20), nameserver=f"ns{number // 20}")
        for number in range(60)
    })  # fmt: skip
    world.run(10.0)
    nameservers = {world.far[peer].nameserver for peer in world.chosen()}
    assert nameservers == {"ns1", "ns2"}  # and none behind our own: it never helps
    assert len(world.node.eligible(WWW, world.now)) == 10


def test_a_fleet_behind_our_own_nameserver_is_watched_and_never_asked():
    world = World(mine=frozenset({b"ns"}))
    world.listed({address(number): Far(nameserver="ns") for number in range(3)})
    world.run(5.0)
    assert len(world.chosen()) == 3
    assert world.node.eligible(WWW, world.now) == []
    whys = {standing.why for standing in world.node.standings(WWW, world.now)}
    assert whys == {Why.SAME_NAMESERVER}
    world.do(world.node.set_nameservers(frozenset({b"other"}), world.now))
    assert len(world.node.eligible(WWW, world.now)) == 3


# Heartbeats


def test_each_neighbour_every_2_s_and_staggered():
    world = World()
    world.fleet(10)
    world.run(30.0)
    sent = world.since(10.0, SendHeartbeat)
    assert all(effect.neighbour for _, effect in sent)
    for number in range(10):
        beats = times(world, number, since=10.0)
        assert len(beats) == 10
        assert [b - a for a, b in pairwise(beats)] == pytest.approx([2.0] * 9)
    gaps = [b - a for (a, _), (b, _) in pairwise(sent)]
    assert gaps == pytest.approx([0.2] * len(gaps), abs=1e-5)


def test_a_lost_heartbeat_excludes_until_the_next():
    world = World()
    world.fleet(3)
    world.run(10.0)
    world.far[address(1)].alive = False
    while not times(world, 1, since=10.0):
        world.run(world.now + 0.05)
    lost = times(world, 1)[-1]
    world.run(lost + 0.249)
    assert world.peer(1) in world.node.eligible(WWW, world.now)
    world.run(lost + 0.25)
    assert world.peer(1) not in world.node.eligible(WWW, world.now)
    world.run(lost + 1.9)
    world.far[address(1)].alive = True
    world.run(lost + 2.019)
    assert world.peer(1) not in world.node.eligible(WWW, world.now)
    world.run(lost + 2.021)
    assert world.peer(1) in world.node.eligible(WWW, world.now)
    assert world.since(5.0) == []  # nobody was told, nothing changed


def test_down_replaced_retried_up():
    world = World()
    world.fleet(12, rtt_s=lambda number: 0.010 + 0.010 * number)
    world.run(10.0)
    assert address(0) in world.chosen()
    world.far[address(0)].alive = False
    world.run(20.0)
    last = times(world, 0, since=10.0)
    down = world.since(10.0, PeerDown)
    assert [time for time, _ in down] == pytest.approx([last[2] + 0.25])
    assert down[0][1].neighbour
    (at, dropped), (_, chosen) = world.since(10.0, Dropped, Chosen)
    assert (at, dropped) == (down[0][0], Dropped(address(0), "down"))
    assert chosen.peer == address(10)  # the best of the reserve, at the same instant
    retries = times(world, 0, since=down[0][0])
    assert retries[0] == pytest.approx(down[0][1].retry_at)
    assert 3.0 <= retries[0] - down[0][0] <= 4.0

    world.far[address(0)].alive = True
    world.run(60.0)
    up = world.since(20.0, PeerUp)
    assert [effect for _, effect in up] == [PeerUp(address(0))]
    answered = [time for time in times(world, 0) if time < up[0][0]][-2:]
    assert answered[1] - answered[0] == pytest.approx(2.0 + 0.010)  # one, and 2 s later the other
    assert address(0) in world.chosen()


def test_back_off_of_a_dead_neighbour():
    world = World()
    world.fleet(3)
    world.run(10.0)
    world.far[address(0)].alive = False
    world.run(400.0)
    tries = times(world, 0, since=world.since(10.0, PeerDown)[0][0])
    waits = [b - a for a, b in pairwise(tries)]
    for wait, longest in zip(waits, [8, 16, 32, 60, 60], strict=False):
        assert 0.75 * longest <= wait - 0.25 <= longest
    assert max(waits) <= 60.25


def test_a_peer_dead_from_the_start_is_not_scanned_each_second():
    """spegel 1258: dead entries of the list must not cost what live ones do."""
    world = World()
    world.fleet(4)
    world.far[address(0)].alive = False
    world.run(130.0)
    assert len(times(world, 0)) == 8  # three, then after 4, 8, 16, 32, 60 s
    down = world.since(0.0, PeerDown)
    assert [(effect.peer, effect.neighbour) for _, effect in down] == [(address(0), False)]
    world.far[address(0)].alive = True
    world.run(200.0)
    assert address(0) in world.chosen()


def test_a_dead_reserve_is_passed_over_without_waiting_for_three():
    world = World()
    world.fleet(12, rtt_s=lambda number: 0.010 + 0.010 * number)
    world.run(20.0)
    reserve = [peer.address for peer in world.node._reserve.peers]
    assert reserve == [address(10), address(11)]
    world.peer(10).heard_at = -100.0  # heard long ago, as in a long list
    for number in (0, 10):
        world.far[address(number)].alive = False
    world.run(40.0)
    # either the scan finds it dead first, or it is chosen, silent, and passed over
    assert address(11) in world.chosen()
    assert address(10) not in world.chosen()


def test_unheard_since_chosen_is_not_asked():
    world = World()
    world.fleet(12, rtt_s=lambda number: 0.010 + 0.010 * number)
    world.run(20.0)
    now = world.now
    world.peer(10).heard_at = now - 60.0
    world.far[address(10)].alive = False
    victim = world.peer(0)
    world.do(world.node.full(victim.address, now))
    assert world.since(now, Dropped, Chosen)[0][1] == Dropped(victim.address, "full")
    assert address(10) in world.chosen()
    whys = {s.peer.address: s.why for s in world.node.standings(WWW, now)}
    assert whys[address(10)] is Why.UNHEARD
    world.run(now + 0.5)
    dropped = world.since(now, Dropped)[-1]
    assert dropped[1] == Dropped(address(10), "silent")
    assert dropped[0] == pytest.approx(now + 4 * 0.110)
    assert address(11) in world.chosen()


def test_a_heartbeat_from_the_dead_is_answered_by_a_try_at_once():
    """A healed partition: whoever's timer is first wakes both sides."""
    world = World()
    world.fleet(3)
    world.run(10.0)
    world.far[address(0)].alive = False
    world.run(100.0)
    world.far[address(0)].alive = True
    before = len(times(world, 0))
    full, effects = world.node.heartbeat(address(0), 100.0, GOOD, neighbour=True)
    assert not full
    world.do(effects)
    assert [type(effect) for effect in effects] == [SendHeartbeat]
    world.do(world.node.heartbeat(address(0), 100.0, GOOD, neighbour=True)[1])
    assert len(times(world, 0)) == before + 1  # not twice
    world.run(102.1)
    assert [time for time, _ in world.since(100.0, PeerUp)] == pytest.approx([102.04])


def test_all_answers_late_after_our_own_stall_cost_nothing():
    world = World()
    world.fleet(10)
    world.run(10.1)
    assert len(world.node.heartbeats) == 1  # its answer arrives at 10.11
    world.now = 13.0  # we did not run for 2.9 s
    world.do(world.node.handle_timeout(13.0))
    world.run(13.3)
    assert len(world.node.eligible(WWW, world.now)) == 10
    assert all(peer.srtt == pytest.approx(0.020) for peer in world.node.neighbours)
    world.run(30.0)
    assert world.since(10.0) == []
    gaps = [time for time, _ in world.since(13.3, SendHeartbeat)]
    assert len(gaps) <= 10 * 9  # beats that were missed are not made up for


def test_a_peer_that_did_not_know_us_costs_one_rtt():
    world = World()
    world.fleet(3, knows_us=False)
    world.run(0.3)
    assert [time for time, _ in world.since(0.0, Chosen)] == pytest.approx([0.04, 0.09, 0.14])
    assert not any(peer.missing for peer in world.node.peers.values())


# Reports


def test_a_failing_peer_is_not_asked_and_after_10_s_replaced():
    world = World()
    world.fleet(12, rtt_s=lambda number: 0.010 + 0.010 * number)
    world.run(10.0)
    world.far[address(0)].failing = True
    world.run(12.1)
    assert world.peer(0).why(frozenset(), world.now, validating=False) is Why.FAILING
    world.run(19.0)
    assert address(0) in world.chosen()
    world.run(30.0)
    assert address(0) not in world.chosen()
    world.far[address(0)].failing = False
    world.run(60.0)
    assert address(0) in world.chosen()


def test_what_a_peer_says_in_its_own_heartbeat_counts_too():
    world = World()
    world.fleet(3)
    world.run(5.0)
    world.node.heartbeat(address(0), 5.0, replace(GOOD, failing=True), neighbour=True)
    assert world.peer(0) not in world.node.eligible(WWW, 5.0)


def test_full_peers_are_left_for_others():
    world = World()
    world.fleet(12, rtt_s=lambda number: 0.010 + 0.010 * number)
    world.run(10.0)
    world.far[address(0)].full = True
    world.run(13.0)
    assert [effect for _, effect in world.since(10.0, Dropped)] == [Dropped(address(0), "full")]
    assert len(world.chosen()) == 10
    world.run(60.0)
    assert address(0) not in world.chosen()
    world.far[address(0)].full = False
    world.run(90.0)
    assert address(0) in world.chosen()


def test_the_65th_is_told_full():
    world = World()
    world.fleet(70)
    answers = [
        world.node.heartbeat(address(number), 1.0, GOOD, neighbour=True)[0]
        for number in range(70)
    ]  # fmt: skip
    assert answers == [False] * 64 + [True] * 6


def test_strangers_are_told_full_and_change_nothing():
    world = World()
    world.fleet(3)
    assert world.node.heartbeat("203.0.113.1:7353", 0.0, GOOD, neighbour=True) == (True, [])
    assert world.node.challenged("203.0.113.1:7353", 0.0) == []
    assert world.node.full("203.0.113.1:7353", 0.0) == []
    assert world.node.heartbeat_answered("203.0.113.1:7353", 1, 0.0, GOOD, full=False) == []
    assert len(world.node.seats) == 0


def test_scores_are_of_what_was_heard():
    world = World()
    world.fleet(1)
    world.run(1.0)
    assert isclose(world.peer(0).score, 0.025)
