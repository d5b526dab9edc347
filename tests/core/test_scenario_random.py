"""Anything, by a seed: the promises hold whatever nameservers, links, peers and operators do.

`cluster_watch` is the judge; here nothing is expected but that everybody is answered and that in
the end nothing is left.
"""

import random

import pytest
from cluster_world import Cluster
from node_world import answers, failing, negative, silent, unreachable

from codns.core.messages import Query
from codns.core.settings import ZoneSettings
from codns.wire.name import from_text
from codns.wire.outcome import Outcome

SECONDS = 30
NAMES = [f"n{n}.d{n % 5}.example" for n in range(12)] + [
    "host",
    "a.corp.example",
    "b.corp.example",
]
KINDS = ["A", "A", "A", "AAAA", "TXT", "ANY"]
ZONE = from_text("corp.example.")
ELSEWHERE = "198.51.100.77#53"


def whatever(rng):
    """A nameserver that changes its mind."""
    modes = [
        answers(0.004),
        answers(0.15, ttl=rng.choice([0, 1, 3, 300])),
        answers(0.03, address="10.0.0.1") if rng.random() < 0.2 else answers(0.03, ttl=2),
        silent,
        silent,
        answers(rng.choice([0.3, 1.0, 4.6, 8.0])),
        failing(0.01),
        failing(0.4, "REFUSED"),
        negative(0.02),
        negative(0.3, rcode="NOERROR", minimum=2),
        negative(0.02, soa=False),
        unreachable(0.001),
        unreachable(0.3),
        lambda query, now: (0.01, Outcome.OVERLOAD),
        lambda query, now: (0.6, Outcome.OVERLOAD),
    ]
    plan = [rng.choice(modes) for _ in range(10)]
    mixed = rng.random() < 0.3

    def behave(query, now):
        if mixed and rng.random() < 0.3:
            return rng.choice(modes)(query, now)
        return plan[int(now / 4) % len(plan)](query, now)

    return behave


def links(rng):
    quality = {
        (a, b): rng.choice([0.001, 0.001, 0.02, 0.2, None]) for a in range(4) for b in range(4)
    }

    def link(source, target, message, now):
        delay = quality[source, target]
        if delay is None and int(now / 3) % 2:
            return None
        if rng.random() < 0.03:
            return None if rng.random() < 0.7 else (0.001, 0.5)
        return (delay or 0.001) * rng.uniform(1.0, 1.5)

    return link


def settings(rng):
    return {
        "race_policy": rng.choice(["adaptive", "adaptive", "codns2004", "off", "shadow"]),
        "race_delay_s": rng.choice([0.2, 0.05, 3.0]),
        "race_delay_min_s": rng.choice([0.0, 0.01]),
        "race_max_remote": rng.choice([3, 3, 2, 1, 0]),
        "race_budget": rng.choice([0.1, 0.1, 0.0, 1.0]),
        "probe": rng.random() < 0.8,
        "cache_stale_s": rng.choice([86_400, 0]),
        "private_zones": rng.choice([(), (ZONE,)]),
        "zones": rng.choice([{}, {}, {ZONE: ZoneSettings((ELSEWHERE,), rng.random() < 0.5)}]),
    }


def world(seed):
    rng = random.Random(seed)
    servers = []
    for number in range(4):
        own = {
            f"198.51.100.{number * 10 + n}#53": whatever(rng)
            for n in range(rng.choice([0, 1, 1, 2]))
        }
        servers.append({**own, ELSEWHERE: whatever(rng)})
    each = {
        number: {
            **settings(rng),
            "cache_min_ttl_s": rng.choice([0, 0, 5]),
            "nameservers": tuple(a for a in own if a != ELSEWHERE),
        }
        for number, own in enumerate(servers)
    }
    cluster = Cluster(servers, link=links(rng), seed=seed, each=each)
    for number in range(150):
        options = {"use_edns": 0} if rng.random() < 0.5 else {}
        cluster.ask(
            rng.randrange(4),
            rng.choice(NAMES),
            rng.choice(KINDS),
            at=rng.uniform(0, SECONDS),
            client=number,
            transport=rng.choice(["udp", "udp", "tcp"]),
            **options,
        )
    for _ in range(5):
        index, change = rng.randrange(4), settings(rng)
        cluster.at(rng.uniform(1, SECONDS), lambda i=index, c=change: cluster.reload(i, **c))
    for _ in range(3):
        index, names = rng.randrange(4), rng.sample([m.address for m in cluster.members], 3)

        def relist(index=index, names=names):
            node = cluster[index].node
            cluster._apply(cluster[index], node.set_peers(names, cluster.now))

        cluster.at(rng.uniform(1, SECONDS), relist)
    return cluster


@pytest.mark.parametrize("seed", range(6))
def test_anything(seed):
    cluster = world(seed)
    cluster.run(SECONDS)
    cluster.finish()
    assert sum(len(member.got) for member in cluster.members) == 150


def test_that_these_worlds_are_not_empty():
    """Most things happen in one of a few."""
    counts = {"remote": 0, "won": 0, "busy": 0, "timeout": 0, "failing": 0}
    for seed in (2, 5):
        cluster = world(seed).run(SECONDS)
        for member in cluster.members:
            counts["remote"] += len(
                [q for _, _, *q in cluster.transcript if isinstance(q[-1], Query)]
            )
            for key in ("won", "busy", "timeout"):
                counts[key] += member.fleet.counts.remote[key]
            counts["failing"] += sum(f.get("state") == "failing" for _, _, f in member.notes)
    assert min(counts.values()) > 0
