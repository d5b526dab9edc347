"""The listener on real sockets of the loopback interface."""

import os
import resource
import socket
from collections import Counter
from contextlib import closing

import pytest
import trio

from codns.core.model import Client
from codns.master.acl import packed_address
from codns.master.sockets import bind
from codns.master.tcp import TcpLimits, TcpListener

QUERY = b"\x12\x34\x01\x00" + bytes(20)
ANSWER = b"\x12\x34\x81\x80" + bytes(20)
PATIENCE_S = 10  # a hang is a failure; nothing waits this long


class Server:
    def __init__(self, limits=None, denied=()):
        self.counts: Counter[str] = Counter()
        self.counted = trio.Event()
        self.addresses: list[bytes] = []
        self.listener = TcpListener(
            self.query, lambda a: a not in denied, limits or TcpLimits(), self.count
        )

    def query(self, message: bytes, client: Client) -> None:
        self.addresses.append(client.address)
        client.reply(ANSWER)

    def count(self, name: str) -> None:
        self.counts[name] += 1
        self.counted.set()

    async def until(self, name: str, times: int = 1) -> None:
        while self.counts[name] < times:
            self.counted = trio.Event()
            await self.counted.wait()


def run(scenario):
    async def bounded():
        with trio.fail_after(PATIENCE_S):
            await scenario()

    trio.run(bounded)


async def ask(stream: trio.SocketStream) -> bytes:
    await stream.send_all(len(QUERY).to_bytes(2, "big") + QUERY)
    data = b""
    while len(data) < 2 + len(ANSWER):
        data += await stream.receive_some()
    return data[2:]


async def refused(source: str, port: int) -> bool:
    """Whether a connection is taken and then reset; the reset may come before we look."""
    with socket.socket() as plain:
        plain.setblocking(False)
        plain.bind((source, 0))
        sock = trio.socket.from_stdlib_socket(plain)
        try:
            await sock.connect(("127.0.0.1", port))
            await sock.recv(1)
        except ConnectionResetError:
            return True
        return False


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_queries_are_answered_until_stop(host):
    async def scenario():
        server = Server()
        (pair,) = bind([f"[{host}]:0" if ":" in host else f"{host}:0"])
        with closing(pair):
            async with trio.open_nursery() as nursery:
                await nursery.start(server.listener.serve, pair.tcp)
                async with await trio.open_tcp_stream(host, pair.port) as stream:
                    assert await ask(stream) == ANSWER
                    assert await ask(stream) == ANSWER
                    assert server.listener.connections == 1
                    server.listener.stop()
                    assert await stream.receive_some() == b""
            with pytest.raises(OSError):
                await trio.open_tcp_stream(host, pair.port)
        assert server.addresses == [packed_address(host)] * 2
        assert server.counts == {"tcp_connections": 1, "tcp_queries": 2, "tcp_closed_stop": 1}

    run(scenario)


def test_a_mapped_address_is_the_ipv4_one():
    async def scenario():
        server = Server()
        dual = socket.socket(socket.AF_INET6)  # as an inherited socket may be: not IPV6_V6ONLY
        dual.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        dual.bind(("::ffff:127.0.0.1", 0))
        dual.listen()
        dual.setblocking(False)
        port = dual.getsockname()[1]
        async with trio.open_nursery() as nursery:
            await nursery.start(server.listener.serve, dual)
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                assert await ask(stream) == ANSWER
            server.listener.stop()
        assert server.addresses == [b"\x7f\0\0\1"]

    run(scenario)


@pytest.mark.parametrize(
    ("limits", "denied", "counter"),
    [
        (TcpLimits(connections=1), (), "tcp_refused_full"),
        (TcpLimits(connections_per_address=1), (), "tcp_refused_address"),
        (TcpLimits(), (b"\x7f\0\0\2",), "tcp_refused_acl"),
    ],
)
def test_refused_connections_are_taken_and_reset(limits, denied, counter):
    async def scenario():
        server = Server(limits, denied)
        (pair,) = bind(["127.0.0.1:0"])
        source = "127.0.0.2" if denied else "127.0.0.1"
        with closing(pair):
            async with trio.open_nursery() as nursery:
                await nursery.start(server.listener.serve, pair.tcp)
                async with await trio.open_tcp_stream("127.0.0.1", pair.port) as served:
                    assert await ask(served) == ANSWER
                    for times in (1, 2):
                        assert await refused(source, pair.port)
                        assert server.counts[counter] == times
                    assert await ask(served) == ANSWER
                server.listener.stop()

    run(scenario)


def test_out_of_file_descriptors_a_connection_waits_and_is_counted():
    async def scenario():
        server = Server()
        (pair,) = bind(["127.0.0.1:0"])
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        with closing(pair):
            async with trio.open_nursery() as nursery:
                async with await trio.open_tcp_stream("127.0.0.1", pair.port) as stream:
                    lowest_free = os.dup(0)
                    os.close(lowest_free)
                    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
                    try:
                        await nursery.start(server.listener.serve, pair.tcp)
                        await server.until("tcp_accept_failed")
                    finally:
                        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
                    assert await ask(stream) == ANSWER
                server.listener.stop()

    run(scenario)


def test_a_client_that_resets_is_counted():
    async def scenario():
        server = Server()
        (pair,) = bind(["127.0.0.1:0"])
        with closing(pair):
            async with trio.open_nursery() as nursery:
                await nursery.start(server.listener.serve, pair.tcp)
                stream = await trio.open_tcp_stream("127.0.0.1", pair.port)
                assert await ask(stream) == ANSWER
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                await stream.aclose()
                await server.until("tcp_closed_reset")
                server.listener.stop()

    run(scenario)


def test_stop_before_the_start_serves_nobody():
    async def scenario():
        server = Server()
        (pair,) = bind(["127.0.0.1:0"])
        with closing(pair):
            server.listener.stop()
            await server.listener.serve(pair.tcp)
        assert server.counts == {}

    run(scenario)
