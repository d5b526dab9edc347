"""One HTTP connection: what a client can do to it, and what bounds that."""

import json

import pytest
import trio
import trio.testing

from codns.master.http_connection import (
    RECEIVE_SIZE,
    SEND_SIZE_MAX,
    HttpConnection,
    HttpLimits,
    Turns,
)
from codns.master.http_message import TEXT, HttpError, Response

LIMITS = HttpLimits()
HEADERS = LIMITS.headers_size + RECEIVE_SIZE  # over the limit when the last part is not there
BOTH = b"Content-Length: 3\r\nTransfer-Encoding: chunked"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Rig:
    """A connection over a socket pair; `handler` answers."""

    def __init__(self, handler=None, *, guard=lambda headers: None, limits=LIMITS):
        self.seen = []
        self.failed = []
        self.client, server = trio.socket.socketpair()
        self.client = trio.SocketStream(self.client)

        def handle(request):
            self.seen.append(request)
            return (handler or (lambda _: Response(200, TEXT, b"hello")))(request)

        self.connection = HttpConnection(
            trio.SocketStream(server),
            handle,
            guard,
            limits=limits,
            turns=Turns(),
            failed=lambda error, request: self.failed.append((repr(error), request.path)),
        )
        self.received = b""

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await trio.aclose_forcefully(self.client)

    async def read(self, until=None):
        """Read until `until` has come, or the end."""
        while until is None or until not in self.received:
            try:
                data = await self.client.receive_some(65536)
            except trio.BrokenResourceError:  # closed with something of ours unread
                data = b""
            self.received += data
            if not data:
                assert until is None, self.received[-300:]
                break
        return self.received


async def talk(rig, *parts):
    """Send, and return all that comes until the other side closes."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.connection.run)
        for part in parts:
            await rig.client.send_all(part)
        return await rig.read()


def rigged(handler=None, **options):
    """Make a rig within a loop: trio's sockets need one."""

    async def main(parts):
        async with Rig(handler, **options) as rig:
            return rig, await talk(rig, *parts)

    def go(*parts):
        clock = trio.testing.MockClock(autojump_threshold=0.05)
        return trio.run(main, parts, clock=clock)

    return go


def status(received):
    return int(received.split(b" ", 2)[1])


CLOSE = b"GET /x?a=1&b=%20 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def test_a_request_and_its_answer():
    rig, received = rigged()(CLOSE)
    (request,) = rig.seen
    assert (request.method, request.path, dict(request.query)) == (
        "GET",
        "/x",
        {"a": "1", "b": " "},
    )
    assert not request.trusted
    head, _, body = received.partition(b"\r\n\r\n")
    assert status(received) == 200
    assert body == b"hello"
    lines = head.decode().lower().split("\r\n")
    assert "content-length: 5" in lines
    assert "cache-control: no-store" in lines
    assert "x-content-type-options: nosniff" in lines


def test_one_connection_takes_one_request_after_the_other():
    rig, received = rigged()(GET, GET + GET, CLOSE)  # two of them sent at once
    assert len(rig.seen) == 4
    assert received.count(b"hello") == 4


def test_head_has_no_body():
    for body in (b"hello", iter([b"hello"])):
        _, received = rigged(lambda _, body=body: Response(200, TEXT, body))(
            CLOSE.replace(b"GET", b"HEAD")
        )
        assert status(received) == 200
        assert received.endswith(b"\r\n\r\n")


def test_without_a_guard_the_client_is_trusted():
    rig, _ = rigged(guard=None)(CLOSE)
    assert rig.seen[0].trusted


def test_the_guard_is_asked_before_anybody_else():
    def guard(headers):
        assert (b"host", b"a") in headers
        raise HttpError(421, "no")

    rig, received = rigged(guard=guard)(GET)
    assert (status(received), rig.seen) == (421, [])
    assert json.loads(received.partition(b"\r\n\r\n")[2]) == {"error": "no"}


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n", 400),  # TLS
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # 1.1 without a Host
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),  # to a proxy
        (b"GET /?a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /?" + b"a=1&" * 17 + b"b=1 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /?a=%ff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\n" + BOTH + b"\r\n\r\nzz\r\n",
            400,
        ),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * HEADERS + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * HEADERS, 431),
        (b"GET /" + b"x" * HEADERS, 431),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\n\r\n"
            + bytes(LIMITS.body_size + 1),
            413,
        ),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n", 413),
    ],
)
def test_what_is_no_request_of_ours_is_refused_and_ends_the_connection(sent, said):
    rig, received = rigged()(sent)
    assert status(received) == said
    assert rig.seen == []


@pytest.mark.parametrize(("headers", "said"), [(LIMITS.lines - 4, 200), (LIMITS.lines - 3, 431)])
def test_a_request_has_128_lines_at_most(headers, said):
    """h11 takes 5 us for each; 1,300 fit 8 KiB."""
    sent = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + b"a:1\r\n" * headers + b"\r\n"
    rig, received = rigged()(sent)
    assert status(received) == said
    assert len(rig.seen) == (said == 200)


def test_lines_of_a_request_that_came_early_count():
    request = b"GET / HTTP/1.1\r\nHost: a\r\n"
    half = b"a:1\r\n" * (LIMITS.lines // 2)

    async def main():
        async with Rig() as rig, trio.open_nursery() as nursery:
            nursery.start_soon(rig.connection.run)
            await rig.client.send_all(request + b"\r\n" + request + half)
            await rig.read(until=b"hello")
            await rig.client.send_all(half + b"\r\n")
            return rig, await rig.read()

    rig, received = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.05))
    assert received.count(b"HTTP/1.1 200") == len(rig.seen) == 1
    assert received.count(b"HTTP/1.1 431") == 1


def test_the_largest_request_and_body_are_taken():
    padding = b"x" * (LIMITS.headers_size - 100)
    sent = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: " + padding
    size = str(LIMITS.body_size).encode()
    sent += b"\r\nContent-Length: " + size + b"\r\n\r\n" + bytes(LIMITS.body_size)
    rig, received = rigged()(sent)
    assert status(received) == 200
    assert len(rig.seen) == 1


def test_who_says_nothing_is_left_after_a_while():
    async def main():
        async with Rig() as rig:
            began = trio.current_time()
            await talk(rig)
            return trio.current_time() - began, rig.received

    took, received = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.05))
    assert took == pytest.approx(LIMITS.idle_s)
    assert received == b""


def test_a_request_byte_by_byte_has_ten_seconds_in_all():
    async def main():
        async with Rig() as rig, trio.open_nursery() as nursery:
            nursery.start_soon(rig.connection.run)
            began = trio.current_time()

            async def drip():
                for byte in GET * 10:
                    try:
                        await rig.client.send_all(bytes((byte,)))
                    except trio.BrokenResourceError:
                        return
                    await trio.sleep(1)

            nursery.start_soon(drip)
            await rig.read()
            return trio.current_time() - began, rig.seen

    took, seen = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.05))
    assert took == pytest.approx(LIMITS.request_s)
    assert seen == []


def test_who_does_not_take_the_answer_is_left():
    made = []

    def slices():
        for _ in range(1000):
            made.append(1)
            yield bytes(SEND_SIZE_MAX)

    async def main():
        async with Rig(lambda _: Response(200, TEXT, slices())) as rig:
            await rig.client.send_all(GET)
            began = trio.current_time()
            await rig.connection.run()
            return trio.current_time() - began

    took = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.05))
    assert took == pytest.approx(LIMITS.send_s)
    assert len(made) < 100  # no more than the socket's buffers hold was made


def test_a_failing_handler_is_logged_and_the_next_request_is_taken():
    def handler(request):
        if request.path == "/":
            raise ZeroDivisionError
        return Response(200, TEXT, b"hello")

    rig, received = rigged(handler)(GET, CLOSE)
    assert status(received) == 500
    assert rig.failed == [("ZeroDivisionError()", "/")]
    assert received.endswith(b"hello") or len(rig.seen) == 1


def test_a_body_that_breaks_is_seen_to_be_cut_short():
    def slices():
        yield b"first"
        raise ZeroDivisionError

    rig, received = rigged(lambda _: Response(200, TEXT, slices()))(GET)
    assert rig.failed == [("ZeroDivisionError()", "/")]
    assert not received.endswith(b"0\r\n\r\n")


def test_a_body_in_slices_arrives_whole():
    parts = [bytes((n % 256,)) * (n % 700) for n in range(1000)]
    _, received = rigged(lambda _: Response(200, TEXT, iter(parts)))(CLOSE)
    head, _, chunks = received.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    body = b""
    while True:
        size, _, rest = chunks.partition(b"\r\n")
        if not int(size, 16):
            break
        body += rest[: int(size, 16)]
        chunks = rest[int(size, 16) + 2 :]
    assert body == b"".join(parts)


def test_one_slice_a_turn_of_the_loop_for_all_connections_together():
    """However many want something big: other tasks run between any two slices."""
    ticks = 0
    seen = []  # the tick of each slice

    async def main():
        nonlocal ticks
        turns = Turns()

        async def want():
            for _ in range(10):
                await turns.run(lambda: seen.append(ticks))

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(tick)
            async with trio.open_nursery() as wanting:
                for _ in range(20):
                    wanting.start_soon(want)
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert len(seen) == 200
    assert len(set(seen)) == 200
