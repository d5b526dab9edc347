"""Nothing is ranked anew while nobody crosses the line, and a ranking would change nothing."""

import random

import pytest
from neighbour_world import Far, World, address

from codns.core.neighbour_choice import RESERVE, rank
from codns.core.neighbours import NEIGHBOURS, Neighbours


def would_be(node: Neighbours, now: float) -> tuple[set[str], set[str], str | None]:
    """Return neighbours, reserve and its last, if they were ranked now."""
    pool = node.neighbours + node._reserve.peers
    distinct, rest = rank(pool, node.mine, now, settled=node._settled)
    ranked = distinct + rest
    kept = [peer for peer in ranked[node.count :] if peer.usable][:RESERVE]
    last = kept[-1].address if len(kept) == RESERVE and kept[-1] in distinct else None
    chosen = {peer.address for peer in ranked[: node.count]}
    return chosen, {peer.address for peer in kept}, last


def are(node: Neighbours) -> tuple[set[str], set[str], str | None]:
    """Return the same as they are."""
    reserve = node._reserve
    chosen = {peer.address for peer in node.neighbours}
    full = len(reserve) == RESERVE
    last = reserve._last.address if full and reserve._last is not None else None
    return chosen, {peer.address for peer in reserve.peers}, last


def check(world: World) -> bool:
    """Return whether nothing is to be ranked; then a ranking changes nothing."""
    if not world.node._reserve.same(world.now):
        return False
    assert are(world.node) == would_be(world.node, world.now)
    return True


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shared", [1, 3], ids=["own nameservers", "three to one"])
def test_a_ranking_would_change_nothing(seed, shared):
    """All that peers report changes at random; each step by little or by much."""
    rng = random.Random(seed)
    world = World(seed)
    world.listed({
        address(number): Far(rng.uniform(0.001, 0.110), rng.uniform(0.001, 0.040),
                             nameserver=f"ns{number // shared}")
        for number in range(80)
    })  # fmt: skip
    world.run(10.0)
    same = 0
    for step in range(600):
        far = world.far[rng.choice(list(world.far))]
        change = rng.randrange(11)
        if change == 0:
            far.failing = not far.failing
        elif change == 1:
            far.alive = not far.alive
        elif change == 2:
            far.rtt_s = rng.uniform(0.001, 0.110)
        elif change == 3:
            far.full = not far.full
        elif change == 4 and not rng.randrange(3):
            far.nameserver = f"other{step}" if shared == 1 else rng.choice(list(world.far))
        elif change == 6:
            world.do(world.node.full(rng.choice(list(world.far)), world.now))
        elif change == 5 and not rng.randrange(20):
            world.do(world.node.set_nameservers(frozenset({f"mine{step}".encode()}), world.now))
        else:
            far.mean_s = max(0.0, far.mean_s + rng.gauss(0.0, 0.004))
        world.run(10.0 + 0.5 * step)
        same += check(world)
    assert (same > 50) if shared == 1 else same == 0  # else nothing was shown


def quiet() -> World:
    world = World()
    world.fleet(60, rtt_s=lambda number: 0.001 + 0.001 * number)
    world.run(120.0)
    assert world.node._reserve.same(world.now)
    return world


def step_by_step(world: World, seconds: float) -> None:
    for _ in range(int(10 * seconds)):
        world.run(world.now + 0.1)
        check(world)


def test_a_neighbour_that_moves_to_anothers_nameserver_makes_room():
    world = quiet()
    one, other = world.node.neighbours[:2]
    world.far[one.address].nameserver = world.far[other.address].nameserver
    step_by_step(world, 4.0)
    assert len({tuple(peer.nameservers) for peer in world.node.neighbours}) == NEIGHBOURS


def test_one_of_the_reserve_that_moves_to_our_own_is_of_no_use():
    world = quiet()
    world.node.mine = frozenset({b"ours"})
    for peer in world.node._reserve.peers:
        world.far[peer.address].nameserver = "ours"
    step_by_step(world, 60.0)


def test_one_of_the_reserve_that_says_full_is_in_it_no_more():
    world = quiet()
    peer = world.node._reserve.peers[3]
    world.do(world.node.full(peer.address, world.now))
    check(world)
    assert not peer.reserve
    assert peer not in world.node._reserve.peers


def test_in_a_quiet_fleet_nothing_is_ranked_anew():
    world = World()
    world.fleet(60, rtt_s=lambda number: 0.001 + 0.001 * number)
    world.run(120.0)
    ranked = world.node._ranked
    heard = sum(len(far.heard) for far in world.far.values())
    world.run(420.0)
    assert sum(len(far.heard) for far in world.far.values()) > heard + 1700
    # The reserve is looked through for whom to hear every other second, and the pool hardly ever
    assert world.node._ranked - ranked < RESERVE * 150 + 5 * (RESERVE + NEIGHBOURS + 1)
