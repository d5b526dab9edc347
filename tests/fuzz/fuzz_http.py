"""HTTP and control requests: real connections over a socket pair, the real app behind them."""

import sys

import trio
import trio.testing
from fuzz_targets import TESTS, Surroundings

sys.path.insert(0, str(TESTS / "master"))

from web_world import FleetInside

from codns.master.http_app import App
from codns.master.http_connection import HttpConnection, HttpLimits, Turns
from codns.master.http_guard import check


class Http:
    """Bytes at the HTTP port. Only the guard tells it from the control socket."""

    trusted = False
    seeds = [
        b"GET /status HTTP/1.1\r\nHost: 127.0.0.1:9353\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /metrics HTTP/1.0\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
        b"POST /v1/reload HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"GET /v1/explain?name=www.example.&type=A HTTP/1.1\r\nHost: [::1]:1\r\n\r\n",
    ]

    def __init__(self):
        inside = FleetInside(peers=20)
        inside.node = Surroundings().node
        self.app = App(inside)

    def feed(self, data):
        return trio.run(self.talk, data, clock=trio.testing.MockClock(autojump_threshold=0))

    async def talk(self, data):
        failed = []
        ours, theirs = trio.socket.socketpair()
        guard = None if self.trusted else lambda headers: check(headers, "127.0.0.1", ())
        connection = HttpConnection(
            trio.SocketStream(theirs),
            self.app,
            guard,
            limits=HttpLimits(),
            turns=Turns(),
            failed=lambda error, request: failed.append((error, request)),
        )
        received = b""
        client = trio.SocketStream(ours)
        async with client, trio.open_nursery() as nursery:
            nursery.start_soon(connection.run)
            try:
                await client.send_all(data)
                await client.send_eof()
                while more := await client.receive_some(65536):
                    received += more
            except trio.BrokenResourceError:  # closed with something of ours unread
                pass
        assert not failed, failed
        assert received[:9] in (b"", b"HTTP/1.1 ")
        return received[9:12].decode()


class Control(Http):
    """Bytes at the control socket."""

    trusted = True
    seeds = [
        *Http.seeds,
        b"POST /v1/cache/flush?name=www.example. HTTP/1.1\r\n\r\n",
        b"POST /v1/reload HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/cache?zone=x. HTTP/1.1\r\nHost: x\r\n\r\n",
    ]


HTTP_TARGETS = {"http": Http, "control": Control}
