"""Lookups over the local path, with the exact time of every try and every answer (RULES 4)."""

from dataclasses import replace

import dns.edns
import dns.flags
import pytest
from node_world import World, answers, failing, negative, silent, unreachable, until

from codns.core.settings import ZoneSettings
from codns.wire.name import from_text

ONE, TWO, THREE = "192.0.2.1#53", "192.0.2.2#53", "192.0.2.3#53"


def test_an_answer_goes_to_the_client_when_it_comes():
    world = World({ONE: answers(0.030)})
    world.ask("www.example")
    world.run(1)
    assert world.times == [(0.030, "NOERROR")]
    assert world.asked == [(0.0, ONE)]
    assert world.node.next_timeout() == 60.0  # only housekeeping is left


@pytest.mark.parametrize(
    ("behaviours", "asked", "answered"),
    [
        # unheard servers have 400 ms, doubling for each further try; next ones in turn
        ([silent, answers(0.010)], [(0.0, ONE), (0.4, TWO)], (0.410, "NOERROR")),
        (
            [silent, silent, answers(0.01)],
            [(0.0, ONE), (0.4, TWO), (1.2, THREE)],
            (1.210, "NOERROR"),
        ),
        # a single server is tried three times and no more, then the client has 4.5 s
        ([silent], [(0.0, ONE), (0.4, ONE), (1.6, ONE), (3.2, ONE)], (4.5, "SERVFAIL")),
        # an answer to the first try is as good after the second left
        ([answers(0.5)], [(0.0, ONE), (0.4, ONE)], (0.5, "NOERROR")),
        # a failing answer starts the next at once and ends its server
        ([failing(0.01), answers(0.02)], [(0.0, ONE), (0.01, TWO)], (0.03, "NOERROR")),
        ([failing(0.01, "REFUSED"), answers(0.02)], [(0.0, ONE), (0.01, TWO)], (0.03, "NOERROR")),
        ([failing(0.01, "FORMERR"), answers(0.02)], [(0.0, ONE), (0.01, TWO)], (0.03, "NOERROR")),
        # it never beats an answer that is pending, and wins when nothing is left
        ([failing(0.01), failing(0.02)], [(0.0, ONE), (0.01, TWO)], (0.03, "SERVFAIL")),
        ([failing(0.01)], [(0.0, ONE)], (0.01, "SERVFAIL")),
        ([failing(0.01, "REFUSED")], [(0.0, ONE)], (0.01, "REFUSED")),
        ([failing(0.01, "FORMERR")], [(0.0, ONE)], (0.01, "SERVFAIL")),
        # a transport error starts the next server at once, the same one after its timeout
        ([unreachable(0.001), answers(0.02)], [(0.0, ONE), (0.001, TWO)], (0.021, "NOERROR")),
        ([unreachable(0.0)], [(0.0, ONE), (0.4, ONE), (1.6, ONE)], (1.6, "SERVFAIL")),
        # NXDOMAIN is an answer
        ([negative(0.01), answers(0.02)], [(0.0, ONE)], (0.01, "NXDOMAIN")),
        ([], [], (0.0, "SERVFAIL")),
    ],
)
def test_tries_and_failover(behaviours, asked, answered):
    world = World(dict(zip((ONE, TWO, THREE), behaviours, strict=False)))
    world.ask("www.example")
    world.run(9.9)
    assert world.asked == asked
    assert world.times == [answered]


@pytest.mark.parametrize(
    ("behaviour", "ede"),
    [(silent, 22), (unreachable(), 23), (failing(0.01), None)],
)
def test_a_failure_says_why(behaviour, ede):
    world = World({ONE: behaviour})
    world.ask("www.example", use_edns=0)
    world.run(5)
    assert [(got.rcode, got.ede) for got in world.got] == [("SERVFAIL", ede)]


def test_tries_go_round_and_end_with_the_client():
    world = World({ONE: silent, TWO: silent})
    world.ask("www.example")
    world.run(20)
    assert world.asked == [(0.0, ONE), (0.4, TWO), (1.2, ONE), (2.8, TWO)]
    assert world.times == [(4.5, "SERVFAIL")]


def test_three_tries_a_server_and_no_more():
    """RFC 9520 3.1; with quick servers they are used up long before the deadline."""
    world = World({ONE: until(5, answers(0.01), silent), TWO: until(5, failing(0.01), silent)})
    for n in range(30):
        world.ask(f"n{n}.example", at=n / 10)
    world.ask("late.example", at=6)
    world.run(20)
    late = [server for _, server, name in world.jobs if name.startswith("late")]
    assert late == [ONE, TWO, ONE, TWO, ONE, TWO][: len(late)]
    assert late.count(ONE) == 3


def test_the_timeout_follows_the_round_trip_times():
    """srtt + 4 rttvar, at least 50 ms (RFC 6298 2; RULES 4.3)."""
    world = World({ONE: until(10, answers(0.020, ttl=1), silent)})
    for n in range(50):
        world.ask(f"n{n}.example", at=n / 10)
    world.ask("late.example", at=10)
    world.run(15)
    tries = [at for at, _, name in world.jobs if name.startswith("late")]
    assert tries == pytest.approx([10, 10.05, 11.6, 13.2])


def test_a_quicker_server_is_asked_first():
    world = World({ONE: until(1, silent, answers(0.1)), TWO: answers(0.005)})
    world.ask("a.example")  # ONE is silent: TWO is asked and heard
    world.ask("b.example", at=2)
    world.run(3)
    assert world.asked == [(0.0, ONE), (0.4, TWO), (2.0, TWO)]


def test_an_unheard_server_does_not_cost_a_timeout():
    """A dead second line of resolv.conf is not tried as long as the first answers."""
    world = World({ONE: answers(0.02), TWO: silent})
    for n in range(20):
        world.ask(f"n{n}.example", at=n)
    world.run(30)
    assert {server for _, server in world.asked} == {ONE}


def test_a_server_goes_down_after_three_silences_and_returns_with_a_probe():
    world = World({ONE: until(10, silent, answers(0.01)), TWO: answers(0.02)}, {"probe": True})
    for n in range(100):
        world.ask(f"n{n}.example", at=n / 4)
    world.run(40)
    downs = [(at, fields["nameserver"]) for at, event, fields in world.notes if "not" in event]
    ups = [(at, fields["nameserver"]) for at, event, fields in world.notes if "again" in event]
    assert [server for _, server in downs] == [ONE]
    assert [server for _, server in ups] == [ONE]
    assert downs[0][0] < 1.5
    assert 10 < ups[0][0] < 12  # 1 s a probe while busy
    waits = {got.at - n / 4 for n, got in enumerate(sorted(world.got, key=lambda g: g.at))}
    assert sum(wait > 0.05 for wait in waits) <= 4  # only those before it was known to be down


def test_an_icmp_refusal_takes_a_server_down_at_once():
    world = World({ONE: unreachable(0.001), TWO: answers(0.02)})
    world.ask("a.example")
    world.ask("b.example", at=1)
    world.run(2)
    assert world.asked == [(0.0, ONE), (0.001, TWO), (1.0, TWO)]


def test_all_down_are_asked_all_the_same():
    world = World({ONE: until(5, unreachable(), answers(0.01))})
    world.ask("a.example")
    world.ask("b.example", at=6)
    world.run(7)
    assert world.times == [(1.6, "SERVFAIL"), (6.01, "NOERROR")]


def test_a_late_answer_reaches_the_cache():
    """The client had to be told SERVFAIL at 4.5 s; the next one is served from the cache."""
    world = World({ONE: answers(6.0)})
    world.ask("slow.example")
    world.ask("slow.example", at=7)
    world.run(8)
    assert world.times == [(4.5, "SERVFAIL"), (7.0, "NOERROR")]


def test_a_client_that_comes_after_the_deadline_starts_anew():
    world = World({ONE: until(4.8, silent, answers(0.01))})
    world.ask("www.example")
    world.ask("www.example", at=5.0)  # the stub's second attempt
    world.run(10)
    assert world.times == [(4.5, "SERVFAIL"), (5.01, "NOERROR")]
    assert world.asked == [(0.0, ONE), (0.4, ONE), (1.6, ONE), (3.2, ONE), (5.0, ONE)]


def test_one_slow_name_delays_no_other():
    world = World(
        {ONE: lambda q, now: answers(3 if "slow" in str(q.question[0].name) else 0.01)(q, now)}
    )
    world.ask("slow.example")
    for n in range(20):
        world.ask(f"n{n}.example", at=n / 10)
    world.run(5)
    others = sorted(got.at for got in world.got)[:-1]
    assert others == [pytest.approx(n / 10 + 0.01) for n in range(20)]


def test_upstream_is_asked_with_our_own_edns():
    """RULES 2.3: RD=1, AD=1, our OPT of 1232, DO and CD as asked; options are not passed."""
    world = World({ONE: answers(0.01)})
    cookie = dns.edns.GenericOption(10, b"12345678")
    world.ask(
        "www.example",
        use_edns=0,
        payload=4096,
        options=[cookie],
        want_dnssec=True,
        flags=dns.flags.RD | dns.flags.CD,
    )
    world.run(1)
    (query,) = world.queries
    assert query.flags == dns.flags.RD | dns.flags.AD | dns.flags.CD
    assert (query.edns, query.payload, query.ednsflags, query.options) == (0, 1232, 0x8000, ())


def test_zones_have_nameservers_of_their_own():
    zones = {from_text("corp.example"): ZoneSettings((TWO,), peers=False)}
    world = World({ONE: answers(0.01), TWO: answers(0.02)}, {"zones": zones})
    world.node.configure(replace(world.configured, nameservers=(ONE,)), 0.0)
    for n, name in enumerate(("a.corp.example", "corp.example", "xcorp.example", "example")):
        world.ask(name, at=n)
    world.run(5)
    assert world.asked == [(0.0, TWO), (1.0, TWO), (2.0, ONE), (3.0, ONE)]
