"""A slave process and the nameservers it talks to, both in the hands of the test.

Nothing runs by itself: the test sends a job, takes the query from the nameserver's socket, and
answers it, or does not. Every wait has an end (`WAIT_S`), none is a sleep.
"""

import os
import socket
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path

from codns.wire.batch import (
    EVENT,
    PING,
    PONG,
    RESULT,
    Result,
    frames,
    pack_job,
    pack_server,
    pack_token,
    unpack_event,
    unpack_result,
)
from codns.wire.build import upstream_query
from codns.wire.name import from_text, skip_name

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 10.0
ADDRESS_A = bytes((192, 0, 2, 1))


def query(name="www.example.org.", qtype=1):
    return upstream_query(from_text(name), qtype, 1, do=False, cd=False)


def record(rdata=ADDRESS_A, ttl=300, rtype=1):
    return b"\xc0\x0c" + struct.pack(">HHIH", rtype, 1, ttl, len(rdata)) + rdata


def reply(asked, *records, flags=0x8180, rcode=0, opt=True):
    """A response to `asked`, with OPT if `opt` and the query had one."""
    question = asked[12 : skip_name(asked, 12) + 4]
    with_opt = opt and asked[10:12] != b"\0\0"
    counts = struct.pack(">HHHHH", flags | rcode, 1, len(records), 0, int(with_opt))
    tail = b"\0" + struct.pack(">HHIH", 41, 1232, 0, 0) if with_opt else b""
    return asked[:2] + counts + question + b"".join(records) + tail


class Nameserver:
    """A UDP socket, and a TCP one on the same port if asked for."""

    def __init__(self, host="127.0.0.1", *, tcp=False, port=0):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = None
        while True:
            self.udp = socket.socket(family, socket.SOCK_DGRAM)
            self.udp.settimeout(WAIT_S)
            self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            self.udp.bind((host, port))
            self.port = self.udp.getsockname()[1]
            if not tcp:
                break
            try:
                self.listener = socket.create_server((host, self.port), family=family)
                self.listener.settimeout(WAIT_S)
                break
            except OSError:  # somebody has the same port for TCP
                self.udp.close()
        self.address = f"{host}#{self.port}"

    def receive(self):
        """The next query over UDP, and whom to answer."""
        return self.udp.recvfrom(4096)

    def send(self, message, client):
        self.udp.sendto(message, client)

    def accept(self):
        connection, _ = self.listener.accept()
        connection.settimeout(WAIT_S)
        return connection

    def close(self):
        self.udp.close()
        if self.listener is not None:
            self.listener.close()


def read_tcp(connection):
    """One message from a TCP connection."""
    data = b""
    while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "big"):
        more = connection.recv(4096)
        assert more, "closed early"
        data += more
    return data[2:]


def write_tcp(connection, message):
    connection.sendall(len(message).to_bytes(2, "big") + message)


class SlaveRig:
    """A slave process, from the master's end of the channel."""

    def __init__(self, *arguments):
        self.channel, theirs = socket.socketpair()
        self.channel.settimeout(WAIT_S)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "codns.slave", str(theirs.fileno()), *arguments],
            pass_fds=(theirs.fileno(),),
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        theirs.close()
        self._tail = b""
        self._results = []
        self.pongs = 0
        self.events = Counter()
        self.ping()

    def ping(self):
        """Come back when everything sent before has been seen by the slave."""
        before = self.pongs
        self.channel.sendall(pack_token(PING, 1))
        while self.pongs == before:
            self._read()

    def server(self, nameserver, number=0):
        address = nameserver if isinstance(nameserver, str) else nameserver.address
        self.channel.sendall(pack_server(number, address))

    def job(self, job, wire=None, *, number=0, flags=0, timeout_s=5.0):
        self.jobs([pack_job(job, number, flags, timeout_s, wire or query())])

    def jobs(self, packed):
        self.channel.sendall(b"".join(packed))

    def result(self) -> Result:
        """The next result."""
        while not self._results:
            self._read()
        return self._results.pop(0)

    def quiet(self):
        """Whether no result has come, now that the slave has turned once more."""
        self.ping()
        return not self._results

    def descriptors(self):
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def wait_for(self, condition):
        """Let the slave turn until `condition` holds."""
        for _ in range(10_000):
            if condition():
                return
            self.ping()
        raise AssertionError("it never came about")

    def wait_event(self, event, count):
        """Read until so many of these were told: what is counted is told once a second."""
        while self.events[event] < count:
            self._read()
        assert self.events[event] == count

    def _read(self):
        data = self.channel.recv(1 << 18)
        assert data, "the slave is gone"
        buffer = self._tail + data
        end = 0
        for kind, start, end in frames(buffer):  # noqa: B007  # used behind the loop
            if kind == RESULT:
                self._results.append(unpack_result(buffer, start))
            elif kind == PONG:
                self.pongs += 1
            elif kind == EVENT:
                event, _, count = unpack_event(buffer, start)
                self.events[event] += count
        self._tail = buffer[end:]

    def close(self):
        self.channel.close()
        try:
            return self.process.wait(WAIT_S)
        finally:
            self.process.kill()
            self.process.wait()
