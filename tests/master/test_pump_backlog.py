"""How the pump takes what waits: some at a time, all of it in the end."""

import socket

import trio

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
