"""A mistake of ours costs the message that met it, and no place among those who wait."""

import pytest
from node_world import World, answers, silent
from scripted_peers import MET_S, fixed, scripted

from codns.core import answering
from codns.core.mending import MEND_S, mend
from codns.core.resolver import Resolver
from codns.core.state import CLIENTS_MAX_ADDRESS

NAME = "www.name.example"


class OopsError(Exception):
    """What nobody foresaw."""


def broken(*_, **__):
    raise OopsError


@pytest.mark.parametrize("where", ["_made", "_try", "_schedule"])
def test_who_met_a_mistake_gives_the_place_back(monkeypatch, where):
    world = World({"192.0.2.53#53": answers(0.01)})
    with monkeypatch.context() as patch:
        patch.setattr(Resolver, where, broken)
        for number in range(CLIENTS_MAX_ADDRESS):
            world.ask(f"n{number}.example", client=f"c{number}")
            with pytest.raises(OopsError):
                world.run(0.0)
            world.node.mistaken(0.0)
    assert world.node.outstanding == CLIENTS_MAX_ADDRESS
    world.ask("n0.example", client="before")
    world.ask("n0.example", client="after", at=MEND_S + 0.1)
    world.run(2.0)
    told = {got.client: got.rcode for got in world.got}
    assert (told["before"], told["after"]) == ("SERVFAIL", "NOERROR")
    assert not world.node._state._waiting


def test_who_waits_in_peace_goes_on_waiting(monkeypatch):
    world = World({"192.0.2.53#53": answers(0.2)})
    world.ask("one.example", client="one")
    world.run(0.1)
    with monkeypatch.context() as patch:
        patch.setattr(Resolver, "_try", broken)
        world.ask("two.example", client="two")
        with pytest.raises(OopsError):
            world.run(0.1)
    assert world.node.outstanding == 2
    assert mend(world.node._resolver) == 1
    assert world.node.outstanding == 1
    world.run(1.0)
    assert world.times == [(0.2, "NOERROR")]
    assert mend(world.node._resolver) == 0


def test_an_answer_that_cannot_be_given(monkeypatch):
    """The lookup is closed by then, and those behind the mistake have still a place each."""
    world = World({"192.0.2.53#53": answers(0.01)})
    for number in range(3):
        world.ask(NAME, client=f"c{number}")
    with monkeypatch.context() as patch:
        patch.setattr(answering, "plain_answer", broken)
        with pytest.raises(OopsError):
            world.run(1.0)
    assert world.node.outstanding == 3
    mend(world.node._resolver)
    assert world.node.outstanding == 0


def test_attempts_at_peers_are_forgotten_with_their_race(monkeypatch):
    cluster, _ = scripted(silent, [silent], count=3, settings=fixed(0.05))
    cluster.run(MET_S)
    cluster.ask(0, NAME)
    cluster.run(MET_S + 0.2)
    node = cluster[0].node
    (lookup,) = node._resolver.lookups.values()
    for timed in (lookup, lookup.race):  # as after an exception in their own deadline
        node._state.timers.set(timed, float("inf"))
    assert mend(node._resolver) == 1
    assert not cluster[0].fleet.attempts
    assert not lookup.race.attempts
    assert node.outstanding == 0
