"""Names that are asked of nobody else and told to nobody (RULES 7.5, 2.5), and zones apart.

`cluster_watch` looks at each message for names of private zones, single labels and special ones.
"""

import dns.edns
import pytest
from node_world import answers, negative, records, silent, until
from scripted_peers import MET_S, Scripted, fixed, scripted

from codns.core.messages import Status
from codns.core.settings import ZoneSettings
from codns.wire.name import from_text
from codns.wire.outcome import Outcome

YES = answers(0.02, address="203.0.113.1")
CORP = {"private_zones": (from_text("corp.example."),)}


def met(local, peers, *, delay=0.2, settings=None, **options):
    cluster, scripted_ = scripted(
        local, peers, settings={**fixed(delay), **(settings or {})}, **options
    )
    return cluster.run(MET_S), scripted_


def asked_of_peers(cluster):
    return [name for _, _, name in cluster[0].remote]


# -- not sent -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("www.corp.example", {}),
        ("corp.example", {}),
        ("WWW.Corp.EXAMPLE", {}),
        ("host", {}),
        (".", {"rdtype": "NS"}),
        ("www.other.example", {"rdtype": "ANY"}),
        ("www.other.example", {"rdtype": "ANY", "transport": "tcp"}),
        ("www.other.example", {"use_edns": 0, "options": [dns.edns.ECSOption("192.0.2.0", 24)]}),
    ],
)
@pytest.mark.parametrize("failing", [False, True])
def test_what_no_peer_is_asked_for(name, options, failing):
    cluster, _ = met(silent, [YES], settings={**CORP, "probe": failing})
    cluster.run(14 if failing else MET_S)
    assert (cluster[0].path.state.value == "failing") == failing
    cluster.checks.private = ("corp.example",)
    cluster.ask(0, name, **options)
    cluster.run(cluster.now + 20)
    cluster.finish()
    assert cluster[0].remote == []
    assert [got.rcode for got in cluster[0].got] == ["SERVFAIL"]
    assert cluster[0].asked  # its own nameserver was, also while failing


@pytest.mark.parametrize("name", ["localhost", "a.localhost", "x.onion", "1.0.0.127.in-addr.arpa"])
def test_special_names_are_answered_here(name):
    cluster, _ = met(silent, [YES])
    cluster.ask(0, name)
    cluster.run(MET_S + 10)
    cluster.finish()
    assert cluster[0].remote == []
    assert cluster[0].asked == []
    assert cluster[0].got[0].at == MET_S


# -- learned ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rdtype", "data", "learned"),
    [
        ("A", "10.1.2.3", True),
        ("A", "172.16.0.1", True),
        ("A", "172.32.0.1", False),
        ("A", "192.168.7.7", True),
        ("A", "192.0.2.7", False),
        ("AAAA", "fd00::1", True),
        ("AAAA", "2001:db8::1", False),
    ],
)
def test_a_zone_with_an_address_of_the_site_is_private_from_then_on(rdtype, data, learned):
    here = records(0.01, f"www.inside.example. 300 IN {rdtype} {data}")
    cluster, peers = met(until(MET_S + 1, here, silent), [YES])
    cluster.ask(0, "www.inside.example", rdtype)
    cluster.ask(0, "other.inside.example", at=MET_S + 1)
    cluster.say(
        0,
        Scripted.query(7, from_text("www.inside.example."), 28 if rdtype == "AAAA" else 1),
        peers.addresses[0],
        at=MET_S + 0.5,
    )
    cluster.run(MET_S + 20)
    cluster.finish()
    assert asked_of_peers(cluster) == ([] if learned else ["other.inside.example"])
    served = cluster[0].node.status(cluster.now)["cooperation"]["served"]
    assert (served["refused"], served["cached"]) == ((1, 0) if learned else (0, 1))


def test_an_answer_with_an_address_of_the_site_is_not_told_even_when_first_seen():
    here = records(0.01, "www.inside.example. 300 IN A 10.1.2.3")
    cluster, peers = met(here, [YES])
    cluster.say(0, Scripted.query(7, from_text("www.inside.example.")), peers.addresses[0])
    cluster.run(MET_S + 1)
    (reply,) = replies(cluster)
    assert (reply.status, reply.outcome) == (Status.FAILURE, Outcome.REFUSED)


def replies(cluster, kind="QueryReply"):
    """What node 0 told peers' queries."""
    return [what[-1] for what in cluster.transcript if type(what[-1]).__name__ == kind]


@pytest.mark.parametrize("local", [answers(0.3), negative(0.3, rcode="NOERROR")])
@pytest.mark.parametrize("failing", [False, True])
def test_a_name_that_exists_here_and_not_at_a_peer_makes_its_zone_private(local, failing):
    """Split horizon: the denial is held while local may answer, and wins while failing."""
    settings = {"race_policy": "adaptive"}
    cluster, _ = met(until(MET_S + 1, local, silent), [negative(0.02)], settings=settings)
    if failing:
        cluster[0].fleet.sides[b""].path.probed("198.51.100.1#53", cluster.now, good=False)
        cluster[0].fleet.sides[b""].path.probed("198.51.100.1#53", cluster.now, good=False)
        for _ in range(7):  # the eighth lookup goes both ways
            cluster[0].path.route()
    cluster.ask(0, "www.split.example")
    cluster.ask(0, "other.split.example", at=MET_S + 1)
    cluster.run(MET_S + 20)
    cluster.finish()
    assert asked_of_peers(cluster) == ["www.split.example"]
    first = min(cluster[0].got, key=lambda got: got.at)
    assert first.rcode == ("NXDOMAIN" if failing else "NOERROR")
    assert list(cluster[0].node.learned_zones(cluster.now)) == ["split.example."]


def test_a_denial_that_comes_after_the_local_answer_teaches_too():
    cluster, _ = met(answers(0.21), [negative(0.1)])
    cluster.ask(0, "www.split.example")
    cluster.run(MET_S + 1)
    assert list(cluster[0].node.learned_zones(cluster.now)) == ["split.example."]


def test_a_zone_that_is_learned_amid_a_race_ends_it():
    here = {"a.inside.example.": silent, "b.inside.example.": answers(0.3, address="10.1.2.3")}
    local = lambda query, now: here[query.question[0].name.to_text()](query, now)
    cluster, _ = met(local, [silent] * 3)
    cluster.ask(0, "a.inside.example")  # asked at 0.2; at 0.6 and 1.4 no more
    cluster.ask(0, "b.inside.example", at=MET_S + 0.1)
    cluster.run(MET_S + 10)
    cluster.finish()
    assert asked_of_peers(cluster) == ["a.inside.example", "b.inside.example"]


def test_a_zone_that_is_learned_while_a_peer_waits_is_not_told():
    here = {
        "a.inside.example.": answers(0.2),
        "b.inside.example.": answers(0.1, address="10.1.2.3"),
    }
    local = lambda query, now: here[query.question[0].name.to_text()](query, now)
    cluster, peers = met(local, [silent] * 3)
    cluster.say(0, Scripted.query(7, from_text("a.inside.example.")), peers.addresses[0])
    cluster.ask(0, "b.inside.example")
    cluster.run(MET_S + 1)
    (reply,) = replies(cluster)
    assert (reply.status, reply.outcome) == (Status.FAILURE, Outcome.REFUSED)
    cluster.finish()


def test_learned_zones_outlive_a_restart_and_end_after_a_day():
    cluster, _ = met(answers(0.21), [negative(0.1)])
    cluster.ask(0, "www.split.example")
    cluster.run(MET_S + 1)
    saved = cluster[0].node.learned_zones(cluster.now)
    again, _ = met(silent, [YES])
    assert again[0].node.load_learned_zones(saved, again.now) == 1
    again.ask(0, "other.split.example")
    again.run(MET_S + 10)
    assert again[0].remote == []
    assert again[0].fleet.private.is_private(from_text("x.split.example."), MET_S + 86_390)
    assert not again[0].fleet.private.is_private(from_text("x.split.example."), MET_S + 86_402)


# -- a zone with nameservers of its own ---------------------------------------------------------

ZONE, OTHER = "198.51.100.50#53", "198.51.100.1#53"


def zoned(zone, default, *, peers=True, probe=False, scripted_peers=(YES,)):
    """A node whose zone.example is answered by a nameserver of its own."""
    zones = {from_text("zone.example."): ZoneSettings((ZONE,), peers)}
    settings = {**fixed(0.2), "zones": zones, "nameservers": (OTHER,), "probe": probe}
    return met({OTHER: default, ZONE: zone}, list(scripted_peers), settings=settings)[0]


@pytest.mark.parametrize(("peers", "at"), [(True, 0.22), (False, 4.5)])
def test_a_zone_of_its_own_is_raced_if_its_names_may_be_asked(peers, at):
    cluster = zoned(silent, answers(0.01), peers=peers)
    cluster.ask(0, "www.zone.example")
    cluster.ask(0, "www.other.example")
    cluster.run(MET_S + 20)
    cluster.finish()
    assert sorted(round(got.at - MET_S, 6) for got in cluster[0].got) == [0.01, at]
    assert asked_of_peers(cluster) == (["www.zone.example"] if peers else [])


def test_a_zone_has_a_judgement_of_its_own():
    """Its dead nameserver condemns neither the default path nor this node's word to peers."""
    cluster = zoned(silent, answers(0.01), probe=True)
    cluster.run(14)
    path = cluster[0].fleet.sides[from_text("zone.example.")].path
    assert (path.state.value, cluster[0].path.state.value) == ("failing", "healthy")
    assert cluster[0].fleet.healthy()
    assert [fields["zone"] for _, event, fields in cluster[0].notes if event == "local path"] == [
        "zone.example."
    ]
    cluster.ask(0, "www.zone.example")
    cluster.run(15)
    assert cluster[0].got[0].at == 14.02  # relief
    cluster.finish()


@pytest.mark.parametrize("peers", [True, False])
def test_a_zone_that_comes_and_goes_with_reloads(peers):
    cluster = zoned(silent, answers(0.01), peers=peers, probe=True)
    for number in range(6):
        cluster.ask(0, f"n{number}.zone.example", at=MET_S + number)
    cluster.at(MET_S + 2.5, lambda: cluster.reload(0, zones={}))
    zones = {from_text("zone.example."): ZoneSettings((OTHER,))}  # the default's
    cluster.at(MET_S + 4.5, lambda: cluster.reload(0, zones=zones))
    cluster.run(MET_S + 30)
    cluster.finish()
    assert len(cluster[0].got) == 6
    assert {got.rcode for got in cluster[0].got if got.at > MET_S + 5} <= {"NOERROR", "SERVFAIL"}
