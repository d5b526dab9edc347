"""The UDP listener with more to do than time: a real socket, a node whose time is told."""

import random
import socket
from ipaddress import ip_network

import dns.edns
import dns.message
import pytest

from codns.core.model import SendJob
from codns.core.node import Node
from codns.core.settings import Settings
from codns.master import udp
from codns.master.acl import Acl
from codns.master.backlog import TOLD, WAIT_S, Backlog
from codns.master.mmsg import SLOTS
from codns.master.udp import UdpListener
from codns.wire.batch import Result
from codns.wire.outcome import Outcome

RECORD = bytes.fromhex("c00c 0001 0001 0000012c 0004 c0000201")


class Rig:
    """A listener, a client, and what the node was asked past the backlog."""

    def __init__(self, overload):
        self.now = 0.0
        self.server, self.client = (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)
        )
        self.server.setblocking(False)
        self.server.bind(("127.0.0.1", 0))
        self.client.settimeout(10)
        self.client.connect(self.server.getsockname())
        settings = Settings(nameservers=("192.0.2.1#53",), probe=False, overload=overload)
        self.node = Node(settings, random.Random(1), self.now)
        self.backlog = Backlog()
        self.asked = []
        acl = Acl([ip_network("127.0.0.0/8")])
        self.listener = UdpListener(
            self.server, self.node, self.query, self.backlog, acl, wildcard=False
        )

    def query(self, wire, client, now):
        self.asked.append(dns.message.from_wire(wire).question[0].name.to_text())
        for effect in self.node.client_query(wire, client, now):
            effect.client.reply(effect.wire)

    def learn(self, name):
        """Let the cache hold it, by meaning only."""
        self.send(name)
        self.listener.serve(self.now)
        ((wire, client, _),) = self.backlog.take(self.now)
        (job,) = self.node.client_query(wire, client, self.now)
        assert isinstance(job, SendJob)
        result = Result(
            job.job, Outcome.ANSWER, 0, False, True, False, 1, 0, 300, 0.01, RECORD, b"\6\0", b""
        )
        (answer,) = self.node.job_done(result, self.now)
        answer.client.reply(answer.wire)
        self.listener.flush()
        assert self.received().answer

    def send(self, *names):
        for name in names:
            self.client.send(dns.message.make_query(name, "A", use_edns=0).to_wire())

    def received(self):
        return dns.message.from_wire(self.client.recv(4096))

    def silence(self):
        self.client.setblocking(False)
        with pytest.raises(BlockingIOError):
            self.client.recv(4096)

    def fall_behind(self):
        """A query has waited for as long as any may."""
        self.backlog.add(b"", None, self.now)
        self.now += WAIT_S


@pytest.fixture(params=["servfail", "drop"])
def rig(request):
    made = Rig(request.param)
    yield made
    made.server.close()
    made.client.close()


def names(count, word="n"):
    return [f"{word}{n}.example." for n in range(count)]


def test_what_the_cache_does_not_know_waits(rig):
    rig.send("a.example.", "b.example.")
    assert rig.listener.drain(rig.now) == 2
    assert rig.asked == []
    assert len(rig.backlog) == 2


def test_what_is_shed_is_told_or_dropped_as_configured(rig):
    rig.fall_behind()
    rig.send("a.example.")
    rig.listener.drain(rig.now)
    assert len(rig.backlog) == 1  # nothing was added
    stats = rig.node.stats
    if rig.node.tells:
        got = rig.received()
        assert (got.rcode(), got.question[0].name.to_text()) == (2, "a.example.")
        assert [(o.otype, o.code) for o in got.options] == [(15, 0)]
        assert (stats.refusals["backlog"], stats.drops["backlog"]) == (1, 0)
        assert stats.rcodes["error"][2] == 1
    else:
        assert (stats.refusals["backlog"], stats.drops["backlog"]) == (0, 1)
    rig.silence()


def test_no_more_are_told_than_there_is_time_for(rig):
    rig.fall_behind()
    rig.send(*names(TOLD + 3))
    rig.listener.drain(rig.now)
    told = TOLD if rig.node.tells else 0
    assert [rig.received().rcode() for _ in range(told)] == [2] * told
    rig.silence()
    stats = rig.node.stats
    assert (stats.refusals["backlog"], stats.drops["backlog"]) == (told, TOLD + 3 - told)


def test_cached_names_are_answered_whatever_waits(rig):
    rig.learn("known.example.")
    rig.fall_behind()
    rig.send("Known.example.", "other.example.", "known.example.")  # by meaning, not, both
    rig.listener.drain(rig.now)
    rig.listener.flush()
    assert rig.asked == ["Known.example.", "known.example."]
    got = [rig.received() for _ in range(2 + rig.node.tells)]
    assert sorted(bool(message.answer) for message in got) == [False] * rig.node.tells + [True] * 2
    rig.silence()


def test_by_meaning_past_those_that_wait_though_there_is_time(rig):
    rig.learn("known.example.")
    rig.send("slow.example.")
    rig.listener.drain(rig.now)
    rig.send("KNOWN.example.", "next.example.")
    rig.listener.drain(rig.now)
    assert rig.asked == ["KNOWN.example."]
    assert len(rig.backlog) == 2


def test_odd_ones_are_shed_too(rig):
    """With a cookie, or no query at all."""
    rig.fall_behind()
    cookie = dns.edns.GenericOption(10, b"12345678")
    rig.client.send(
        dns.message.make_query("a.example.", "A", use_edns=0, options=[cookie]).to_wire()
    )
    rig.client.send(b"\0\1" + b"\x81\0" + bytes(20))  # a response
    rig.listener.drain(rig.now)
    if rig.node.tells:
        assert rig.received().rcode() == 2
    rig.silence()
    stats = rig.node.stats
    assert stats.refusals["backlog"] + stats.drops["backlog"] == 2
    assert len(rig.backlog) == 1


def test_so_many_are_read_in_a_round(rig, monkeypatch):
    monkeypatch.setattr(udp, "DRAINED", 2 * SLOTS)  # the 512 do not fit every socket's buffer
    rig.send(*names(3 * SLOTS + 1))
    assert rig.listener.drain(rig.now) == 2 * SLOTS
    assert rig.listener.drain(rig.now) == SLOTS + 1


def test_what_the_kernel_drops_is_counted(rig):
    rig.server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # it grants its least
    assert rig.listener.kernel_drops() == 0
    rig.send(*names(100))
    dropped = rig.listener.kernel_drops()
    assert 0 < dropped < 100
    assert rig.listener.drain(rig.now) == 100 - dropped


def test_a_reload_takes_the_new_list_of_who_may_ask(rig):
    rig.send("a.example.")
    rig.listener.drain(rig.now)
    rig.listener.acl = Acl([ip_network("192.0.2.0/24")])
    rig.send("b.example.")
    rig.listener.drain(rig.now)
    assert len(rig.backlog) == 1
    assert rig.node.stats.drops["acl"] == 1
