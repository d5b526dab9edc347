"""When cycles are looked for: turns of a loop in virtual time, and the real collector."""

import gc
from itertools import pairwise
from types import SimpleNamespace

import pytest
import trio

from codns.master import garbage
from codns.master.garbage import FORCED, FULL_S, FULL_SHARE, MIDDLE, QUIET_S, YOUNG_S, Garbage


class Loop:
    """Turns of a loop, and notes which generation was looked at when."""

    def __init__(self, monkeypatch, cost_s=0.0):
        self.now = 0.0
        self.seen = []
        self.cost_s = cost_s
        nothing = dict.fromkeys(("freeze", "unfreeze", "disable", "enable"), lambda: None)
        monkeypatch.setattr(garbage, "gc", SimpleNamespace(collect=self.collect, **nothing))
        clock = SimpleNamespace(current_time=lambda: self.now, thread_time=lambda: self.now)
        monkeypatch.setattr(garbage, "trio", clock)
        monkeypatch.setattr(garbage, "time", clock)
        self.one = Garbage()
        self.one.begin()

    def collect(self, generation=2):
        self.seen.append((round(self.now, 3), generation))
        if generation == 2:
            self.now += self.cost_s
        return 7

    def run(self, until, every, due=1.0):
        """Something comes each `every` seconds; a task of its own is due in `due`."""
        while self.now < until:
            self.one.before_io_wait(due)
            self.now += every
            self.one.after_io_wait(due)

    def full(self):
        return [at for at, generation in self.seen if generation == 2][1:]  # bar the start's


def test_young_ones_are_looked_at_while_something_is_done(monkeypatch):
    loop = Loop(monkeypatch)
    loop.run(1.0, 0.001)
    young = [at for at, generation in loop.seen if generation < 2]
    assert all(
        later - earlier == pytest.approx(YOUNG_S, abs=0.002) for earlier, later in pairwise(young)
    )
    assert len(young) > 40
    kinds = [generation for _, generation in loop.seen[1:]]
    assert kinds[: 2 * MIDDLE] == ([0] * (MIDDLE - 1) + [1]) * 2


def test_who_has_nothing_to_do_looks_at_nothing(monkeypatch):
    loop = Loop(monkeypatch)
    loop.run(FULL_S - 1, FULL_S / 2)
    assert len(loop.seen) <= 1 + 2


@pytest.mark.parametrize(
    ("every", "due", "cost_s", "at"),
    [
        # (what comes how often, when a task is due, what a full look takes) and when they were
        (QUIET_S * 1.5, 1.0, 0.01, [600.0, 1200.0]),
        (QUIET_S / 2, 1.0, 0.01, []),  # never quiet
        (QUIET_S * 1.5, QUIET_S / 2, 0.01, []),  # not for long
        (QUIET_S * 1.5, 1.0, 0.03, [600.0, 1350.0]),  # dear: not so often
    ],
)
def test_all_are_looked_at_in_quiet_moments(monkeypatch, every, due, cost_s, at):
    loop = Loop(monkeypatch, cost_s)
    loop.run(1799.0, every, due)
    assert loop.full() == pytest.approx(at, abs=1.2)
    assert loop.one.full == len(at)
    assert loop.one.found == 7 * len(at)
    assert loop.one.full_s == pytest.approx(cost_s * len(at))


def test_who_is_never_quiet_is_held_up_all_the_same(monkeypatch):
    loop = Loop(monkeypatch, 2 * FULL_SHARE * FULL_S)
    loop.run(FORCED * FULL_S + 2 * FORCED * FULL_S + 1, QUIET_S / 2)
    assert loop.full() == pytest.approx([FORCED * FULL_S, 3 * FORCED * FULL_S], abs=0.2)


class Cycle:
    """Two of these hold each other."""

    freed = 0

    def __del__(self):
        Cycle.freed += 1


def test_a_cycle_that_lived_for_long_is_freed(monkeypatch):
    """The real collector, in a real loop that has nothing else to do."""
    for name in ("FULL_S", "QUIET_S", "YOUNG_S"):
        monkeypatch.setattr(garbage, name, 0.0)
    monkeypatch.setattr(garbage, "FULL_SHARE", 1e9)

    async def main():
        one = Garbage()
        async with trio.open_nursery() as nursery:
            one.begin()
            nursery.start_soon(one.run)
            assert not gc.isenabled()
            first, second = Cycle(), Cycle()
            first.other, second.other = second, first
            with trio.fail_after(10):
                while one.full < 2:  # old by now
                    await trio.lowlevel.checkpoint()
                del first, second
                while Cycle.freed < 2:
                    await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert gc.isenabled()
        assert one.found >= 2

    trio.run(main)
