"""Names of the fleet to addresses, asked of real sockets on loopback."""

import socket

import dns.name
import dns.rcode
import pytest
import trio
import trio.testing
from zone_server import ZoneServer

from codns.master import asking
from codns.master.asking import AT_ONCE, Resolver
from codns.master.discovery import ADDRESSES_MAX, Found, NoAnswerError

SRV = "srv:_codns._udp.fleet.example."
RECORDS = [
    "_codns._udp.fleet.example. 300 SRV 0 5 7353 a.fleet.example.",
    "_codns._udp.fleet.example. 300 SRV 0 5 7000 b.fleet.example.",
    "a.fleet.example. 200 A 192.0.2.1",
    "a.fleet.example. 200 AAAA 2001:db8::1",
    "b.fleet.example. 100 A 192.0.2.2",
    "b.fleet.example. 100 A 192.0.2.3",
    "c.fleet.example. 50 CNAME a.fleet.example.",
    "none.fleet.example. 50 TXT x",
]
ALL = ["192.0.2.1:7353", "[2001:db8::1]:7353", "192.0.2.2:7000", "192.0.2.3:7000"]


@pytest.fixture
def server():
    made = ZoneServer(RECORDS)
    yield made
    made.close()


def resolve(node, *servers, resolver=None):
    resolver = resolver or Resolver(lambda _: [server.server for server in servers])
    return trio.run(resolver.resolve, node)


def closed_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1#{probe.getsockname()[1]}"


def test_services_with_their_addresses_beside(server):
    found = resolve(SRV, server)
    assert sorted(found.addresses) == sorted(ALL)
    assert found.ttl == 100
    asked = [name for name in server.asked if name[2] == "SRV"]
    assert len(asked) == 1
    # b has no AAAA beside it, so it is asked for
    assert set(server.asked) - set(asked) == {("udp", "b.fleet.example.", "AAAA")}


def test_services_whose_addresses_have_to_be_asked_for(server):
    server.beside = False
    assert sorted(resolve(SRV, server).addresses) == sorted(ALL)
    assert len(server.asked) == 5


def test_only_the_family_that_is_wanted(server):
    resolver = Resolver(lambda _: [server.server])
    resolver.rdtypes = ("A",)
    assert sorted(resolve(SRV, resolver=resolver).addresses) == sorted(
        address for address in ALL if not address.startswith("[")
    )
    assert len(server.asked) == 1


def test_a_host(server):
    found = resolve("b.fleet.example.:7353", server)
    assert (set(found.addresses), found.ttl) == ({"192.0.2.2:7353", "192.0.2.3:7353"}, 100)
    assert resolve("c.fleet.example.:7000", server) == Found(
        ["192.0.2.1:7000", "[2001:db8::1]:7000"], 50
    )


def test_no_such_name_and_nothing_there_are_answers(server):
    for node in ("none.fleet.example.:7353", "nobody.fleet.example.:1", "srv:no.fleet.example."):
        assert resolve(node, server).addresses == []


def test_a_service_that_is_none(server):
    """RFC 2782: a target of "." says that there is none; port 0 is no port of anybody."""
    server.set_records(
        [
            "_codns._udp.fleet.example. 300 SRV 0 0 0 .",
            "_codns._udp.fleet.example. 300 SRV 0 0 0 a.fleet.example.",
            *RECORDS[2:],
        ]
    )
    assert resolve(SRV, server).addresses == []


def test_addresses_that_are_no_hosts_are_left_out(server):
    server.set_records(
        [
            "x.example. 60 A 0.0.0.0",
            "x.example. 60 A 224.0.0.1",
            "x.example. 60 AAAA ::ffff:192.0.2.9",
        ]
    )
    assert resolve("x.example.:7353", server).addresses == ["192.0.2.9:7353"]


def test_truncated_is_asked_for_over_tcp(server):
    server.truncates = True
    assert sorted(resolve(SRV, server).addresses) == sorted(ALL)
    assert {transport for transport, _, rdtype in server.asked if rdtype == "SRV"} == {
        "udp",
        "tcp",
    }


def test_a_long_list_by_tcp(server):
    """It is parsed in a thread, and it has an end."""
    records = [f"_codns._udp.fleet.example. 300 SRV 0 0 {n} t.example." for n in (1, 2)]
    records += [f"t.example. 300 A 127.1.{n // 256}.{n % 256}" for n in range(2500)]
    server.set_records(records)
    server.truncates = True
    resolver = Resolver(lambda _: [server.server])
    resolver.rdtypes = ("A",)
    found = resolve(SRV, resolver=resolver).addresses
    # One more than may be listed: so that the list knows of it and says so
    assert len(found) == len(set(found)) == ADDRESSES_MAX + 1


def test_no_thread_is_left_for_a_long_one(server, monkeypatch):
    """A limit on processes is a failure to resolve, and no end of the daemon."""

    async def refuse(*_args):
        raise RuntimeError("can't start new thread")

    server.set_records([f"_codns._udp.fleet.example. 9 SRV 0 0 {n} t." for n in range(1, 400)])
    monkeypatch.setattr(asking.trio.to_thread, "run_sync", refuse)
    with pytest.raises(NoAnswerError, match="can't start new thread"):
        resolve(SRV, server)


def test_forged_answers_are_passed_over(server):
    server.liar = True
    assert sorted(resolve(SRV, server).addresses) == sorted(ALL)


def test_the_next_nameserver_is_asked(server):
    bad = ZoneServer()
    bad.rcode = dns.rcode.SERVFAIL
    try:
        resolver = Resolver(lambda _: [closed_port(), bad.server, server.server])
        assert sorted(resolve(SRV, resolver=resolver).addresses) == sorted(ALL)
        assert ("udp", "_codns._udp.fleet.example.", "SRV") in bad.asked
    finally:
        bad.close()


def test_nobody_answers(server):
    server.rcode = dns.rcode.REFUSED
    with pytest.raises(NoAnswerError, match=f"{server.server}: REFUSED"):
        resolve(SRV, server)
    assert len(server.asked) == asking.ROUNDS
    with pytest.raises(NoAnswerError, match="there is no nameserver"):
        resolve(SRV)
    with pytest.raises(NoAnswerError, match="Connection refused"):
        resolve(SRV, resolver=Resolver(lambda _: [closed_port()]))


def test_silence_takes_its_time_and_ends(server):
    """In virtual time: the real socket never becomes readable."""
    server.silent = True
    resolver = Resolver(lambda _: [server.server])

    async def main():
        start = trio.current_time()
        with pytest.raises(NoAnswerError, match="no answer"):
            await resolver.resolve(SRV)
        return trio.current_time() - start

    took_s = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.05))
    assert took_s == pytest.approx(asking.ROUNDS * asking.UDP_S)


def test_a_target_that_cannot_be_told_keeps_its_addresses(server):
    resolver = Resolver(lambda _: [server.server])
    server.beside = False
    assert sorted(resolve(SRV, resolver=resolver).addresses) == sorted(ALL)
    server.broken = {"b.fleet.example."}
    found = resolve(SRV, resolver=resolver)
    assert sorted(found.addresses) == sorted(ALL)
    assert found.ttl == 0  # to be asked for again soon
    server.set_records([line for line in RECORDS if " b.fleet" not in line])
    assert sorted(resolve(SRV, resolver=resolver).addresses) == sorted(ALL[:2])
    resolver.forget(SRV)


def test_a_zone_asks_its_own_nameservers(server):
    seen = []

    def servers(name):
        seen.append(name)
        return [server.server]

    resolve("a.fleet.example.:1", resolver=Resolver(servers))
    assert seen == [dns.name.from_text("a.fleet.example.")] * 2


def test_few_questions_at_once(server):
    server.set_records(
        [f"_codns._udp.fleet.example. 300 SRV 0 0 1 t{n}.example." for n in range(3 * AT_ONCE)]
    )
    resolver = Resolver(lambda _: [server.server])
    most = 0

    async def main():
        nonlocal most
        async with trio.open_nursery() as nursery:
            nursery.start_soon(resolver.resolve, SRV)
            while resolver._limit.borrowed_tokens or not most:
                most = max(most, resolver._limit.borrowed_tokens)
                await trio.lowlevel.checkpoint()

    trio.run(main)
    assert most <= AT_ONCE
