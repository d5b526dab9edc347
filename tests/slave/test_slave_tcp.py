"""Exchanges over TCP: after TC=1, by flag, under forgery."""

import contextlib

import pytest
from slave_rig import Nameserver, query, read_tcp, record, reply, write_tcp

from codns.slave.guard import MISMATCHES
from codns.slave.limits import TCP_MAX
from codns.wire.batch import FLAG_TCP, pack_job
from codns.wire.outcome import Outcome

TRUNCATED = 0x8380


def truncate(slave, nameserver, **job):
    """Send a job and answer it with TC=1 over UDP."""
    slave.job(1, **job)
    asked, client = nameserver.receive()
    nameserver.send(reply(asked, flags=TRUNCATED), client)


def test_truncated_continues_over_tcp(slave, nameserver):
    truncate(slave, nameserver)
    with nameserver.accept() as connection:
        asked = read_tcp(connection)
        assert asked[2:] == query()[2:]
        write_tcp(connection, reply(asked, record(), record(b"\1\2\3\4")))
        result = slave.result()
        assert connection.recv(1) == b""  # a connection per exchange: closed at the end
    assert (result.job, result.outcome, result.ancount) == (1, Outcome.ANSWER, 2)


def test_the_job_says_tcp(slave, nameserver):
    slave.job(1, flags=FLAG_TCP)
    with nameserver.accept() as connection:
        write_tcp(connection, reply(read_tcp(connection), record()))
    assert slave.result().outcome is Outcome.ANSWER


def test_64_kib_in_pieces(slave, nameserver):
    truncate(slave, nameserver)
    records = [record(number.to_bytes(4, "big"), ttl=60 + number) for number in range(4000)]
    with nameserver.accept() as connection:
        message = reply(read_tcp(connection), *records)
        framed = len(message).to_bytes(2, "big") + message
        for start in range(0, len(framed), 9973):  # never at a record's border
            connection.sendall(framed[start : start + 9973])
        result = slave.result()
    assert (result.outcome, result.ancount) == (Outcome.ANSWER, 4000)
    assert result.body == b"".join(records)
    assert not result.cacheable  # over 1,024 records (RULES 9.3)


def test_what_does_not_match_is_passed_over(slave, nameserver):
    slave.job(1, flags=FLAG_TCP)
    with nameserver.accept() as connection:
        asked = read_tcp(connection)
        write_tcp(connection, reply(bytes((asked[0] ^ 1, asked[1])) + asked[2:]))
        write_tcp(connection, reply(asked, record()))
        assert slave.result().outcome is Outcome.ANSWER


def test_without_edns_over_tcp(slave, nameserver):
    slave.job(1, flags=FLAG_TCP)
    with nameserver.accept() as connection:
        write_tcp(connection, reply(read_tcp(connection), rcode=1, opt=False))
    with nameserver.accept() as connection:
        asked = read_tcp(connection)
        assert asked[10:12] == b"\0\0"
        write_tcp(connection, reply(asked, record()))
    assert slave.result().outcome is Outcome.ANSWER


@pytest.mark.parametrize("truncated", [False, True])
def test_closed_without_an_answer(slave, nameserver, truncated):
    if truncated:
        truncate(slave, nameserver)
    else:
        slave.job(1, flags=FLAG_TCP)
    with nameserver.accept() as connection:
        read_tcp(connection)
    assert slave.result().outcome is (Outcome.TRUNCATED if truncated else Outcome.UNREACHABLE)


@pytest.mark.parametrize("truncated", [False, True])
def test_nobody_listens_on_tcp(slave, nameserver, truncated):
    nameserver.listener.close()
    if truncated:
        truncate(slave, nameserver)
    else:
        slave.job(1, flags=FLAG_TCP)
    assert slave.result().outcome is (Outcome.TRUNCATED if truncated else Outcome.UNREACHABLE)


@pytest.mark.parametrize("truncated", [False, True])
def test_no_answer_over_tcp(slave, nameserver, truncated):
    if truncated:
        truncate(slave, nameserver, timeout_s=0.2)
    else:
        slave.job(1, flags=FLAG_TCP, timeout_s=0.2)
    with nameserver.accept() as connection:
        result = slave.result()
        assert read_tcp(connection)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
    assert result.outcome is (Outcome.TRUNCATED if truncated else Outcome.TIMEOUT)
    assert 0.2 <= result.elapsed < 3.0


def test_more_than_there_is_room_for_wait_their_turn(slave, nameserver):
    nameserver.listener.listen(1024)
    count = TCP_MAX + 40
    slave.jobs([pack_job(number, 0, FLAG_TCP, 10.0, query()) for number in range(count)])
    slave.jobs([pack_job(count, 0, FLAG_TCP, 0.05, query())])
    late = slave.result()  # waited until its time was over
    assert (late.job, late.outcome) == (count, Outcome.TIMEOUT)
    connections = [nameserver.accept() for _ in range(TCP_MAX)]
    nameserver.listener.settimeout(0)
    with pytest.raises(BlockingIOError):
        nameserver.listener.accept()
    nameserver.listener.settimeout(10)
    jobs = set()
    for served in range(count):
        connection = connections[served]
        write_tcp(connection, reply(read_tcp(connection), record()))
        jobs.add(slave.result().job)
        connection.close()
        if len(connections) < count:
            connections.append(nameserver.accept())
    assert jobs == set(range(count))


def test_a_forged_name_goes_over_tcp(own_slave, nameserver):
    """16 mismatches in a second: the exchange they are aimed at moves, and so do the next."""
    slave = own_slave
    slave.job(1)
    asked, client = nameserver.receive()
    for guess in range(MISMATCHES):
        ident = (int.from_bytes(asked[:2], "big") + 1 + guess) & 0xFFFF
        forged = ident.to_bytes(2, "big") + reply(asked, record(b"\xcb\0\x71\x42"))[2:]
        nameserver.send(forged, client)
    with nameserver.accept() as connection:
        write_tcp(connection, reply(read_tcp(connection), record()))
    assert slave.result().body == record()
    slave.job(2, query("WWW.example.org."))
    with nameserver.accept() as connection:
        write_tcp(connection, reply(read_tcp(connection), record()))
    assert slave.result().outcome is Outcome.ANSWER
    slave.job(3, query("other.example.org."))
    asked, client = nameserver.receive()
    nameserver.send(reply(asked, record()), client)
    assert slave.result().outcome is Outcome.ANSWER


def test_fifteen_are_not_enough(own_slave, nameserver):
    slave = own_slave
    slave.job(1)
    asked, client = nameserver.receive()
    for _ in range(MISMATCHES - 1):
        nameserver.send(bytes((asked[0] ^ 1, asked[1])) + reply(asked)[2:], client)
    assert slave.quiet()
    nameserver.send(reply(asked, record()), client)
    assert slave.result().outcome is Outcome.ANSWER


def test_udp_goes_on_beside_tcp(slave, nameserver):
    slave.job(1, flags=FLAG_TCP)
    with nameserver.accept() as connection:
        asked_tcp = read_tcp(connection)
        slave.job(2)
        asked, client = nameserver.receive()
        nameserver.send(reply(asked, record()), client)
        assert slave.result().job == 2
        write_tcp(connection, reply(asked_tcp, record()))
        assert slave.result().job == 1


def test_ipv6(slave):
    try:
        server = Nameserver("::1", tcp=True)
    except OSError:
        pytest.skip("no ::1 here")
    slave.server(server, 1)
    slave.job(1, number=1, flags=FLAG_TCP)
    with server.accept() as connection:
        write_tcp(connection, reply(read_tcp(connection), record()))
    assert slave.result().outcome is Outcome.ANSWER
    server.close()
