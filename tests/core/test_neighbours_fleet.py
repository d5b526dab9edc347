"""Neighbours when the list changes, when fleets break and heal; what it costs; determinism."""

import os
import random
import subprocess
import sys
from pathlib import Path

import neighbour_world
import pytest
from neighbour_world import ME, Far, World, address, report, transcript

from codns.core.neighbour_effects import Chosen, Dropped, SendHeartbeat
from codns.core.neighbours import NEIGHBOURS, Neighbours

WWW = b"\x03www\x07example\x00"
GOOD = report()


# The list


def test_peers_that_stay_listed_keep_their_state():
    world = World()
    world.fleet(6)
    world.run(10.0)
    kept = {number: world.peer(number) for number in range(2, 6)}
    slots = {number: peer.slot for number, peer in kept.items()}
    world.listed({address(number): Far() for number in range(2, 9)})
    for number, peer in kept.items():
        assert world.peer(number) is peer
        assert peer.slot == slots[number]
    dropped = [effect for _, effect in world.since(10.0, Dropped)]
    assert dropped == [Dropped(address(0), "unlisted"), Dropped(address(1), "unlisted")]
    world.run(10.2)
    assert world.chosen() == sorted(address(number) for number in range(2, 9))
    new = [time for time, effect in world.since(10.0, Chosen)]
    assert new == pytest.approx([10.02, 10.07, 10.12])  # the quick pace again


def test_the_same_list_again_changes_nothing():
    world = World()
    world.fleet(6)
    world.run(10.0)
    timeout = world.node.next_timeout()
    assert world.node.set_list([ME, *reversed(world.far)], 10.0) == []
    assert world.node.next_timeout() == timeout


def test_answers_from_the_unlisted_are_nothing():
    world = World()
    world.fleet(3)
    world.run(10.0)
    effects = world.node.handle_timeout(world.node.next_timeout())
    world.do(world.node.set_list([], 10.5))
    sent = [effect for effect in effects if isinstance(effect, SendHeartbeat)]
    for effect in sent:
        assert (
            world.node.heartbeat_answered(effect.peer, effect.token, 10.6, GOOD, full=False) == []
        )
    assert world.node.eligible(WWW, 10.6) == []
    world.run(60.0)
    assert world.since(10.6) == []
    assert world.node.next_timeout() is None


def test_an_empty_list_has_nothing_to_do():
    world = World()
    assert world.node.next_timeout() is None
    world.listed({})
    assert world.node.next_timeout() is None
    assert world.node.eligible(WWW, 0.0) == []


def test_removing_a_neighbour_moves_only_its_names():
    world = World()
    world.fleet(10)
    world.run(5.0)
    names = [b"\x04" + b"%04d" % number + b"\0" for number in range(200)]
    before = {name: [p.address for p in world.node.eligible(name, 5.0)] for name in names}
    world.do(world.node.set_list([address(number) for number in range(1, 10)], 5.0))
    for name in names:
        after = [peer.address for peer in world.node.eligible(name, 5.0)]
        assert after == [peer for peer in before[name] if peer != address(0)]


# Fleet-sized events


def test_a_partition_of_all_and_its_end():
    world = World()
    world.fleet(30)
    world.run(20.0)
    for far in world.far.values():
        far.alive = False
    world.run(600.0)
    assert world.chosen() == []
    assert len(world.node._returns) <= NEIGHBOURS
    for far in world.far.values():
        far.alive = True
    world.run(665.0)  # the longest back-off, its confirmation
    assert len(world.chosen()) == NEIGHBOURS
    assert len(world.node.eligible(WWW, world.now)) == NEIGHBOURS


@pytest.mark.parametrize("size", [10, 100, 1000])
def test_cost_is_of_the_neighbours_not_of_the_fleet(size):
    """Heartbeats and peers looked at, per second and per call, for lists of 10, 100, 1,000."""
    world = World()
    world.fleet(size, rtt_s=lambda number: 0.010 + 0.001 * (number % 50))
    for number in range(0, size, 4):  # a quarter of the fleet is dead
        world.far[address(number)].alive = False
    world.run(60.0)
    sent, looked = len(world.log), world.node.looked
    world.run(160.0)
    beats = [effect for _, effect in world.log[sent:] if isinstance(effect, SendHeartbeat)]
    assert len(beats) / 100 <= NEIGHBOURS / 2 + 1 + 0.5  # and those that change places or return
    assert (
        world.node.looked - looked
    ) / 100 <= 2 * NEIGHBOURS + 30 + 20 + 1  # scan, rank, reserve
    for _ in range(200):  # the most in any one call
        looked = world.node.looked
        world.run(world.node.next_timeout())
        assert world.node.looked - looked <= 2 * NEIGHBOURS + 20 + 3 * 31
    looked = world.node.looked
    assert len(world.node.standings(WWW, world.now)) <= 2 * NEIGHBOURS
    assert world.node.looked == looked
    assert len(world.node._timers) <= 4 * NEIGHBOURS + 40


def test_a_long_lists_reserve_is_kept_fresh():
    world = World()
    world.fleet(1000)
    world.run(200.0)
    assert len(world.node._reserve.peers) == 20
    assert all(world.now - peer.heard_at < 45.0 for peer in world.node._reserve.peers)


def test_neighbours_spread_over_equally_near_peers():
    """100 nodes on a LAN: nobody is chosen by more than a third of them, nobody by none."""
    addresses = [address(number) for number in range(100)]
    wanted = dict.fromkeys(addresses, 0)
    for me in addresses:
        world = World()
        world.node = Neighbours(me, random.Random(me))
        world.far = {peer: Far(0.001, nameserver=peer) for peer in addresses}
        world.do(world.node.set_list(addresses, 0.0))
        world.run(5.2)
        for peer in world.chosen():
            wanted[peer] += 1
    assert sum(wanted.values()) == 1000
    assert min(wanted.values()) >= 1
    assert max(wanted.values()) <= 25


# Determinism


def test_another_seed_is_another_transcript_the_same_seed_the_same():
    assert transcript(1) == transcript(1)
    assert transcript(1) != transcript(2)


@pytest.mark.parametrize("seed", [1, 2])
def test_no_hash_seed_matters(seed):
    program = Path(neighbour_world.__file__)
    outputs = {
        subprocess.run(
            [sys.executable, str(program), str(seed)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(program.parents[2])},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert outputs == {transcript(seed) + "\n"}
