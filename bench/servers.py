"""Real DNS servers on loopback: started, waited for by asking, ended for certain.

Each gets an address of its own in 127.0.0.0/8 and a free port, keeps every file in the folder
it is given, and leads a session of its own, so that one signal ends it with its children. The
kernel ends it too when we die without a chance to clean up (PR_SET_PDEATHSIG, by setpriv).
The configurations are the smallest that make the programs do the same: forward everything,
validate nothing, limit nothing.
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import dns.exception
import dns.message
import dns.query

ROOT: Final = Path(__file__).resolve().parent.parent
START_S_MAX: Final = 15.0  # python on a busy machine; the others take 0.1 s
STOP_S_MAX: Final = 5.0
PACKAGES: Final = {
    "nsd": "nsd",
    "nsd-control": "nsd",
    "unbound": "unbound",
    "dnsmasq": "dnsmasq-base",
    "dnsdist": "dnsdist",
    "smartdns": "smartdns",
    "kresd": "knot-resolver",
    "dnsperf": "dnsperf",
    "dig": "bind9-dnsutils",
    "kdig": "knot-dnsutils",
    "dnssec-keygen": "bind9-utils",
    "dnssec-signzone": "bind9-utils",
    "node": "nodejs",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "ip": "iproute2",
    "nft": "nftables",
    "mount": "mount",
    "umount": "mount",
    "faketime": "faketime",
    "getent": "libc-bin",
    "systemd-analyze": "systemd",
    "chromedriver": "chromium-driver",
    "prometheus": "prometheus",
    "promtool": "prometheus",
}


class StartError(Exception):
    """A server is missing, died at start or never answered."""


def program(name: str) -> str:
    """The path of a program, also of those in sbin that are not on everybody's PATH."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        package = PACKAGES.get(name, name)
        raise StartError(f"{name} not found: install the Debian package {package}")
    return path


def free_address() -> tuple[str, int]:
    """A loopback address and a port that nobody else has, for UDP and TCP.

    Below the kernel's ephemeral range, so that no client's socket takes it meanwhile.
    """
    chance = random.SystemRandom()
    while True:
        host = f"127.{chance.randint(1, 254)}.{chance.randint(0, 255)}.{chance.randint(1, 254)}"
        port = chance.randint(10_000, 30_000)
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
            contextlib.suppress(OSError),
        ):
            udp.bind((host, port))
            tcp.bind((host, port))
            return host, port


class Server:
    """A running program. Use it as a context manager, or call `stop`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        address: tuple[str, int],
        folder: Path,
        *,
        prefix: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start `command`. `prefix` goes in front of all (nsenter); `env` is added to ours."""
        self.name = name
        self.host, self.port = address
        self.log = folder / f"{name}-{self.port}.log"
        self.command = [*prefix, program("setpriv"), "--pdeathsig", "KILL", *command]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, as sockets want it."""
        return self.host, self.port

    def said(self) -> str:
        """All it has written so far."""
        return self.log.read_text("utf-8", "replace")

    def wait_ready(self, qname: str) -> Self:
        """Ask for the SOA of `qname` until it is answered with NOERROR."""
        deadline = time.monotonic() + START_S_MAX
        query = dns.message.make_query(qname, "SOA")
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, dns.exception.DNSException):
                answer = dns.query.udp(query, self.host, 0.5, self.port)
                if answer.rcode() == 0 and answer.answer:
                    return self
            self._pause()
        self.stop()
        raise StartError(f"{self.name} did not answer in {START_S_MAX:.0f} s:\n{self.said()}")

    def wait_said(self, text: str, *, after: int = 0, within_s: float = START_S_MAX) -> Self:
        """Wait until its log, from byte `after` on, holds `text`."""
        deadline = time.monotonic() + within_s
        while text not in self.log.read_bytes()[after:].decode("utf-8", "replace"):
            if time.monotonic() > deadline:
                raise StartError(f"{self.name} never said {text!r}:\n{self.said()}")
            self._pause()
        return self

    def _pause(self) -> None:
        """A moment for it to get on; notices at once if it dies."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self.process.wait(0.02)
            raise StartError(f"{self.name} ended with {code}:\n{self.said()}")

    def pids(self) -> list[int]:
        """Its processes: itself and everything that descends from it."""
        return process_tree(self.process.pid)

    def signal(self, signum: int) -> None:
        """To all its processes at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signum)

    def stop(self) -> int:
        """TERM to its leader, then KILL for the whole session. Gives its exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_S_MAX)
        self.signal(signal.SIGKILL)
        return self.process.wait(STOP_S_MAX)


def process_tree(root: int) -> list[int]:
    """`root` and its descendants, parents first."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError):  # ended meanwhile
            stat = (entry / "stat").read_text()
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    tree = [root]
    for pid in tree:
        tree.extend(sorted(parents.get(pid, ())))
    return tree


def codns(
    folder: Path,
    nameservers: Sequence[tuple[str, int]],
    *,
    address: tuple[str, int] | None = None,
    options: Sequence[str] = (),
    prefix: Sequence[str] = (),
) -> Server:
    """`codns run` in front of `nameservers`; further command-line `options`."""
    host, port = address or free_address()
    other = os.environ.get("CODNS_BENCH_EXECUTABLE")  # `bench.resolver --codns`
    command = [other] if other else [sys.executable, "-m", "codns"]
    command += ["run", "--listen", f"{host}:{port}"]
    for name, number in nameservers:
        command += ["--nameserver", f"{name}:{number}"]
    own = [] if other else [str(ROOT)]
    path = os.pathsep.join(filter(None, [*own, os.environ.get("PYTHONPATH", "")]))
    return Server(
        "codns",
        [*command, *options],
        (host, port),
        folder,
        prefix=prefix,
        env={"PYTHONPATH": path},
    )


def nsd(
    folder: Path,
    zones: Mapping[str, Path],
    *,
    address: tuple[str, int] | None = None,
    prefix: Sequence[str] = (),
    options: Sequence[str] = (),
) -> Server:
    """An authoritative nameserver for `zones`: origin -> file."""
    host, port = address or free_address()
    home = folder / f"nsd-{port}"
    home.mkdir()
    lines = [
        "server:",
        f"  ip-address: {host}@{port}",
        *('  username: ""', '  chroot: ""', '  database: ""', "  zonesdir: /"),
        *(f"  {key}: {home}/{key}" for key in ("pidfile", "xfrdfile", "zonelistfile")),
        f"  xfrdir: {home}",
        "  server-count: 1",
        "  tcp-count: 200",
        "  rrl-ratelimit: 0",  # else 200 answers a second, and every figure measures that
        *(f"  {option}" for option in options),
        "remote-control:",
        "  control-enable: yes",
        f"  control-interface: {home}/control",  # a Unix socket needs no certificates
    ]
    for origin, file in zones.items():
        lines += ["zone:", f"  name: {origin}", f"  zonefile: {file}"]
    config = home / "nsd.conf"
    config.write_text("\n".join([*lines, ""]))
    command = [program("nsd"), "-d", "-c", str(config)]
    return Server("nsd", command, (host, port), folder, prefix=prefix)


def nsd_queries(server: Server) -> int:
    """How many queries this nsd has had."""
    config = server.log.parent / f"nsd-{server.port}" / "nsd.conf"
    output = subprocess.run(
        [program("nsd-control"), "-c", str(config), "stats_noreset"],
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    ).stdout
    return int(output.partition("num.queries=")[2].split()[0])


def unbound(
    folder: Path,
    upstream: tuple[str, int],
    *,
    zones: Sequence[str] = (),
    options: Sequence[str] = (),
) -> Server:
    """Forwards everything to `upstream`, or resolves `zones` there, which then holds them."""
    host, port = free_address()
    kind = "stub" if zones else "forward"
    lines = [
        "server:",
        f"  interface: {host}",
        f"  port: {port}",
        *('  username: ""', '  chroot: ""', '  pidfile: ""', f"  directory: {folder}"),
        *("  use-syslog: no", "  do-daemonize: no", "  do-ip6: no", "  num-threads: 1"),
        "  do-not-query-localhost: no",
        *("  outgoing-range: 8192", "  num-queries-per-thread: 4096"),
        *("  msg-cache-size: 128m", "  rrset-cache-size: 128m", "  key-cache-size: 4m"),
        *(f"  {option}" for option in options or ['module-config: "iterator"']),
        "remote-control:",
        "  control-enable: no",
    ]
    for zone in zones or (".",):
        lines += [f"{kind}-zone:", f"  name: {zone}"]
        lines += [f"  {kind}-addr: {upstream[0]}@{upstream[1]}"]
    config = folder / f"unbound-{port}.conf"
    config.write_text("\n".join([*lines, ""]))
    command = [program("unbound"), "-d", "-c", str(config)]
    return Server("unbound", command, (host, port), folder)


def dnsmasq(folder: Path, upstream: tuple[str, int], *, cache: int = 10_000) -> Server:
    """Forwards everything."""
    host, port = free_address()
    command = [program("dnsmasq"), "-k", "-p", str(port), f"--listen-address={host}"]
    command += ["--bind-interfaces", "-C", "/dev/null", "--no-resolv", "--no-hosts"]
    command += ["-S", f"{upstream[0]}#{upstream[1]}", "-c", str(cache), "--pid-file="]
    command += ["--dns-forward-max=5000"]  # else 150 in flight
    if os.geteuid() == 0:
        command += ["-u", "root"]
    return Server("dnsmasq", command, (host, port), folder)


def dnsdist(
    folder: Path,
    upstream: tuple[str, int],
    check: str,
    *,
    cache: int = 200_000,
    rules: Sequence[str] = (),
) -> Server:
    """Forwards everything; `check` is a name the nameserver answers, `rules` more Lua."""
    host, port = free_address()
    lines = [
        'setSecurityPollSuffix("")',
        f'setLocal("{host}:{port}")',
        f'newServer({{address="{upstream[0]}:{upstream[1]}", checkName="{check}"}})',
        *([f'getPool(""):setCache(newPacketCache({cache}))'] if cache else []),
        *rules,
    ]
    config = folder / f"dnsdist-{port}.lua"
    config.write_text("\n".join([*lines, ""]))
    command = [program("dnsdist"), "-C", str(config), "--supervised", "--disable-syslog"]
    return Server("dnsdist", command, (host, port), folder)
