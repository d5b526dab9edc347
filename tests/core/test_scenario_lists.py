"""What a list of peers costs a node, and what the tables of a race hold at most."""

import pytest
from cluster_world import Cluster, address, lan
from fleet_load import load, rcodes, share, site, waits
from node_world import answers, silent, until
from scripted_peers import MET_S, Scripted, busy, fixed, scripted

from codns.core import fleet, race
from codns.core.messages import HeartbeatRequest

LISTS = (10, 100, 1_000)
SEEN_S = 60.0  # the quick scan is over: 1,000 at 20/s
MEASURED_S = 60.0


def alone(count, *, alive=None, local=None):
    """One node in a fleet of `count` others, of which `alive` answer."""
    peers = Scripted([answers(0.008)], count=count)

    def stranger(peer, message, now):
        number = int(peer.split(":")[0].rpartition(".")[2]) - 1
        return (
            peers(peer, message, now) if alive is None or number % (count // alive) == 0 else None
        )

    listed = [address(0), *peers.addresses]
    return Cluster([local or answers(0.004)], listed=listed, strangers=stranger)


def costs(cluster):
    """Messages a second that leave, and peers come by, in the long run."""
    cluster.run(SEEN_S)
    sent, looked = cluster.sent, cluster[0].fleet.neighbours.looked
    cluster.run(SEEN_S + MEASURED_S)
    messages = (cluster.sent - sent) / MEASURED_S
    return messages, (cluster[0].fleet.neighbours.looked - looked) / MEASURED_S


@pytest.mark.parametrize("count", LISTS)
def test_a_list_costs_what_the_neighbours_cost(count):
    """Ten neighbours every 2 s and one of the rest a second, however long the list is."""
    messages, looked = costs(alone(count))
    assert messages <= 6.2
    assert looked <= 60


def test_a_thousand_are_seen_once_in_a_minute_at_twenty_a_second():
    cluster = alone(1_000)
    cluster.run(SEEN_S)
    asked = {
        what[1] for _, _, *what in cluster.transcript if isinstance(what[-1], HeartbeatRequest)
    }
    assert len(asked) == 1_000
    assert cluster.sent <= 1_000 + 10 * SEEN_S / 2 + SEEN_S


def test_a_thousand_of_which_ten_live():
    """The dead cost no more than the living, and the ten are found and help."""
    cluster = alone(1_000, alive=10, local=until(70, answers(0.004), silent))
    load(cluster, 0, 66, 90, 4)
    cluster.run(SEEN_S)
    sent = cluster.sent
    cluster.run(90)
    assert (cluster.sent - sent) / 30 <= 8 + 4
    cluster.finish()
    assert rcodes(cluster, 0) == {"NOERROR"}
    assert share(waits(cluster, 0, 71), 95) <= 0.008
    assert len(cluster[0].fleet.neighbours.neighbours) == 10


@pytest.mark.parametrize("count", LISTS)
def test_a_race_looks_at_neighbours_only(count):
    cluster = alone(count, local=silent)
    cluster.run(SEEN_S)
    looked = cluster[0].fleet.neighbours.looked
    load(cluster, 0, SEEN_S, SEEN_S + 1, 40)
    cluster.run(SEEN_S + 1)
    assert rcodes(cluster, 0) == {"NOERROR"}
    assert cluster[0].fleet.neighbours.looked - looked <= 60  # a second's scan
    assert len({peer for _, peer, _ in cluster[0].remote}) <= 10


def test_a_fleet_of_twelve_that_starts_together():
    """All know their neighbours within a second; nobody is flooded."""
    cluster = Cluster([site(number) for number in range(12)], link=lan(0.002))
    cluster.run(1.5)
    assert all(len(member.fleet.neighbours.neighbours) == 10 for member in cluster.members)
    heard = [
        what[1] for _, _, *what in cluster.transcript if isinstance(what[-1], HeartbeatRequest)
    ]
    assert max(heard.count(member.address) for member in cluster.members) <= 4 * 11


# -- tables -------------------------------------------------------------------------------------


def test_no_more_attempts_than_the_table_holds(monkeypatch):
    """Not when their races begin, and not when the second and third attempts leave either."""
    monkeypatch.setattr(fleet, "ATTEMPTS_MAX", 10)
    cluster, _ = scripted(silent, [silent], count=5, settings=fixed(0.05))
    cluster.run(MET_S)
    for number in range(30):
        at = MET_S + (0.0 if number < 8 else 0.01)
        cluster.ask(0, f"n.d{number}.example", at=at, client=number)
    most = 0
    while cluster.now < MET_S + 4:
        cluster.run(cluster.now + 0.01)
        most = max(most, len(cluster[0].fleet.attempts))
    assert most == 10
    told = cluster[0].node.status(cluster.now)["cooperation"]
    assert told["suppressed"]["overload"] >= 20
    cluster.finish()
    assert len(cluster[0].got) == 30


def test_a_timeline_holds_so_many_lines(monkeypatch):
    monkeypatch.setattr(race, "EVENTS_MAX", 4)
    cluster, _ = scripted(silent, [busy()], count=6, settings=fixed(0.05))
    cluster.run(MET_S)
    cluster.ask(0, "www.name.example")
    cluster.run(MET_S + 12)
    cluster.finish()
    assert cluster[0].node.recent_races(cluster.now) == []  # all were busy: no attempt was made
    (only,) = cluster.checks.races
    assert len(only.events) == 4


def test_so_many_races_are_remembered():
    cluster, _ = scripted(answers(0.090), [answers(0.02)], settings=fixed(0.05))
    cluster.run(MET_S)
    for number in range(fleet.RECENT_MAX + 10):
        cluster.ask(0, f"n{number}.d{number}.example", at=MET_S + number / 10)
    cluster.run(MET_S + 10)
    races = cluster[0].node.recent_races(cluster.now)
    assert len(races) == fleet.RECENT_MAX == 64
    assert races[-1]["name"] == f"n{fleet.RECENT_MAX + 9}.d{fleet.RECENT_MAX + 9}.example."


def test_so_many_answers_are_remembered_for_the_end_of_an_outage(monkeypatch):
    monkeypatch.setattr(fleet, "RELIEVED_MAX", 5)
    cluster, _ = scripted({}, [answers(0.02)])
    cluster.run(MET_S)
    for number in range(9):
        cluster.ask(0, f"n{number}.example")
    cluster.run(MET_S + 1)
    assert len(cluster[0].fleet.relieved) == 5


def test_a_node_at_work_for_long_grows_nothing():
    """Ten minutes of trouble of every kind: the tables are as small as after one."""
    local = lambda query, now: (answers(0.004) if now % 60 < 40 else silent)(query, now)
    cluster, _ = scripted(
        local, [answers(0.02), silent, busy()], count=4, settings={"probe": True}
    )
    sizes = []
    for minute in range(5):
        load(cluster, 0, cluster.now, cluster.now + 60, 1)
        cluster.run(60 * (minute + 1))
        state = cluster[0].node._state
        sizes.append((len(state.timers), len(state.jobs), len(cluster[0].fleet.attempts)))
    cluster.finish()
    assert max(timers for timers, _, _ in sizes) <= 60
    assert max(jobs for _, jobs, _ in sizes) <= 45
