"""One node: a real `codns run` as systemd would run it from the units in `deploy/`.

The rig holds its sockets and hands them over (LISTEN_FDS), so that queries wait while nobody
reads them, and starts it again 100 ms after it ended. It has a resolv.conf of its own, mounted
over the machine's, and a small file system for its `state_dir`.
"""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final, NamedTuple

import dns.exception
import dns.message
import dns.query

from bench.chaos.net import PEER_PORT, ChaosError, Host, run
from bench.servers import ROOT, process_tree

RESTART_S: Final = 0.1
LOOK_S: Final = 0.05
READY_S_MAX: Final = 20.0  # Python on a busy machine
TOLD_S_MAX: Final = 5.0
STATE_SIZE: Final = "256k"  # the file system of state_dir: quick to fill
FAKETIME: Final = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)

# Mounts its resolv.conf, puts the sockets where the protocol has them, becomes the daemon
_LAUNCH: Final = (
    'mount --bind "$1" /etc/resolv.conf && exec 3<&$2 4<&$3 && shift 3 && '
    'LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=dns:dns exec "$@"'
)


class Resources(NamedTuple):
    """Of a master and its slaves."""

    memory_mib: float  # of the master, resident
    files: int  # descriptors the master has
    files_slaves: int


class Node:
    """Made stopped; `start` it. `fleet` are the addresses of all."""

    def __init__(self, host: Host, folder: Path, fleet: list[str], key: str, clock: bool) -> None:
        self.host = host
        self.folder = folder / host.name
        self.resolv_conf = self.folder / "resolv.conf"
        self.key_file = self.folder / "cluster.key"
        self.state = self.folder / "state"
        self.log = self.folder / "log"
        self.fake_time = self.folder / "time" if clock else None
        self.version = ""  # another one: see `otherversion`
        self.starts = 0
        self.expected = 1  # starts
        self.process: subprocess.Popen[bytes]
        self._control = self.folder / "control.sock"
        self._stopping = False
        self._lay_out(fleet, key)
        self._sockets = host.inside(_listen)
        self._supervisor = threading.Thread(target=self._supervise)

    def _lay_out(self, fleet: list[str], key: str) -> None:
        self.state.mkdir(parents=True)
        run("mount", "-t", "tmpfs", "-o", f"size={STATE_SIZE}", "none", str(self.state))
        self.point_at(self.host.nameserver)
        self.key_file.touch(0o600)
        self.key_file.write_text(key)
        if self.fake_time:
            self.fake_time.write_text("+0")
        peers = {
            "listen": f"0.0.0.0:{PEER_PORT}",
            "nodes": [f"{address}:{PEER_PORT}" for address in fleet],
            "key_file": str(self.key_file),
        }
        document = {
            "listen": ["127.0.0.1:53"],
            "slaves": 2,
            "peers": peers,
            "state_dir": str(self.state),
            "control": str(self._control),
            "http": {"listen": None},
            "log": {"format": "json"},
        }
        (self.folder / "codns.yaml").write_text(json.dumps(document))  # JSON is YAML

    def point_at(self, *nameservers: str) -> None:
        """Write its resolv.conf, in place: it is mounted."""
        self.resolv_conf.write_text("".join(f"nameserver {each}\n" for each in nameservers))

    # -- its process ----------------------------------------------------------------------------

    def start(self) -> None:
        """Start it, and again whenever it ends, until `stop`. Not waited for."""
        self._launch()
        self._supervisor.start()

    def _launch(self) -> None:
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        if self.fake_time:
            env |= {
                "LD_PRELOAD": str(FAKETIME),
                "FAKETIME_TIMESTAMP_FILE": str(self.fake_time),
                "FAKETIME_NO_CACHE": "1",
                # The monotonic clock of a real machine does not jump either
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "DONT_FAKE_MONOTONIC": "1",
            }
        module = ["bench.chaos.otherversion", self.version] if self.version else ["codns"]
        program = [sys.executable, "-m", *module, "run", "-c", str(self.folder / "codns.yaml")]
        files = [sock.fileno() for sock in self._sockets]
        words = ["bash", "-c", _LAUNCH, "bash", str(self.resolv_conf), *map(str, files), *program]
        self.starts += 1
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.host.command(*words), stdout=log, stderr=log, env=env, pass_fds=files
            )

    def _supervise(self) -> None:
        while True:
            self.process.wait()
            time.sleep(RESTART_S)
            if self._stopping:
                return
            self._launch()

    def stop(self) -> None:
        """End it for good."""
        self._stopping = True
        if self._supervisor.ident is not None:
            self.process.kill()
            self._supervisor.join()

    def unmount(self) -> None:
        """Give the folder back."""
        run("umount", str(self.state))

    def again(self, signum: int) -> None:
        """End it by a signal, and wait until the next one answers."""
        process = self.process
        self.expected += 1
        process.send_signal(signum)
        process.wait(READY_S_MAX)
        self.wait_ready(process.pid)

    def wait_ready(self, before: int = 0) -> None:
        """Until it tells of itself, and is not the process `before`."""
        deadline = time.monotonic() + READY_S_MAX
        while self.process.pid == before or not self.told():
            if time.monotonic() > deadline:
                raise ChaosError(f"{self.host.name} does not come up: {self.said()[-2000:]}")
            time.sleep(LOOK_S)

    def slaves(self) -> list[int]:
        """The process ids of its workers."""
        return process_tree(self.process.pid)[1:]

    def limit_files(self, soft: int | None) -> None:
        """Let the processes have so many descriptors; None: as many as before."""
        for pid in (self.process.pid, *self.slaves()):
            with suppress(ProcessLookupError):
                _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
                now = hard if soft is None else soft
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (now, hard))

    # -- what it tells --------------------------------------------------------------------------

    def told(self) -> dict[str, Any]:
        """Its summary by the control socket; empty if it does not answer."""
        with (
            suppress(OSError, ValueError),
            socket.socket(socket.AF_UNIX) as sock,
            closing(HTTPConnection("codns")) as connection,
        ):
            sock.settimeout(TOLD_S_MAX)
            sock.connect(str(self._control))
            connection.sock = sock
            connection.request("GET", "/v1/summary")
            told = json.loads(connection.getresponse().read())
            return told if isinstance(told, dict) else {}
        return {}

    def peers_up(self) -> int:
        """How many others it thinks are there; -1 if it does not tell."""
        cooperation = self.told().get("cooperation")
        return cooperation["peers_up"] if cooperation else -1

    def said(self) -> str:
        """Its log."""
        return self.log.read_text("utf-8", "replace")

    def ask(self, name: str, patience_s: float) -> float:
        """Ask it for an address as a client of its own would; seconds it took. ChaosError."""
        query = dns.message.make_query(name, "A")
        sock = self.host.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        began = time.monotonic()
        with sock:
            sock.setblocking(False)  # dnspython waits by itself
            try:
                response = dns.query.udp(query, "127.0.0.1", patience_s, sock=sock)
            except (OSError, dns.exception.DNSException) as error:
                raise ChaosError(f"{self.host.name} {name}: {error!r}") from error
        if not response.answer:
            raise ChaosError(f"{self.host.name} {name}: {response.rcode().name}")
        return time.monotonic() - began

    def resources(self) -> Resources:
        """What it uses now."""
        master, *slaves = process_tree(self.process.pid)
        pages = int(Path(f"/proc/{master}/statm").read_text().split()[1])
        size = pages * resource.getpagesize() / (1 << 20)
        return Resources(size, _files(master), sum(map(_files, slaves)))

    def fill(self) -> Path:
        """Fill the file system of its state_dir. Returns the file to remove."""
        filler = self.state / "filler"
        with suppress(OSError), filler.open("wb", 0) as file:
            while True:
                file.write(bytes(4096))
        return filler

    def signal(self, signum: int) -> None:
        """To the master."""
        os.kill(self.process.pid, signum)

    def reload(self) -> None:
        """Read the configuration and keys anew."""
        self.signal(signal.SIGHUP)


def _listen() -> list[socket.socket]:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 53))
    udp.setblocking(False)
    tcp = socket.create_server(("127.0.0.1", 53), backlog=128)
    tcp.setblocking(False)
    return [udp, tcp]


def _files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
