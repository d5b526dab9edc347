"""The query log: which queries, what line, and not too many of them."""

import random
import socket

import dns.message
import dns.rcode
import dns.rrset
import pytest
from daemon_rig import FakeNameserver, ask, ask_tcp, running

from codns.core.model import Client
from codns.master.querylog import LINES_MAX, QueryLog


class World:
    def __init__(self, share=1.0):
        self.now = 0.0
        self.lines = []
        self.log = QueryLog(
            lambda *line: self.lines.append(line), share, random.Random(2), lambda: self.now
        )


def response(name="www.example", rcode=0, kind="A"):
    message = dns.message.make_response(dns.message.make_query(name, kind))
    message.set_rcode(rcode)
    return message.to_wire()


def test_a_line_when_the_answer_leaves():
    world, sent = World(), []
    client = Client("udp", socket.inet_aton("192.0.2.9"), "key", sent.append)
    watched = world.log.watched(client, 1.0)
    assert (watched.transport, watched.address, watched.key) == ("udp", client.address, "key")
    world.now = 1.0345
    wire = response(rcode=dns.rcode.NXDOMAIN, kind="TYPE65280")
    watched.reply(wire)
    assert sent == [wire]
    ((level, event, fields),) = world.lines
    assert (level, event) == ("info", "query")
    assert fields == {
        "name": "www.example.", "type": "TYPE65280", "client": "192.0.2.9", "transport": "udp",
        "rcode": "NXDOMAIN", "ms": 34.5,
    }  # fmt: skip


@pytest.mark.parametrize("message", [b"\0\1\x80\1" + bytes(8), bytes(12) + b"\xc0\x0c"])
def test_the_answer_to_what_was_no_question(message):
    world = World()
    world.log.answered(message, "tcp", socket.inet_pton(socket.AF_INET6, "::1"), 0.0)
    assert (world.lines[0][2]["name"], world.lines[0][2]["client"]) == (".", "::1")


def test_a_share_of_them():
    world = World(0.25)
    assert 2_300 < sum(world.log.wanted() for _ in range(10_000)) < 2_700
    client = Client("udp", bytes(4), "key", lambda message: None)
    same = sum(world.log.watched(client, 0.0) is client for _ in range(1_000))
    assert 700 < same < 800


def test_at_most_a_hundred_a_second_and_the_rest_is_told():
    world = World()
    for second in range(2):
        world.now = float(second)
        for _ in range(LINES_MAX + 7):
            world.log.answered(response(), "udp", bytes(4), 0.0)
    world.now = 2.0
    world.log.answered(response(), "udp", bytes(4), 0.0)
    assert len(world.lines) == 2 * LINES_MAX + 1
    told = [fields["omitted"] for _, _, fields in world.lines if "omitted" in fields]
    assert told == [7, 7]
    assert world.log.omitted == 14


def test_the_daemon_logs_what_is_wanted_and_a_reload_ends_it(tmp_path):
    config = tmp_path / "codns.yaml"
    config.write_text("log: {format: json, queries: 100%}\n")
    nameserver = FakeNameserver()
    with running(nameserver=nameserver, config=config) as codns:
        (address,) = codns.addresses
        for _ in range(3):  # a miss, the semantic level, the exact level
            ask(address, "a.example")
        for _ in range(2):
            ask_tcp(address, "b.example")
        codns.wait_for("query", 5)
        lines = [line for line in codns.log if line["event"] == "query"]
        config.write_text("log: {format: json}\n")
        codns.process.send_signal(1)
        codns.wait_for("reloaded")
        ask(address, "c.example")
        ask(address, "c.example")
        codns.stop()
        assert len([line for line in codns.log if line["event"] == "query"]) == 5
    nameserver.close()
    assert [(line["name"], line["transport"]) for line in lines] == [
        ("a.example.", "udp"), ("a.example.", "udp"), ("a.example.", "udp"),
        ("b.example.", "tcp"), ("b.example.", "tcp"),
    ]  # fmt: skip
    assert all(line["rcode"] == "NOERROR" and line["client"] == "127.0.0.1" for line in lines)
    assert lines[0]["ms"] > 0
    assert lines[2]["ms"] == 0
