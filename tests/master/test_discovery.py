"""The list of peers over time, in trio's virtual time: when it is asked for, what it keeps."""

import random

import pytest
import trio
import trio.testing

from codns.master.discovery import (
    ADDRESSES_MAX,
    RETRY_MAX_S,
    TTL_MAX_S,
    TTL_MIN_S,
    Discovery,
    Found,
    NoAnswerError,
)

SRV = "srv:_codns._udp.example."
HOST = "n.example.:7353"
A, B, C = "192.0.2.1:7353", "192.0.2.2:7353", "192.0.2.3:7353"


class Middle(random.Random):
    """No jitter but half of it: exact times."""

    def random(self):
        return 0.5


class World:
    """A discovery whose questions are answered by `answers`, one after the other, the last on."""

    def __init__(self, nodes, answers=(), saved=None, took_s=0.0, rng=None):
        self.answers = {node: list(said) for node, said in dict(answers).items()}
        self.took_s = took_s
        self.asked = []
        self.lists = []
        self.log = []
        self.discovery = Discovery(
            self.resolve, self.changed, lambda *line: self.log.append(line), rng or Middle(), saved
        )
        self.start = 0.0
        self.nodes = nodes

    async def resolve(self, node):
        self.asked.append((self.now(), node))
        await trio.sleep(self.took_s)
        said = self.answers[node]
        answer = said.pop(0) if len(said) > 1 else said[0]
        if isinstance(answer, str):
            raise NoAnswerError(answer)
        return answer

    def now(self):
        return round(trio.current_time() - self.start, 6)

    def changed(self, addresses):
        self.lists.append((self.now(), addresses))

    def times(self, node=SRV):
        return [at for at, name in self.asked if name == node]

    def events(self):
        return [(level, event) for level, event, _ in self.log]

    def run(self, seconds, *steps):
        """Let it run; `steps` are (when, what)."""

        async def main():
            self.start = trio.current_time()
            self.discovery.set_nodes(self.nodes)
            async with trio.open_nursery() as nursery:
                await nursery.start(self.discovery.run)
                for when, step in steps:
                    await trio.sleep(when - self.now())
                    step()
                await trio.sleep(seconds - self.now())
                nursery.cancel_scope.cancel()

        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
        return self


def test_addresses_need_nobody():
    world = World([A, B]).run(10_000)
    assert world.lists == [(0, [A, B])]
    assert world.asked == []
    assert world.discovery.settled


def test_names_come_in_the_order_of_the_list_each_address_once():
    answers = {SRV: [Found([C, A], 60)], HOST: [Found([B, C], 60)]}
    world = World([A, SRV, HOST], answers).run(10)
    assert world.lists[0] == (0, [A])
    assert world.lists[-1] == (0, [A, C, B])
    assert world.discovery.good() == {SRV: [C, A], HOST: [B, C]}


@pytest.mark.parametrize(
    ("ttl", "interval"),
    [(0, TTL_MIN_S), (20, TTL_MIN_S), (100, 95.0), (10_000_000, 0.95 * TTL_MAX_S)],
)
def test_an_answer_is_asked_for_again_when_it_is_old(ttl, interval):
    world = World([SRV], {SRV: [Found([A], ttl)]}).run(3.5 * interval)
    assert world.times() == [0, interval, 2 * interval, 3 * interval]
    assert world.lists == [(0, []), (0, [A])]


def test_jitter_stays_within_its_bounds():
    world = World([SRV], {SRV: [Found([A], 100)]}, rng=random.Random(7)).run(10_000)
    gaps = {b - a for a, b in zip(world.times(), world.times()[1:], strict=False)}
    assert min(gaps) >= 90
    assert max(gaps) <= 100
    assert len(gaps) > 50


def test_no_answer_keeps_the_last_list_and_is_asked_for_more_and_more_seldom():
    answers = [Found([A, B], 30), *["SERVFAIL"] * 9, Found([A], 30)]
    world = World([SRV], {SRV: answers}).run(340)
    gaps = [1, 2, 4, 8, 16, 32, *[RETRY_MAX_S] * 3, 30, 30]
    expected = [0, 30]
    for gap in gaps:
        expected.append(expected[-1] + gap)
    assert world.times() == [at for at in expected if at < 340]
    assert world.lists == [(0, []), (0, [A, B]), (30 + 63 + 180, [A])]
    assert world.events() == [("warning", "peers' name has no answer, the last list stays")]
    assert world.log[0][2] == {"name": SRV, "addresses": 2, "reason": "SERVFAIL"}


def test_an_empty_answer_is_a_slip_and_changes_nothing():
    answers = [Found([A, B], 30), Found([], 60), Found([], 60), Found([B, A], 60), Found([], 60)]
    world = World([SRV], {SRV: answers}).run(300)
    assert world.lists == [(0, []), (0, [A, B])]  # another order is no news either
    said = ("warning", "peers' name has no addresses, the last list stays")
    assert world.events() == [said, said]  # once each time it begins
    assert world.discovery.good() == {SRV: [B, A]}


def test_a_dead_dns_at_the_start_and_the_list_of_an_earlier_run():
    saved = {SRV: [A, B], "srv:another.example.": [C]}
    world = World([C, SRV], {SRV: ["no answer"]}, saved).run(100)
    assert world.lists == [(0, [C, A, B]), (0, [C, A, B])]  # again: no more will be known
    assert world.discovery.good() == {SRV: [A, B]}


def test_start_does_not_wait():
    world = World([A, SRV], {SRV: [Found([B], 60)]}, took_s=8.0).run(20)
    assert world.lists == [(0, [A]), (8, [A, B])]
    assert world.discovery.settled


def test_new_nameservers_are_asked_at_once_for_what_had_no_answer():
    answers = {SRV: ["dead", "dead", "dead", "dead", Found([A], 600)], HOST: [Found([B], 600)]}
    world = World([SRV, HOST], answers)
    world.run(100, (10, world.discovery.nudge), (50, world.discovery.nudge))
    assert world.times() == [0, 1, 3, 7, 10]
    assert world.times(HOST) == [0]


def test_a_reload_keeps_what_stays_and_forgets_what_went():
    answers = {SRV: [Found([A], 100)], HOST: [Found([B], 100)]}
    world = World([SRV], answers)
    set_nodes = world.discovery.set_nodes
    world.run(300, (50, lambda: set_nodes([C, SRV, HOST])), (120, lambda: set_nodes([HOST])))
    assert world.times(SRV) == [0, 95]
    assert world.times(HOST) == [50, 145, 240]
    lists = [(0, []), (0, [A]), (50, [C, A]), (50, [C, A, B]), (120, [B])]
    assert [entry for n, entry in enumerate(world.lists) if entry != world.lists[n - 1]] == lists


def test_a_name_that_went_and_comes_back_has_its_last_list():
    world = World([SRV], {SRV: [Found([A], 100), "dead"]})
    set_nodes = world.discovery.set_nodes
    world.run(60, (10, lambda: set_nodes([C])), (20, lambda: set_nodes([C, SRV])))
    assert world.lists[-1] == (20, [C, A])


def test_the_list_has_an_end():
    many = [f"192.0.{n // 256}.{n % 256}:7353" for n in range(ADDRESSES_MAX)]
    world = World([C.replace("7353", "1"), SRV], {SRV: [Found(many, 60)]}).run(10)
    assert world.lists[-1][1] == [C.replace("7353", "1"), *many[:-1]]
    assert world.log[-1][:2] == ("warning", "list of peers is too long")
