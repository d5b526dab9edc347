"""Peers and links that misbehave while node 0 needs them.

Node 0's nameserver dies at 6 s. What the others do, or the links to them, must not reach its
clients; how much later they may be answered is written with each case.
"""

import random

import pytest
from cluster_world import Cluster, address, lan
from fleet_load import load, rcodes, share, site, waits
from node_world import answers, failing, silent, until
from scripted_peers import Scripted, busy, scripted

from codns.core.messages import HeartbeatReply, HeartbeatRequest, Query, QueryReply

WELL = {n: site(n, slow=10_000) for n in range(5)}
DIES = until(6, WELL[0], silent)
NEAR = 0.002


def fleet(link=None, size=4, **options):
    behaviours = [DIES, *(WELL[n] for n in range(1, size))]
    return Cluster(behaviours, link=link or lan(NEAR), **options)


def until_when(cluster, end, rate=8):
    load(cluster, 0, 3, end, rate)
    cluster.run(end)
    cluster.finish()
    assert rcodes(cluster, 0) == {"NOERROR"}
    return waits(cluster, 0, 7.5)


# -- liars --------------------------------------------------------------------------------------


class OneIsOdd(Scripted):
    """The first of the peers behaves differently."""

    def __init__(self, odd, count=4):
        super().__init__([answers(0.008)], count=count)
        self.odd = odd

    def __call__(self, peer, message, now):
        if peer == address(1) and isinstance(message, Query):
            reaction = self.odd(self._query(message), now)
            return reaction and (reaction[0], self.reply(message, reaction[1]))
        return super().__call__(peer, message, now)


@pytest.mark.parametrize(
    ("odd", "half", "worst"),
    [
        (answers(1.9), 0.008, 0.410),  # says that it is quick and is not: one gap, 400 ms at most
        (failing(0.008), 0.008, 0.016),  # SERVFAIL to all: one round trip
        (failing(0.008, "REFUSED"), 0.008, 0.016),
        (busy(0.002), 0.008, 0.012),
        (silent, 0.008, 0.110),  # heartbeats yes, queries no: found out after three
    ],
)
def test_a_peer_that_is_of_no_use(odd, half, worst):
    peers = OneIsOdd(odd)
    listed = [address(0), *peers.addresses]
    cluster = Cluster([DIES], listed=listed, strangers=peers)
    seen = until_when(cluster, 18)
    assert share(seen, 50) <= half
    assert seen[-1] <= worst + 0.001
    own = [at for at, peer, _ in cluster[0].remote if peer == address(1) and at > 8]
    if odd is silent:
        assert len(own) <= 5


def test_all_peers_are_busy():
    """The local nameserver is asked all the same, and no client waits for another peer."""
    cluster, _ = scripted(WELL[0], [busy()], count=6, settings={"race_delay_s": 0.01})
    load(cluster, 0, 3, 8, 8)
    cluster.run(8)
    cluster.finish()
    assert waits(cluster, 0)[-1] <= 0.15


def test_a_peer_whose_nameserver_fails_as_well():
    """It says so, and is left out."""
    cluster = Cluster([DIES, until(8, WELL[1], silent), WELL[2], WELL[3]], link=lan(NEAR))
    load(cluster, 1, 3, 20, 4)
    seen = until_when(cluster, 20)
    assert rcodes(cluster, 1) == {"NOERROR"}
    assert seen[-1] <= 0.410
    assert not [at for at, peer, _ in cluster[0].remote if peer == address(1) and at > 11]


def flapping(cluster, index, begin, end, *, every=3.0):
    """Dead and alive in turn."""
    times = [begin + every * turn for turn in range(round((end - begin) / every))]
    for turn, at in enumerate(times):
        cluster.at(at, lambda dead=not turn % 2: setattr(cluster[index], "dead", dead))
    cluster.at(end, lambda: setattr(cluster[index], "dead", False))


def test_a_peer_that_flaps():
    cluster = fleet()
    flapping(cluster, 2, 7, 25)
    seen = until_when(cluster, 26, rate=6)
    assert share(seen, 90) <= 0.010
    assert seen[-1] <= 0.110  # a gap, for whom asked it before its heartbeat was missed


def test_a_node_that_restarts_is_asked_again():
    """All it knew is gone; peers find it within seconds."""
    cluster = fleet(size=2)
    cluster.at(9, lambda: cluster.kill(1))

    def born():
        cluster.members[1] = Cluster([WELL[1], WELL[1]], seed=7).members[1]
        cluster._apply(
            cluster[1], cluster[1].node.set_peers([address(0), address(1)], cluster.now)
        )

    cluster.at(13, born)
    load(cluster, 0, 3, 40, 3)
    cluster.run(40)
    cluster.finish()
    assert {got.rcode for got in cluster[0].got if not 4.5 < got.client[1] < 25} == {"NOERROR"}
    assert max(waits(cluster, 0, 25)) <= 0.010


# -- links --------------------------------------------------------------------------------------


def without(*cut, since=0.0, until=1e9):
    """No message passes between node 0 and these for a time."""

    def link(source, target, message, now):
        away = 0 in (source, target) and (source in cut or target in cut)
        return None if away and since <= now < until else NEAR

    return link


def test_a_node_with_another_key_is_as_if_it_were_not_there():
    """Mixed keys: what it says is dropped by the links (RULES 8.2), all of the time."""
    cluster = fleet(without(3))
    seen = until_when(cluster, 14)
    assert seen[-1] <= 0.010
    assert not [peer for _, peer, _ in cluster[0].remote if peer == address(3)]


def test_a_key_that_is_rolled_node_by_node():
    """Each is out of reach for half a second in turn: heartbeats are missed, nobody is down."""

    def link(source, target, message, now):
        return None if {source, target} & {1 + int(now * 2) % 3} and 8 <= now < 12 else NEAR

    cluster = fleet(link)
    seen = until_when(cluster, 16)
    assert seen[-1] <= 0.310
    assert not [note for note in cluster.notes(0) if "peer" in note[1]]


def test_a_partition_that_heals():
    cluster = fleet(without(1, 2, 3, since=9, until=20))
    load(cluster, 0, 3, 36, 4)
    cluster.run(40.5)
    cluster.finish()
    outside = [got for got in cluster[0].got if not 6 <= got.client[1] < 28]
    assert {got.rcode for got in outside} == {"NOERROR"}
    assert max(waits(cluster, 0, 28)) <= 0.010
    lost = [at for at, _, _ in cluster[0].remote if 12 < at < 20]
    assert lost == []
    ups = [at for at, event, _ in cluster.notes(0) if event == "peer answers again"]
    assert len(ups) == 3
    assert max(ups) <= 28


def test_one_way_only():
    """Node 0 hears, and is not heard: no peer is eligible, nobody waits for one."""

    def link(source, target, message, now):
        return None if source == 0 and now >= 8 else NEAR

    cluster = fleet(link)
    load(cluster, 0, 3, 20, 4)
    cluster.run(24.5)
    cluster.finish()
    assert not [at for at, _, _ in cluster[0].remote if at > 11]


def rough(seed, *, lost=0.03, copies=0.0, delay=(0.001, 0.040)):
    """Messages are lost, late, out of order and copied, by a seed."""
    rng = random.Random(seed)

    def link(source, target, message, now):
        if rng.random() < lost:
            return None
        times = tuple(rng.uniform(*delay) for _ in range(1 + (rng.random() < copies)))
        return times if len(times) > 1 else times[0]

    return link


@pytest.mark.parametrize("seed", [1, 2])
def test_messages_are_lost_late_and_out_of_order(seed):
    cluster = fleet(rough(seed))
    for other in (1, 2):
        load(cluster, other, 3, 20, 2)
    seen = until_when(cluster, 20, rate=6)
    assert share(seen, 75) <= 0.1
    assert seen[-1] <= 1.3  # several lost running: all three gaps


@pytest.mark.parametrize("seed", [3, 4])
def test_copies_of_messages_do_no_harm(seed):
    cluster = fleet(rough(seed, lost=0.02, copies=0.5))
    load(cluster, 1, 3, 16, 2)
    until_when(cluster, 16)
    assert cluster[0].fleet.counts.strays > 0


def test_a_link_of_400_ms():
    """Far peers are still better than a dead nameserver."""
    seen = until_when(fleet(lan(0.2)), 14)
    assert share(seen, 90) <= 0.42
    assert seen[-1] <= 0.9


# -- what peers may not make of us --------------------------------------------------------------


@pytest.mark.parametrize("kind", [HeartbeatRequest, HeartbeatReply, Query, QueryReply])
def test_messages_of_who_is_not_listed(kind):
    """The link drops them; core does not fall over them."""
    cluster = fleet()
    cluster.run(5)
    seen = [what[-1] for _, _, *what in cluster.transcript if isinstance(what[-1], kind)]
    message = seen[0] if seen else Scripted.query(1, b"\1a\1b\0")
    if isinstance(message, QueryReply | Query):
        message = message if isinstance(message, Query) else QueryReply(1, 2)
    cluster.checks.queries["203.0.113.99:1", getattr(message, "id", 0)] = ("a.b", "A")
    cluster.say(0, message, "203.0.113.99:1")
    cluster.run(8)
    cluster.finish()
    assert cluster[0].fleet.neighbours.peers.keys() == {address(n) for n in (1, 2, 3)}
