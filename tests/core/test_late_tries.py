"""The last tries of a lookup whose nameserver is silent to everybody (`core.late_tries`)."""

from dataclasses import replace
from random import Random

import pytest
from node_world import World, answers, failing, silent, unreachable, until

from codns.core import late_tries
from codns.core.nameserver import REPEATS_MAX, REPEATS_SHARE, Nameserver
from codns.core.resolver import DEADLINE_S
from codns.wire.outcome import Outcome

ONE = "192.0.2.1#53"


def met(behaviour, **settings):
    """A node whose nameserver has answered in 4 ms before: its tries leave at 0 and 50 ms."""
    world = World({ONE: until(9.0, answers(0.004), behaviour)}, settings=settings)
    for second in range(8):
        world.ask(f"warm{second}.example", at=float(second))
    return world.run(9.0)


def after(world, since=10.0):
    return [round(at - since, 3) for at, _ in world.asked if at >= since]


def tries(world, name, since=10.0):
    found = [round(at - since, 3) for at, _, asked in world.jobs if asked == name]
    return [at for at in found if at >= 0]


def test_the_third_try_waits_for_1_6_s_and_tcp_follows():
    world = met(silent)
    world.ask("www.example", at=10.0)
    world.run(16.0)
    assert after(world) == [0.0, 0.05, 1.6, 3.2]
    assert world.flags[-2:] == [0, 1]  # the last over TCP
    assert world.got[-1].rcode == "SERVFAIL"
    assert world.got[-1].at == 14.5


def test_a_silence_of_a_second_and_a_half_fails_nothing():
    world = met(until(11.5, silent, answers(0.004)))
    for at in range(14):
        world.ask(f"n{at}.example", at=10.0 + at / 10)
    world.run(16.0)
    got = [got for got in world.got if got.at >= 10.0]
    assert [answer.rcode for answer in got] == ["NOERROR"] * 14
    # The first comes back at its own 1.6 s; by it the server is heard, so all others leave then
    assert {answer.at for answer in got} == {11.604, 11.608}


def test_what_was_held_back_leaves_when_anything_is_heard():
    world = met(until(10.5, silent, answers(0.004)))
    world.ask("first.example", at=10.0)
    world.ask("second.example", at=10.7)
    world.run(12.0)
    assert [got.at for got in world.got if got.at >= 10.0] == [10.704, 10.708]


def test_a_server_that_speaks_to_others_is_asked_again_soon():
    slow = {"www.example."}
    world = World(
        {ONE: lambda q, now: silent(q, now) if q.question[0].name.to_text() in slow
         else answers(0.004)(q, now)}
    )  # fmt: skip
    for second in range(8):
        world.ask(f"warm{second}.example", at=float(second))
    world.ask("www.example", at=10.0)
    world.ask("other.example", at=10.06)
    world.run(10.5)
    assert tries(world, "www.example A") == [0.0, 0.05, 0.15]
    # Here it answers something that is older than the second try: that says nothing of it
    world.ask("www.example", at=30.0)
    world.ask("older.example", at=30.02)
    world.run(31.5)
    assert tries(world, "www.example A", 30.0) == [0.0, 0.05]
    world.ask("newer.example", at=31.5)
    world.run(31.6)
    assert tries(world, "www.example A", 30.0) == [0.0, 0.05, 1.504]


def test_without_evidence_a_second_try_takes_a_token():
    """Of 30 lost at once 20 are asked again; the others when something newer is answered."""
    world = met(until(10.3, silent, answers(0.004)))
    server = world.node._state.servers[ONE]
    for number in range(30):
        world.ask(f"n{number}.example", at=10.0 + number / 10_000)
    world.run(10.29)
    assert len(after(world)) == 30 + REPEATS_MAX
    assert server.repeats < 1
    world.ask("new.example", at=10.4)
    world.run(10.5)
    got = [got.at for got in world.got if got.at > 10]
    assert len(got) == 31
    assert set(got) == {10.404, 10.408}


def test_tokens_come_with_first_tries_a_tenth_each():
    server = Nameserver(ONE)
    assert [server.guess() for _ in range(21)] == [True] * 20 + [False]
    for _ in range(9):
        server.asked_first()
    assert not server.guess()
    server.asked_first()
    server.asked_first()
    assert server.guess()
    for _ in range(1000):
        server.asked_first()
    assert server.repeats == pytest.approx(REPEATS_MAX, abs=REPEATS_SHARE)


def test_a_server_that_was_behind_comes_out_of_it():
    """25 a second in turn, 20 asked, a stall of 2 s: asked three times each it never would."""
    done = [0.0]

    def in_turn(query, now):
        done[0] = max(done[0], now, 7.0 if 5.0 <= now < 7.0 else 0.0) + 0.04
        return done[0] - now, answers(0.0)(query, now)[1]

    world = World({ONE: in_turn})
    for number in range(800):
        world.ask(f"n{number}.example", at=number / 20)
    world.run(60.0)
    asked = [name for _, _, name in world.jobs if name.startswith("n")]
    assert len(asked) < 800 * 1.2
    assert {got.rcode for got in world.got} == {"NOERROR"}
    late = [got.at for got in world.got if got.at > 39.0]
    assert len(late) == pytest.approx(20, abs=1)  # of the last second: nobody waits any more
    assert max(late) < 40.2


def test_no_lookup_is_left_without_an_end_when_no_token_is_left():
    world = met(lambda query, now: (5.0, answers(0.0)(query, now)[1]))
    for number in range(60):
        world.ask(f"n{number}.example", at=10.0 + number / 10)
    world.run(30.0)
    got = [got for got in world.got if got.at > 10]
    assert [answer.rcode for answer in got] == ["SERVFAIL"] * 60
    assert max(answer.at for answer in got) == 10.0 + 5.9 + 4.5


def test_a_refused_tcp_connection_says_nothing_against_the_server():
    world = met(lambda query, now: None if now < 13.2 else unreachable()(query, now))
    world.ask("www.example", at=10.0)
    world.run(13.19)
    downs = len(world.notes)
    world.run(13.3)
    assert after(world)[-1] == 3.2
    assert len(world.notes) == downs


def test_connections_to_a_dead_server_are_limited():
    world = met(silent)
    for number in range(late_tries.TCP_MAX + 20):
        world.ask(f"n{number}.example", at=10.0, client=bytes([10, 0, 0, number]))
    world.run(16.0)
    assert sum(flag & 1 for flag in world.flags) == late_tries.TCP_MAX
    assert all(got.rcode == "SERVFAIL" for got in world.got if got.at > 10)


def test_who_joins_a_lookup_without_tries_left_asks_anew():
    world = met(until(13.3, silent, answers(0.004)))
    world.ask("www.example", at=10.0, client="a")
    world.ask("www.example", at=13.9, client="b")
    world.run(16.0)
    assert [(got.client, got.at, got.rcode) for got in world.got if got.at > 10] == [
        ("a", 13.904, "NOERROR"),
        ("b", 13.904, "NOERROR"),
    ]


def test_those_held_back_are_forgotten_with_their_lookups():
    world = met(silent)
    server = world.node._state.servers[ONE]
    for number in range(40):
        world.ask(f"n{number}.example", at=10.0 + number / 100)
    world.run(12.5)
    assert server.postponed.maxlen == 8_192
    assert len(server.postponed) == 40
    world.servers[ONE] = answers(0.004)
    world.ask("last.example", at=30.0)
    world.run(31.0)
    assert not server.postponed
    assert len([got for got in world.got if got.at > 29]) == 1


def test_who_waited_before_it_began_anew_keeps_the_own_deadline():
    world = met(silent)
    world.ask("www.example", at=10.0, client="a")
    world.ask("www.example", at=14.2, client="b")
    world.run(20.0)
    assert [(got.client, got.at) for got in world.got if got.at > 10] == [("a", 14.5), ("b", 18.7)]


def moody(rng):
    """A nameserver that does something else every few seconds."""
    kinds = (
        answers(0.01), answers(1.5), answers(6.0), silent, failing(0.3), unreachable(),
        lambda query, now: (0.2, Outcome.TRUNCATED), lambda query, now: (0.0, Outcome.OVERLOAD),
    )  # fmt: skip
    moods = [[rng.choice(kinds) for _ in range(rng.choice((1, 1, 3)))] for _ in range(20)]
    return lambda query, now: rng.choice(moods[min(int(now / 2), 19)])(query, now)


@pytest.mark.parametrize("seed", range(12))
def test_every_lookup_ends_in_time_whatever_its_nameservers_do(seed):
    """Also where one of them leaves the configuration meanwhile."""
    rng = Random(seed)
    servers = {f"192.0.2.{number}#53": moody(rng) for number in range(1, 2 + seed % 3)}
    world = World(servers)
    for number in range(600):
        name = f"n{rng.randrange(400)}.d{number % 5}.example"
        world.ask(name, at=number / 20, client=str(number))
    if len(servers) > 1:
        fewer = replace(world.configured, nameservers=tuple(servers)[1:])
        world.at(15.0, lambda: world.node.configure(fewer, world.now))
    world.run(60.0)
    assert sorted(int(got.client) for got in world.got) == list(range(600))
    assert max(got.at - int(got.client) / 20 for got in world.got) <= DEADLINE_S + 1e-5
    assert len({got.rcode for got in world.got}) == 2
    assert not world.node._resolver.lookups
    assert world.node.outstanding == 0


@pytest.mark.parametrize("tries", [1, 2])
def test_a_lookup_goes_on_with_the_nameservers_of_a_reload(tries):
    """What is held back, or due, goes to the new ones; who joins it gets their answer too."""
    world = met(silent)
    world.servers["192.0.2.2#53"] = answers(0.004)
    world.ask("www.example", at=10.0, client="a")
    changed = replace(world.configured, nameservers=("192.0.2.2#53",))
    world.at(10.02 if tries == 1 else 10.5, lambda: world.node.configure(changed, world.now))
    world.ask("www.example", at=10.6 if tries == 2 else 10.03, client="b")
    world.run(20.0)
    assert [at for at in tries_at(world, ONE) if at >= 10] == [10.0, 10.05][:tries]
    got = {got.client: (got.at, got.rcode) for got in world.got if got.at > 10}
    at = 10.054 if tries == 1 else 10.504
    assert got["a"] == (at, "NOERROR")
    assert got["b"] == (at if tries == 1 else 10.6, "NOERROR")


def tries_at(world, server):
    return [at for at, asked, name in world.jobs if asked == server and name == "www.example A"]
