"""What races teach: the budget, the slow domains, the initial delay, the judgement of the path.

RULES 5.4 to 5.7 and 6.1 end to end, and when local tries are repeated (4.3).
"""

import pytest
from cluster_world import Cluster
from node_world import answers, failing, negative, silent, unreachable, until
from scripted_peers import MET_S, busy, fixed, raced, scripted

from codns.wire.outcome import Outcome

YES = answers(0.02)


def met(local, peers, *, delay=0.2, settings=None, **options):
    cluster, scripted_ = scripted(
        local, peers, settings={**fixed(delay), **(settings or {})}, **options
    )
    return cluster.run(MET_S), scripted_


def tokens(cluster):
    return round(cluster[0].fleet.budget.tokens(cluster.now), 6)


def told(cluster, what):
    return cluster[0].node.status(cluster.now)["cooperation"][what]


def remote(cluster):
    """When peers were asked, from the meeting on."""
    return [round(at - MET_S, 6) for at, _, _ in cluster[0].remote]


# -- budget -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("local", "peers", "spent"),
    [
        (answers(0.200), [YES], 0),
        (answers(0.210), [YES], 1),  # local won
        (answers(0.225), [YES], 1),  # the peer did, by 5 ms
        (answers(0.240), [YES], 0),  # by 20 ms
        (silent, [YES], 0),
        (silent, [silent] * 3, 3),
        (silent, [silent, YES], 1),
        (failing(0.01), [YES], 0),  # it won when the local path had failed
        (failing(0.3), [answers(0.5)], 0),
        (failing(0.230), [YES], 0),  # it won before the local path failed
        (failing(0.01), [failing(0.02)], 1),
        (failing(0.3), [negative(0.02)], 0),  # held until then
        (answers(0.3), [negative(0.02)], 1),
        (silent, [busy(), YES], 0),
        (answers(0.203), [busy(), YES], 1),
        (unreachable(0.01), [YES], 0),
    ],
)
def test_what_a_remote_query_costs(local, peers, spent):
    result = raced(local, *peers)
    budget = result.cluster[0].fleet.budget
    assert budget.taken - budget.refunded == spent


def test_a_win_by_ten_milliseconds_gives_the_token_back_without_waiting_for_the_loser():
    cluster, _ = met(silent, [YES])
    cluster.ask(0, "www.name.example")
    seen = [tokens(cluster.run(MET_S + at)) for at in (0.19, 0.21, 0.229, 0.231)]
    assert seen == [50, 49, 49, 50]


def spend(cluster, count, *, gap=0.5):
    """Lookups of different domains whose race is in vain."""
    start = cluster.now
    for number in range(count):
        cluster.ask(0, f"n.d{number}.example", at=start + number * gap)
    cluster.run(start + count * gap + 1)


def test_waste_ends_with_the_budget_and_goes_on_with_a_tenth_of_the_misses():
    cluster, _ = met(answers(0.205), [YES])
    spend(cluster, 60)
    assert len(cluster[0].remote) == 55  # 50, and a tenth of those before
    assert tokens(cluster) == 0.9
    assert told(cluster, "suppressed")["budget"] > 0
    cluster.finish()
    assert {got.rcode for got in cluster[0].got} == {"NOERROR"}


def test_a_third_attempt_leaves_only_while_half_of_the_tokens_are_there():
    peer = until(100, YES, silent)
    cluster, _ = met(until(100, answers(0.205), answers(1.6)), [peer] * 3)
    spend(cluster, 25)
    assert tokens(cluster) == 27.4
    cluster.run(100)
    before = len(cluster[0].remote)
    for number in range(2):
        cluster.ask(0, f"n.late{number}.example", at=100 + 5 * number)
    cluster.run(110)
    first = [round(at - 100, 6) for at, _, _ in cluster[0].remote[before:] if at < 105]
    second = [round(at - 105, 6) for at, _, _ in cluster[0].remote[before:] if at >= 105]
    assert first == [0.2, 0.6, 1.4]  # with 27.5, 26.5, 25.5
    assert second == [0.2, 0.6]  # with 24.6, 23.6; 22.6 is not enough
    cluster.finish()


def test_without_a_token_the_next_turn_is_waited_for():
    """A stall of many lookups at once: 50 races leave, each that wins lets another go."""
    cluster, _ = met(silent, [YES], settings={"race_budget": 0.1})
    for number in range(120):
        cluster.ask(0, f"n.d{number}.example", at=MET_S, client=number)
    cluster.run(MET_S + 5)
    cluster.finish()
    assert {got.rcode for got in cluster[0].got} == {"NOERROR"}
    assert max(got.at for got in cluster[0].got) <= MET_S + 1.5


# -- domains that are slow for everybody --------------------------------------------------------


def test_three_attempts_in_vain_stop_help_for_a_domain_for_five_minutes():
    cluster, _ = met(answers(0.5), [answers(0.5)])
    for number in range(6):
        cluster.ask(0, f"n{number}.slow.example", at=MET_S + number)
    cluster.ask(0, "www.other.example", at=MET_S + 6)
    cluster.ask(0, "late.slow.example", at=MET_S + 310)
    cluster.run(MET_S + 320)
    cluster.finish()
    assert [name for _, _, name in cluster[0].remote] == [
        *(f"n{number}.slow.example" for number in range(3)),
        "www.other.example",
        "late.slow.example",
    ]
    assert told(cluster, "suppressed")["slow_domain"] == 3


@pytest.mark.parametrize(
    ("local", "peers"),
    [(silent, [silent] * 3), (failing(0.01), [failing(0.02)]), (answers(0.225), [YES])],
)
def test_attempts_that_helped_nobody_count(local, peers):
    cluster, _ = met(local, peers)
    for number in range(5):
        cluster.ask(0, f"n{number}.slow.example", at=MET_S + number * 12)
    cluster.run(MET_S + 70)
    cluster.finish()
    assert len(cluster[0].remote) == 3


def test_a_win_clears_the_domain_and_busy_peers_do_not_count():
    local = answers(0.5)
    cluster, _ = met(local, [answers(0.5), answers(0.5)])
    for number, peer in enumerate(
        [answers(0.5), answers(0.5), YES, answers(0.5), busy(), answers(0.5)]
    ):
        name = f"n{number}.slow.example"
        cluster.strangers.behaviours = [peer]
        cluster.ask(0, name, at=cluster.now)
        cluster.run(cluster.now + 3)
    assert told(cluster, "suppressed")["slow_domain"] == 0
    cluster.finish()


def test_slow_domains_are_asked_all_the_same_while_failing():
    local = until(MET_S + 10, answers(0.5), silent)
    cluster, _ = scripted(local, [answers(0.5)] * 3, settings={**fixed(0.2), "probe": True})
    cluster.run(MET_S)
    for number in range(4):
        cluster.ask(0, f"n{number}.slow.example", at=MET_S + number)
    cluster.run(26)
    assert cluster[0].path.state.value == "failing"
    assert len(cluster[0].remote) == 3
    cluster.ask(0, "late.slow.example")
    cluster.run(28)
    assert cluster[0].got[-1].at == 26.5
    cluster.finish()


# -- tries of the local path (RULES 4.3) --------------------------------------------------------


def own(cluster):
    return [round(at - MET_S, 6) for at, _ in cluster[0].asked if at >= MET_S]


@pytest.mark.parametrize(
    ("peers", "tries"),
    [
        ([], [0.0, 0.4, 1.6]),
        ([silent] * 3, [0.0, 2.35]),  # for 2 s each: what was owed leaves after the last
        ([failing(0.5)] * 3, [0.0, 0.85]),  # asked at 0.05, 0.15, 0.35
        ([failing(0.1)] * 3, [0.0, 0.4, 1.6]),
        ([busy()] * 6, [0.0, 0.4, 1.6]),
        ([answers(0.3)], [0.0]),  # answered: losers are not retransmitted
    ],
)
def test_no_try_is_repeated_while_a_remote_query_is_in_flight(peers, tries):
    result = raced(silent, *peers, delay=0.05, count=len(peers))
    assert result.local[: len(tries)] == tries
    if len(result.local) > len(tries):
        assert result.local[len(tries)] > tries[-1] + 0.7


@pytest.mark.parametrize(("peer", "again"), [(failing(0.5), 0.55), (silent, 2.05)])
def test_what_is_owed_does_not_wait_for_tokens(peer, again):
    """The only attempt that was paid for has ended; the next ones are denied for seconds."""
    cluster, _ = scripted(
        until(MET_S + 0.5, silent, answers(0.02)), [peer], count=3, settings=fixed(0.05)
    )
    cluster.run(MET_S)
    cluster[0].fleet.budget._tokens = 1000
    cluster.ask(0, "www.name.example")
    cluster.run(MET_S + 10)
    assert own(cluster) == [0.0, again]
    assert round(cluster[0].got[0].at - MET_S - again, 6) == 0.02
    cluster.finish()


# -- samples ------------------------------------------------------------------------------------

LATE = 0.22 + 0.2  # max(20 ms, d) after the peer


@pytest.mark.parametrize(
    ("local", "peers", "samples"),
    [
        (answers(0.1), [YES], {"won": 1}),
        (answers(0.199), [YES], {"won": 1}),
        (answers(0.21), [YES], {"won": 1}),  # the peer's comes after it
        (answers(0.5), [silent], {}),  # nobody was quicker: the authority's doing
        (answers(0.3), [YES], {}),  # close behind
        (answers(LATE - 0.01), [YES], {}),
        (answers(LATE + 0.01), [YES], {"lost": 1}),
        (silent, [YES], {"lost": 1}),
        (silent, [silent], {}),
        (failing(0.01), [YES], {}),  # an answer, of a kind
        (failing(0.3), [YES], {"lost": 1}),
        (unreachable(0.01), [YES], {"lost": 1}),
        (unreachable(0.01), [silent], {"lost": 3}),  # each try
        (lambda query, now: (0.01, Outcome.OVERLOAD), [YES], {}),  # our own doing
        (lambda query, now: (0.3, Outcome.OVERLOAD), [YES], {}),
        (answers(0.3), [negative(0.02)], {"won": 1}),
        (silent, [negative(0.02)], {"lost": 1}),
    ],
)
def test_what_a_race_says_of_the_local_path(local, peers, samples):
    result = raced(local, *peers)
    counts = result.cluster[0].path._samples.counts()
    assert {kind: count for kind, count in counts.items() if count} == samples


def test_lost_is_known_when_the_margin_is_over_not_when_the_loser_ends():
    cluster, _ = met(silent, [YES])
    cluster.ask(0, "www.name.example")
    cluster.run(MET_S + LATE - 0.01)
    assert cluster[0].path._samples.bad == 0
    cluster.run(MET_S + LATE + 0.01)
    assert cluster[0].path._samples.bad == 1


@pytest.mark.parametrize(
    ("local", "peers", "times"),
    [
        (answers(0.1), [YES], [0.1]),
        (answers(0.3), [YES], [0.3]),  # the loser's
        (silent, [YES], [10.0]),  # at least as long as it had
        (silent, [silent], [10.0]),
        (failing(0.3), [YES], []),
        (unreachable(0.1), [YES], []),
        (lambda query, now: (0.3, Outcome.OVERLOAD), [YES], []),
    ],
)
def test_what_the_initial_delay_learns(local, peers, times):
    result = raced(local, *peers)
    policy = result.cluster[0].fleet.sides[b""].policy
    assert [round(time, 6) for time in policy._times] == times


def test_losers_teach_the_gaps_too():
    cluster, _ = met(answers(0.23), [answers(0.2)])
    for number in range(16):
        cluster.ask(0, f"n.d{number}.example", at=MET_S + number)
    cluster.run(MET_S + 20)
    assert cluster[0].fleet.times.spread() == pytest.approx(0.2)


def test_what_was_saved_is_counted_once_whatever_other_tries_come_to():
    """Two tries of our own are out when the peer wins; one is answered, the other never is."""
    two = until(MET_S + 0.05, answers(0.3), answers(9.9))
    local = until(MET_S, answers(0.004), two)
    cluster, _ = scripted(local, [YES], settings=fixed(0.1))
    cluster.ask(0, "warm.example", at=4)
    cluster.run(MET_S)
    cluster.ask(0, "www.name.example")
    cluster.run(MET_S + 20)
    assert own(cluster) == [0.0, 0.05]
    assert told(cluster, "saved_s") == pytest.approx(0.3 - 0.12)
    (race,) = cluster[0].node.recent_races(cluster.now)
    assert [
        (event["who"], event["what"]) for event in race["events"] if event["who"] == "local"
    ] == [
        ("local", "asked"),
        ("local", "answered"),
    ]
    cluster.finish()


def test_cached_answers_are_no_samples():
    """Or the delay would collapse: 1 ms each (CoreDNS 2306; RULES 5.5)."""
    cluster, _ = met(answers(0.030), [YES])
    for number in range(50):
        cluster.ask(0, "www.name.example", at=MET_S + number / 10)
    cluster.run(MET_S + 6)
    assert len(cluster[0].fleet.sides[b""].policy._times) == 1
    assert cluster[0].path._samples.counts()["won"] == 1


@pytest.mark.parametrize("peers", [[YES], [silent], [failing(0.02)]])
def test_our_own_overload_is_remembered_as_nobodys_failure(peers):
    """CoreDNS 4326. The next client asks the nameserver again."""
    local = until(MET_S + 5, lambda query, now: (0.01, Outcome.OVERLOAD), answers(0.004))
    cluster, _ = met(local, peers)
    cluster.ask(0, "www.name.example")
    cluster.ask(0, "other.name.example", at=MET_S + 6)
    cluster.run(MET_S + 8)
    cluster.finish()
    assert len(cluster[0].node._state.failures) == 0
    assert cluster[0].got[-1].at == MET_S + 6.004
    assert cluster[0].path._samples.bad == 0


def test_a_lookup_without_a_peer_looks_again_for_one():
    """Its time came before any heartbeat was answered: the first seconds of a node."""

    def link(source, target, message, now):
        return 0.001 if now > 0.3 else None

    cluster = Cluster([silent, answers(0.02), answers(0.02)], link=link)
    cluster.ask(0, "early.example", at=0.0)
    cluster.run(6)
    (got,) = cluster[0].got
    assert got.rcode == "NOERROR"
    assert got.at < 4.4
    assert cluster[0].fleet.counts.suppressed["no_peer"] == 1
