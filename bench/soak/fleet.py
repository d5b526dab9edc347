"""The daemons of a soak: four `codns run` that are peers, each with its own nameserver.

Node 3 has two slaves, of which one is killed and one stopped now and then; the others have one.
The cache holds 1,500 answers, so that it is full after three minutes and what grows then is not
the cache.
"""

import contextlib
import json
import shutil
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from bench import servers
from bench.masking import systems, told
from bench.masking.fleet import Helper
from bench.masking.load import ZONE
from bench.servers import Server, free_address
from bench.soak import plan
from codns.peer.keyfile import generate

ENTRIES: Final = 1_500
CLIENT_RATE: Final = 50  # a second: nobody here gets there, but all are counted
SLAVES: Final = (1, 1, 2, 1)


class Node:
    """One of them, and its lives."""

    def __init__(
        self, index: int, address: tuple[str, int], config: Path, stack: ExitStack
    ) -> None:
        self.index, self.address, self.config = index, address, config
        self.http = free_address()
        self.stack = stack
        self.server: Server | None = None
        self.document: dict[str, Any] = json.loads(config.read_text())
        self.document |= {
            "slaves": SLAVES[index],
            "cache": {"entries": ENTRIES},
            "rate_limit": {"queries": CLIENT_RATE},
            "http": {"listen": f"{self.http[0]}:{self.http[1]}"},
        }
        self.write(self.document)

    @property
    def control(self) -> Path:
        """Its socket."""
        return Path(str(self.document["control"]))

    @property
    def key_file(self) -> Path:
        """The cluster's."""
        return Path(str(self.document["peers"]["key_file"]))

    def write(self, document: object) -> None:
        """Change its configuration, whole: an empty file read meanwhile would be all defaults."""
        replace(self.config, json.dumps(document))  # JSON is YAML

    def start(self) -> None:
        """A new life."""
        options = ["--config", str(self.config)]
        folder = self.config.parent.parent
        self.server = servers.codns(folder, [], address=self.address, options=options)
        self.stack.callback(self.server.stop)

    def kill(self) -> None:
        """The end of one, all its processes."""
        if self.server is not None:
            self.server.signal(signal.SIGKILL)
            self.server.process.wait()
            self.server = None

    def reload(self) -> None:
        """SIGHUP to the master, if it takes it already: one that is starting would die of it."""
        if self.server is not None and catches(self.server.process.pid, signal.SIGHUP):
            self.server.process.send_signal(signal.SIGHUP)

    def pids(self) -> list[int]:
        """The master's and the slaves'; empty while it is down."""
        if self.server is None or self.server.process.poll() is not None:
            return []
        return self.server.pids()

    def slaves(self) -> list[int]:
        """Process ids."""
        return self.pids()[1:]

    def died(self) -> int | None:
        """Its exit code if it ended by itself: nobody killed it."""
        return None if self.server is None else self.server.process.poll()

    def said(self) -> str:
        """Its log, of all lives."""
        log = self.config.parent.parent / f"codns-{self.address[1]}.log"
        return log.read_text("utf-8", "replace") if log.exists() else ""


def replace(file: Path, text: str) -> None:
    """Whole or not at all, mode 0600."""
    beside = file.with_name(f".{file.name}.new")
    beside.write_text(text)
    beside.chmod(0o600)
    beside.replace(file)


def catches(pid: int, signum: int) -> bool:
    """Whether the process has a handler for it (proc_pid_status(5)); False: it has gone."""
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        mask = int(status.partition("SigCgt:")[2].split(None, 1)[0], 16)
        return bool(mask >> signum - 1 & 1)
    return False


class Fleet:
    """All of them and their nameservers; they end with `stack`."""

    def __init__(self, folder: Path, seconds: float, stack: ExitStack) -> None:
        addresses = [free_address() for _ in range(plan.NODES)]
        self.folder = folder
        self.emulator = self._emulator(addresses, seconds, stack)
        configs = systems.codns_configs(folder, addresses, "adaptive")
        self.nodes = [
            Node(i, address, config, stack) for i, (address, config) in enumerate(configs)
        ]
        self.strange_key = folder / "strange-key"
        self.strange_key.write_text(generate())
        self.strange_key.chmod(0o600)

    def _emulator(
        self, addresses: list[tuple[str, int]], seconds: float, stack: ExitStack
    ) -> Helper:
        rows = [(*address, 0, site, "none") for site, address in enumerate(addresses)]
        spec = self.folder / "nameservers.json"
        spec.write_text(json.dumps({"nameservers": rows, "seconds": seconds}))
        helper = Helper("bench.soak.nameservers", spec)
        stack.callback(helper.stop)
        helper.wait_ready()
        return helper

    def start(self) -> None:
        """All nodes, until each knows the others."""
        for node in self.nodes:
            node.start()
        started = [node.server for node in self.nodes if node.server is not None]
        for server in started:
            server.wait_ready(ZONE)
        told.wait_neighbours(started)

    def keep_logs(self, where: Path) -> None:
        """For whoever looks for a cause."""
        where.mkdir(parents=True, exist_ok=True)
        for log in sorted(self.folder.glob("codns-*.log")):
            shutil.copy(log, where / log.name)
