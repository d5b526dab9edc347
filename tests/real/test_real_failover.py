"""Things that break and get better while real queries flow: nameservers, slaves, files, codns."""

import errno
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import dns.edns
import dns.message
import dns.query
import dns.rcode
import pytest
import real_ask
from real_zone import PLAIN

from bench import servers
from bench.servers import Server

Start = Callable[[Server], Server]

pytestmark = pytest.mark.real("nsd", "setpriv")

PATIENCE_S = 4.5  # RULES 4.2
SLACK_S = 0.3  # a busy machine


def ask(server: Server, name: str, rtype: str = "A") -> dns.message.Message:
    """One query over UDP, with EDNS."""
    query = dns.message.make_query(name, rtype, use_edns=0)
    return dns.query.udp(query, server.host, PATIENCE_S + 1, server.port)


def address(message: dns.message.Message) -> str:
    return message.answer[0][0].to_text()


def reasons(message: dns.message.Message) -> set[int]:
    """Its extended DNS errors."""
    return {int(o.code) for o in message.options if isinstance(o, dns.edns.EDEOption)}


def burst(server: Server, label: str, count: int) -> None:
    """Names never asked before, all of which have to be answered well."""
    wires = [
        dns.message.make_query(f"{label}{i}.wild.{PLAIN}", "A").to_wire() for i in range(count)
    ]
    rcodes = {answer[3] & 15 for answer in real_ask.exchange(server.address, wires, "udp", 20)}
    assert rcodes == {0}


def zone(folder: Path, name: str, ip: str) -> Path:
    """A small zone whose wildcard tells which nameserver answered."""
    file = folder / name
    file.write_text(
        f"$ORIGIN {PLAIN}\n$TTL 3600\n@ SOA ns hostmaster 1 3600 600 86400 900\n@ NS ns\n"
        f"ns A 192.0.2.53\n*.wild A {ip}\nshort 1 A {ip}\n"
    )
    return file


@pytest.fixture
def two(tmp_path: Path, start: Start) -> tuple[Server, Server]:
    """Two nameservers that answer differently."""
    first, second = (
        start(servers.nsd(tmp_path, {PLAIN: zone(tmp_path, name, ip)}))
        for name, ip in (("one", "192.0.2.1"), ("two", "192.0.2.2"))
    )
    return first.wait_ready(PLAIN), second.wait_ready(PLAIN)


def test_nameserver_hangs_then_dies(
    two: tuple[Server, Server], tmp_path: Path, start: Start
) -> None:
    """Every query is answered while one of the two is silent, later gone, and then the other."""
    codns = start(servers.codns(tmp_path, [server.address for server in two]))
    codns.wait_ready(PLAIN)
    burst(codns, "before", 50)
    two[0].signal(signal.SIGSTOP)
    burst(codns, "silent", 100)
    began = time.monotonic()
    burst(codns, "learnt", 100)
    assert time.monotonic() - began < 2, "it should know by now which one to ask"
    two[0].signal(signal.SIGCONT)
    two[1].signal(signal.SIGKILL)  # its port answers ICMP unreachable
    burst(codns, "gone", 100)
    assert address(ask(codns, f"who.wild.{PLAIN}")) == "192.0.2.1"


def test_no_nameserver_left(two: tuple[Server, Server], tmp_path: Path, start: Start) -> None:
    """SERVFAIL with a reason before the stub's patience ends; what was cached is given stale."""
    codns = start(servers.codns(tmp_path, [server.address for server in two]))
    codns.wait_ready(PLAIN)
    assert ask(codns, f"short.{PLAIN}").answer[0].ttl <= 1
    for server in two:
        server.signal(signal.SIGSTOP)
    query = dns.message.make_query(f"unknown.wild.{PLAIN}", "A", use_edns=0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(codns.address)
        sock.settimeout(PATIENCE_S + SLACK_S)
        sock.send(query.to_wire())
        stale = eventually_stale(codns, f"short.{PLAIN}")
        message = dns.message.from_wire(sock.recv(4096))
    assert message.rcode() == dns.rcode.SERVFAIL
    assert reasons(message) & {22, 23}
    assert stale.rcode() == 0
    assert 0 < stale.answer[0].ttl <= 30


def eventually_stale(codns: Server, name: str) -> dns.message.Message:
    """Asked until it is expired; the first to find it so waits 1.8 s at most (RULES 3.6)."""
    while True:
        began = time.monotonic()
        message = ask(codns, name)
        if reasons(message) == {3}:
            assert time.monotonic() - began < 1.8 + SLACK_S
            return message
        assert (message.rcode(), reasons(message), message.answer[0].ttl) == (0, set(), 1)


def slaves(codns: Server) -> list[int]:
    """Its worker processes."""
    return [
        pid for pid in codns.pids() if b"codns.slave" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSTOP])
def test_slave_under_load(plain_nsd: Server, tmp_path: Path, start: Start, signum: int) -> None:
    """Three times a slave is killed or hangs; a client that never repeats itself loses nothing."""
    codns = start(servers.codns(tmp_path, [plain_nsd.address])).wait_ready(PLAIN)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(codns.address)
        sock.setblocking(False)
        wires = [
            dns.message.make_query(f"{signum}-{i}.wild.{PLAIN}", "A").to_wire()
            for i in range(4000)
        ]
        hit = [500, 1500, 2500] if signum == signal.SIGKILL else [1000]
        run = Harmed(sock, wires, 50, codns, signum, hit)
        answers = run.run()
    assert run.hit == []
    assert len(answers) == len(wires)
    assert {answer[3] & 15 for answer in answers} == {0}
    assert len(slaves(codns)) >= 1


class Harmed(real_ask.Exchange):
    """An exchange that sends a signal to a slave whenever so many answers have come."""

    def __init__(
        self, sock: socket.socket, wires: list[bytes], window: int,
        codns: Server, signum: int, hit: list[int],
    ) -> None:  # fmt: skip
        super().__init__(sock, wires, window, stream=False)
        self.codns, self.signum, self.hit = codns, signum, hit

    def send(self) -> None:
        super().send()  # so that there is something in flight
        if self.hit and self.done >= self.hit[0]:
            del self.hit[0]
            os.kill(slaves(self.codns)[0], self.signum)


def config(file: Path, codns: tuple[str, int], nameserver: Server, extra: str = "") -> None:
    file.write_text(
        f'listen: ["{codns[0]}:{codns[1]}"]\n'
        f'nameservers: ["{nameserver.host}:{nameserver.port}"]\n{extra}'
    )


def eventually(what: Callable[[], bool]) -> bool:
    """Ask until it is so; asking paces itself."""
    deadline = time.monotonic() + 5
    while not what():
        if time.monotonic() > deadline:
            return False
    return True


def test_reload_keeps_the_cache(two: tuple[Server, Server], tmp_path: Path, start: Start) -> None:
    """SIGHUP: new names from the new nameserver, old ones cached. A bad file changes nothing."""
    place, file = servers.free_address(), tmp_path / "codns.yaml"
    config(file, place, two[0])
    codns = start(servers.codns(tmp_path, [], address=place, options=["-c", str(file)]))
    codns.wait_ready(PLAIN)
    assert address(ask(codns, f"old.wild.{PLAIN}")) == "192.0.2.1"
    config(file, place, two[1])
    os.kill(codns.process.pid, signal.SIGHUP)
    fresh = (f"new{i}.wild.{PLAIN}" for i in range(100_000))
    assert eventually(lambda: address(ask(codns, next(fresh))) == "192.0.2.2")
    assert address(ask(codns, f"old.wild.{PLAIN}")) == "192.0.2.1"
    said = codns.log.stat().st_size
    config(file, place, two[0], "no_such_key: 1\n")
    os.kill(codns.process.pid, signal.SIGHUP)
    codns.wait_said("no_such_key", after=said)
    assert address(ask(codns, next(fresh))) == "192.0.2.2"
    assert address(ask(codns, f"old.wild.{PLAIN}")) == "192.0.2.1"


def test_restart_on_the_same_port(plain_nsd: Server, tmp_path: Path, start: Start) -> None:
    """TERM ends it within 2 s, also with a TCP client there; the next one starts at once."""
    place = servers.free_address()
    for _ in range(2):
        codns = start(servers.codns(tmp_path, [plain_nsd.address], address=place))
        codns.wait_ready(PLAIN)
        with socket.create_connection(place, 5) as client:
            client.sendall(real_ask.framed(dns.message.make_query(f"h1.{PLAIN}", "A").to_wire()))
            assert len(client.recv(2)) > 0
            began = time.monotonic()
            assert codns.stop() == 0
            assert time.monotonic() - began < 2 + SLACK_S


def test_port_in_use_says_so(plain_nsd: Server, plain_codns: Server, tmp_path: Path) -> None:
    """One line with the address and the cause, and exit code 2; no traceback."""
    second = servers.codns(tmp_path, [plain_nsd.address], address=plain_codns.address)
    try:
        assert second.process.wait(10) == 2
    except subprocess.TimeoutExpired:
        pytest.fail(f"still running: {second.said()}")
    finally:
        second.stop()
    lines = [line for line in second.said().splitlines() if line.strip()]
    assert f"{plain_codns.host}:{plain_codns.port}" in lines[-1], second.said()
    assert "in use" in lines[-1], (os.strerror(errno.EADDRINUSE), second.said())
    assert "Traceback" not in second.said()
    assert address(ask(plain_codns, f"count-2.{PLAIN}")).startswith("10.0."), "the first one lives"
