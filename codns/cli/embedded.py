"""The embedded nameserver: `embedded_zone` on sockets, with the ills a nameserver can have.

    python -m codns.cli.embedded --listen 127.0.0.1:5301 --delay 4ms --synthesize

Latency, loss and death are plain attributes: who holds the object changes them while it runs.
"""

import errno
import random
import sys
from typing import Any, Final

import click
import trio

from codns.cli.embedded_zone import Responder
from codns.cli.output import duration
from codns.config.units import format_endpoint, parse_endpoint
from codns.master.sockets import BindError, Pair, bind
from codns.wire.errors import WireError
from codns.wire.tcp import Framer, frame

IN_FLIGHT_MAX: Final = 4096  # delayed answers; more are lost, as in a full queue of a real one
RECEIVE_SIZE: Final = 65535
TCP_IDLE_S: Final = 10.0  # RFC 9210's start
SEED: Final = 2004


class Embedded:
    """A nameserver on one address, UDP and TCP.

    `delay_s` before each answer, plus up to `jitter_s` at random; `loss` is the share of UDP
    queries that are never answered; `dead` hears everything and says nothing. `queries` counts
    what was heard.
    """

    def __init__(self, *, synthesize: bool = False, rng: random.Random | None = None) -> None:
        self.responder = Responder(synthesize=synthesize)
        self.delay_s = 0.0
        self.jitter_s = 0.0
        self.loss = 0.0
        self.dead = False
        self.queries = 0
        self._in_flight = 0
        self._rng = rng or random.Random(SEED)

    async def serve(
        self,
        address: str,
        port: int,
        *,
        task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled; started with the port. BindError if it cannot be had."""
        (pair,) = bind([format_endpoint(address, port)])
        await self.serve_on(pair, task_status=task_status)

    async def serve_on(
        self, pair: Pair, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve on sockets already bound."""
        udp = trio.socket.from_stdlib_socket(pair.udp)
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(pair.tcp))
        with udp:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._serve_udp, udp, nursery)
                nursery.start_soon(trio.serve_listeners, self._serve_tcp, [listener])
                task_status.started(pair.port)

    def _wait_s(self) -> float:
        return self.delay_s + (self._rng.random() * self.jitter_s if self.jitter_s else 0.0)

    async def _serve_udp(self, udp: trio.socket.SocketType, nursery: trio.Nursery) -> None:
        while True:
            try:
                wire, peer = await udp.recvfrom(RECEIVE_SIZE)
            except OSError:  # an ICMP error of an earlier answer
                continue
            self.queries += 1
            if self.dead or (self.loss and self._rng.random() < self.loss):
                continue
            wait_s = self._wait_s()
            if wait_s <= 0:
                await self._answer_udp(udp, wire, peer)
            elif self._in_flight < IN_FLIGHT_MAX:
                self._in_flight += 1
                nursery.start_soon(self._answer_later, udp, wire, peer, wait_s)

    async def _answer_later(
        self, udp: trio.socket.SocketType, wire: bytes, peer: Any, wait_s: float
    ) -> None:
        try:
            await trio.sleep(wait_s)
            await self._answer_udp(udp, wire, peer)
        finally:
            self._in_flight -= 1

    async def _answer_udp(self, udp: trio.socket.SocketType, wire: bytes, peer: Any) -> None:
        response = self.responder.respond(wire)
        if response is not None and not self.dead:
            try:
                await udp.sendto(response, peer)
            except OSError as error:
                if error.errno == errno.EBADF:
                    raise

    async def _serve_tcp(self, stream: trio.SocketStream) -> None:
        framer, lock = Framer(), trio.Lock()
        try:
            async with stream, trio.open_nursery() as nursery:
                while True:
                    with trio.fail_after(TCP_IDLE_S):
                        data = await stream.receive_some()
                    if not data:
                        return  # what is in flight is still answered
                    for wire in framer.feed(data):
                        self.queries += 1
                        if self._in_flight < IN_FLIGHT_MAX and not self.dead:
                            nursery.start_soon(self._answer_tcp, stream, lock, wire)
        except* (trio.BrokenResourceError, trio.TooSlowError, WireError):
            pass  # the client left, or should

    async def _answer_tcp(self, stream: trio.SocketStream, lock: trio.Lock, wire: bytes) -> None:
        self._in_flight += 1
        try:
            await trio.sleep(self._wait_s())
            response = self.responder.respond(wire, tcp=True)
            if response is not None and not self.dead:
                async with lock:
                    await stream.send_all(frame(response))
        finally:
            self._in_flight -= 1


class Companion:
    """An embedded nameserver on a free loopback port, for `codns run --embedded`.

    The port is taken at once, so that `address` can go into a configuration before any loop runs.
    """

    def __init__(self) -> None:
        (self._pair,) = bind(["127.0.0.1:0"])
        self.server = Embedded()

    @property
    def address(self) -> str:
        """Where it will be: "127.0.0.1:5301"."""
        return self._pair.address

    def close(self) -> None:
        """Give the port back, if it was never served."""
        self._pair.close()

    async def run(self) -> None:
        """Serve until cancelled."""
        await self.server.serve_on(self._pair)


def _endpoint(_: click.Context, parameter: click.Parameter, value: str) -> tuple[str, int]:
    try:
        return parse_endpoint(value)
    except ValueError as error:
        raise click.BadParameter(str(error), param=parameter) from None


@click.command()
@click.option("--listen", default="127.0.0.1:5301", callback=_endpoint, metavar="ADDRESS:PORT")
@click.option("--delay", default="0s", callback=duration, metavar="TIME")
@click.option("--jitter", default="0s", callback=duration, metavar="TIME")
@click.option("--loss", default=0.0, type=click.FloatRange(0, 1), metavar="SHARE")
@click.option("--synthesize", is_flag=True, help="Every other name has an A record.")
def main(
    listen: tuple[str, int], delay: float, jitter: float, loss: float, synthesize: bool
) -> None:
    """Run the embedded nameserver alone: zone example. over UDP and TCP."""
    server = Embedded(synthesize=synthesize)
    server.delay_s, server.jitter_s, server.loss = delay, jitter, loss

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            port = await nursery.start(server.serve, *listen)
            click.echo(f"listening on {format_endpoint(listen[0], port)}")
            sys.stdout.flush()

    try:
        trio.run(run)
    except* BindError as group:
        raise click.ClickException(str(group.exceptions[0])) from None
    except* KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
