"""The library: nodes in virtual time, exact times, transcripts, lives."""

import random

import dns.message
import pytest
from node_world import answers as real
from node_world import negative

from codns.core.messages import QueryReply
from codns.sim import links
from codns.sim.behaviour import (
    answers,
    by_name,
    denies,
    during,
    refuses,
    servfail,
    silent,
    unreachable,
    until,
)
from codns.sim.book import Book
from codns.sim.cluster import Cluster, node_address, server_address
from codns.sim.kernel import Kernel
from codns.sim.links import cut, losing, matrix, same
from codns.wire.digest import digest
from codns.wire.outcome import Outcome


class TestKernel:
    def test_events_come_by_time_and_at_one_time_as_they_were_asked_for(self):
        kernel, done = Kernel(), []
        for time, what in ((2.0, "c"), (1.0, "a"), (1.0, "b"), (3.0, "d")):
            kernel.at(time, done.append, what)
        kernel.run(2.0)
        assert (done, kernel.now, kernel.events, len(kernel)) == (["a", "b", "c"], 2.0, 3, 1)

    def test_what_is_past_happens_now_and_what_is_never_does_not_happen(self):
        kernel, done = Kernel(), []
        kernel.run(5.0)
        kernel.at(1.0, lambda _: done.append(kernel.now))
        kernel.at(float("inf"), done.append)
        kernel.run(6.0)
        assert (done, len(kernel)) == ([5.0], 0)

    def test_time_stands_at_an_event_that_fails(self):
        kernel = Kernel()
        kernel.at(1.0, lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            kernel.run(2.0)
        assert (kernel.now, kernel.events) == (1.0, 1)

    @pytest.mark.parametrize("slot_s", [1e-4, 0.01, 0.3, 1000.0])
    def test_slots_of_any_length_give_the_same_order(self, slot_s):
        """Events that ask for others: at once, in the same slot, much later."""
        rng, kernel, done = random.Random(7), Kernel(slot_s), []
        asked: list[tuple[float, int]] = []

        def ask(time: float) -> None:
            if len(asked) < 3000:
                number = len(asked)
                asked.append((max(time, kernel.now), number))
                kernel.at(time, happen, number)

        def happen(number: int) -> None:
            done.append((kernel.now, number))
            for _ in range(rng.choice([0, 1, 1, 3])):
                ask(kernel.now + rng.choice([-1.0, 0.0, 1e-5, 0.004, 0.004, rng.random(), 40.0]))

        for _ in range(200):
            ask(rng.random())
        for end in (0.1, 0.1, 0.25, 1.0, 1e9):
            kernel.run(end)
            assert kernel.now == end
            assert done == sorted(asked)[: len(done)]
            assert len(kernel) == len(asked) - len(done)
            assert all(time > end for time, _ in sorted(asked)[len(done) :])
        assert kernel.events == len(done) == len(asked) >= 200


class TestBook:
    def test_a_name_is_made_once(self):
        book = Book()
        name = book.name("WWW.Example.com")
        assert book.name("www.example.com.") is name
        assert book.name("www.example.com", "AAAA") is not name
        assert (name.text, name.zone) == ("www.example.com. A", b"\7example\3com\0")
        book.forget(name)
        assert book.name("www.example.com") is not name

    def test_replies_are_what_a_slave_makes_of_such_an_answer(self):
        name = Book().name("www.example")
        query = dns.message.make_query("www.example", "A", id=0, use_edns=0)
        reply = name.address(300)
        found = digest(query.to_wire(), real(0)(query, 0)[1].to_wire())
        same = ("outcome", "rcode", "ad", "cacheable", "soa", "ancount", "nscount", "ttl")
        for made, wanted in (
            (reply, found),
            (name.denial(600), digest(query.to_wire(), negative(0)(query, 0)[1].to_wire())),
        ):
            for field in same:
                assert getattr(made, field) == getattr(wanted, field), field
            assert made.offsets[:1] == wanted.offsets[:1] or made.nscount
        assert (reply.offsets, len(reply.body)) == (found.offsets, len(found.body))


def settled(behaviours, **options):
    """Nodes that found each other."""
    return Cluster(behaviours, **options).run(5.0)


class TestTimes:
    @pytest.mark.parametrize(
        ("local", "peers", "at", "rcode"),
        [
            (answers(0.030), [answers(0.010)], 6.030, 0),
            (silent, [answers(0.020)], 6.072, 0),  # 50 ms delay at first, 2 ms RTT, 20 ms there
            (servfail(0.010), [answers(0.020)], 6.032, 0),  # a failure starts the peer at once
            (unreachable(0.001), [answers(0.020)], 6.023, 0),
            (refuses(0.010), [servfail(0.020)], 6.032, 5),
            (denies(0.015), [answers(0.020)], 6.015, 3),
        ],
    )
    def test_a_lookup(self, local, peers, at, rcode):
        fleet = settled([local, *peers])
        ask = fleet.ask(0, "www.example.com", at=6.0)
        fleet.run(12.0)
        assert ask.answered_at == pytest.approx(at, abs=1e-6)
        assert ask.rcode == rcode
        assert len(fleet.checks) == 0

    def test_behaviours_change_with_time_and_by_name(self):
        def nameserver(name, now):
            return special(name, now)

        special = by_name(
            {"a.example.com. A": until(10.0, answers(0.001), answers(0.002))},
            during([(20.0, 30.0)], servfail(0.003), answers(0.004)),
        )
        fleet = Cluster([nameserver], settings={"peers": None})
        times = [9.0, 11.0, 19.0, 21.0]
        names = ["a.example.com", "a.example.com", "b.example.com", "c.example.com"]
        asks = []
        for at, name in zip(times, names, strict=True):
            fleet.run(at)
            fleet[0].node.flush()
            asks.append(fleet.ask(0, name))
        fleet.run(40.0)
        took = [round(ask.answered_at - ask.at, 6) for ask in asks]
        assert took == [0.001, 0.002, 0.004, 0.003]
        assert [ask.rcode for ask in asks] == [0, 0, 0, 2]

    def test_without_an_answer_there_is_none(self):
        fleet = Cluster([silent], settings={"peers": None})
        ask = fleet.ask(0, "www.example.com", at=1.0)
        fleet.run(2.0)
        assert (ask.answered_at, ask.wire) == (float("inf"), b"")
        fleet.run(6.0)
        assert (ask.answered_at, ask.rcode) == (5.5, 2)

    def test_do_and_tcp_and_types(self):
        fleet = Cluster([answers(0.01, ad=True)], settings={"peers": None})
        plain = fleet.ask(0, "a.example.com", "AAAA", at=1.0)
        signed = fleet.ask(0, "a.example.com", "TXT", at=1.0, do=True, transport="tcp")
        fleet.run(2.0)
        assert plain.wire[3] & 0x20 == 0
        assert signed.wire[3] & 0x20


class TestLinks:
    def test_matrix(self):
        fleet = settled([silent, answers(0.02)], link=matrix([[0, 0.010], [0.030, 0]]))
        ask = fleet.ask(0, "www.example.com", at=6.0)
        fleet.run(7.0)
        assert ask.answered_at == pytest.approx(6.0 + 0.05 + 0.04 + 0.02, abs=1e-6)

    def test_a_partition_heals(self):
        fleet = Cluster(
            [answers(0.02)] * 3, link=cut(same(0.001), [[0], [1, 2]], since=10.0, to=40.0)
        ).run(30.0)
        down = sorted(said for _, said in fleet.notes(0))
        assert down == [f"peer does not answer peer={node_address(i)}" for i in (1, 2)]
        fleet.run(110.0)
        assert len([said for _, said in fleet.notes(0) if "answers again" in said]) == 2

    def test_one_datagram_is_lost(self):
        lost = []

        def first_reply(_source, _target, message, now):
            if isinstance(message, QueryReply) and not lost:
                lost.append(now)
                return True
            return False

        fleet = settled([silent, answers(0.02), answers(0.02)], link=losing(same(), first_reply))
        ask = fleet.ask(0, "www.example.com", at=6.0)
        fleet.run(12.0)
        assert lost == [pytest.approx(6.071)]
        # the second peer is asked max(2 x 50, 100) ms after the first
        assert ask.answered_at == pytest.approx(6.0 + 0.05 + 0.1 + 0.022, abs=1e-6)


class TestLives:
    @pytest.mark.parametrize("introductions", [False, True])
    def test_a_node_that_is_started_again_remembers_nothing(self, introductions):
        fleet = settled([answers(0.02)] * 3, introductions=introductions)
        first = fleet.ask(1, "www.example.com", at=6.0)
        fleet.run(7.0)
        fleet.stop(1)
        lost = fleet.ask(1, "www.example.com", at=8.0)
        fleet.run(9.0)
        fleet.start(1)
        again = fleet.ask(1, "www.example.com", at=15.0)
        fleet.run(30.0)
        assert first.answered_at == pytest.approx(6.02)
        assert lost.answered_at == float("inf")
        assert again.answered_at == pytest.approx(15.02)
        assert fleet[1].boot == 1
        seen = {peer.address: peer for peer in fleet[0].node._fleet.neighbours.peers.values()}
        assert not seen[node_address(1)].missing
        assert seen[node_address(1)].slot is not None

    def test_introductions_take_a_round_trip_and_a_half(self):
        def heard(until, introductions):
            nodes = [answers(0.02)] * 2
            fleet = Cluster(nodes, link=same(0.010), introductions=introductions).run(until)
            return [peer.heard_at for peer in fleet[0].node._fleet.neighbours.peers.values()]

        assert heard(0.025, introductions=False) == [pytest.approx(0.020)]
        assert heard(0.035, introductions=True) == [float("-inf")]
        assert heard(0.045, introductions=True) == [pytest.approx(0.040)]

    def test_too_many_nodes(self):
        with pytest.raises(ValueError, match="65537 nodes; at most 65536 have addresses"):
            Cluster([silent] * 65537)

    def test_addresses(self):
        assert node_address(255) == "10.0.1.0:7353"
        assert (server_address(0), server_address(65535)) == ("198.18.0.1#53", "198.19.0.0#53")


def test_nodes_behind_one_nameserver_do_not_ask_each_other():
    shared = {"198.51.100.1#53": silent}
    fleet = settled([shared, shared, {"198.51.100.2#53": answers(0.02)}])
    ask = fleet.ask(0, "www.example.com", at=6.0)
    fleet.run(12.0)
    asked = [line.whom for line in fleet.transcript.lines(0, "remote")]
    assert asked == [node_address(2)]
    assert ask.rcode == 0


def test_the_transcript_tells_the_story():
    fleet = settled([silent, answers(0.020)])
    fleet.ask(0, "www.example.com", at=6.0, client="stub")
    fleet.run(6.5)
    name = fleet.book.name("www.example.com")
    assert [str(line).split() for line in fleet.transcript.lines(0, name=name)] == [
        ["6.000000", "0", "query", "stub", "www.example.com.", "A"],
        ["6.000000", "0", "local", server_address(0), "www.example.com.", "A"],
        ["6.050000", "0", "remote", node_address(1), "www.example.com.", "A"],
        ["6.072000", "0", "answer", "stub", "www.example.com.", "A", "NOERROR"],
    ]
    assert len(Cluster([answers(0.01)], kept=5).run(20.0).transcript) <= 5


def test_the_same_seed_gives_the_same_transcript():
    def story(seed):
        fleet = settled([silent, *[answers(0.01)] * 4], seed=seed, link=links.same(0.003))
        for number in range(20):
            fleet.ask(0, f"n{number}.example{number}.com", at=5 + number * 0.07)
        return fleet.run(20.0).transcript.text()

    assert story(3) == story(3)
    assert story(3) != story(4)


def test_outcomes_that_are_no_answers():
    assert unreachable()(None, 0.0)[1].outcome is Outcome.UNREACHABLE
    assert silent(None, 0.0) is None
