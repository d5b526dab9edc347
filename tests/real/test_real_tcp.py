"""Many queries on one TCP connection, put there in every way that TCP allows (RFC 7766)."""

import socket
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import dns.message
import pytest
import real_ask
from real_ask import framed
from real_zone import PLAIN

from bench import servers
from bench.servers import Server, program

Start = Callable[[Server], Server]

pytestmark = pytest.mark.real("nsd", "setpriv")


def query(name: str, number: int = 0, rtype: str = "A") -> bytes:
    return dns.message.make_query(name, rtype, id=number).to_wire()


def receive(sock: socket.socket, count: int) -> list[dns.message.Message]:
    """`count` answers, in the order they come."""
    answers = []
    with sock.makefile("rb") as stream:
        for _ in range(count):
            size = int.from_bytes(stream.read(2), "big")
            answers.append(dns.message.from_wire(stream.read(size)))
    return answers


def connect(server: Server) -> socket.socket:
    return socket.create_connection(server.address, 10)


def test_many_at_once(plain_codns: Server) -> None:
    """Names that were never asked and cached ones, all in flight."""
    wires = [query(f"x{i % 300}.wild.{PLAIN}") for i in range(600)]
    answers = real_ask.exchange(plain_codns.address, wires, "tcp", window=100)
    assert {real_ask.parse(answer).seen.rcode for answer in answers} == {0}


def test_one_segment_with_many(plain_codns: Server) -> None:
    with connect(plain_codns) as sock:
        sock.sendall(b"".join(framed(query(f"h{i}.{PLAIN}", i)) for i in range(50)))
        answers = receive(sock, 50)
    assert sorted(answer.id for answer in answers) == list(range(50))
    assert all(answer.answer for answer in answers)


def test_octet_by_octet(plain_codns: Server) -> None:
    with connect(plain_codns) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in framed(query(f"h1.{PLAIN}", 1)) + framed(query(f"h2.{PLAIN}", 2)):
            sock.sendall(bytes((octet,)))
        assert sorted(answer.id for answer in receive(sock, 2)) == [1, 2]


def test_half_closed_still_gets_its_answers(plain_codns: Server) -> None:
    with connect(plain_codns) as sock:
        wires = [query(f"half{i}.wild.{PLAIN}", i) for i in range(20)]
        sock.sendall(b"".join(framed(wire) for wire in wires))
        sock.shutdown(socket.SHUT_WR)
        assert sorted(answer.id for answer in receive(sock, 20)) == list(range(20))
        assert sock.recv(1) == b""


def test_large_answers_in_a_row(plain_codns: Server) -> None:
    """More than a socket buffer holds: 40 x 64 kB."""
    wires = [query(f"txt-64000.{PLAIN}", 0, "TXT")] * 40
    answers = real_ask.exchange(plain_codns.address, wires, "tcp", window=40)
    assert {len(answer) > 64_000 for answer in answers} == {True}


def test_hundred_connections(plain_codns: Server) -> None:
    with ExitStack() as stack:
        socks = [stack.enter_context(connect(plain_codns)) for _ in range(100)]
        for i, sock in enumerate(socks):
            sock.sendall(framed(query(f"h{i}.{PLAIN}", i)))
        for i, sock in enumerate(socks):
            assert [answer.id for answer in receive(sock, 1)] == [i]


@pytest.mark.real("dnsdist")
def test_slow_one_does_not_hold_up_the_others(plain_nsd: Server, start: Start) -> None:
    """dnsdist keeps answers below slow. for half a second; asked first, they come last."""
    folder = plain_nsd.log.parent
    slow = f"slow.wild.{PLAIN}"
    rules = [
        "slow = newSuffixMatchNode()",
        f'slow:add("{slow}")',
        "addAction(SuffixMatchNodeRule(slow), DelayAction(500))",
    ]
    dnsdist = start(servers.dnsdist(folder, plain_nsd.address, PLAIN, cache=0, rules=rules))
    dnsdist.wait_ready(PLAIN)
    codns = start(servers.codns(folder, [dnsdist.address])).wait_ready(PLAIN)
    with connect(codns) as sock:
        names = [f"{i}.{slow}" for i in range(5)] + [f"f{i}.wild.{PLAIN}" for i in range(50)]
        sock.sendall(b"".join(framed(query(name, i)) for i, name in enumerate(names)))
        order = [answer.id for answer in receive(sock, len(names))]
    assert set(order[:50]) == set(range(5, 55))
    assert set(order[50:]) == set(range(5))


@pytest.mark.real("dnsperf")
def test_dnsperf_loses_nothing(plain_codns: Server, tmp_path: Path) -> None:
    names = tmp_path / "names"
    names.write_text("".join(f"h{i}.{PLAIN} A\n" for i in range(150)))
    command = [program("dnsperf"), "-d", str(names), "-m", "tcp", "-s", plain_codns.host, "-p"]
    command += [str(plain_codns.port), "-n", "40", "-c", "8", "-q", "64", "-t", "5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert "Queries completed:    6000 (100.00%)" in done.stdout, done.stdout
    assert "NOERROR 6000 (100.00%)" in done.stdout, done.stdout
