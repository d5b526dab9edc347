"""A mistake of ours costs the message that met it, and no place among those who wait."""

import math
import random

import pytest
from node_world import World, answers, silent
from scripted_peers import MET_S, fixed, scripted

from codns.core import answering
from codns.core.mending import MEND_S, mend
from codns.core.messages import Query, Status
from codns.core.neighbours import Neighbours
from codns.core.node import PURGE_S, Node, _Periodic
from codns.core.probe import Prober
from codns.core.probing import Watch
from codns.core.remote import REMOTE_TIMEOUT_S
from codns.core.resolver import Resolver
from codns.core.serving import WINDOW_START
from codns.core.settings import PeerSettings, Settings
from codns.core.state import CLIENTS_MAX_ADDRESS
from codns.core.timers import AGAIN_S

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


def test_who_is_answered_in_portions_waits_until_it_is_that_turn():
    world = World({"192.0.2.53#53": answers(0.01)})
    for ident in range(1, 301):
        world.ask(NAME, client="c", ident=ident)
    world.run(0.01)
    left = world.node.outstanding
    assert 0 < left < 300
    assert mend(world.node._resolver) == 0
    assert world.node.outstanding == left
    world.run(1.0)
    assert len(world.got) == 300
    assert world.node.outstanding == 0
    assert not world.node._state._waiting
    assert not world.node._state.portions.under_way


def test_a_portion_that_met_a_mistake_gives_its_places_back(monkeypatch):
    world = World({"192.0.2.53#53": answers(0.01)})
    for ident in range(1, 301):
        world.ask(NAME, client="c", ident=ident)
    world.run(0.01)
    with monkeypatch.context() as patch:
        patch.setattr(answering, "plain_answer", broken)
        with pytest.raises(OopsError):
            world.run(1.0)
    assert world.node.outstanding > 0
    mend(world.node._resolver)
    assert world.node.outstanding == 0
    assert not world.node._state.portions.under_way


@pytest.mark.parametrize("where", ["_made", "_try"])
def test_a_place_in_the_window_for_peers_is_given_back(monkeypatch, where):
    me, peers = "192.0.2.1:7353", [f"192.0.2.{number}:7353" for number in range(2, 10)]
    settings = Settings(nameservers=("192.0.2.53#53",), peers=PeerSettings(me), probe=False)
    node = Node(settings, random.Random(1), 0.0)
    serving = node._helping.serving
    with monkeypatch.context() as patch:
        patch.setattr(Resolver, where, broken)
        for number in range(WINDOW_START):
            name = b"\3www\2%02d\7example\0" % number
            with pytest.raises(OopsError):
                node.peer_message(Query(number, name, 1, 1, False, False), peers[number % 8], 0.0)
            node.mistaken(0.0)
    assert serving.in_service == WINDOW_START
    asked = Query(99, b"\3www\5later\7example\0", 1, 1, False, False)
    told = node.peer_message(asked, peers[0], 0.5) + node.handle_timeout(0.7)
    assert told[-1].message.status is Status.BUSY
    node.handle_timeout(MEND_S)
    assert serving.in_service == 0
    node.peer_message(asked, peers[0], 1.5)
    assert serving.in_service == 1
    mend(node._resolver)
    assert serving.in_service == 1  # in peace
    node.handle_timeout(1.5 + REMOTE_TIMEOUT_S)
    assert serving.in_service == 0


def test_an_entry_whose_refresh_was_lost_is_refreshed_again(monkeypatch):
    world = World({"192.0.2.53#53": answers(0.01, ttl=100)})
    for at in (0.0, 50.0, 51.0):
        world.ask(NAME, at=at)
    world.run(60.0)
    with monkeypatch.context() as patch:
        patch.setattr(Resolver, "_try", broken)
        world.ask(NAME, at=95.0)
        with pytest.raises(OopsError):
            world.run(95.0)
    assert mend(world.node._resolver) == 1
    world.ask(NAME, at=96.0)
    world.run(97.0)
    assert [at for at, _ in world.asked] == [0.0, 96.0]


def failed(timed, timers, now):
    """Let its deadline come, and its work fail; return when it comes again."""
    timers.set(timed, now)
    with pytest.raises(OopsError):
        timers.fire(now)
    return timed.due


def test_what_is_done_now_and_then_goes_on_after_a_mistake(monkeypatch):
    cluster, _ = scripted(answers(0.01), [silent], count=3, settings=fixed(0.05) | {"probe": True})
    cluster.run(MET_S)
    now, node = cluster.now, cluster[0].node
    neighbours, timers = cluster[0].fleet.neighbours, node._state.timers
    beats = [alarm for alarm in neighbours._beats if alarm.due != math.inf]
    assert len(beats) == 3
    probes = [timed for _, _, timed in timers._heap if isinstance(timed, Watch)]
    monkeypatch.setattr(Neighbours, "_send", broken)
    monkeypatch.setattr(Neighbours, "_next_to_hear", broken)
    monkeypatch.setattr(Prober, "handle_timeout", broken)
    for alarm in beats:
        assert 0.5 < (failed(alarm, neighbours._timers, now) - now) / neighbours.heartbeat_s < 1.5
    assert failed(neighbours._scan_alarm, neighbours._timers, now) == now + 1.0
    assert failed(_Periodic(node._state, PURGE_S, broken), timers, now) == now + PURGE_S
    assert probes
    assert failed(probes[0], timers, now) == now + AGAIN_S
