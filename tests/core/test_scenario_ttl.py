"""One record, said once by one nameserver to one of three nodes: nobody has it for longer.

All nameservers are silent afterwards, and clients of all three nodes go on asking, for as long as
the record lives and on. Whatever way it takes (to a peer and back, prefetched, stale, its TTL
raised somewhere, over a restart, held, late on the way), no copy outlives it: not in a cache,
where times are exact, and not at a client, whose TTLs are whole seconds (RULES 3.3, 3.4).
"""

import random

import pytest
from cluster_world import Cluster
from node_world import answers, negative, silent, until
from scripted_peers import fixed

from codns.core.messages import QueryReply, Status
from codns.core.node import Node

NAME = "www.name.example"
WIRE = b"\3www\4name\7example\0"
SAID_S = 6.0  # when node 1 asks its nameserver: all know each other
OURS_S = 1.0  # a client's TTL is not cut short by the fraction of a second that has passed
EPSILON_S = 1e-6


def three(said, *, way=0.003, settings=None, each=None):
    """Node 1's nameserver says it until SAID_S; the two others' are silent."""
    once = until(SAID_S + 0.001, said, silent)
    common = fixed(0.0, **{"cache_stale_s": 0, "race_max_remote": 2, **(settings or {})})
    return Cluster(
        [silent, once, silent],
        link=lambda source, target, message, now: way,
        settings=common,
        each=each,
    )


def restarted(cluster, index):
    """Its cache and all it knew are gone."""
    member = cluster[index]
    member.node = Node(member.settings, random.Random(99), cluster.now)
    cluster._apply(
        member, member.node.set_peers([m.address for m in cluster.members], cluster.now)
    )


def copies(cluster, *, raised=()):
    """When each copy in a cache ends; `raised`: nodes that keep it for longer for their own."""
    for member in cluster.members:
        for key, entry in member.node._state.cache._entries.items():
            if key[:-5] == WIRE:
                assert entry.meta.origin != "raised" or member.index in raised
                yield member.index, entry


def lifetime(cluster, ttl, *, seconds, raised=(), restarts=(), seed=1):
    """Ask everywhere, look at every copy all the time; returns (node, answers)."""
    end = SAID_S + 0.01 + ttl  # the answer takes 10 ms
    rng = random.Random(seed)
    cluster.ask(1, NAME, at=SAID_S, client="first")
    for number in range(int(seconds * 3)):
        at = SAID_S + 0.05 + rng.random() * seconds
        cluster.ask(rng.randrange(3), NAME, at=at, client=number, use_edns=0)
    restarts = list(restarts)
    while cluster.now < SAID_S + seconds:
        cluster.run(cluster.now + 0.05)
        if restarts and cluster.now >= SAID_S + restarts[0][0]:
            restarted(cluster, restarts.pop(0)[1])
        for index, entry in copies(cluster, raised=raised):
            if index not in raised:
                assert entry.expires <= end + EPSILON_S, f"node {index}"
    for at, index, kind, *what in cluster.transcript:
        reply = what[-1]
        if kind == "peer" and isinstance(reply, QueryReply) and reply.status is Status.ANSWER:
            assert at + reply.ttl <= end + EPSILON_S, f"node {index} told at {at}"
    return end


def told(cluster, end, *, but=()):
    """How many good answers each node gave; none lives on at a client."""
    counts = [0, 0, 0]
    for member in cluster.members:
        for got in member.got:
            if got.rcode == "SERVFAIL":
                continue
            counts[member.index] += 1
            section = got.message.answer or got.message.authority
            if member.index not in but:
                assert got.at + section[0].ttl <= end + OURS_S + EPSILON_S, (member.index, got.at)
    return counts


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("way", [0.003, 0.4, 0.9])
@pytest.mark.parametrize(
    ("said", "ttl"),
    [(answers(0.01, ttl=12), 12), (answers(0.01, ttl=90), 90), (negative(0.01, minimum=9), 9)],
)
def test_to_peers_and_back(said, ttl, way, seed):
    cluster = three(said, way=way)
    end = lifetime(cluster, ttl, seconds=ttl + 6, seed=seed)
    counts = told(cluster, end)
    assert counts[1] > 3
    if way < 0.4:
        assert counts[0] > 3
        assert counts[2] > 3


def test_prefetched():
    """In the last tenth of its life each hit wants it anew, and nobody has it anew."""
    cluster = three(answers(0.01, ttl=60), settings={"cache_prefetch": True})
    end = lifetime(cluster, 60, seconds=70)
    told(cluster, end)
    assert any(member.node.stats.cache_prefetches for member in cluster.members)


def test_stale_answers_say_that_they_are():
    cluster = three(answers(0.01, ttl=12), settings={"cache_stale_s": 3600})
    lifetime(cluster, 12, seconds=40)
    late = [
        got
        for member in cluster.members
        for got in member.got
        if got.rcode == "NOERROR" and got.at >= SAID_S + 0.01 + 12
    ]
    assert late
    assert all(got.ttl <= 30 for got in late)
    assert {got.ede for got in late} == {3}


def test_a_raised_ttl_is_for_own_clients_only():
    cluster = three(answers(0.01, ttl=12), each={1: {"cache_min_ttl_s": 100}})
    end = lifetime(cluster, 12, seconds=30, raised=(1,))
    counts = told(cluster, end, but=(1,))
    assert counts[1] > 10
    assert counts[0] == counts[2] == 0  # node 1 has it in no other form


def test_restarts():
    """Who has lost its cache gets no more from others than they have left."""
    cluster = three(answers(0.01, ttl=60))
    end = lifetime(cluster, 60, seconds=66, restarts=[(10, 0), (20, 2), (30, 1), (31, 0)])
    told(cluster, end)


def test_a_denial_that_is_held_counts_from_when_it_was_asked_for():
    """Until the local path has been silent for all its tries: seconds that are its own."""
    cluster = three(
        negative(0.01, minimum=8), settings={"race_delay_s": 0.05, "race_delay_min_s": 0.05}
    )
    cluster.ask(1, NAME, at=SAID_S, client="first")
    cluster.ask(0, NAME, at=SAID_S + 0.1, client="second")
    cluster.run(SAID_S + 5)
    (got,) = cluster[0].got
    assert got.rcode == "NXDOMAIN"
    waited = got.at - SAID_S - 0.1
    assert waited > 1.0
    ((_, entry),) = [found for found in copies(cluster) if found[0] == 0]
    assert entry.expires <= SAID_S + 0.01 + 8
    assert got.message.authority[0].ttl <= 8 - int(waited)
    cluster.finish()
