"""What the pump does for peers, of clients that wait for a slave, and after a mistake of ours."""

import random
import select

import pytest
import trio
from peer_world import End, query, until

from codns.core import node as core
from codns.core.model import Client, SendJob, SendPeer
from codns.core.resolver import Resolver
from codns.core.settings import Settings
from codns.master.pool import Pool
from codns.master.pump import Pump


class Node:
    """Writes down what it is told; what `effects` holds comes of it."""

    def __init__(self):
        self.waiting = []
        self.effects = []

    def local_waiting(self, waiting, now):
        self.waiting.append(waiting)
        effects, self.effects = self.effects, []
        return effects

    def next_timeout(self):
        return None


class Slaves:
    """A pool that says itself whether jobs wait."""

    def __init__(self):
        self.waiting = False
        self.submitted = []
        self.on_change = None

    def submit(self, jobs):
        self.submitted += jobs

    def filenos(self):
        return []


@pytest.fixture
def ends():
    made = [End("127.0.0.11:0"), End("127.0.0.12:0")]
    for end in made:
        end.set_peers(*made)
    yield made
    for end in made:
        end.close()


def in_trio(function):
    async def main():
        function()

    trio.run(main)


def test_messages_leave_and_the_socket_is_served(ends):
    one, other = ends

    def check():
        pump = Pump(Node(), Slaves(), lambda *_: None)
        pump.apply([SendPeer(other.me, query(1))])  # without a link: nobody to send it
        pump.join(one.link)
        pump.apply([SendPeer(other.me, query(2))])
        assert one.counts["out"] == 1
        until(lambda: other.counts["out"] == 1, other)  # it greets
        assert pump._epoll.poll(5) == [(one.link.fileno, select.EPOLLIN)]
        pump.mute()  # clients only: who is in flight may need a peer's answer
        pump._turn()
        assert one.counts["in"] == 1

    in_trio(check)


def test_the_node_is_told_when_clients_begin_and_cease_to_wait(ends):
    def check():
        node, slaves = Node(), Slaves()
        pump = Pump(node, slaves, lambda *_: None)
        job = SendJob(1, "192.0.2.1#53", 0, 1.0, b"")
        slaves.waiting = True
        pump.flush()
        assert node.waiting == []  # without peers nobody has to stand back
        pump.join(ends[0].link)
        node.effects = [job]
        pump.flush()
        pump.flush()
        assert node.waiting == [True]
        assert slaves.submitted == [job]
        slaves.waiting = False
        pump.flush()
        assert node.waiting == [True, False]

    in_trio(check)


def test_jobs_without_a_slave_wait():
    def check():
        pool = Pool(1, lambda _: None, log=lambda *_: None)
        assert not pool.waiting
        pool.submit([SendJob(1, "192.0.2.1#53", 0, 1.0, b"")])
        assert pool.waiting

    in_trio(check)


class Mistaken(Node):
    """Fails at everything."""

    def _fail(self, *_):
        raise KeyError("secret.example")

    client_query = job_done = handle_timeout = peer_message = peer_learned = _fail

    def mistaken(self, now):
        pass

    def next_timeout(self):
        return 0.0


def test_a_mistake_of_the_node_costs_a_message_and_not_the_service(ends):
    one, other = ends
    logged = []

    def check():
        node = Mistaken()
        pump = Pump(node, Slaves(), lambda *what: logged.append(what))
        pump.query(b"", None, 0.0)
        pump.results([None, None])
        one.link._node = node
        pump.join(one.link)
        pump.apply([SendPeer(other.me, query(2))])
        until(lambda: other.counts["out"] == 1, other)
        assert pump._epoll.poll(5)
        pump._turn()
        until(lambda: other.counts["in"] > 1, other)
        assert pump._epoll.poll(5)
        pump._turn()

    in_trio(check)
    assert {level for level, *_ in logged} == {"error"}
    assert {fields["error"] for *_, fields in logged} == {"KeyError"}
    told = [fields["in"] for *_, fields in logged]
    assert told[:3] == ["a client's query", "a slave's report", "a slave's report"]
    assert {*told[3:]} == {"a deadline", "a peer's message"}
    assert "pump.py:" in logged[0][2]["at"]
    assert "secret" not in str(logged)


def test_an_internal_error_is_told_and_costs_no_place(monkeypatch):
    """The client would be among those who wait until a restart."""

    def broken(*_):
        raise ZeroDivisionError

    def main():
        told = []
        node = core.Node(Settings(nameservers=("192.0.2.53#53",)), random.Random(1), 0.0)
        pump = Pump(node, Slaves(), lambda *line: told.append(line))
        monkeypatch.setattr(Resolver, "_try", broken)
        for number in range(3):
            client = Client("udp", b"\x7f\0\0\1", number, lambda _: None)
            wire = b"\0\7\1\0\0\1\0\0\0\0\0\0" + b"\1%d\0\0\1\0\1" % number
            pump.query(wire, client, 0.0)
        assert node.outstanding == 3
        node.handle_timeout(trio.current_time() + 1)
        assert node.outstanding == 0
        assert [(level, fields["error"]) for level, _, fields in told] == [
            ("error", "ZeroDivisionError")
        ] * 3

    in_trio(main)
