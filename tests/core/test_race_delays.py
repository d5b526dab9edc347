"""The policies of the initial delay, end to end: when peers are asked, lookup after lookup.

What each computes is in `test_initial_delay`; here it is what a node does by it.
"""

import pytest
from node_world import answers, silent, until
from scripted_peers import MET_S, scripted

YES = answers(0.02)


def told(cluster, what):
    return cluster[0].node.status(cluster.now)["cooperation"][what]


def hedged(cluster, start):
    """After how long peers were asked, by lookup; None if not."""
    asked = {name: round(at, 6) for at, _, name in reversed(cluster[0].remote)}
    began = {name.split()[0]: at for at, name in reversed(cluster[0].asked)}
    return [
        round(asked[name] - began[name], 6) if name in asked else None
        for name in sorted(began, key=began.get)
        if began[name] >= start
    ]


def steady(local, count, *, policy, peers=(YES, YES, YES), **settings):
    """A lookup each 2 s, of ever new domains."""
    chosen = {"race_policy": policy, "probe": False, "cache_prefetch": False, **settings}
    cluster, _ = scripted(local, list(peers), settings=chosen)
    cluster.run(MET_S)
    for number in range(count):
        cluster.ask(0, f"n.d{number}.example", at=MET_S + 2 * number)
    cluster.run(MET_S + 2 * count)
    return cluster


def test_codns2004_starts_at_200_ms_and_a_remote_win_halves_it():
    cluster = steady(answers(0.9), 6, policy="codns2004")
    assert hedged(cluster, MET_S) == [0.2, 0.1, 0.05, 0.025, 0.0125, 0.01]


def test_codns2004_falls_to_zero_when_remote_won_more_than_8_of_16():
    times = {"race_delay_s": 0.01, "race_delay_min_s": 0.01}
    cluster = steady(answers(0.055), 12, policy="codns2004", peers=[answers(0.04)] * 3, **times)
    assert hedged(cluster, MET_S)[7:] == [0.01, 0.01, 0.0, 0.0, 0.0]


def test_codns2004_grows_by_local_wins_without_a_remote_query():
    cluster = steady(until(MET_S + 3, answers(0.9), answers(0.004)), 40, policy="codns2004")
    delays = cluster[0].fleet.sides[b""].policy
    assert hedged(cluster, MET_S)[:2] == [0.2, 0.1]
    assert delays.delay(cluster.now, failing=False) == 0.2


def test_adaptive_asks_after_50_ms_at_first_then_by_its_own_measure():
    local = until(MET_S + 79, answers(0.02), answers(0.9))
    cluster = steady(local, 41, policy="adaptive")
    assert hedged(cluster, MET_S)[-1] == 0.02  # p97 of what was
    cluster = steady(answers(0.9), 2, policy="adaptive")
    assert hedged(cluster, MET_S) == [0.05, 0.05]


@pytest.mark.parametrize(("policy", "reason"), [("off", None), ("shadow", "shadow")])
def test_off_and_shadow_send_nothing(policy, reason):
    cluster = steady(answers(0.9), 5, policy=policy)
    assert cluster[0].remote == []
    suppressed = told(cluster, "suppressed")
    assert suppressed["shadow"] == (5 if reason else 0)
    assert {got.rcode for got in cluster[0].got} == {"NOERROR"}
    cluster.finish()


@pytest.mark.parametrize("policy", ["off", "shadow"])
def test_off_and_shadow_while_failing(policy):
    """The local nameserver is all there is: no relief, and stale at once."""
    cluster = steady(until(30, answers(0.004, ttl=1), silent), 60, policy=policy, probe=True)
    assert cluster[0].path.state.value == "failing"
    assert cluster[0].remote == []
    asked = [at for at, _ in cluster[0].asked if at > 60]
    cluster.ask(0, "n.d0.example", client="stale")
    cluster.run(cluster.now + 1)
    assert [(g.at, g.rcode) for g in cluster[0].got if g.client == "stale"] == [(125, "NOERROR")]
    assert len(asked) >= 30
    cluster.finish()
