"""One slave as the master sees it: its process, its end of the channel, the jobs it has.

No policy and nothing that waits: `pool.py` decides when to start, feed, read and end it.
"""

import os
import site
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Final

import trio

import codns
from codns.core.model import SendJob
from codns.master.forgery import Forgery
from codns.wire.batch import (
    EVENT,
    FOLDED,
    JOB,
    JOB_SIZE,
    PACK_JOB,
    PING,
    Result,
    frames,
    pack_server,
    pack_token,
    unpack_event,
    unpack_results,
)

READ_SIZE: Final = 65_536  # some 700 results; more is there at the next look
SEND_BUFFER: Final = 1 << 20  # bytes the kernel should keep for us; it grants what it allows


class Worker:
    """A running slave."""

    def __init__(self, now: float, nofile: int | None, forgery: Forgery) -> None:
        """Start it; it tells `forgery`. OSError if the system has no room for another process."""
        self.sock, self.process = _start(nofile)
        self.fd = self.sock.fileno()
        self.started_at = now
        self.up = False  # it has said something
        self.asked_at: float | None = None  # the first ping since it last said anything
        self.jobs: dict[int, tuple[SendJob, float]] = {}  # -> when it was sent
        self.reason = ""  # of its death
        self.dead = trio.Event()
        self.stuck = trio.Event()  # there is a backlog
        self._backlog = bytearray()  # what the socket did not take yet
        self._tail = b""
        self._numbers: dict[str, int] = {}  # addresses it was told the number of
        self._forgery = forgery

    @property
    def servers(self) -> int:
        """Nameservers it knows."""
        return len(self._numbers)

    def silence(self, now: float) -> float:
        """Seconds for which it owes us a word."""
        return 0.0 if self.asked_at is None else now - self.asked_at

    def ask(self, now: float) -> None:
        """Ping it. OSError if it is gone."""
        if self.asked_at is None:
            self.asked_at = now
        self.write(pack_token(PING, 0))

    def give(self, jobs: list[SendJob], now: float) -> None:
        """Send it jobs. OSError if it is gone; the jobs are in `self.jobs` in any case."""
        out: list[bytes] = []
        append, pack, numbers, mine = out.append, PACK_JOB, self._numbers, self.jobs
        for job in jobs:
            ident, server, flags, timeout_s, wire = job
            number = numbers.get(server)
            if number is None:
                number = numbers[server] = len(numbers)
                append(pack_server(number, server))
            timeout_ms = int(timeout_s * 1000) if timeout_s > 0 else 0
            append(pack(JOB_SIZE - 4 + len(wire), JOB, ident, number, flags, timeout_ms))
            append(wire)
            mine[ident] = (job, now)
        self.write(b"".join(out))

    def write(self, data: bytes) -> None:
        """Send bytes, or keep what the socket does not take. OSError if it is gone."""
        if self._backlog:
            self._backlog += data
            return
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._backlog += data[sent:]
            self.stuck.set()

    def write_backlog(self) -> None:
        """Send what was kept. OSError if it is gone."""
        try:
            sent = self.sock.send(self._backlog)
        except BlockingIOError:
            sent = 0
        del self._backlog[:sent]
        if not self._backlog:
            self.stuck = trio.Event()

    def read(self) -> list[Result]:
        """Return the results that are there. ConnectionError if it is gone, or talks nonsense."""
        try:
            data = self.sock.recv(READ_SIZE)
        except BlockingIOError:
            return []
        if not data:
            raise ConnectionResetError("slave closed its channel")
        self.asked_at = None
        self.up = True
        buffer = self._tail + data if self._tail else data
        results: list[Result] = []
        try:
            end = unpack_results(buffer, 0, results)
            while other := next(frames(buffer, end), None):  # no result: a PONG, an event
                if other[0] == EVENT:
                    self._event(buffer, other[1])
                end = unpack_results(buffer, other[2], results)
        except (ValueError, LookupError, struct.error) as error:
            raise ConnectionAbortedError(f"slave: {error}") from error
        self._tail = buffer[end:]
        take = self.jobs.pop
        return [result for result in results if take(result[0], None)]

    def _event(self, buffer: bytes, start: int) -> None:
        event, number, count = unpack_event(buffer, start)
        self._forgery.told(event, list(self._numbers)[number] if event == FOLDED else "", count)

    def close(self) -> None:
        """Close the channel: the slave sees it and ends."""
        if self.sock.fileno() >= 0:
            trio.lowlevel.notify_closing(self.sock)
            self.sock.close()
        self.dead.set()


def _start(nofile: int | None) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    ours.setblocking(False)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    # -P: what lies in the working directory is not ours to import
    command = [sys.executable, "-P", "-m", "codns.slave", str(theirs.fileno())]
    if nofile is not None:
        command += ["--nofile", str(nofile)]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            env=_environment(),
            process_group=0,  # a Ctrl-C in the terminal is for the master
        )
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    return ours, process


def _environment() -> dict[str, str]:
    """Ours, with the place of this package if a new interpreter would not find it."""
    root = str(Path(codns.__file__).resolve().parent.parent)
    environment = dict(os.environ)
    if root not in [*site.getsitepackages(), site.getusersitepackages()]:
        earlier = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{root}{os.pathsep}{earlier}" if earlier else root
    return environment
