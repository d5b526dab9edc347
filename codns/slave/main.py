"""The loop of a slave: jobs in, datagrams out, datagrams in, results out, until the master is
gone.

Single-threaded, on epoll, importing little: it starts in a few dozen milliseconds, so that one
that died is missed for a moment only. Jobs and results cross the channel in batches: one read and
one write per turn of the loop, however much there is.
"""

import gc
import os
import resource
import select
import signal
import socket
from math import inf
from time import monotonic
from typing import Final

from codns.slave.exchange import Exchanges
from codns.wire.batch import (
    PING,
    PONG,
    SERVER,
    frames,
    pack_token,
    unpack_server,
    unpack_token,
)

READ_SIZE: Final = 16384  # some 150 jobs, a millisecond: they all begin at the time of the first
EVENTS_MAX: Final = 256  # per turn, so that jobs wait no longer than that for answers
BACKLOG_MAX: Final = 16 << 20  # results the master did not read yet: then no more jobs are taken
SWEEP_S: Final = 1.0
# Objects made per collection: exchanges come and go without cycles, collecting them is waste
GC_THRESHOLD: Final = 100_000


class Slave:
    """The channel to the master, and the loop."""

    def __init__(self, channel: socket.socket, nofile: int) -> None:
        self._channel = channel
        self._epoll = select.epoll()
        self._exchanges = Exchanges(self._epoll, nofile)
        self._tail = b""
        self._backlog = bytearray()
        self._alive = True
        channel.setblocking(False)
        self._mask = select.EPOLLIN
        self._epoll.register(channel, self._mask)
        self._exchanges.handlers[channel.fileno()] = self._on_channel

    def run(self) -> None:
        """Serve until the master closes its end."""
        exchanges = self._exchanges
        ports, tcp, poll = exchanges.ports, exchanges.tcp, self._epoll.poll
        sweep_at = monotonic() + SWEEP_S
        while self._alive:
            exchanges.ready(poll(self._patience(sweep_at), EVENTS_MAX))
            now = monotonic()
            if now >= exchanges.next_timeout():
                exchanges.expire(now)
            if tcp.waiting:
                tcp.turn()
            if ports.growing:
                ports.grow(now)
            if now >= sweep_at:
                ports.sweep(now)
                exchanges.guard.tell(exchanges.out)
                sweep_at = now + SWEEP_S
            if exchanges.out or self._backlog:
                self._flush()

    def _patience(self, sweep_at: float) -> float | None:
        """How long epoll may wait."""
        ports = self._exchanges.ports
        if ports.growing:
            return 0
        until = self._exchanges.next_timeout()
        if ports.by_fd:
            until = min(until, sweep_at)
        return None if until == inf else max(0.0, until - monotonic())

    def _on_channel(self, mask: int) -> None:
        if mask & ~select.EPOLLOUT == 0:
            return  # the turn's flush is coming
        try:
            data = self._channel.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._alive = False
            return
        buffer = self._tail + data if self._tail else data
        take = self._exchanges.take
        end = take(buffer, 0)
        while other := next(frames(buffer, end), None):
            self._told(buffer, *other)
            end = take(buffer, other[2])
        self._tail = buffer[end:]

    def _told(self, buffer: bytes, kind: int, start: int, end: int) -> None:
        """Take what the master says besides jobs."""
        exchanges = self._exchanges
        if kind == SERVER:
            exchanges.ports.add_server(*unpack_server(buffer, start, end))
        elif kind == PING:
            exchanges.out.append(pack_token(PONG, unpack_token(buffer, start)))

    def _flush(self) -> None:
        """Write the results of this turn, and what is left of earlier ones."""
        out, backlog = self._exchanges.out, self._backlog
        data: bytes | bytearray = b"".join(out)
        out.clear()
        behind = bool(backlog)
        if behind:
            backlog += data
            data = backlog
        try:
            sent = self._channel.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._alive = False
            return
        if behind:
            del backlog[:sent]
        elif sent == len(data):
            return  # as nearly always
        else:
            backlog += data[sent:]
        mask = select.EPOLLIN if len(backlog) < BACKLOG_MAX else 0
        if backlog:
            mask |= select.EPOLLOUT
        if mask != self._mask:
            self._mask = mask
            self._epoll.modify(self._channel, mask)


def raise_nofile(wanted: int | None) -> int:
    """Raise the limit of descriptors as far as it goes, or to `wanted`; return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = 1 << 20
    if wanted is not None:
        hard = min(hard, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def main(arguments: list[str]) -> int:
    """Run as `FD [--nofile N]`, where FD is this process's end of the master's socketpair."""
    # The master ends its slaves by closing the channel. A Ctrl-C in a terminal goes to all of
    # them at once, and the master still needs them to finish what is in flight.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    wanted = int(arguments[2]) if arguments[1:2] == ["--nofile"] else None
    nofile = raise_nofile(wanted)
    channel = socket.socket(fileno=int(arguments[0]))
    os.set_inheritable(channel.fileno(), False)
    slave = Slave(channel, nofile)
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 10, 10)
    slave.run()
    return 0
