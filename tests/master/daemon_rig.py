"""A real codns as a process, between a test's own client sockets and its own nameserver."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import dns.message
import dns.rrset

ROOT = Path(__file__).resolve().parent.parent.parent
WAIT_S = 20.0  # for anything that must happen; nothing waits that long when all is well


class FakeNameserver:
    """A UDP nameserver in a thread: one A record for every name; can be held back."""

    def __init__(self, address="127.0.0.1", port=0):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((address, port))
        self.text = "{}:{}".format(*self.sock.getsockname())
        self.asked = []
        self.data = "192.0.2.1"
        self._held = None  # while held back: what waits
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        while True:
            wire, source = self.sock.recvfrom(4096)
            if not wire:
                return  # `close`
            query = dns.message.from_wire(wire)
            with self._changed:
                self.asked.append(query.question[0].name.to_text(omit_final_dot=True))
                self._changed.notify_all()
                if self._held is not None:
                    self._held.append((query, source))
                    continue
            self._answer(query, source)

    def _answer(self, query, source):
        response = dns.message.make_response(query, recursion_available=True)
        question = query.question[0]
        if question.rdtype == 1:
            rrset = dns.rrset.from_text(question.name, 300, "IN", "A", self.data)
            response.answer.append(rrset)
        self.sock.sendto(response.to_wire(), source)

    def hold(self):
        """Answer nothing until `release`."""
        self._held = []

    def release(self):
        with self._changed:
            held, self._held = self._held, None
        for query, source in held:
            self._answer(query, source)

    def wait_for(self, name):
        """Return once a query for `name` has arrived."""
        with self._changed:
            assert self._changed.wait_for(lambda: name in self.asked, WAIT_S), self.asked

    def close(self):
        self.sock.sendto(b"", self.sock.getsockname())
        self._thread.join(WAIT_S)
        self.sock.close()


class Codns:
    """A running daemon. `log` holds its JSON lines so far.

    It has neither HTTP nor a control socket unless the arguments say so: tests share a machine.
    `before`: words before the command (unshare ...); `module` runs it; `pass_fds` are inherited.
    """

    def __init__(self, *arguments, config=None, before=(), module=("codns",), pass_fds=()):
        command = [
            *before,
            sys.executable,
            "-m",
            *module,
            "run",
            "--listen",
            "127.0.0.1:0",
            *(() if "--http" in arguments else ("--http", "off")),
            *(() if "--control" in arguments else ("--control", "off")),
            *arguments,
        ]
        if config is not None:
            command += ["-c", str(config)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, env=environment, pass_fds=pass_fds
        )
        self.log = []
        self._ended = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        try:
            self.ready = self.wait_for("ready")
        except AssertionError:
            self.end()
            raise

    def _read(self):
        for line in self.process.stderr:
            with self._changed:
                try:
                    self.log.append(json.loads(line))
                except ValueError:
                    self.log.append({"event": line.decode().strip()})
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, event, count=1):
        """Return the `count`-th log line of this event, once it is there."""

        def found():
            return [line for line in self.log if line["event"] == event][count - 1 :]

        with self._changed:
            self._changed.wait_for(lambda: found() or self._ended, WAIT_S)
            assert found(), (event, self.log)
            return found()[0]

    @property
    def addresses(self):
        """Where it listens, as (host, port)."""
        pairs = (text.rpartition(":") for text in self.ready["listen"])
        return [(host.strip("[]"), int(port)) for host, _, port in pairs]

    def slaves(self):
        """The process ids of all slaves there ever were, in order."""
        return [line["pid"] for line in list(self.log) if line["event"] == "slave is up"]

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        """End it whatever it is doing."""
        self.process.kill()
        self.process.wait(WAIT_S)
        self._reader.join(WAIT_S)
        self.process.stderr.close()

    def stop(self):
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.process.wait(WAIT_S)


@contextmanager
def running(*arguments, nameserver=None, **options):
    """A daemon that ends with the block; `options` are those of `Codns`."""
    if nameserver is not None:
        arguments += ("--nameserver", nameserver.text)
    codns = Codns(*arguments, **options)
    try:
        yield codns
    finally:
        codns.end()


def udp_client(address, family=socket.AF_INET, source=None):
    """A connected client socket: it hears nobody but `address`."""
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.settimeout(WAIT_S)
    if source:
        sock.bind((source, 0))
    sock.connect(address)
    return sock


def ask(address, name, family=socket.AF_INET, source=None):
    """Ask for an A record over UDP; the answer must come from the address asked."""
    query = dns.message.make_query(name, "A")
    with udp_client(address, family, source) as sock:
        sock.send(query.to_wire())
        response = dns.message.from_wire(sock.recv(4096))
    assert query.is_response(response)
    return response


def ask_tcp(address, name, source="127.0.0.1"):
    query = dns.message.make_query(name, "A")
    wire = query.to_wire()
    with socket.create_connection(address, WAIT_S, (source, 0)) as sock:
        sock.sendall(len(wire).to_bytes(2, "big") + wire)
        file = sock.makefile("rb")
        size = int.from_bytes(file.read(2), "big")
        if not size:
            raise ConnectionResetError
        return dns.message.from_wire(file.read(size))
