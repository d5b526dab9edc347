"""Lookups and races that live on: begun anew, joined, overtaken by a reload, left by a slave.

Nobody who waits is forgotten, nothing is left when all is over (`cluster_watch`).
"""

import pytest
from cluster_world import LOST
from node_world import answers, failing, negative, silent, unreachable, until
from scripted_peers import MET_S, Scripted, busy, fixed, scripted

NAME = "www.name.example"
YES = answers(0.02, address="203.0.113.1")


def met(local, peers, *, delay=0.2, settings=None, **options):
    cluster, scripted_ = scripted(
        local, peers, settings={**fixed(delay), **(settings or {})}, **options
    )
    return cluster.run(MET_S), scripted_


def ask(cluster, *times, name=NAME, **options):
    """A new client at each time."""
    for at in times:
        cluster.ask(0, name, at=MET_S + at, client=("c", MET_S + at), **options)


def waits(cluster):
    """How long each client waited, in the order of asking."""
    got = sorted(cluster[0].got, key=lambda got: got.client[1])
    return [(round(g.at - g.client[1], 6), g.rcode) for g in got]


# -- a lookup begins anew (RULES 4.2) -----------------------------------------------------------


@pytest.mark.parametrize(
    ("delay", "budget", "asked"),
    [
        (0.2, 0.1, 3),  # and no more for 5 min: nobody was quicker for this domain
        (0.2, 0.0, 0),  # denied: turns at 0.2, 0.6, 1.4, 3.0, 6.2
        (2.0, 0.1, 3),  # turns at 2, 6, 14: "several seconds" (CoDNS 3.2)
    ],
)
def test_a_lookup_that_begins_anew_leaves_its_race_behind(delay, budget, asked):
    cluster, _ = met(silent, [silent] * 3, delay=delay, settings={"race_budget": budget})
    ask(cluster, 0, 5, 9.9)
    cluster.run(MET_S + 40)
    cluster.finish()
    assert waits(cluster) == [(4.5, "SERVFAIL")] * 3
    assert len(cluster[0].remote) == asked


def test_who_comes_while_others_still_wait_begins_anew_for_all():
    cluster, _ = met(silent, [silent, YES], settings={"race_max_remote": 1})
    ask(cluster, 0, 4.4, 4.6)
    cluster.run(MET_S + 20)
    cluster.finish()
    # the second peer is asked 200 ms after the new beginning
    assert waits(cluster) == [(4.5, "SERVFAIL"), (0.42, "NOERROR"), (0.22, "NOERROR")]


def test_who_waits_since_before_the_new_beginning_is_told_in_time():
    """Its 4.5 s end before the first new try's 800 ms."""
    cluster, _ = met(until(MET_S + 0.5, answers(0.5), silent), [])
    ask(cluster, 0, name="warm.example")  # 500 ms: tries have 800 ms
    ask(cluster, 1, 2, 5.9)
    cluster.run(MET_S + 30)
    cluster.finish()
    assert waits(cluster)[1:] == [(4.5, "SERVFAIL")] * 3


def test_an_answer_to_an_old_try_reaches_who_waits_now():
    cluster, _ = met(answers(5.0), [silent] * 3)
    ask(cluster, 0, 4.6)
    cluster.run(MET_S + 20)
    cluster.finish()
    assert waits(cluster) == [(4.5, "SERVFAIL"), (0.4, "NOERROR")]


def test_an_old_peers_reply_to_a_lookup_begun_anew_hurts_nobody():
    cluster, _ = met(silent, [answers(1.9)] * 3, delay=2.7)
    ask(cluster, 0, 4.55)
    cluster.run(MET_S + 20)
    cluster.finish()
    first, second = waits(cluster)
    assert first == (4.5, "SERVFAIL")
    assert second[0] <= 4.5


# -- who joins ----------------------------------------------------------------------------------


def test_who_joins_late_is_answered_with_the_others():
    cluster, _ = met(silent, [silent, YES])
    ask(cluster, 0, 0.1, 0.3, 0.61)
    cluster.run(MET_S + 20)
    cluster.finish()
    assert [wait for wait, _ in waits(cluster)] == [0.62, 0.52, 0.32, 0.01]


@pytest.mark.parametrize("peers", [[silent], [failing(0.3)], [busy()], [negative(0.5)], []])
@pytest.mark.parametrize(
    "local",
    [
        silent,
        failing(0.5),
        failing(2.5),
        unreachable(0.01),
        unreachable(0.5),
        answers(9.0),
    ],
)
def test_nobody_waits_longer_than_the_deadline(local, peers):
    """However local and peers fail, each client is told, and nothing is left (`Watch`)."""
    cluster, _ = met(local, peers, count=len(peers) and 3)
    ask(cluster, 0, 0.45, 2.0, 4.49, 4.51, 6.0, 9.99, 10.01)
    cluster.run(MET_S + 20)
    cluster.finish()
    assert len(cluster[0].got) == 8


@pytest.mark.parametrize("behaviour", [failing(0.3), unreachable(0.2)])
@pytest.mark.parametrize("peer", [silent, failing(0.3), negative(0.1), answers(1.0)])
def test_the_same_while_the_path_turns_failing_and_back(behaviour, peer):
    """The clients come while probes condemn the nameserver, and while it returns."""
    local = until(12, until(6, answers(0.004), silent), behaviour)
    cluster, _ = scripted(local, [peer] * 3, settings={"probe": True})
    for number in range(45):
        cluster.ask(0, f"n{number % 15}.d{number % 3}.example", at=5 + number / 3, client=number)
    cluster.run(22)
    cluster.finish()
    assert len(cluster[0].got) == 45


# -- a slave that dies --------------------------------------------------------------------------


def test_a_job_that_nobody_reports_is_over_with_its_lookup():
    cluster, _ = met(lambda query, now: LOST, [silent])
    ask(cluster, 0)
    cluster.run(MET_S + 20)
    assert waits(cluster) == [(4.5, "SERVFAIL")]
    assert not cluster[0].node._resolver.lookups
    assert not cluster[0].fleet.attempts
    cluster.run(125)  # swept each minute
    assert not len(cluster[0].node._state.jobs)


# -- reload -------------------------------------------------------------------------------------

RELOADS = {
    "off": {"race_policy": "off"},
    "codns2004": {"race_policy": "codns2004"},
    "shadow": {"race_policy": "shadow"},
    "nobody": {"race_max_remote": 0},
    "one": {"race_max_remote": 1},
    "no-budget": {"race_budget": 0.0},
    "other-nameserver": {"servers": {"198.51.100.9#53": answers(0.03)}},
    "no-nameserver": {"servers": {}},
}


@pytest.mark.parametrize("at", [0.1, 0.21, 1.9])
@pytest.mark.parametrize("changes", RELOADS.values(), ids=RELOADS)
def test_a_reload_amid_races_forgets_nobody(changes, at):
    cluster, _ = met(silent, [silent, busy(), failing(0.5), YES], count=4)
    ask(cluster, 0, 0.15)
    ask(cluster, 0, name="other.example")
    cluster.at(MET_S + at, lambda: cluster.reload(0, **changes))
    ask(cluster, at + 0.01, name="third.name.example")
    cluster.run(MET_S + 20)
    cluster.finish()
    assert len(cluster[0].got) == 4


def test_new_nameservers_are_asked_by_who_comes_next():
    cluster, _ = met(silent, [silent])
    ask(cluster, 0)
    new = {"198.51.100.9#53": answers(0.03)}
    cluster.at(MET_S + 5, lambda: cluster.reload(0, servers=new))
    ask(cluster, 5.1)
    cluster.run(MET_S + 20)
    cluster.finish()
    assert waits(cluster) == [(4.5, "SERVFAIL"), (0.03, "NOERROR")]


def relist(cluster, addresses):
    node = cluster[0].node
    return lambda: cluster._apply(cluster[0], node.set_peers(addresses, cluster.now))


def test_a_peer_that_is_no_longer_listed_may_still_answer():
    cluster, _ = met(silent, [answers(0.5)])
    ask(cluster, 0)
    cluster.at(MET_S + 0.3, relist(cluster, [cluster[0].address]))
    cluster.run(MET_S + 20)
    cluster.finish()
    assert waits(cluster) == [(0.7, "NOERROR")]


def test_lists_of_peers_that_change_amid_races():
    cluster, peers = met(silent, [silent, silent, YES], count=6)
    ask(cluster, 0, 0.5, 1.0)
    cluster.at(MET_S + 0.3, relist(cluster, peers.addresses[:2]))
    cluster.at(MET_S + 0.8, relist(cluster, []))
    cluster.at(MET_S + 0.9, relist(cluster, peers.addresses))
    cluster.run(MET_S + 20)
    cluster.finish()
    assert len(cluster[0].got) == 3


# -- messages that no peer should send ----------------------------------------------------------


def test_replies_to_nothing_and_replies_twice_are_dropped():
    cluster, peers = met(silent, [answers(0.1)])
    ask(cluster, 0)
    cluster.run(MET_S + 0.21)
    ((ident, attempt),) = cluster[0].fleet.attempts.items()
    good = peers.reply(Scripted.query(ident, attempt.race.lookup.key[:-5]), Scripted.said(NAME))
    cluster.say(0, good, "192.0.2.77:7353")  # another's
    cluster.say(0, good, attempt.peer.address, at=MET_S + 0.25)
    cluster.say(0, good, attempt.peer.address, at=MET_S + 0.25)
    cluster.run(MET_S + 1)  # and the true one comes third
    cluster.finish()
    assert waits(cluster) == [(0.25, "NOERROR")]
    assert cluster[0].fleet.counts.strays == 3
