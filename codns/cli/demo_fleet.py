"""The demo's processes: four nodes that are peers, one without peers, and the world around them.

Each site has a loopback address of its own, 127.0.0.11 to 127.0.0.14, where its node, its
nameserver and its peer port are; the node without peers has 127.0.0.15. The usual ports are taken
if they are free, so that `dig @127.0.0.11 -p 5300` can be typed, and others if they are not.

Nothing is left behind. All files are in one temporary folder. The nodes are in process groups of
their own, so that a Ctrl-C is for the demo alone, which then ends them; is the demo killed, they
end by themselves (`demo_node`), and the world does when its standard input ends.
"""

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Final

import click
import msgspec

from codns.cli import control
from codns.cli.demo_plan import ALONE, MEMBERS, NODES, SICK
from codns.cli.demo_told import Spec
from codns.cli.output import Unreachable
from codns.master.sockets import BindError, Pair, bind
from codns.master.worker import _environment
from codns.peer import keyfile

HOSTS: Final = [f"127.0.0.{11 + member}" for member in range(MEMBERS)]
NAMES: Final = [*(f"node {node + 1}" for node in range(NODES)), "without peers"]
PORT: Final = 5300  # wanted; as in the README
PEER_PORT: Final = 7353  # wanted; the default of peers.listen
NAMESERVER_PORT: Final = 5301  # wanted; as `python -m codns.cli.embedded` has it

ENDS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the demo
PORT_TRIES: Final = 8  # one that is free at the first address may be taken at another
PATIENCE_S: Final = 0.3  # at the end; nobody waits for what is still in flight then
HURRY_S: Final = 3.0
LOG_TAIL: Final = 3  # lines of a node's log that are shown when it does not start

# What a service manager tells its service is not for the demo's nodes
_FOREIGN: Final = ("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC")

Told = dict[str, Any]


class DemoError(click.ClickException):
    """The demo cannot be played: one line, cause and remedy, exit code 2."""

    exit_code = 2


class Fleet:
    """Started by `start`, under load from `begin`, over with `close`."""

    def __init__(self, folder: Path, spec: Spec) -> None:
        self.folder = folder
        self._spec = spec
        self._stack = ExitStack()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._daemons = [control.Daemon([self._control(member)]) for member in range(MEMBERS)]
        self.port = 0

    # -- start and end --------------------------------------------------------------------------

    def start(self) -> None:
        """Start all processes, which takes a moment: see `status`. DemoError."""
        _want_loopback()
        try:
            self.port = _free_port(PORT, HOSTS)
            peer_port = _free_port(PEER_PORT, HOSTS[:NODES])
            nameservers = self._nameservers()
        except BindError as error:
            raise DemoError(f"no port for the demo: {error}") from None
        key = self.folder / "key"
        key.touch(mode=0o600)
        key.write_text(keyfile.generate())
        for member in range(MEMBERS):
            site = SICK if member == ALONE else member
            path = self._write(member, nameservers[site].address, key, peer_port)
            self._start_node(member, path)
        self._start_world(nameservers)

    def begin(self) -> None:
        """Begin the load."""
        stdin = self._world.stdin
        assert stdin is not None
        stdin.write(b"begin\n")
        stdin.flush()

    def close(self) -> None:
        """End everything that still runs, and wait for it."""
        for number, wait_s in (
            (signal.SIGTERM, PATIENCE_S),
            (signal.SIGTERM, HURRY_S),  # the second time: at once
            (signal.SIGKILL, HURRY_S),
        ):
            running = [process for process in self._processes if process.poll() is None]
            for process in running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            for process in running:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(wait_s)
        self._stack.close()

    # -- while it runs --------------------------------------------------------------------------

    def status(self, member: int) -> Told | None:
        """Return what a node tells of itself; None: it does not answer (yet)."""
        try:
            told: Told = self._daemons[member].get("/v1/summary")
        except (Unreachable, ValueError):
            return None
        return told

    def output(self) -> int:
        """Return the descriptor of what the world tells: lines, each a `demo_told.Told`."""
        stdout = self._world.stdout
        assert stdout is not None
        return stdout.fileno()

    def check(self, *, world: bool = True) -> None:
        """DemoError if a process has died; the world may when the play is over."""
        for member, process in enumerate(self._processes[: None if world else MEMBERS]):
            code = process.poll()
            if code is not None:
                name = NAMES[member] if member < MEMBERS else "the load"
                raise DemoError(f"{name} ended with {code}: {self.log_of(member)}")

    def log_of(self, member: int) -> str:
        """Return the last words of a process."""
        lines = self._log(member).read_text(errors="replace").split("\n")
        said = [line.strip().removeprefix("codns: ") for line in lines if line.strip()]
        return " / ".join(said[-LOG_TAIL:]) or "it said nothing"

    # -- parts ----------------------------------------------------------------------------------

    def _control(self, member: int) -> Path:
        return self.folder / f"{member + 1}.sock"

    def _log(self, member: int) -> Path:
        return self.folder / f"{member + 1}.log"

    def _open_log(self, member: int) -> IO[bytes]:
        return self._stack.enter_context(self._log(member).open("wb"))

    def _nameservers(self) -> list[Pair]:
        """Open the nameservers' sockets here, so that nodes can be told where before any runs."""
        port = _free_port(NAMESERVER_PORT, HOSTS[:NODES])
        pairs = bind([f"{host}:{port}" for host in HOSTS[:NODES]])
        for pair in pairs:
            self._stack.callback(pair.close)
        return pairs

    def _write(self, member: int, nameserver: str, key: Path, peer_port: int) -> Path:
        """Write a node's configuration, as an operator would but for the ports."""
        config: dict[str, object] = {
            "listen": [f"{HOSTS[member]}:{self.port}"],
            "nameservers": [nameserver],
            "slaves": 1,  # the default is two: more processes than a demo needs
            "state_dir": None,
            "http": {"listen": None},
            "control": str(self._control(member)),
            "race": {"policy": "off" if member == ALONE else "adaptive"},
        }
        if member != ALONE:
            config["peers"] = {
                "listen": f"{HOSTS[member]}:{peer_port}",
                "nodes": [f"{host}:{peer_port}" for host in HOSTS[:NODES]],
                "key_file": str(key),
            }
        path = self.folder / f"{member + 1}.yaml"
        path.write_bytes(msgspec.json.format(msgspec.json.encode(config), indent=2))  # is YAML
        return path

    def _start_node(self, member: int, path: Path) -> None:
        module = "codns.cli.demo_node"
        words = [sys.executable, "-P", "-m", module, str(os.getpid()), "-c", str(path), "run"]
        with _undisturbed():
            self._processes.append(
                subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self._open_log(member),
                    env=_own_environment(),
                    process_group=0,
                )
            )

    def _start_world(self, pairs: list[Pair]) -> None:
        fds = [sock.fileno() for pair in pairs for sock in (pair.udp, pair.tcp)]
        with _undisturbed():
            self._world = self._stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-P", "-m", "codns.cli.demo_load", *map(str, fds)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._open_log(MEMBERS),
                    env=_own_environment(),
                    pass_fds=fds,
                    process_group=0,
                )
            )
            self._processes.append(self._world)
        self._spec.nodes = [(host, self.port) for host in HOSTS]
        assert self._world.stdin is not None
        self._world.stdin.write(msgspec.json.encode(self._spec) + b"\n")
        self._world.stdin.flush()


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Let signals wait: in the middle of Popen one would leave a process that nobody knows of."""
    came: list[int] = []
    usual = [signal.signal(number, lambda number, _: came.append(number)) for number in ENDS]
    try:
        yield
    finally:
        for number, handler in zip(ENDS, usual, strict=True):
            signal.signal(number, handler)
        for arrived in came:
            signal.raise_signal(arrived)


def _own_environment() -> dict[str, str]:
    return {name: value for name, value in _environment().items() if name not in _FOREIGN}


def _want_loopback() -> None:
    """DemoError where the loopback interface is down, as in a fresh network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((HOSTS[0], PORT))  # a datagram socket: nothing leaves
        except OSError as error:
            said = f"{HOSTS[0]}: {error.strerror}"
            raise DemoError(f"no loopback network: {said}: `ip link set lo up`") from None


def _free_port(wanted: int, hosts: list[str]) -> int:
    """Return a port that is free at all of these addresses now. BindError."""
    for left in range(PORT_TRIES, -1, -1):
        pairs: list[Pair] = []
        try:
            pairs += bind([f"{hosts[0]}:{wanted if left == PORT_TRIES else 0}"])
            pairs += bind([f"{host}:{pairs[0].port}" for host in hosts[1:]])
            return pairs[0].port
        except BindError as error:
            if error.code != errno.EADDRINUSE or not left:
                raise
        finally:
            for pair in pairs:
                pair.close()
    raise AssertionError  # the last try returns or raises
