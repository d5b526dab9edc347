"""Every promise, broken by a node that breaks it."""

import pytest

from codns.core.messages import Query
from codns.core.model import Answer, SendPeer
from codns.sim.behaviour import answers, silent
from codns.sim.checks import ViolationError
from codns.sim.cluster import Cluster, node_address
from codns.sim.stub import Stub


class Rogue(Stub):
    """Answers as it is told: a list of (seconds to wait, change to the answer)."""

    plan = ()
    asks = ()

    def client_query(self, wire, client, now):
        self.due = [(now + wait, client, change(reply(wire))) for wait, change in self.plan]
        return [SendPeer(peer, Query(7, name, 1, 1, False, False)) for peer, name in self.asks]

    def handle_timeout(self, now):
        ready = [d for d in self.due if d[0] <= now]
        self.due = [d for d in self.due if d[0] > now]
        return [Answer(client, wire) for _, client, wire in ready]

    def next_timeout(self):
        return min((d[0] for d in getattr(self, "due", ())), default=None)


def reply(wire):
    return wire[:2] + bytes([0x81, 0x80]) + wire[4:]


def rogue(plan=(), asks=()):
    def make(settings):
        node = Rogue(settings)
        node.plan, node.asks = plan, asks
        return node

    return make


def same(wire):
    return wire


def asked(brain, seconds=10.0):
    fleet = Cluster([silent, silent], brain=brain, seed="the seed")
    fleet.ask(0, "www.example.com", at=1.0)
    return fleet.run(seconds)


def test_a_node_that_keeps_its_promises():
    assert len(asked(rogue([(4.5, same)])).checks) == 0


@pytest.mark.parametrize(
    ("plan", "what"),
    [
        ([(0.1, same), (0.2, same)], "answered client c a second time"),
        ([(4.6, same)], "answered client c 0.100000 s after its deadline"),
        ([], "has not answered client c, 9.000 s since 1.000000"),
        ([(0.1, lambda wire: b"\xff\xff" + wire[2:])], "answered with another id"),
        ([(0.1, lambda wire: wire[:2] + b"\1" + wire[3:])], "answered with another id"),
        ([(0.1, lambda wire: wire.replace(b"www", b"WWW"))], "answered with another question"),
    ],
)
def test_promises_to_clients(plan, what):
    with pytest.raises(ViolationError) as error:
        asked(rogue(plan))
    text = str(error.value)
    assert what in text
    assert "www.example.com. A (seed the seed)" in text
    assert "1.000000  0     query    c" in text  # the story


@pytest.mark.parametrize(
    ("peer", "name", "what"),
    [
        (node_address(0), b"\3www\7example\3com\0", "asked itself"),
        (node_address(1), b"\3xxx\7example\3com\0", "passed on what no client of its own"),
        (node_address(1), b"\3www\7example\3com\0", "asked a peer without having any"),
    ],
)
def test_promises_about_peers(peer, name, what):
    with pytest.raises(ViolationError, match=what):
        asked(rogue([(0.1, same)], [(peer, name)]))


def race(change, what):
    """Let a real node's race look as if a limit had been passed."""
    fleet = Cluster([silent, answers(0.02), answers(0.02)]).run(5.0)
    fleet.ask(0, "www.example.com", at=6.0)
    fleet.run(6.04)
    core = fleet[0].node._fleet
    send = core.send_query

    def sends(attempt, lookup):
        ident = send(attempt, lookup)
        change(core, attempt, ident)
        return ident

    core.send_query = sends
    with pytest.raises(ViolationError, match=what):
        fleet.run(7.0)


def contacted(core, attempt, ident):
    attempt.race.schedule.contacted = 6


def sent(core, attempt, ident):
    attempt.race.sent = 4


def forgotten(core, attempt, ident):
    core.attempts.pop(ident)


def served(core, attempt, ident):
    attempt.race.lookup.served = True


def spent(core, attempt, ident):
    core.budget._tokens = -1000


def twice(core, attempt, ident):
    attempt.race.attempts[-1] = attempt.race.attempts[-2] = attempt


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (contacted, "contacted 6 peers"),
        (sent, "sent 4 remote queries"),
        (forgotten, "asked a peer and forgot it"),
        (served, "races what a peer asked for"),
        (spent, "has -1.0 tokens"),
        (twice, "asked one peer twice"),
    ],
)
def test_promises_of_a_race(change, what):
    race(change, what)


def test_alive_again():
    fleet = Cluster([answers(0.02), silent, answers(2.0)], settings={"peers": None})
    asks = [fleet.ask(index, "www.example.com", at=1.0) for index in range(3)]
    fleet.run(6.0)
    fleet.checks.alive_again(asks[:1], 1.0)
    with pytest.raises(ViolationError, match=r"healed, and still rcode 2 after 4\.500 s"):
        fleet.checks.alive_again(asks[1:2], 5.0)
    with pytest.raises(ViolationError, match=r"healed, and still rcode 0 after 2\.000 s"):
        fleet.checks.alive_again(asks[2:], 1.0)
    fleet.stop(1)
    fleet.checks.alive_again(asks[1:2], 1.0)


def test_names_asked_for_long_ago_are_forgotten():
    fleet = Cluster([answers(0.0)], settings={"peers": None})
    for number in range(4_200):
        fleet.ask(0, f"n{number}.example.com", at=number * 0.01)
    fleet.run(60.0)
    assert len(fleet.checks._wanted[fleet[0]]) < 1_200
