"""RULES 9.2: which socket an exchange leaves from, and for how long."""

import select
import socket
from collections import Counter

import pytest
from slave_rig import Nameserver, SlaveRig, query, record, reply

from codns.slave.guard import HOLD_S, MISMATCHES, NAMES_MAX, Guard, question_name
from codns.slave.limits import DESCRIPTORS_OTHER, PORTS, PORTS_LEAST, TCP_MAX, ports_each
from codns.slave.ports import (
    GROW_SLICE,
    PORT_AGAIN_S,
    PORT_AGE_MAX_S,
    PORT_AGE_MIN_S,
    PORT_USES,
    Ports,
    is_own_limit,
    parse_address,
)
from codns.wire.batch import pack_job

BASE = TCP_MAX + DESCRIPTORS_OTHER


def exchange(slave, nameserver, count, batch=50):
    """Carry out exchanges, return (source port, id) of each in order."""
    seen = []
    wire = query()
    while len(seen) < count:
        slave.jobs([pack_job(number, 0, 0, 10.0, wire) for number in range(batch)])
        for _ in range(batch):
            asked, client = nameserver.receive()
            seen.append((client[1], int.from_bytes(asked[:2], "big")))
            nameserver.send(reply(asked, record()), client)
        for _ in range(batch):
            slave.result()
    return seen


def test_ports_and_ids_are_spread(own_slave, nameserver):
    slave = own_slave
    count = 10_000
    seen = exchange(slave, nameserver, count)
    ports = Counter(port for port, _ in seen)
    # Chance of one of 512 not drawn in 10,000: 2 in a million
    assert len(ports) >= PORTS
    assert max(ports.values()) <= PORT_USES
    # Of 10,000 draws out of 65,536, some 9,280 differ
    assert len({ident for _, ident in seen}) > 9000
    for bit in range(16):
        ones = sum(ident >> bit & 1 for _, ident in seen)
        assert abs(ones - count / 2) < 300  # six sigma


def test_the_first_exchanges_have_fresh_ports(slave, nameserver):
    ports = [port for port, _ in exchange(slave, nameserver, 20, batch=20)]
    assert len(set(ports)) == 20


def test_the_set_fills_though_only_one_query_came(own_slave, nameserver):
    slave = own_slave
    exchange(slave, nameserver, 1, batch=1)
    slave.wait_for(lambda: slave.descriptors() >= PORTS)
    exchange(slave, nameserver, 1, batch=1)
    assert slave.descriptors() < PORTS + 20


def test_a_port_serves_256_times(small_slave, nameserver):
    ports = Counter(port for port, _ in exchange(small_slave, nameserver, 5000))
    assert len(ports) > 5000 / PORT_USES
    assert max(ports.values()) == PORT_USES


def forge(nameserver, asked, client, how):
    if how == "id":
        nameserver.send(bytes((asked[0] ^ 1, asked[1])) + reply(asked)[2:], client)
    else:
        nameserver.send(reply(asked[:2] + query("www.example.com.")[2:]), client)


@pytest.mark.parametrize("how", ["id", "question"])
def test_a_mismatch_retires_the_port(small_slave, nameserver, how):
    slave = small_slave
    slave.job(1)
    asked, client = nameserver.receive()
    forge(nameserver, asked, client, how)
    assert slave.quiet()
    later = {port for port, _ in exchange(slave, nameserver, 500)}
    assert client[1] not in later
    nameserver.send(reply(asked, record()), client)  # but who was out on it still gets through
    assert slave.result().job == 1


def test_a_retired_port_is_closed_with_its_last_exchange(small_slave, nameserver):
    slave = small_slave
    before = slave.descriptors() + PORTS_LEAST
    slave.job(1)
    asked, client = nameserver.receive()
    slave.wait_for(lambda: slave.descriptors() == before)
    forge(nameserver, asked, client, "id")
    slave.wait_for(lambda: slave.descriptors() == before + 1)  # its successor
    nameserver.send(reply(asked, record()), client)
    slave.result()
    slave.wait_for(lambda: slave.descriptors() == before)


@pytest.mark.parametrize(
    ("nofile", "servers", "each"),
    [
        (1 << 20, 1, PORTS),
        (1 << 20, 50, PORTS),
        (1024, 1, PORTS),
        (1024, 2, 322),
        (1024, 3, 214),
        (BASE + 8, 1, PORTS_LEAST),
        (10, 1, PORTS_LEAST),
        (4096, 0, PORTS),
    ],
)
def test_division_of_descriptors(nofile, servers, each):
    assert ports_each(nofile, servers) == each


def test_few_descriptors_mean_small_sets():
    nameservers = [Nameserver() for _ in range(3)]
    slave = SlaveRig("--nofile", str(BASE + 160))
    for number, nameserver in enumerate(nameservers):
        slave.server(nameserver, number)
    for round_ in range(40):
        for number, nameserver in enumerate(nameservers):
            slave.job(round_, number=number)
            asked, client = nameserver.receive()
            nameserver.send(reply(asked, record()), client)
            slave.result()
    assert 3 * 40 < slave.descriptors() < 3 * ports_each(BASE + 160, 3) + 10
    assert slave.close() == 0
    for nameserver in nameservers:
        nameserver.close()


# -- the sets by themselves: time is an argument --


@pytest.fixture
def ports(nameserver):
    with select.epoll() as epoll:
        ports = Ports(epoll, 1 << 20)
        ports.add_server(0, nameserver.address)
        yield ports
        for port in list(ports.by_fd.values()):
            ports.close(port)


def use(ports, now):
    server = ports.servers[0]
    server.used = now
    ports.fresh(server, now)
    return server


def test_growth_in_slices(ports):
    server = use(ports, 0.0)
    sizes = []
    while ports.growing:
        ports.grow(0.0)
        sizes.append(len(server.live))
    assert sizes == [*range(1 + GROW_SLICE, PORTS, GROW_SLICE), PORTS]
    assert server.full
    assert len({port.sock.getsockname()[1] for port in server.live}) == PORTS


def test_thirty_seconds(ports):
    server = use(ports, 100.0)
    while ports.growing:
        ports.grow(100.0)
    first = list(server.live)
    assert all(PORT_AGE_MIN_S <= port.expires - 100 <= PORT_AGE_MAX_S for port in first)
    server.used = 114.0
    ports.sweep(114.0)
    assert server.live == first
    half = [port for port in first if port.expires <= 122]
    assert 100 < len(half) < 400  # not all at once
    ports.sweep(122.0)
    assert not set(half) & set(server.live)
    assert len(server.live) == PORTS
    server.used = 130.0
    ports.sweep(130.0)
    assert not set(first) & set(server.live)
    assert len(server.live) == PORTS
    assert all(port.sock.fileno() == -1 for port in first)


def test_a_set_nobody_uses_melts_away(ports):
    server = use(ports, 0.0)
    while ports.growing:
        ports.grow(0.0)
    ports.sweep(PORT_AGE_MAX_S)
    assert (server.live, server.full, ports.by_fd) == ([], False, {})
    assert use(ports, 100.0).live  # and is there again when it is asked


def test_no_descriptors_left(ports, monkeypatch):
    server = use(ports, 0.0)

    def refuse(*_):
        raise OSError(24, "too many open files")

    monkeypatch.setattr(socket, "socket", refuse)
    ports.grow(0.0)
    assert server.full  # makes do with what there is
    server.full = False
    assert ports.fresh(server, 0.0) is server.live[0]
    ports.sweep(1.0)
    assert not server.full  # tries again
    for port in server.live[1:]:
        ports.retire(port, 1.0)
    ports.retire(server.live[0], 1.0, forged=True)
    with pytest.raises(OSError) as caught:
        ports.fresh(server, 1.0)
    assert is_own_limit(caught.value)


def test_the_last_socket_stays_when_there_is_no_other(ports, monkeypatch):
    """Old or used up is better than none; tried again a second later. A forger knows it: not."""
    server = use(ports, 0.0)
    ports.grow(0.0)
    last = server.live[-1]

    def refuse(*_):
        raise OSError(24, "too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(socket, "socket", refuse)
        server.used = PORT_AGE_MAX_S
        last.left = 0
        ports.sweep(PORT_AGE_MAX_S)
        assert server.live == [last]
        assert (last.left, last.retired) == (PORT_USES, False)
        assert ports.fresh(server, PORT_AGE_MAX_S) is last
        ports.sweep(PORT_AGE_MAX_S + PORT_AGAIN_S)
        assert server.live == [last]
    server.used = PORT_AGE_MAX_S + 2 * PORT_AGAIN_S
    ports.sweep(PORT_AGE_MAX_S + 2 * PORT_AGAIN_S)
    assert last not in server.live
    assert last.retired
    assert len(server.live) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1#53", (socket.AF_INET, ("192.0.2.1", 53))),
        ("2001:db8::1#5353", (socket.AF_INET6, ("2001:db8::1", 5353, 0, 0))),
        (
            "fe80::1%lo#53",
            (socket.AF_INET6, ("fe80::1", 53, 0, socket.if_nametoindex("lo"))),
        ),
    ],
)
def test_addresses(text, expected):
    assert parse_address(text) == expected


@pytest.mark.parametrize("text", ["", "192.0.2.1", "example.org#53", "192.0.2.1#x"])
def test_no_addresses(text):
    with pytest.raises(ValueError):
        parse_address(text)


# -- forgery --


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([0.0] * 15, False),
        ([0.0] * 16, True),
        ([n / 15 for n in range(16)], True),  # the sixteenth after one second
        ([n / 14 for n in range(16)], False),
    ],
)
def test_sixteen_in_a_second(times, expected):
    guard = Guard()
    verdicts = [guard.mismatch(b"\1a\0", now) for now in times]
    assert verdicts == [False] * (len(times) - 1) + [expected]
    assert guard.suspects(query("a."), times[-1]) == expected


def test_a_minute_of_silence_ends_it():
    guard = Guard()
    for _ in range(MISMATCHES):
        guard.mismatch(b"\1a\0", 10.0)
    guard.mismatch(b"\1a\0", 30.0)  # one more renews it
    assert guard.suspects(query("A."), 30.0 + HOLD_S - 0.1)
    assert not guard.suspects(query("a."), 30.0 + HOLD_S)
    assert guard.names == {}


def test_its_tables_are_bounded():
    guard = Guard()
    for number in range(NAMES_MAX + 10):
        for _ in range(MISMATCHES):
            guard.mismatch(b"\4%04d\0" % number, 0.0)
    assert len(guard.names) == len(guard._counts) == NAMES_MAX
    assert not guard.suspects(query("0009."), 0.0)  # the oldest went
    assert guard.suspects(query("0010."), 0.0)


@pytest.mark.parametrize(
    ("message", "name"),
    [
        (query("WWW.Example.org."), b"\3www\7example\3org\0"),
        (bytes(12) + b"\3www\0\0\1\0\1", b""),  # QDCOUNT 0
        (b"\0\0\0\0\0\1" + bytes(6) + b"\x3fwww\0\0\1\0\1", b""),
        (b"", b""),
    ],
)
def test_question_name(message, name):
    assert question_name(message) == name
