"""What a peer's answer is worth: how long it is kept, when its AD counts, what replaces it.

And what is remembered of failures on both ways (RULES 2.2, 3.3 to 3.6, 6.5).
"""

import dns.flags
import pytest
from node_world import answers, failing, negative, records, silent, until
from scripted_peers import MET_S, SICK_S, Scripted, fixed, raced, scripted, sick

NAME = "www.name.example"
YES, NO = answers(0.02, address="203.0.113.1"), negative(0.02)


def met(local, peers, *, delay=0.2, settings=None, **options):
    cluster, scripted_ = scripted(
        local, peers, settings={**fixed(delay), **(settings or {})}, **options
    )
    return cluster.run(MET_S), scripted_


def seen(cluster):
    return [(round(got.at - MET_S, 6), got.rcode, got.ede) for got in cluster[0].got]


# -- how long -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "again", "ttls", "asked"),
    [
        (answers(0.02, ttl=300), 30.0, [60, 31], 1),  # 60 s at most, aged as any entry
        (answers(0.02, ttl=300), 61.0, [60, 60], 2),
        (answers(0.02, ttl=20), 10.0, [20, 11], 1),  # less is not raised
        (answers(0.02, ttl=20), 21.0, [20, 20], 2),
        (answers(0.02, ttl=0), 1.0, [0, 0], 2),
    ],
)
def test_a_peers_answer_is_kept_for_a_minute_at_most(peer, again, ttls, asked):
    cluster, _ = met(silent, [peer], settings={"cache_stale_s": 0, "cache_min_ttl_s": 3600})
    cluster.ask(0, NAME)
    cluster.ask(0, NAME, at=MET_S + again)
    cluster.run(MET_S + again + 1)
    cluster.finish()
    assert [got.ttl for got in cluster[0].got] == ttls
    assert len(cluster[0].remote) == asked


@pytest.mark.parametrize(("rdtype", "rcode"), [("NXDOMAIN", "NXDOMAIN"), ("NOERROR", "NOERROR")])
def test_a_peers_denial_is_kept_for_ten_seconds(rdtype, rcode):
    cluster, _ = scripted({}, [negative(0.02, rcode=rdtype)], settings={"cache_stale_s": 0})
    cluster.run(MET_S)
    for later in (0, 9.9, 10.1):
        cluster.ask(0, NAME, at=MET_S + later)
    cluster.run(MET_S + 11)
    cluster.finish()
    assert seen(cluster) == [(0.02, rcode, None), (9.9, rcode, None), (10.12, rcode, None)]
    assert [got.message.authority[0].ttl for got in cluster[0].got] == [10, 1, 10]


def test_a_late_local_answer_takes_the_place_of_a_peers():
    cluster, _ = met(answers(0.3, address="192.0.2.1"), [YES])
    cluster.ask(0, NAME)
    cluster.ask(0, NAME, at=MET_S + 0.25)
    cluster.ask(0, NAME, at=MET_S + 0.35)
    cluster.run(MET_S + 1)
    cluster.finish()
    assert [(got.data, got.ttl) for got in cluster[0].got] == [
        (["203.0.113.1"], 60),
        (["203.0.113.1"], 60),
        (["192.0.2.1"], 300),
    ]
    assert len(cluster[0].asked) == 1


@pytest.mark.parametrize(
    ("late", "rcode"),
    [(negative(0.3), "NXDOMAIN"), (negative(0.3, rcode="NOERROR"), "NOERROR")],
)
def test_a_late_local_denial_too(late, rcode):
    cluster, _ = met(late, [YES])
    cluster.ask(0, NAME)
    cluster.ask(0, NAME, at=MET_S + 0.35)
    cluster.run(MET_S + 1)
    cluster.finish()
    assert [(got.rcode, got.data) for got in cluster[0].got] == [
        ("NOERROR", ["203.0.113.1"]),
        (rcode, []),
    ]


@pytest.mark.parametrize("late", [answers(0.3, ttl=0), negative(0.3, soa=False)])
def test_a_late_local_answer_that_may_not_be_kept_ends_a_peers(late):
    cluster, _ = met(until(MET_S + 0.1, late, answers(0.01, address="192.0.2.9")), [YES])
    cluster.ask(0, NAME)
    cluster.ask(0, NAME, at=MET_S + 0.35)
    cluster.run(MET_S + 1)
    cluster.finish()
    assert [got.data for got in cluster[0].got] == [["203.0.113.1"], ["192.0.2.9"]]


def test_a_peers_answer_does_not_take_the_place_of_a_local_one():
    """A packet of ours was lost; meanwhile we asked the same for a peer and were answered."""
    local = until(MET_S + 0.1, silent, answers(0.01, address="192.0.2.1"))
    cluster, peers = met(local, [YES], settings={"race_delay_s": 0.3, "race_delay_min_s": 0.3})
    cluster.ask(0, NAME)
    cluster.say(0, query(7), peers.addresses[0], at=MET_S + 0.2)
    cluster.ask(0, NAME, at=MET_S + 1)
    cluster.run(MET_S + 2)
    cluster.finish()
    assert [(got.data, got.ttl) for got in cluster[0].got][1] == (["192.0.2.1"], 300)


def query(ident, name=b"\3www\4name\7example\0", qtype=1, **flags):
    return Scripted.query(ident, name, qtype, **flags)


# -- AD -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "said", "wanted", "given"),
    [
        (True, True, True, True, True),
        (True, True, True, False, False),  # the client asked for neither AD nor DO
        (True, True, False, True, False),
        (False, True, True, True, False),
        (False, False, True, True, False),
    ],
)
def test_ad_counts_when_both_nodes_validate(ours, theirs, said, wanted, given):
    ad = dns.flags.AD
    local = until(SICK_S - 6, answers(0.004, flags=ad if ours else 0), silent)
    peer = answers(0.02, flags=ad if said else 0)
    cluster, _ = scripted(local, [peer], settings={**fixed(0.2), "probe": True}, validates=theirs)
    cluster.run(SICK_S)
    for later in (0, 1):  # from the peer, from the cache
        cluster.ask(0, NAME, at=SICK_S + later, flags=dns.flags.RD | (ad if wanted else 0))
    cluster.run(SICK_S + 4)
    cluster.finish()
    assert [bool(got.message.flags & ad) for got in cluster[0].got] == [given] * 2


@pytest.mark.parametrize(
    ("theirs", "cd", "asked"), [(True, False, True), (False, False, False), (False, True, True)]
)
def test_a_validating_node_asks_validating_peers_unless_told_not_to_check(theirs, cd, asked):
    """Or the SERVFAIL of a bogus name would be laundered (RULES 6.5)."""
    local = until(SICK_S, answers(0.004, flags=dns.flags.AD), answers(1.0))
    cluster, _ = scripted(local, [YES], settings={**fixed(0.2), "probe": True}, validates=theirs)
    cluster.run(SICK_S)
    cluster.ask(0, NAME, flags=dns.flags.RD | (dns.flags.CD if cd else 0))
    cluster.run(SICK_S + 5)
    cluster.finish()
    assert bool(cluster[0].remote) == asked
    told = cluster[0].node.status(cluster.now)["cooperation"]
    assert told["suppressed"]["no_peer"] == (not asked)


def test_a_validating_node_is_one_still_while_its_nameserver_is_down():
    """AD=1 within ten minutes (RULES 6.5): it is just then that peers are asked."""
    local = until(SICK_S - 6, answers(0.004, flags=dns.flags.AD), silent)
    cluster, _ = scripted(local, [YES], settings={**fixed(0.2), "probe": True}, validates=False)
    cluster.run(SICK_S + 12)
    assert cluster[0].path.state.value == "failing"
    cluster.ask(0, NAME)
    cluster.run(SICK_S + 20)
    cluster.finish()
    assert cluster[0].remote == []


# -- failures -----------------------------------------------------------------------------------


def test_a_local_failure_that_is_remembered_is_one_that_came_at_once():
    """RULES 3.5. One peer is asked, for one token; the first had not answered at all."""
    cluster, _ = met(failing(0.01), [silent, YES])
    cluster.ask(0, NAME, at=MET_S)
    cluster.ask(0, NAME, at=MET_S + 3, use_edns=0)
    cluster.run(MET_S + 4)
    cluster.finish()
    assert seen(cluster) == [(2.01, "SERVFAIL", None), (3.02, "NOERROR", None)]
    assert [round(at - MET_S, 6) for at, _, _ in cluster[0].remote] == [0.01, 3.0]
    assert len(cluster[0].asked) == 1
    assert cluster[0].fleet.budget.taken == 2


def test_failures_of_both_ways_that_are_remembered_are_told_at_once():
    cluster, _ = met(failing(0.01), [failing(0.02), YES])
    cluster.ask(0, NAME, use_edns=0)
    cluster.ask(0, NAME, at=MET_S + 1, use_edns=0)
    cluster.ask(0, NAME, at=MET_S + 5.2, use_edns=0)  # both are forgotten
    cluster.run(MET_S + 9)
    cluster.finish()
    assert seen(cluster) == [
        (0.03, "SERVFAIL", None),
        (1, "SERVFAIL", 13),
        (5.23, "NOERROR", None),
    ]


def test_a_remembered_failure_and_no_token_left():
    cluster, _ = met(failing(0.01), [silent], settings={"race_budget": 0.0})
    cluster.ask(0, NAME, use_edns=0)
    cluster.ask(0, NAME, at=MET_S + 1, use_edns=0)
    cluster.run(MET_S + 9)
    cluster.finish()
    assert seen(cluster) == [(0.01, "SERVFAIL", None), (1, "SERVFAIL", 13)]
    assert cluster[0].remote == []


def test_a_remembered_failure_while_failing_asks_all_one_after_the_other():
    cluster, _ = scripted(
        until(10, failing(0.01), silent), [silent, silent, YES], settings={"probe": True}
    )
    cluster.run(MET_S)
    cluster.ask(0, NAME, at=9)  # p1 is silent: only our own failure is remembered
    cluster.run(13.5)
    assert cluster[0].path.state.value == "failing"
    cluster.ask(0, NAME)
    cluster.run(20)
    cluster.finish()
    assert [round(at - 13.5, 6) for at, _, _ in cluster[0].remote][1:] == [0, 0.1]
    assert cluster[0].got[-1].at == 13.62


def test_a_peers_failure_is_no_failure_of_ours():
    """It was answered here: nothing of the peer's SERVFAIL is told to a client."""
    cluster, _ = met(answers(0.3, ttl=1), [failing(0.02)] * 3)
    cluster.ask(0, NAME)
    cluster.ask(0, NAME, at=MET_S + 3)
    cluster.run(MET_S + 5)
    cluster.finish()
    assert {rcode for _, rcode, _ in seen(cluster)} == {"NOERROR"}
    assert len(cluster[0].node._state.failures) == 0


@pytest.mark.parametrize("peer", [silent, failing(0.02, "NOTIMP")])
def test_silence_and_busy_peers_are_not_remembered(peer):
    cluster, _ = met(failing(0.01), [peer])
    cluster.ask(0, NAME)
    cluster.run(MET_S + 5)
    assert len(cluster[0].fleet.peers_failed) == 0
    assert len(cluster[0].node._state.failures) == 1


def test_leaving_failing_forgets_what_the_sick_nameserver_said():
    local = until(15, silent, answers(0.01))
    cluster, _ = scripted(local, [failing(0.02)] * 3, settings={"probe": True})
    cluster.run(SICK_S)
    cluster[0].node._state.failures.record(b"\1a\0\0\1\0\1\0", 2, cluster.now)
    cluster.run(17)
    assert cluster[0].path.state.value == "failing"
    assert len(cluster[0].node._state.failures) == 1
    cluster.run(30)
    assert len(cluster[0].node._state.failures) == 0


def test_flushing_forgets_failures_of_both_ways():
    cluster, _ = met(failing(0.01), [failing(0.02), YES])
    cluster.ask(0, NAME)
    cluster.run(MET_S + 1)
    cluster[0].node.flush()
    cluster.ask(0, NAME)
    cluster.run(MET_S + 2)
    assert [rcode for _, rcode, _ in seen(cluster)] == ["SERVFAIL", "NOERROR"]


# -- stale --------------------------------------------------------------------------------------


STALE = answers(0.004, ttl=2, address="192.0.2.1")


def with_stale(later, peers, *, stale=STALE, **options):
    """The name is in the cache, expired, when the client asks at 10 s."""
    cluster, _ = met(until(MET_S + 8, stale, later), peers, **options)
    cluster.ask(0, NAME)
    cluster.ask(0, NAME, at=MET_S + 10, use_edns=0)
    cluster.run(MET_S + 25)
    cluster.finish()
    first, second = cluster[0].got
    assert first.at == MET_S + 0.004
    return cluster, (round(second.at - MET_S - 10, 6), second.rcode, second.ede, second.data)


@pytest.mark.parametrize(
    ("later", "peers", "expected"),
    [
        (silent, [YES], (0.22, "NOERROR", None, ["203.0.113.1"])),
        (silent, [silent] * 3, (1.8, "NOERROR", 3, ["192.0.2.1"])),
        (silent, [NO] * 3, (1.8, "NOERROR", 3, ["192.0.2.1"])),  # a stale positive beats it
        (failing(0.01), [NO], (0.03, "NOERROR", 3, ["192.0.2.1"])),
        (failing(0.01), [failing(0.02)], (0.03, "NOERROR", 3, ["192.0.2.1"])),
        (failing(0.01), [YES], (0.03, "NOERROR", None, ["203.0.113.1"])),
        (negative(0.3), [NO], (0.3, "NXDOMAIN", None, [])),  # our own nameserver's word
    ],
)
def test_stale_and_the_race(later, peers, expected):
    _, answer = with_stale(later, peers)
    assert answer == expected


def test_a_stale_denial_is_no_better_than_a_peers():
    _, answer = with_stale(failing(0.01), [negative(0.02)], stale=negative(0.004, minimum=2))
    assert answer == (0.03, "NXDOMAIN", None, [])


# -- sizes --------------------------------------------------------------------------------------

LARGE = records(0.02, *(f"{NAME}. 300 IN A 192.0.2.{n}" for n in range(1, 60)))


@pytest.mark.parametrize(
    ("transport", "options", "cut"),
    [
        ("udp", {}, True),  # 512 octets without OPT
        ("udp", {"use_edns": 0, "payload": 1232}, False),
        ("udp", {"use_edns": 0, "payload": 600}, True),
        ("tcp", {}, False),
    ],
)
def test_a_peers_answer_is_cut_to_the_clients_size(transport, options, cut):
    cluster, _ = met(silent, [LARGE])
    for later in (0, 1):  # from the peer, from the cache
        cluster.ask(0, NAME, at=MET_S + later, transport=transport, **options)
    cluster.run(MET_S + 2)
    cluster.finish()
    for got in cluster[0].got:
        assert bool(got.message.flags & dns.flags.TC) == cut
        assert len(got.data) == (0 if cut else 59)


def test_a_denial_without_soa_is_not_told_even_while_failing():
    result = sick(silent, negative(0.02, soa=False), YES)
    assert result.answer == ("p2", "NOERROR", 0.04)


def test_what_many_wait_for_is_given_to_each_once():
    cluster, _ = met(silent, [answers(0.5)])
    for number in range(20):
        cluster.ask(0, NAME, at=MET_S + number * 0.03, client=number)
    first = cluster.ask(0, NAME, at=MET_S, client="twice")
    cluster.again(0, first, at=MET_S + 0.4, client="twice")
    cluster.run(MET_S + 1)
    cluster.finish()
    assert sorted(str(got.client) for got in cluster[0].got) == sorted(
        [*map(str, range(20)), "twice"]
    )
    assert {got.at for got in cluster[0].got} == {MET_S + 0.7}
    assert len(cluster[0].remote) == 1
    assert cluster[0].node.stats.duplicates == 1


def test_each_waiter_has_its_own_deadline():
    cluster, _ = met(silent, [silent])
    for number in range(4):
        cluster.ask(0, NAME, at=MET_S + number, client=number)
    cluster.run(MET_S + 20)
    cluster.finish()
    assert [got.at for got in cluster[0].got] == [MET_S + 4.5 + number for number in range(4)]


def test_only_one_race_a_lookup():
    result = raced(silent, answers(0.02))
    assert len(result.cluster[0].node.recent_races(result.cluster.now)) == 1
