"""What a node does for its peers (RULES 3.3, 7.4, 7.5), asked by strangers at exact times."""

import pytest
from node_world import answers, failing, negative, silent, until
from scripted_peers import MET_S, Scripted, fixed, scripted

from codns.core import helping, resolver
from codns.core.messages import Query, QueryReply, Status
from codns.core.serving import WINDOW_MAX
from codns.wire import const
from codns.wire.name import from_text
from codns.wire.outcome import Outcome

NAME = from_text("www.name.example.")
ONE, TWO, THREE = "192.0.2.2:7353", "192.0.2.3:7353", "192.0.2.4:7353"


def met(local, *, settings=None, count=3):
    chosen = {**fixed(0.2), **(settings or {})}
    cluster, _ = scripted(
        local, [answers(0.02, address="203.0.113.1")], count=count, settings=chosen
    )
    return cluster.run(MET_S)


def say(cluster, ident, *, at=0.0, name=NAME, peer=ONE, qtype=1, **flags):
    query = Scripted.query(ident, name, qtype, **flags)
    cluster.say(0, query, peer, at=MET_S + at)


def told(cluster):
    """(id, when, status, outcome) of each reply to a peer."""
    return [
        (what[-1].id, round(at - MET_S, 6), what[-1].status.name, what[-1].outcome.name)
        for at, _, *what in cluster.transcript
        if isinstance(what[-1], QueryReply)
    ]


def replies(cluster):
    return [what[-1] for _, _, *what in cluster.transcript if isinstance(what[-1], QueryReply)]


def served(cluster, *what):
    counts = cluster[0].node.status(cluster.now)["cooperation"]["served"]
    return tuple(counts[key] for key in what)


# -- from the cache (RULES 3.3) -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("later", "ttl"),
    [
        (0.1, 299),  # the age rounded up
        (10.0, 290),
        (10.1, 289),
        (298.9, 1),
        (299.5, 300),  # nothing left by that: asked anew
        (301, 300),  # expired, not served stale
    ],
)
def test_a_peer_is_told_what_is_left_by_the_age_rounded_up(later, ttl):
    cluster = met(answers(0.01, ttl=300))
    cluster.ask(0, "www.name.example")
    say(cluster, 7, at=0.01 + later)
    cluster.run(MET_S + later + 1)
    (reply,) = replies(cluster)
    assert (reply.ttl, int.from_bytes(reply.body[6:10], "big")) == (ttl, ttl)
    assert len(cluster[0].asked) == (1 if ttl < 300 else 2)
    assert served(cluster, "cached", "answered") == ((1, 0) if ttl < 300 else (0, 1))


def test_a_ttl_that_min_ttl_raised_is_not_told():
    cluster = met(answers(0.01, ttl=5), settings={"cache_min_ttl_s": 3600})
    cluster.ask(0, "www.name.example")
    say(cluster, 7, at=1)
    say(cluster, 8, at=100)
    cluster.run(MET_S + 101)
    assert [reply.ttl for reply in replies(cluster)] == [5, 5]
    assert served(cluster, "cached", "answered") == (0, 2)


def test_what_a_peer_said_is_told_to_no_other():
    """No second hop, not even from the cache: our own nameserver is asked."""
    cluster = met(until(MET_S + 1, silent, answers(0.03, address="192.0.2.1")))
    cluster.ask(0, "www.name.example")
    say(cluster, 7, at=1.5, peer=TWO)
    cluster.run(MET_S + 3)
    assert cluster[0].got[0].data == ["203.0.113.1"]
    assert told(cluster) == [(7, 1.53, "ANSWER", "ANSWER")]
    assert replies(cluster)[0].body.endswith(bytes([192, 0, 2, 1]))
    assert len(cluster[0].remote) == 1


def test_what_is_stale_is_told_to_no_peer():
    cluster = met(until(MET_S + 1, answers(0.01, ttl=1), silent))
    cluster.ask(0, "www.name.example")
    cluster.ask(0, "www.name.example", at=MET_S + 3)
    say(cluster, 7, at=10)
    cluster.run(MET_S + 20)
    assert told(cluster) == [(7, 12.0, "FAILURE", "TIMEOUT")]
    cluster.finish()


def test_a_denial_carries_its_soa_and_holds_for_all_types():
    cluster = met(negative(0.01, minimum=600))
    cluster.ask(0, "www.name.example")
    say(cluster, 7, at=1, qtype=const.AAAA)
    cluster.run(MET_S + 2)
    (reply,) = replies(cluster)
    assert (reply.outcome, reply.soa, reply.nscount, reply.ttl) == (Outcome.NXDOMAIN, True, 1, 599)


@pytest.mark.parametrize(
    ("local", "ttl", "kept"),
    [
        (answers(0.01, ttl=0), 0, False),
        (negative(0.01, soa=False), 0, False),
        (answers(0.01), 300, True),
    ],
)
def test_what_may_not_be_kept_is_told_as_such(local, ttl, kept):
    cluster = met(local)
    say(cluster, 7)
    say(cluster, 8, at=0.5)
    cluster.run(MET_S + 1)
    assert replies(cluster)[0].ttl == ttl
    assert len(cluster[0].asked) == (1 if kept else 2)


@pytest.mark.parametrize(("do", "cd"), [(True, False), (False, True)])
def test_do_and_cd_are_entries_of_their_own(do, cd):
    cluster = met(answers(0.01))
    cluster.ask(0, "www.name.example")
    say(cluster, 7, at=1, do=do, cd=cd)
    cluster.run(MET_S + 2)
    assert len(cluster[0].asked) == 2


# -- refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "qtype"),
    [
        ("www.corp.example.", 1),
        ("host.", 1),
        (".", 2),
        ("www.name.example.", const.ANY),
        ("www.name.example.", const.AXFR),
        ("x.localhost.", 1),
        ("x.onion.", 1),
        ("1.0.0.127.in-addr.arpa.", const.PTR),
    ],
)
def test_what_no_peer_is_told(name, qtype):
    """Not from the cache either."""
    cluster = met(answers(0.01), settings={"private_zones": (from_text("corp.example."),)})
    if qtype == 1:
        cluster.ask(0, name)
    say(cluster, 7, at=1, name=from_text(name), qtype=qtype)
    cluster.run(MET_S + 2)
    assert told(cluster) == [(7, 1.0, "FAILURE", "REFUSED")]


# -- by our own nameserver ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("local", "reply"),
    [
        (answers(0.03), (7, 0.03, "ANSWER", "ANSWER")),
        (negative(0.03), (7, 0.03, "ANSWER", "NXDOMAIN")),
        (negative(0.03, rcode="NOERROR"), (7, 0.03, "ANSWER", "NODATA")),
        (failing(0.03), (7, 0.03, "FAILURE", "SERVFAIL")),
        (failing(0.03, "REFUSED"), (7, 0.03, "FAILURE", "REFUSED")),
        (silent, (7, 2.0, "FAILURE", "TIMEOUT")),
        (answers(1.99), (7, 1.99, "ANSWER", "ANSWER")),
        (answers(3.0), (7, 2.0, "FAILURE", "TIMEOUT")),
    ],
)
def test_a_lookup_for_a_peer(local, reply):
    cluster = met(local)
    say(cluster, 7)
    cluster.run(MET_S + 15)
    assert told(cluster) == [reply]
    assert cluster[0].remote == []  # never onward
    cluster.finish()


def test_what_comes_too_late_for_the_peer_is_kept():
    cluster = met(answers(3.0))
    say(cluster, 7)
    say(cluster, 8, at=4)
    cluster.run(MET_S + 15)
    assert told(cluster) == [(7, 2.0, "FAILURE", "TIMEOUT"), (8, 4.0, "ANSWER", "ANSWER")]


def test_a_failure_that_is_remembered_is_told_at_once():
    cluster = met(failing(0.03))
    say(cluster, 7)
    say(cluster, 8, at=1)
    say(cluster, 9, at=5.1)
    cluster.run(MET_S + 15)
    assert [(ident, at) for ident, at, *_ in told(cluster)] == [(7, 0.03), (8, 1.0), (9, 5.13)]


def test_who_asks_the_same_shares_the_lookup_and_each_is_told_once():
    cluster = met(answers(0.35))
    for ident, (peer, at) in enumerate([(ONE, 0), (TWO, 0.1), (THREE, 0.2), (ONE, 0.3)]):
        say(cluster, ident, at=at, peer=peer)
    cluster.run(MET_S + 2)
    assert told(cluster) == [(ident, 0.35, "ANSWER", "ANSWER") for ident in range(4)]
    assert len(cluster[0].asked) == 1
    cluster.finish()


def test_no_more_than_so_many_share_a_lookup(monkeypatch):
    monkeypatch.setattr(helping, "ASKERS_MAX", 3)
    cluster = met(answers(0.5))
    for ident in range(5):
        say(cluster, ident)
    cluster.run(MET_S + 2)
    assert sorted(told(cluster)) == [
        *((ident, 0.5, "ANSWER", "ANSWER") for ident in range(3)),
        *((ident, 0.0, "BUSY", "OTHER") for ident in (3, 4)),
    ]
    cluster.finish()


def test_a_client_does_not_wait_for_what_a_peer_asked():
    """Its own lookup may be raced; a peer's never is."""
    cluster = met(silent)
    say(cluster, 7)
    cluster.ask(0, "www.name.example", at=MET_S + 0.1)
    cluster.run(MET_S + 5)
    assert cluster[0].got[0].at == MET_S + 0.32
    assert told(cluster) == [(7, 2.0, "FAILURE", "TIMEOUT")]
    cluster.finish()


def test_the_same_query_twice_is_answered_twice_and_nothing_is_left():
    """The link lets no copy through; if it did, no harm."""
    cluster = met(answers(0.1))
    for at in (0, 0, 0.05, 0.2):
        say(cluster, 7, at=at)
    cluster.run(MET_S + 1)
    assert [at for _, at, *_ in told(cluster)] == [0.1, 0.1, 0.1, 0.2]
    cluster.finish()


# -- how much (RULES 7.4) -----------------------------------------------------------------------


def crowd(cluster, count, *, at=0.0, peers=(ONE, TWO, THREE), first=0):
    """Different names, in turn from each peer."""
    for number in range(first, first + count):
        name = from_text(f"n{number}.name.example.")
        say(cluster, number, at=at, name=name, peer=peers[number % len(peers)])


def test_a_long_queue_that_cannot_be_started_is_told_busy_to_the_last(monkeypatch):
    """Each that ends at once starts the next: not by calls within calls."""
    cluster = met(answers(0.1))
    serving = cluster[0].node.parts[2].serving
    serving.window = WINDOW_MAX
    crowd(cluster, 3 * WINDOW_MAX, peers=(ONE, TWO))
    cluster.at(MET_S + 0.05, lambda: monkeypatch.setattr(helping, "LOOKUPS_MAX", 0))
    cluster.run(MET_S + 0.1)
    statuses = [status for _, _, status, _ in told(cluster)]
    assert (statuses.count("ANSWER"), statuses.count("BUSY")) == (WINDOW_MAX, 2 * WINDOW_MAX)
    assert (serving.in_service, serving.queued) == (0, 0)
    cluster.finish()


def test_one_peer_has_half_of_the_window_and_half_of_the_queue():
    cluster = met(answers(0.5))
    crowd(cluster, 60, peers=(ONE,))
    cluster.run(MET_S + 0.3)
    assert len(cluster[0].asked) == 16
    at_once = [ident for ident, at, status, _ in told(cluster) if (at, status) == (0.0, "BUSY")]
    waited = [ident for ident, at, status, _ in told(cluster) if (at, status) == (0.2, "BUSY")]
    assert (waited, at_once) == (list(range(16, 48)), list(range(48, 60)))
    cluster.run(MET_S + 1)
    assert served(cluster, "answered", "busy") == (16, 44)
    cluster.finish()


def test_a_window_of_32_and_twice_as_many_in_the_queue():
    cluster = met(answers(0.15))
    crowd(cluster, 120)
    cluster.run(MET_S + 0.05)
    assert len(cluster[0].asked) == 32
    assert served(cluster, "in_service", "queued", "busy") == (32, 64, 24)
    cluster.run(MET_S + 1)
    # 150 ms later the next 32 and one more for those; after 200 ms the rest has waited enough
    assert served(cluster, "answered", "busy") == (64 + 1, 24 + 31)
    cluster.finish()


@pytest.mark.parametrize("cached", [False, True])
def test_while_not_healthy_only_what_is_cached_is_told(cached):
    local = until(MET_S + 1, answers(0.004), silent)
    cluster = met(local, settings={"probe": True})
    if cached:
        cluster.ask(0, "www.name.example")
    cluster.run(16)
    assert cluster[0].path.state.value == "failing"
    say(cluster, 7, at=12)
    cluster.run(MET_S + 14)
    (reply,) = replies(cluster)
    assert reply.status is (Status.ANSWER if cached else Status.BUSY)
    cluster.finish()


def test_who_waits_in_the_queue_when_the_path_is_judged_failing_is_told_at_once():
    cluster = met(silent)
    crowd(cluster, 40, at=0.25)
    for number in range(4):
        cluster.ask(0, f"c.d{number}.example", at=MET_S)
    cluster.run(MET_S + 0.31)
    assert cluster[0].path.state.value == "failing"
    assert served(cluster, "in_service", "queued", "busy") == (32, 0, 8)
    cluster.run(MET_S + 3)
    assert served(cluster, "in_service") == (0,)
    cluster.finish()


def test_while_local_clients_wait_for_a_slave_nothing_is_started_for_peers():
    cluster = met(answers(0.01))

    def waiting(value):
        return lambda: cluster._apply(
            cluster[0], cluster[0].node.local_waiting(value, cluster.now)
        )

    cluster.at(MET_S, waiting(True))
    say(cluster, 7, at=0.01)
    say(cluster, 8, at=0.15, name=from_text("other.name.example."))
    cluster.at(MET_S + 0.3, waiting(False))
    cluster.run(MET_S + 1)
    assert told(cluster) == [(7, 0.21, "BUSY", "OTHER"), (8, 0.31, "ANSWER", "ANSWER")]
    cluster.finish()


def test_own_clients_that_wait_longer_halve_the_window():
    local = until(MET_S + 20, answers(0.005), answers(0.05))
    cluster = met(local)
    for number in range(200):
        cluster.ask(0, f"n{number}.name.example", at=MET_S + number / 5)
    cluster.run(MET_S + 60)
    assert served(cluster, "window") == (1,)
    cluster.finish()


def test_a_node_full_of_lookups_serves_none(monkeypatch):
    monkeypatch.setattr(helping, "LOOKUPS_MAX", 10)
    monkeypatch.setattr(resolver, "LOOKUPS_MAX", 10)
    cluster = met(answers(1.0))
    for number in range(12):
        cluster.ask(0, f"n{number}.name.example", at=MET_S)
    say(cluster, 7, at=0.1)
    cluster.run(MET_S + 0.2)
    assert told(cluster) == [(7, 0.1, "BUSY", "OTHER")]
    cluster.run(MET_S + 3)
    cluster.finish()


def test_a_node_without_peers_hears_nothing():
    cluster = met(answers(0.01))
    cluster[0].node._fleet = None
    query = Query(1, NAME, 1, 1, do=False, cd=False)
    assert cluster[0].node.peer_message(query, ONE, MET_S) == []
