"""A TcpListener in virtual time, with memory streams for sockets and a hand-driven resolver."""

from collections import Counter
from collections.abc import Awaitable, Callable

import trio
import trio.testing

from codns.core.model import Client
from codns.master.tcp import COUNTERS, TcpLimits, TcpListener

LOOPBACK = b"\x7f\0\0\1"


def query(ident: int, size: int = 30) -> bytes:
    """Bytes that TCP takes for a query: a header and something behind it."""
    return ident.to_bytes(2, "big") + b"\x01\x00" + bytes(size - 4)


def answer(ident: int, size: int = 50) -> bytes:
    return ident.to_bytes(2, "big") + b"\x81\x80" + bytes(size - 4)


def framed(*messages: bytes) -> bytes:
    return b"".join(len(m).to_bytes(2, "big") + m for m in messages)


class Recorder(trio.abc.Stream):
    """The server's end of a stream, noting what each send carried."""

    def __init__(self, inner: trio.abc.Stream, sends: list[bytes]) -> None:
        self.inner = inner
        self.sends = sends

    async def send_all(self, data: bytes) -> None:
        self.sends.append(data)
        await self.inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return await self.inner.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self.inner.aclose()


class World:
    """`asked` is what came to the resolver: (time, id). With `prompt` it answers at once."""

    def __init__(self, limits: TcpLimits | None = None, *, prompt: bool = False) -> None:
        self.counts: Counter[str] = Counter()
        self.asked: list[tuple[float, int]] = []
        self.clients: list[Client] = []
        self.sends: list[bytes] = []
        self.prompt = prompt
        self.denied: set[bytes] = set()
        self.listener = TcpListener(
            self.query, lambda a: a not in self.denied, limits or TcpLimits(), self.count
        )

    def query(self, message: bytes, client: Client) -> None:
        ident = int.from_bytes(message[:2], "big")
        self.asked.append((self.now(), ident))
        self.clients.append(client)
        if self.prompt:
            client.reply(answer(ident))

    def count(self, name: str) -> None:
        assert name in COUNTERS
        self.counts[name] += 1

    @staticmethod
    def now() -> float:
        return round(trio.current_time(), 6)

    @property
    def idents(self) -> list[int]:
        return [ident for _, ident in self.asked]

    def connect(
        self, nursery: trio.Nursery, address: bytes = LOOPBACK, *, lockstep: bool = False
    ) -> trio.StapledStream:
        pair = trio.testing.lockstep_stream_pair if lockstep else trio.testing.memory_stream_pair
        client, server = pair()
        nursery.start_soon(self.listener.serve_stream, Recorder(server, self.sends), address)
        return client

    async def ended(self, client: trio.abc.ReceiveStream) -> float:
        """Read to the end and return when it came."""
        while await client.receive_some(65536):
            pass
        return self.now()


async def settle() -> None:
    """Let every task run until all of them wait."""
    await trio.testing.wait_all_tasks_blocked()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run it with a clock that starts at 0 and jumps whenever everybody waits."""
    trio.run(scenario, clock=trio.testing.MockClock(autojump_threshold=0))
