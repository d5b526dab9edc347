"""Availability as the paper counts it, quantiles, the stub of 2004."""

import pytest

from codns.sim.behaviour import answers, servfail, silent, until
from codns.sim.cluster import Cluster, server_address
from codns.sim.meter import Meter, Node
from codns.sim.report import quantile
from codns.sim.stub import Stub


@pytest.mark.parametrize(
    ("events", "down_s"),
    [
        ([], 0),
        ([("good", 1.0)], 0),
        ([("bad", 1.0, 5.5)], 5.0),  # nobody is answered: 5 s and no more
        ([("good", 0.5), ("bad", 1.0, 5.5)], 5.0),
        ([("bad", 1.0, 5.5), ("good", 5.7)], 4.7),
        ([("good", 3.0), ("bad", 1.0, 5.5)], 2.0),  # others were answered meanwhile
        ([("bad", 1.0, 5.5), ("bad", 2.0, 6.5)], 6.0),  # they overlap: once
        ([("bad", 1.0, 5.5), ("bad", 20.0, 24.5)], 10.0),
        ([("good", 1.5), ("bad", 1.0, 1.6), ("bad", 1.2, 1.7), ("good", 9.0)], 0.5),
        ([("bad", 1.0, 1.1), ("good", 1.2)], 0.2),  # an error at once, then well again
        # Told 10 s later, as by the stub: others had been answered half a second after it came
        ([("good", 1.5), ("good", 9.5), ("bad", 1.0, 11.0)], 0.5),
        ([("bad", 5.0, 5.1), ("bad", 1.0, 11.0)], 9.0),  # and others had failed
    ],
)
def test_availability(events, down_s):
    node = Node()
    for kind, *times in events:
        getattr(node, kind)(times[0])
    node.finish(100.0)
    assert node.down_s == pytest.approx(down_s)


def test_a_period_ends_with_the_measurement():
    node = Node(end=10.0)
    node.bad(8.0)
    node.bad(9.0)
    node.finish(20.0)
    assert node.down_s == 2.0


def test_only_the_time_between_counts():
    fleet = Cluster([answers(0.02)], settings={"peers": None})
    meter = Meter(1, 10.0, 20.0)
    fleet.answered_hook = meter.answered
    for number, at in enumerate((9.9, 10.0, 19.9, 20.0)):
        fleet.ask(0, f"n{number}.example.com", at=at)
    fleet.ask(0, "n1.example.com", at=15.0)
    fleet.run(30.0)
    assert list(meter.nodes[0].times) == pytest.approx([0.02, 0.02])
    assert (meter.nodes[0].hits, meter.nodes[0].failed) == (1, 0)


def test_quantiles_are_nearest_ranks():
    values = list(range(1, 1001))
    found = [quantile(values, percent) for percent in (0, 50, 90, 99, 99.9, 100)]
    assert found == [1, 500, 900, 990, 999, 1000]
    assert quantile([7], 99.9) == 7


def stub(behaviour, **settings):
    return Cluster([behaviour], brain=Stub, checked=False, **settings)


class TestStub:
    def test_it_asks_twice_and_gives_up(self):
        fleet = stub(silent)
        ask = fleet.ask(0, "www.example.com", at=1.0)
        fleet.run(30.0)
        assert (ask.answered_at, ask.rcode) == (11.0, 2)

    def test_it_waits_five_seconds(self):
        fleet = stub(until(1.5, silent, answers(0.02)))
        ask = fleet.ask(0, "www.example.com", at=1.0)
        again = fleet.ask(0, "www.example.com", at=7.0)
        fleet.run(30.0)
        assert ask.answered_at == pytest.approx(6.02)
        assert again.answered_at == 7.0  # the cache in front of it

    def test_it_takes_any_answer(self):
        fleet = stub(servfail(0.02))
        ask = fleet.ask(0, "www.example.com", at=1.0)
        fleet.run(30.0)
        assert (ask.answered_at, ask.rcode) == (pytest.approx(1.02), 2)

    def test_it_asks_the_next_nameserver(self):
        fleet = stub({server_address(0): silent, server_address(1): answers(0.02)})
        ask = fleet.ask(0, "www.example.com", at=1.0)
        fleet.run(30.0)
        assert ask.answered_at == pytest.approx(6.02)

    def test_it_needs_nothing_else(self):
        node = Stub(Cluster([silent])[0].settings)
        assert node.cached(b"", "udp", 0.0) is None
        assert node.next_timeout() is None
        for effects in (
            node.peer_message(None, "", 0.0),
            node.peer_learned("", 0.0),
            node.set_peers([], 0.0),
            node.start(0.0),
            node.handle_timeout(0.0),
        ):
            assert effects == []
