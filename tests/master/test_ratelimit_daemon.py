"""The rate limit where clients meet it: listeners with the test's clock, and a daemon."""

import random
import signal
import socket
from ipaddress import ip_network

import dns.flags
import dns.message
import dns.rcode
import pytest
from daemon_rig import FakeNameserver, ask, ask_tcp, running, udp_client

from codns.core.model import Answer
from codns.core.node import Node
from codns.core.settings import Settings
from codns.master.acl import Acl
from codns.master.backlog import Backlog
from codns.master.ratelimit import RateLimit
from codns.master.udp import UdpListener

JSON = "log: {format: json}\n"
QUERY = dns.message.make_query("a.localhost.", "A", use_edns=0).to_wire()  # answered at once


class World:
    """One UDP listener of a node, and clients on addresses of their own."""

    def __init__(self, limit, *, host="127.0.0.1", allow="127.0.0.0/8"):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.family, self.clients = family, []
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        self.sock.bind((host, 0))
        self.node = Node(Settings(), random.Random(1), 0.0)
        acl = Acl([ip_network(allow)])
        self.backlog = Backlog()
        self.listener = UdpListener(
            self.sock, self.node, self.query, self.backlog, acl, wildcard=False
        )
        self.listener.limit = limit

    def query(self, wire, client, now):
        for effect in self.node.client_query(wire, client, now):
            assert isinstance(effect, Answer)
            effect.client.reply(effect.wire)

    def client(self, host="127.0.0.1"):
        sock = socket.socket(self.family, socket.SOCK_DGRAM)
        sock.bind((host, 0))
        sock.connect(self.sock.getsockname())
        sock.setblocking(False)
        self.clients.append(sock)
        return sock

    def serve(self, now):
        while self.listener.serve(now):
            for wire, client, _ in self.backlog.take(now):
                self.query(wire, client, now)
            self.listener.flush()

    def close(self):
        for sock in (self.sock, *self.clients):
            sock.close()


@pytest.fixture
def world():
    made = []

    def make(*arguments, **options):
        made.append(World(*arguments, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def heard(client):
    """All that has come, as words."""
    words = []
    while True:
        try:
            message = dns.message.from_wire(client.recv(4096))
        except BlockingIOError:
            return words
        words.append("tc" if message.flags & dns.flags.TC else dns.rcode.to_text(message.rcode()))


def test_a_burst_then_every_second_one_is_sent_to_tcp(world):
    w = world(RateLimit(10, 3))
    one, other = w.client(), w.client("127.0.0.2")
    for _ in range(9):
        one.send(QUERY)
    other.send(QUERY)
    w.serve(1.0)
    assert sorted(heard(one)) == ["NOERROR"] * 3 + ["tc"] * 3
    assert heard(other) == ["NOERROR"]
    stats = w.node.stats
    assert (stats.drops["rate"], stats.refusals["rate"]) == (3, 3)
    one.send(QUERY)
    w.serve(1.1)
    assert heard(one) == ["NOERROR"]


def test_cached_answers_count_too(world):
    """The exact level is behind the limit; a batch of one client's comes in a row."""
    w = world(RateLimit(10, 5))
    one = w.client()
    one.send(QUERY)
    w.serve(1.0)
    for _ in range(40):
        one.send(QUERY)
    w.serve(1.0)
    assert heard(one).count("NOERROR") == 5


def test_strangers_have_no_bucket(world):
    limit = RateLimit(10, 1)
    w = world(limit, allow="127.0.0.1/32")
    stranger = w.client("127.0.0.9")
    for _ in range(5):
        stranger.send(QUERY)
    w.serve(1.0)
    assert heard(stranger) == []
    assert (w.node.stats.drops["acl"], w.node.stats.drops["rate"], limit.clients) == (5, 0, 0)


@pytest.mark.parametrize("limited", [False, True])
def test_responses_are_never_answered(world, limited):
    """Two servers whose addresses somebody forges must not answer each other for ever."""
    w = world(RateLimit(1, 1) if limited else None)
    one = w.client()
    rng = random.Random(3)
    answer = dns.message.make_response(dns.message.from_wire(QUERY)).to_wire()
    for n in range(400):
        body = answer if n % 2 else rng.randbytes(rng.randrange(3, 60))
        one.send(body[:2] + bytes((body[2] | 0x80,)) + body[3:])
        w.serve(1.0)
    assert heard(one) == []
    w.node.handle_timeout(60.0)
    assert heard(one) == []


def test_ipv6(world):
    try:
        w = world(RateLimit(10, 2), host="::1", allow="::1/128")
    except OSError:
        pytest.skip("no ::1 here")
    one = w.client("::1")
    for _ in range(6):
        one.send(QUERY)
    w.serve(1.0)
    assert sorted(heard(one)) == ["NOERROR"] * 2 + ["tc"] * 2


# -- a daemon -----------------------------------------------------------------------------------


def test_tcp_is_refused_and_a_reload_changes_it(tmp_path):
    nameserver, config = FakeNameserver(), tmp_path / "codns.yaml"
    limit = "rate_limit: {{queries: 1, burst: {}}}\n"
    config.write_text(JSON + limit.format(2))
    try:
        with running(nameserver=nameserver, config=config) as codns:
            (address,) = codns.addresses
            rcodes = [ask_tcp(address, "a.example", source="127.0.0.3").rcode() for _ in range(4)]
            assert rcodes[:2] == [dns.rcode.NOERROR] * 2
            assert dns.rcode.REFUSED in rcodes[2:]  # one may have come back in a second
            # UDP has a bucket of its own
            assert ask(address, "a.example", source="127.0.0.3").answer
            config.write_text(JSON + limit.format(1000))
            codns.signal(signal.SIGHUP)
            codns.wait_for("reloaded")
            for _ in range(20):
                assert ask_tcp(address, "a.example", source="127.0.0.3").answer
            config.write_text(JSON)
            codns.signal(signal.SIGHUP)
            codns.wait_for("reloaded", 2)
            with udp_client(address, source="127.0.0.3") as client:
                for _ in range(60):
                    client.send(QUERY)
                    assert not dns.message.from_wire(client.recv(4096)).flags & dns.flags.TC
    finally:
        nameserver.close()
