"""A fleet's network, with no way out of it: six hosts on a bridge.

    the hub (where this process is: a bridge; the nameservers, one address each)
     |-- veth -- n1: a network namespace, in it one daemon, on 127.0.0.1:53, and its clients
     |-- ...
     '-- veth -- n6

`enter` starts the program anew in network, mount and process namespaces of its own. So nothing
here can touch the machine's network, mounts or resolv.conf, and all of it, processes too, is gone
when the program ends, however it ends.
"""

import ctypes
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Final, TypeVar

from bench.servers import program

NETWORK: Final = "198.18.0"  # for tests of networks (RFC 2544): neither private nor anybody's
NAMESERVERS: Final = 100  # host number of a node's nameserver: so much more than the node's
PEER_PORT: Final = 7353
COMMAND_S_MAX: Final = 20.0  # an `ip` or `nft` on a busy machine takes a tenth of one
INSIDE: Final = "CODNS_CHAOS_INSIDE"
NETNS: Final = Path("/run/netns")
_CLONE_NEWNET: Final = 0x40000000
_LIBC: Final = ctypes.CDLL(None, use_errno=True)

T = TypeVar("T")


class ChaosError(Exception):
    """The bench could not do what it was to do, or something is not well again."""


def enter(module: str, arguments: list[str]) -> int | None:
    """Do it again in namespaces of our own: its exit code, or None: we are there. ChaosError."""
    if os.environ.get(INSIDE) == "1":
        run("mount", "-t", "tmpfs", "none", str(NETNS))
        return None
    if os.geteuid() != 0:
        raise ChaosError("needs root: it makes network namespaces, mounts and packet filters")
    # When we are killed, `setpriv` has unshare killed, and that the first process inside, and
    # with it all of them
    unshare = [program("setpriv"), "--pdeathsig", "KILL", program("unshare")]
    unshare += ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode:
        raise ChaosError("this machine lets even root make no namespaces (a container?)")
    NETNS.mkdir(exist_ok=True)
    command = [*unshare, sys.executable, "-m", module, *arguments]
    return subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False).returncode


def run(*command: str, text: str = "", check: bool = True) -> str:
    """Run a command here; `text` is its standard input. ChaosError if it fails."""
    done = subprocess.run(
        [program(command[0]), *command[1:]],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_S_MAX,
    )
    if check and done.returncode:
        raise ChaosError(f"{shlex.join(command)}: {done.returncode}\n{text}{done.stderr}")
    return done.stdout


def make_hub(nodes: int) -> None:
    """The bridge, with an address for each nameserver."""
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "br0", "type", "bridge")
    run("ip", "link", "set", "br0", "up")
    for number in range(1, nodes + 1):
        run("ip", "address", "add", f"{nameserver(number)}/24", "dev", "br0")


def nameserver(number: int) -> str:
    """The address of a node's nameserver."""
    return f"{NETWORK}.{NAMESERVERS + number}"


class Host:
    """A node's network namespace."""

    def __init__(self, number: int) -> None:
        self.name = f"n{number}"
        self.address = f"{NETWORK}.{number}"
        self.nameserver = nameserver(number)
        run("ip", "netns", "add", self.name)
        veth = f"v{number}"
        run("ip", "link", "add", veth, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        run("ip", "link", "set", veth, "master", "br0", "up")
        self.ip("address", "add", f"{self.address}/24", "dev", "eth0")
        self.ip("link", "set", "lo", "up")
        self.ip("link", "set", "eth0", "up")

    def ip(self, *words: str) -> None:
        """`ip` in it."""
        run("ip", "-n", self.name, *words)

    def command(self, *words: str) -> list[str]:
        """The words that run a command in it. The process stays the same one."""
        return [program("ip"), "netns", "exec", self.name, *words]

    def filter(self, *rules: str) -> None:
        """Packets that enter or leave are judged by these rules: nft's, behind the hooks."""
        self._nft(
            f"table inet chaos {{\n"
            f" chain arriving {{ type filter hook input priority 0;\n  {_lines(rules)}}}\n"
            f" chain leaving {{ type filter hook output priority 0;\n  {_lines(rules)}}}\n}}"
        )

    def unfilter(self) -> None:
        """No more."""
        self._nft("delete table inet chaos")

    def _nft(self, text: str) -> None:
        run("ip", "netns", "exec", self.name, program("nft"), "-f", "-", text=text)

    def inside(self, make: Callable[[], T]) -> T:
        """Call `make` in it."""
        return inside(NETNS / self.name, make)


def inside(namespace: Path, make: Callable[[], T]) -> T:
    """Call `make` in a network namespace: sockets it opens belong there for good.

    In a thread of its own, as a thread is what has a network namespace. What `make` raises is
    raised here.
    """
    done: Future[T] = Future()
    thread = threading.Thread(target=lambda: _enter_and_make(namespace, make, done))
    thread.start()
    thread.join()
    return done.result()


def _enter_and_make(namespace: Path, make: Callable[[], T], done: "Future[T]") -> None:
    try:
        with namespace.open("rb") as file:
            if _LIBC.setns(file.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"setns to {namespace}")  # noqa: TRY301
        done.set_result(make())
    except BaseException as error:  # noqa: BLE001 - raised by who waits
        done.set_exception(error)


def _lines(rules: tuple[str, ...]) -> str:
    return "".join(f"{rule}; " for rule in rules)


def reject(host: Host) -> None:
    """A firewall before a node's nameserver, that tells who asks: prohibited."""
    table = f"chaos_{host.name}"
    rule = f"ip daddr {host.nameserver} reject with icmp type admin-prohibited"
    chain = f"chain arriving {{ type filter hook input priority 0; {rule}; }}"
    run("nft", "-f", "-", text=f"table inet {table} {{\n{chain}\n}}\n")


def accept(host: Host) -> None:
    """The end of it."""
    run("nft", "-f", "-", text=f"delete table inet chaos_{host.name}")
