"""The demo's world, in a process of its own: four nameservers, the clients, and the clock.

    python -m codns.cli.demo_load FD FD ...      started by `codns demo`, not by hand

It is apart from what draws the screen, because a loop that draws is late, and one that is late
measures itself. How late it is it measures all the same: every lookup has its instant, and leaves
then whether or not others have come back (an open loop: a stuck resolver does not slow its
clients down, which would hide that it is stuck).

The descriptors are the nameservers' sockets, UDP and TCP of each in turn. A first line on standard
input says what to play, a second one begins it; its end ends everything. `demo_told` has what goes
to and from it.
"""

import contextlib
import random
import socket
import sys
from typing import Final

import msgspec
import trio

from codns.cli import demo_plan
from codns.cli.demo_plan import MEMBERS, NODES, PATIENCE_S, SICK, Arrival
from codns.cli.demo_told import ANSWER, SILENCE, TELL_S, Done, Looked, Spec, Told
from codns.cli.embedded import Embedded
from codns.master.sockets import Pair

SETTLE_LOOK_S: Final = 0.02
ID_MAX: Final = 0xFFFF  # RFC 1035 4.1.1: 16 bits
RECEIVE_SIZE: Final = 4096


class World:
    """It all."""

    def __init__(self, pairs: list[Pair], spec: Spec) -> None:
        self.spec = spec
        self.nameservers = [self._nameserver(site) for site in range(NODES)]
        self._pairs = pairs
        self._socks = [trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in spec.nodes]
        self._waiting: list[dict[int, float]] = [{} for _ in spec.nodes]
        self._numbers = [0] * len(spec.nodes)
        self._done: list[Done] = []
        self._late: list[float] = []
        self._start = 0.0

    def _nameserver(self, site: int) -> Embedded:
        rng = random.Random(f"{self.spec.seed} nameserver {site}")
        made = Embedded(synthesize=True, rng=rng)
        made.delay_s, made.jitter_s = demo_plan.DELAY_S, demo_plan.JITTER_S
        return made

    async def run(self, stdin: trio.abc.ReceiveStream) -> None:
        """Serve until told to begin, then play until it is over."""
        plan = demo_plan.arrivals(self.spec.seconds, self.spec.rate, self.spec.seed)
        async with trio.open_nursery() as nursery:
            for nameserver, pair in zip(self.nameservers, self._pairs, strict=True):
                nursery.start_soon(nameserver.serve_on, pair)
            if await stdin.receive_some(RECEIVE_SIZE):
                nursery.start_soon(self._until_told, stdin, nursery.cancel_scope)
                await self._play(plan, nursery)
            nursery.cancel_scope.cancel()

    async def _play(self, plan: list[Arrival], nursery: trio.Nursery) -> None:
        for node, (sock, address) in enumerate(zip(self._socks, self.spec.nodes, strict=True)):
            await sock.connect(tuple(address))
            nursery.start_soon(self._receive, node, sock)
        self._start = trio.current_time()
        nursery.start_soon(self._fail)
        nursery.start_soon(self._tell)
        await self._depart(plan)
        await self._settle()
        self._report()
        tell(Told(end=True))

    @staticmethod
    async def _until_told(stdin: trio.abc.ReceiveStream, scope: trio.CancelScope) -> None:
        """End when nobody is there any more who wants to know."""
        while await stdin.receive_some(RECEIVE_SIZE):
            pass
        scope.cancel()

    # -- the sick nameserver --------------------------------------------------------------------

    async def _fail(self) -> None:
        for silence in demo_plan.silences(self.spec.seconds):
            await trio.sleep_until(self._start + silence.start)
            self._be_silent(True)
            await trio.sleep_until(self._start + silence.end)
            self._be_silent(False)

    def _be_silent(self, silent: bool) -> None:
        self.nameservers[SICK].dead = silent
        tell(Told(silent=(trio.current_time() - self._start, silent)))

    # -- the clients ----------------------------------------------------------------------------

    async def _depart(self, plan: list[Arrival]) -> None:
        for arrival in plan:
            due = self._start + arrival.at
            if trio.current_time() < due:
                await trio.sleep_until(due)
            now = trio.current_time()
            self._late.append(now - due)
            await self._ask(arrival, now - self._start)

    async def _ask(self, arrival: Arrival, now: float) -> None:
        node = arrival.node
        self._numbers[node] += 1
        ident = self._numbers[node] & ID_MAX  # many times more than can wait at once
        self._waiting[node][ident] = now
        wire = ident.to_bytes(2, "big") + demo_plan.query_of(arrival.name)
        with contextlib.suppress(OSError):  # an ICMP error: unanswered is unanswered
            await self._socks[node].send(wire)

    async def _receive(self, node: int, sock: trio.socket.SocketType) -> None:
        waiting = self._waiting[node]
        while True:
            try:
                wire = await sock.recv(RECEIVE_SIZE)
            except OSError:
                continue
            left = waiting.pop(int.from_bytes(wire[:2], "big"), None)
            if left is not None and len(wire) > 3:
                took = trio.current_time() - self._start - left
                rcode = wire[3] & 15
                self._done.append(Done(node, left, took, f"rcode {rcode}" if rcode else ANSWER))

    async def _settle(self) -> None:
        """Wait for those that still wait."""
        with trio.move_on_after(demo_plan.settle_s(self.spec.seconds)):
            while any(self._waiting):  # noqa: ASYNC110 - an event would cost each lookup something
                await trio.sleep(SETTLE_LOOK_S)

    # -- what is told ---------------------------------------------------------------------------

    async def _tell(self) -> None:
        while True:
            await trio.sleep(TELL_S)
            self._report()

    def _report(self) -> None:
        now = trio.current_time() - self._start
        for node, waiting in enumerate(self._waiting):
            given_up = [ident for ident, left in waiting.items() if now - left >= PATIENCE_S]
            self._done += [Done(node, waiting.pop(i), PATIENCE_S, SILENCE) for i in given_up]
        waits = [list(waiting.values()) for waiting in self._waiting]
        tell(Told(looked=Looked(now, self._done, waits, self._late)))
        self._done, self._late = [], []


def tell(told: Told) -> None:
    """Write a line."""
    sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
    sys.stdout.buffer.flush()


def main(arguments: list[str]) -> None:
    """Play."""
    socks = [socket.socket(fileno=int(fd)) for fd in arguments]
    pairs = [Pair.of(udp, tcp) for udp, tcp in zip(socks[::2], socks[1::2], strict=True)]
    with open(0, "rb", buffering=0, closefd=False) as stdin:  # reads no byte too many
        spec = msgspec.json.decode(stdin.readline(), type=Spec)
    if len(pairs) != NODES or len(spec.nodes) != MEMBERS:
        sys.exit("codns.cli.demo_load is started by `codns demo`")

    async def run() -> None:
        async with trio.lowlevel.FdStream(sys.stdin.fileno()) as stdin:
            await World(pairs, spec).run(stdin)

    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        trio.run(run)


if __name__ == "__main__":
    main(sys.argv[1:])
