"""How the pump takes what waits: some at a time, all of it in the end."""

import socket
from itertools import pairwise

import trio
import trio.testing

from codns.core.model import Client
from codns.master.backlog import TAKEN
from codns.master.pump import Pump


class Node:
    """Notes when which query was taken."""

    def __init__(self):
        self.taken = []

    def client_query(self, wire, client, now):
        self.taken.append(wire)
        return []

    def next_timeout(self):
        return None


class Slaves:
    """A pool with one report ready, on a socket."""

    waiting = False
    on_change = None

    def __init__(self, node):
        self.node = node
        self.ours, self.theirs = socket.socketpair()
        self.read_after = []

    def submit(self, jobs):
        assert jobs == []

    def filenos(self):
        return [self.ours.fileno()]

    def on_readable(self, fileno):
        self.ours.recv(1)
        self.read_after.append(len(self.node.taken))


def wait_for(pump, count):
    client = Client("udp", b"\x7f\0\0\1", "key", lambda _: None)
    for n in range(count):
        pump.backlog.add(b"%d" % n, client, 0.0)


def test_slaves_are_heard_between_the_queries_that_are_taken():
    async def main():
        node = Node()
        pool = Slaves(node)
        pump = Pump(node, pool, lambda *_: None)
        pump.channels_changed()
        wait_for(pump, 3 * TAKEN)
        assert pump._take_waiting(0.0) == TAKEN
        pool.theirs.send(b"x")
        async with trio.open_nursery() as nursery:
            await nursery.start(pump.run)  # no descriptor tells of what waits already
            with trio.fail_after(10):
                while len(node.taken) < 3 * TAKEN:
                    await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert pool.read_after == [TAKEN]
        assert node.taken == [b"%d" % n for n in range(3 * TAKEN)]
        pool.ours.close()
        pool.theirs.close()

    trio.run(main)


def test_at_the_end_all_that_waits_is_taken():
    class Listener:
        fileno = socket.socket().detach()

        def serve(self, now):
            return 0

        def flush(self):
            pass

    async def main():
        node = Node()
        pool = Slaves(node)
        pump = Pump(node, pool, lambda *_: None)
        pump.listen([Listener()])
        wait_for(pump, 2 * TAKEN + 1)
        pump.mute()
        assert len(node.taken) == 2 * TAKEN + 1
        pool.ours.close()
        pool.theirs.close()

    trio.run(main)


def test_how_long_a_query_waited_is_told():
    """Its answer took that long more, for the client and in what the node counts."""
    waited = []

    class Waits(Node):
        def client_query(self, wire, client, now):
            waited.append(client.waited)
            return []

    async def main():
        pool = Slaves(None)
        pump = Pump(Waits(), pool, lambda *_: None)
        for at in (1.0, 1.25):
            client = Client("udp", b"\x7f\0\0\1", "key", lambda _: None)
            pump.backlog.add(b"query", client, at)
        pump._take_waiting(1.5)
        pool.ours.close()
        pool.theirs.close()

    trio.run(main)
    assert waited == [0.5, 0.25]


async def step(clock, pool, noted):
    """Something that takes 1 ms of the loop, during which a slave reports."""
    await trio.lowlevel.checkpoint()
    clock.jump(0.001)
    pool.theirs.send(b"x")
    noted.append(len(pool.read_after))


def test_datagrams_and_slaves_do_not_wait_for_all_tasks_that_are_due():
    """trio looks for input when each of them had its step: 30 ms, of a thousand connections."""

    async def main():
        node, noted = Node(), []
        pool = Slaves(node)
        pump = Pump(node, pool, lambda *_: None)
        pump.channels_changed()
        clock = trio.lowlevel.current_clock()
        async with trio.open_nursery() as nursery:
            await nursery.start(pump.run)
            async with trio.open_nursery() as others:
                for _ in range(100):
                    others.start_soon(step, clock, pool, noted)
            nursery.cancel_scope.cancel()
        pool.ours.close()
        pool.theirs.close()
        return noted

    noted = trio.run(main, clock=trio.testing.MockClock())
    assert len(noted) == 100
    # Each 2 ms a round, and each round hears the slave once
    heard = [n - noted[0] for n in noted]
    assert heard[-1] >= 48
    assert all(later - earlier <= 1 for earlier, later in pairwise(heard))


def test_who_takes_long_may_let_the_pump_breathe_but_no_oftener_than_it_pays():
    async def main():
        node = Node()
        pool = Slaves(node)
        pump = Pump(node, pool, lambda *_: None)
        pump.channels_changed()
        clock = trio.lowlevel.current_clock()
        for _ in range(10):
            pool.theirs.send(b"x")
            clock.jump(0.001)
            pump.breathe()
        assert len(pool.read_after) == 5
        pool.ours.close()
        pool.theirs.close()

    trio.run(main, clock=trio.testing.MockClock())


def test_a_mistake_between_two_steps_is_told_and_the_next_round_comes():
    async def main():
        node, told = Node(), []
        node.mistaken = lambda now: None
        pool = Slaves(node)
        pump = Pump(node, pool, lambda *line: told.append(line))
        pump.channels_changed()
        clock = trio.lowlevel.current_clock()
        heard, pool.on_readable = pool.on_readable, lambda _: 1 / 0
        pool.theirs.send(b"x")
        clock.jump(0.002)
        pump.breathe()
        pool.on_readable = heard
        clock.jump(0.002)
        pump.breathe()
        assert len(pool.read_after) == 1
        assert [(line[0], line[2]["error"]) for line in told] == [("error", "ZeroDivisionError")]
        pool.ours.close()
        pool.theirs.close()

    trio.run(main, clock=trio.testing.MockClock())
