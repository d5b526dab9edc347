"""Hosts that boot a real systemd: systemd-nspawn on a debootstrapped tree, in networks of our own.

    hub (a network namespace: a bridge, the nameservers)
     |-- veth -- n1 (a network namespace, in it a container with systemd as process 1)
     |-- veth -- n2
     '-- veth -- n3

Nothing of it touches the network of this machine: the namespaces have no way out. Each node has
the tree as the lower half of an overlay, so it boots in a second and is thrown away in the end.
"""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Self

PACKAGES: Final = ("systemd", "systemd-sysv", "dbus", "python3", "iproute2", "procps", "curl")
SUITE: Final = "bookworm"
HUB: Final = "codns-hub"
NETWORK: Final = "198.18.0"  # for tests of networks (RFC 2544): neither private nor anybody's
BOOT_S_MAX: Final = 60.0
COMMAND_S_MAX: Final = 600.0  # debootstrap, or building the package, on a slow machine
LOOK_S: Final = 0.05


class E2EError(Exception):
    """Something did not happen."""


def run(*command: str, check: bool = True, quiet: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command of the machine."""
    done = subprocess.run(
        command, capture_output=quiet, text=True, check=False, timeout=COMMAND_S_MAX
    )
    if check and done.returncode:
        raise E2EError(f"{shlex.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def wait_for(what: str, true: Callable[[], object], within_s: float) -> float:
    """Look until it is true; returns the seconds it took."""
    start = time.monotonic()
    while not true():
        if time.monotonic() - start > within_s:
            raise E2EError(f"not within {within_s:.0f} s: {what}")
        time.sleep(LOOK_S)
    return time.monotonic() - start


def mirror() -> str:
    """Where this machine gets its Debian packages from."""
    listed = run("apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)").stdout
    for line in listed.splitlines():
        site, _, release = line.partition(" ")
        if release == SUITE:
            return site
    raise E2EError(f"apt knows no source of {SUITE}: run this on Debian 12, after apt-get update")


def make_tree(tree: Path) -> None:
    """Make the tree that the nodes boot from, unless it is there."""
    if (tree / "usr/lib/systemd/systemd").exists() or (tree / "lib/systemd/systemd").exists():
        return
    shutil.rmtree(tree, ignore_errors=True)
    included = ",".join(PACKAGES)
    run("debootstrap", "--variant=minbase", f"--include={included}", SUITE, str(tree), mirror())


class Hub:
    """The network between the nodes."""

    def __enter__(self) -> Self:
        run("ip", "netns", "delete", HUB, check=False)
        run("ip", "netns", "add", HUB)
        inside = ("ip", "-n", HUB)
        run(*inside, "link", "set", "lo", "up")
        run(*inside, "link", "add", "br0", "type", "bridge")
        run(*inside, "link", "set", "br0", "up")
        return self

    def __exit__(self, *_: object) -> None:
        run("ip", "netns", "delete", HUB, check=False)

    def add_address(self, number: int) -> str:
        """Give the hub another address: a nameserver's."""
        address = f"{NETWORK}.{number}"
        run("ip", "-n", HUB, "address", "add", f"{address}/24", "dev", "br0")
        return address


class Node:
    """One host. `address` is its own, `resolv_conf` what is in /etc/resolv.conf at first."""

    def __init__(self, number: int, tree: Path, work: Path, resolv_conf: str) -> None:
        self.name = f"codns-n{number}"
        self.address = f"{NETWORK}.{number}"
        self.folder = work / self.name
        self.root = self.folder / "root"
        self._tree = tree
        self._resolv_conf = resolv_conf
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def __enter__(self) -> Self:
        try:
            self._connect()
            self._mount()
            self.boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._leader:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._leader, signal.SIGRTMIN + 4)  # systemd: power off
        if self._nspawn is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._nspawn.wait(20)
            self._nspawn.kill()
            self._nspawn.wait()
            if self._leader:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._leader, signal.SIGKILL)
        run("umount", "--lazy", str(self.root), check=False)
        run("ip", "netns", "delete", self.name, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _connect(self) -> None:
        run("ip", "netns", "delete", self.name, check=False)
        run("ip", "netns", "add", self.name)
        host, inside = f"h-{self.name}", ("ip", "-n", self.name)
        run("ip", "-n", HUB, "link", "add", host, "type", "veth", "peer", "host0", "netns",
            self.name)  # fmt: skip
        run("ip", "-n", HUB, "link", "set", host, "master", "br0", "up")
        run(*inside, "link", "set", "lo", "up")
        run(*inside, "address", "add", f"{self.address}/24", "dev", "host0")
        run(*inside, "link", "set", "host0", "up")

    def _mount(self) -> None:
        upper, inner = self.folder / "upper", self.folder / "inner"
        for folder in (upper, inner, self.root):
            folder.mkdir(parents=True, exist_ok=True)
        layers = f"lowerdir={self._tree},upperdir={upper},workdir={inner}"
        run("mount", "-t", "overlay", "overlay", "-o", layers, str(self.root))
        (self.root / "etc/hostname").write_text(f"{self.name}\n")
        (self.root / "etc/resolv.conf").unlink(missing_ok=True)
        (self.root / "etc/resolv.conf").write_text(self._resolv_conf)
        (self.root / "etc/machine-id").write_text("")

    def crash(self) -> None:
        """The power fails: nobody gets to do anything."""
        assert self._nspawn is not None
        os.kill(self._leader, signal.SIGKILL)
        self._leader = 0
        self._nspawn.wait(20)

    def on_disk(self, place: str) -> str:
        """Return a file's text while the node is off."""
        return (self.root / place.lstrip("/")).read_text()

    def boot(self) -> None:
        """Switch it on; returns when systemd has started everything."""
        log = (self.folder / "console.log").open("wb")
        self._nspawn = subprocess.Popen(
            ["systemd-nspawn", "--quiet", "--keep-unit", "--register=no", "--boot",
             f"--machine={self.name}", "--directory", str(self.root), "--resolv-conf=off",
             f"--network-namespace-path=/run/netns/{self.name}", "--link-journal=no",
             "--capability=CAP_NET_ADMIN"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        log.close()
        wait_for("process 1 of the container", self._find_leader, BOOT_S_MAX)
        wait_for(f"{self.name} has booted", self._booted, BOOT_S_MAX)

    def _find_leader(self) -> bool:
        assert self._nspawn is not None
        if self._nspawn.poll() is not None:
            raise E2EError((self.folder / "console.log").read_text(errors="replace"))
        path = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        for child in path.read_text().split():
            with contextlib.suppress(OSError):  # nspawn's helpers come and go
                status = Path(f"/proc/{child}/status").read_text()
                if status.partition("NSpid:")[2].partition("\n")[0].split()[1:] == ["1"]:
                    self._leader = int(child)
                    return True
        return False

    def _booted(self) -> bool:
        state = self("systemctl is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")

    def enter(self, command: str) -> list[str]:
        """The words that run a shell command inside."""
        return ["nsenter", "--target", str(self._leader), "--all", "--wdns=/", "env", "-i",
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8",
                "DEBIAN_FRONTEND=noninteractive", "sh", "-c", command]  # fmt: skip

    def __call__(self, command: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a shell command inside."""
        return run(*self.enter(command), check=check)

    def start(self, command: str) -> subprocess.Popen[str]:
        """Start one inside; what it prints can be read."""
        return subprocess.Popen(self.enter(command), stdout=subprocess.PIPE, text=True)

    def put(self, source: Path, place: str) -> None:
        """Copy a file in, by way of the node: the overlay's upper half is in use."""
        with source.open("rb") as file:
            subprocess.run(self.enter(f"cat > {shlex.quote(place)}"), stdin=file, check=True)

    def read(self, place: str) -> str:
        """Return a file's text."""
        return self(f"cat {shlex.quote(place)}").stdout

    def property(self, unit: str, name: str) -> str:
        """Return what systemctl show says."""
        return self(f"systemctl show -P {name} {unit}").stdout.strip()

    def state(self, unit: str) -> str:
        """Return active, failed, inactive ..."""
        return self(f"systemctl is-active {unit}", check=False).stdout.strip()


@contextlib.contextmanager
def inside_hub(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program of this machine in the hub's network while the block lasts.

    It leads a process group of its own: os.killpg reaches it with its children.
    """
    with log.open("wb") as file:
        process = subprocess.Popen(
            ["ip", "netns", "exec", HUB, *command],
            start_new_session=True, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
        )  # fmt: skip
    try:
        yield process
    finally:
        for number in (signal.SIGCONT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        process.wait()
