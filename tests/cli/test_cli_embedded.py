"""The embedded nameserver on sockets: UDP, TCP, its ills, and alone as a program."""

import random
import re
import signal
import subprocess
import sys

import dns.message
import pytest
import trio

from codns.cli.embedded import Companion, Embedded
from codns.wire.tcp import Framer, frame

PATIENCE_S = 10.0  # no test waits so long, but for a machine that stalls


def query(name, rdtype="A"):
    """A query's wire."""
    return dns.message.make_query(name, rdtype).to_wire()


def address_of(wire):
    """The first record's data."""
    return dns.message.from_wire(wire).answer[0][0].to_text()


def serving(check, **options):
    """Run `check(server, port)` beside a server."""

    async def run():
        server = Embedded(**options)
        async with trio.open_nursery() as nursery:
            port = await nursery.start(server.serve, "127.0.0.1", 0)
            with trio.fail_after(PATIENCE_S):
                await check(server, port)
            nursery.cancel_scope.cancel()

    trio.run(run)


async def udp_to(port):
    """A UDP socket connected to the server."""
    udp = trio.socket.socket(type=trio.socket.SOCK_DGRAM)
    await udp.connect(("127.0.0.1", port))
    return udp


def test_udp_and_tcp_on_one_port():
    async def check(server, port):
        with await udp_to(port) as udp:
            await udp.send(query("www.example"))
            assert address_of(await udp.recv(4096)) == "192.0.2.80"
        async with await trio.open_tcp_stream("127.0.0.1", port) as tcp:
            data = frame(query("www.example")) + frame(query("mail.example"))
            await tcp.send_all(data[:5])
            await tcp.send_all(data[5:])
            framer, found = Framer(), []
            while len(found) < 2:
                found += framer.feed(await tcp.receive_some())
        assert sorted(map(address_of, found)) == ["192.0.2.25", "192.0.2.80"]
        assert server.queries == 3

    serving(check)


def test_delay_holds_nobody_up():
    async def check(server, port):
        with await udp_to(port) as udp:
            server.delay_s = 0.05
            start = trio.current_time()
            await udp.send(query("www.example"))
            await udp.recv(4096)
            assert trio.current_time() - start >= 0.05
            server.delay_s = PATIENCE_S  # this one will not come ...
            await udp.send(query("www.example"))
            while server.queries < 2:
                await trio.lowlevel.checkpoint()
            server.delay_s = 0.0  # ... and the next passes it
            await udp.send(query("mail.example"))
            assert address_of(await udp.recv(4096)) == "192.0.2.25"

    serving(check)


def test_dead_hears_and_says_nothing():
    async def check(server, port):
        with await udp_to(port) as udp:
            server.dead = True
            await udp.send(query("www.example"))
            while server.queries < 1:
                await trio.lowlevel.checkpoint()
            server.dead = False
            await udp.send(query("mail.example"))
            assert address_of(await udp.recv(4096)) == "192.0.2.25"  # the first never comes

    serving(check)


def test_loss_follows_the_rng():
    twin = random.Random(7)
    kept = [n for n in range(20) if twin.random() >= 0.5]

    async def check(server, port):
        server.loss = 0.5
        with await udp_to(port) as udp:
            for n in range(20):
                await udp.send(query(f"n{n}.wild.example"))
            names = [dns.message.from_wire(await udp.recv(4096)).question[0].name for _ in kept]
        assert [str(name) for name in names] == [f"n{n}.wild.example." for n in kept]

    serving(check, rng=random.Random(7))


def test_companion_knows_its_address_before_it_runs():
    companion = Companion()
    assert re.fullmatch(r"127\.0\.0\.1:\d+", companion.address)

    async def run():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(companion.run)
            with trio.fail_after(PATIENCE_S):
                with await udp_to(int(companion.address.split(":")[1])) as udp:
                    await udp.send(query("www.example"))
                    assert address_of(await udp.recv(4096)) == "192.0.2.80"
            nursery.cancel_scope.cancel()

    trio.run(run)
    Companion().close()


@pytest.fixture
def alone():
    """The embedded nameserver as a program: (process, port)."""
    # Started in the background of a script, a test would hand down SIGINT ignored
    python = ["env", "--default-signal=INT", sys.executable]
    command = [*python, "-m", "codns.cli.embedded", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(
        [*command, "--synthesize", "--delay", "1ms"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process, int(process.stdout.readline().rpartition(":")[2])
        process.kill()


def test_alone(alone):
    process, port = alone

    async def check():
        with trio.fail_after(PATIENCE_S), await udp_to(port) as udp:
            await udp.send(query("www.example.net"))
            assert address_of(await udp.recv(4096)) == "198.18.187.231"

    trio.run(check)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) == 0
    assert process.stderr.read() == ""


def test_alone_on_a_taken_port(alone):
    _, port = alone
    command = [sys.executable, "-m", "codns.cli.embedded", "--listen", f"127.0.0.1:{port}"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert f"127.0.0.1:{port}" in run.stderr


@pytest.mark.parametrize("bad", [["--delay", "4"], ["--listen", "x"], ["--loss", "2"]])
def test_alone_bad_options(bad):
    command = [sys.executable, "-m", "codns.cli.embedded", *bad]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "Traceback" not in run.stderr
