"""Lookups while the local path is judged failing (RULES 5.2, 5.3, 6.3, 3.6).

The node's nameserver answers nothing from the start, so two probes have condemned it when the
client asks at 0, and the peers are asked at 0, m and 3m (m = 100 ms).
"""

import pytest
from node_world import answers, failing, negative, silent, unreachable, until
from scripted_peers import MET_S, SICK_S, busy, scripted, sick

YES, NO = answers(0.02), negative(0.02)


def back(behaviour):
    """Dead, but back when the clients' queries come."""
    return until(SICK_S, silent, behaviour)


@pytest.mark.parametrize(
    ("local", "peers", "asked", "own", "answer"),
    [
        # peers now; the local nameserver is left in peace
        (silent, [YES] * 3, [0.0], [], ("p1", "NOERROR", 0.020)),
        (silent, [silent, YES], [0.0, 0.1], [], ("p2", "NOERROR", 0.120)),
        (silent, [silent, silent, YES], [0.0, 0.1, 0.3], [], ("p3", "NOERROR", 0.320)),
        (silent, [busy(), YES], [0.0, 0.002], [], ("p2", "NOERROR", 0.022)),
        (silent, [failing(0.02), YES], [0.0, 0.02], [], ("p2", "NOERROR", 0.040)),
        # a negative answer is not held
        (silent, [NO], [0.0], [], ("p1", "NXDOMAIN", 0.020)),
        # all that were asked ended without an answer: local
        (
            back(answers(0.03)),
            [failing(0.02)] * 3,
            [0.0, 0.02, 0.04],
            [0.06],
            ("local", "NOERROR", 0.09),
        ),
        (
            back(answers(0.03)),
            [busy()] * 6,
            [0.0, 0.002, 0.004, 0.006, 0.008],
            [0.01],
            ("local", "NOERROR", 0.04),
        ),
        (back(answers(0.03)), [silent] * 3, [0.0, 0.1, 0.3], [2.3], ("local", "NOERROR", 2.33)),
        (
            back(failing(0.03)),
            [failing(0.02)] * 3,
            [0.0, 0.02, 0.04],
            [0.06],
            ("error", "SERVFAIL", 0.09),
        ),
        (
            back(unreachable(0.01)),
            [failing(0.02)] * 3,
            [0.0, 0.02, 0.04],
            [0.06, 0.46, 1.6],
            ("error", "SERVFAIL", 1.61),
        ),
        (silent, [silent] * 3, [0.0, 0.1, 0.3], [2.3, 2.7, 3.5], ("error", "SERVFAIL", 4.5)),
        # no peer may be asked: local at once
        (back(answers(0.03)), [], [], [0.0], ("local", "NOERROR", 0.03)),
    ],
)
def test_relief(local, peers, asked, own, answer):
    seen = sick(local, *peers, count=len(peers) and max(len(peers), 3))
    assert seen.asked == asked
    assert seen.local == own
    assert seen.answer == answer
    assert seen.cluster[0].fleet.budget.taken == 0  # all of it is help


def outage(peers, *, local=silent, **options):
    cluster, scripted_ = scripted(local, peers, settings={"probe": True}, **options)
    return cluster.run(SICK_S), scripted_


def test_every_eighth_lookup_also_goes_to_the_local_nameserver():
    cluster, _ = outage([answers(0.02)] * 3)
    for number in range(24):
        cluster.ask(0, f"n{number}.d{number}.example", at=SICK_S + number * 0.01)
    cluster.run(20)
    cluster.finish()
    assert [name for _, name in cluster[0].asked] == [
        f"n{number}.d{number}.example A" for number in (7, 15, 23)
    ]  # never again, though unanswered: a trickle is not retransmitted
    assert len(cluster[0].remote) == 24
    assert {got.rcode for got in cluster[0].got} == {"NOERROR"}


def test_a_trickle_that_the_local_nameserver_wins():
    cluster, _ = outage([answers(0.02)] * 3, local=back(answers(0.005)))
    for number in range(8):
        cluster.ask(0, f"n{number}.example", at=SICK_S, client=number)
    cluster.run(SICK_S + 0.1)
    assert {got.client: got.at for got in cluster[0].got}[7] == SICK_S + 0.005


def test_a_lookup_in_flight_when_the_path_is_judged_failing_goes_to_peers_at_once():
    """Four of two domains without an answer for 300 ms: RULES 6.2. Their delay was 4 s."""
    cluster, _ = scripted(
        silent,
        [answers(0.02)] * 3,
        settings={"race_delay_s": 4.0, "race_delay_min_s": 4.0, "probe": False},
    )
    cluster.run(MET_S)
    for number in range(4):
        cluster.ask(0, f"n.d{number}.example", at=MET_S, client=number)
    cluster.run(20)
    cluster.finish()
    assert [at for at, _, _ in cluster[0].remote] == [MET_S + 0.3] * 4
    assert [got.at for got in cluster[0].got] == [MET_S + 0.32] * 4


def test_a_held_denial_wins_when_the_path_is_judged_failing():
    cluster, _ = scripted(
        silent,
        [negative(0.02)] * 3,
        settings={"race_delay_s": 0.11, "race_delay_min_s": 0.11, "probe": False},
    )
    cluster.run(MET_S)
    for number in range(4):
        cluster.ask(0, f"n.d{number}.example", at=MET_S, client=number)
    cluster.run(20)
    cluster.finish()
    assert [(got.at, got.rcode) for got in cluster[0].got] == [(MET_S + 0.3, "NXDOMAIN")] * 4


@pytest.mark.parametrize("policy", ["adaptive", "codns2004", "off", "shadow"])
def test_no_nameserver_at_all(policy):
    """RULES 10.1: everything by peers, where peers are asked."""
    cluster, _ = scripted({}, [answers(0.02)] * 3, settings={"race_policy": policy})
    cluster.run(MET_S)
    cluster.ask(0, "www.name.example", use_edns=0)
    cluster.run(10)
    cluster.finish()
    (got,) = cluster[0].got
    if policy in ("off", "shadow"):
        assert (got.at, got.rcode, got.ede) == (MET_S, "SERVFAIL", 22)
    else:
        assert (got.at, got.rcode) == (MET_S + 0.02, "NOERROR")


def test_nothing_to_ask_is_told_at_once():
    cluster, _ = scripted({}, [failing(0.02)] * 3)
    cluster.run(MET_S)
    cluster.ask(0, "www.name.example")
    cluster.run(10)
    cluster.finish()
    (got,) = cluster[0].got
    assert (got.at, got.rcode) == (MET_S + 0.06, "SERVFAIL")


def test_stale_at_once_when_failing_and_no_peer_is_eligible():
    """RULES 3.6. With one it is asked first, and the client waits for it."""
    local = until(4, answers(0.004, ttl=2), silent)
    cluster, peers = scripted(local, [answers(0.5)], settings={"probe": True})
    cluster.ask(0, "www.name.example", at=3, use_edns=0)
    cluster.ask(0, "www.name.example", at=16, use_edns=0)
    cluster.at(17, lambda: setattr(peers, "silent", True))
    cluster.run(80)  # the peer's answer is stale too, and the peer is gone
    cluster.ask(0, "www.name.example", at=80, use_edns=0)
    cluster.run(100)
    cluster.finish()
    assert [(got.at, got.ede) for got in cluster[0].got] == [(3.004, None), (16.5, None), (80, 3)]


@pytest.mark.parametrize("name", ["www.corp.example", "host"])
def test_stale_at_once_when_failing_and_no_peer_may_be_asked(name):
    """A private name has nobody else to turn to."""
    local = until(4, answers(0.004, ttl=2), silent)
    settings = {"probe": True, "private_zones": (b"\4corp\7example\0",)}
    cluster, _ = scripted(local, [answers(0.02)], settings=settings)
    cluster.ask(0, name, at=3, use_edns=0)
    cluster.ask(0, name, at=16, use_edns=0)
    cluster.run(17)
    cluster.finish()
    assert [(got.at, got.ede) for got in cluster[0].got] == [(3.004, None), (16, 3)]


def prefetched(cluster, times):
    """Ask a name with a TTL of 100 s so often that the last hit would prefetch it."""
    for at in times:
        cluster.ask(0, "hot.name.example", at=at)
    return [at for at, name in cluster[0].asked if name.startswith("hot") and at > times[0]]


@pytest.mark.parametrize("reload", [False, True])
def test_no_prefetch_while_failing(reload):
    local = until(50, answers(0.004, ttl=100), silent)
    cluster, _ = scripted(local, [silent], settings={"probe": True})
    for at in (5, 60, 96, 97):
        cluster.ask(0, "hot.name.example", at=at)
    if reload:
        cluster.at(80, lambda: cluster.reload(0, race_max_remote=2))
    cluster.run(99)
    assert cluster[0].path.state.value == "failing"
    assert [at for at, name in cluster[0].asked if name.startswith("hot")] == [5]


def test_prefetch_goes_to_the_local_nameserver_only():
    local = until(50, answers(0.004, ttl=100), answers(1.0))
    cluster, _ = scripted(local, [answers(0.02)] * 3, settings={"probe": False})
    for at in (5, 60, 96, 97):
        cluster.ask(0, "hot.name.example", at=at)
    cluster.run(99)
    assert [at for at, _ in cluster[0].asked][:2] == [5, 96]
    assert cluster[0].remote == []


def test_a_client_that_joins_a_prefetch_gets_its_own_race():
    """The entry expires before the prefetch is answered: 300 ms late, not 1.8 s."""
    local = until(50, answers(0.0, ttl=100), silent)
    cluster, _ = scripted(
        local, [answers(0.02)] * 3, settings={"probe": False, "cache_stale_s": 0}
    )
    for at in (5, 60, 104.9, 105.1):
        cluster.ask(0, "hot.name.example", at=at)
    cluster.run(130)
    cluster.finish()
    assert [at for at, _, _ in cluster[0].remote] == [105.15]  # 50 ms: too few samples yet
    assert [got.at for got in cluster[0].got][-1] == 105.17


def test_the_first_hit_on_a_peers_answer_after_the_outage_asks_the_local_nameserver():
    """RULES 3.4: what was answered for us elsewhere may be another site's address."""
    local = until(16, silent, answers(0.004, address="192.0.2.1", ttl=300))
    there = answers(0.02, address="203.0.113.1", ttl=300)
    cluster, _ = scripted(local, [there] * 3, settings={"probe": True})
    names = [f"n{number}.example" for number in range(8)]
    for name in names:
        cluster.ask(0, name, at=14)
    cluster.run(14.5)
    assert {tuple(got.data) for got in cluster[0].got} == {("203.0.113.1",)}
    while cluster[0].path.state.value == "failing":
        cluster.run(cluster.now + 0.1)
    assert cluster.now < 30
    before = len(cluster[0].remote)
    for name in names:
        cluster.ask(0, name)
        cluster.ask(0, name, at=cluster.now + 0.1)
    cluster.run(cluster.now + 1)
    answered = [got.data for got in cluster[0].got][8:]
    assert answered == [["203.0.113.1"]] * 8 + [["192.0.2.1"]] * 8
    assert len(cluster[0].remote) == before
    cluster.finish()
