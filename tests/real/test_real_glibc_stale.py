"""Why resolv.conf gets `timeout:2`: glibc is still there when the stale answer comes at 1.8 s.

With `timeout:1` it has left for the next nameserver by then (the second test), and every name of a
dead nameserver costs it a turn through the whole list.
"""

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import dns.message
import pytest

from bench import servers
from bench.servers import program
from codns.cli.resolvconf import SCRIPT

pytestmark = [
    pytest.mark.real("nsd", "getent", "unshare", "nsenter", "ip", "setpriv"),
    pytest.mark.root,
]

SETUP = """
ip link set lo up
ip address add 198.18.0.1/32 dev lo
mount --bind etc/resolv.conf /etc/resolv.conf
mount --bind nsswitch.conf /etc/nsswitch.conf
echo up
exec cat
"""
ZONE = """$TTL 1
@ SOA ns admin 1 3600 600 86400 1
@ NS ns
ns A 192.0.2.53
www A 192.0.2.80
"""
SECOND = "127.0.0.9"  # the original nameserver: it hears, counts and is silent
EXPIRE_S_MAX = 10.0


class Host(NamedTuple):
    """A namespace with codns on 127.0.0.1:53 and the resolv.conf that the script made."""

    enter: tuple[str, ...]
    nsd: servers.Server
    folder: Path

    def python(self, code: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*self.enter, "python3", "-c", code],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def getent(self, options: str) -> tuple[str, float]:
        """Ask as programs do: (the address, seconds)."""
        start = time.monotonic()
        done = subprocess.run(
            [*self.enter, program("getent"), "ahostsv4", "www.stale.example"],
            env={"PATH": "/usr/sbin:/usr/bin:/bin", "RES_OPTIONS": options},
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
        return done.stdout.partition(" ")[0], time.monotonic() - start


# Asks codns without RD (from the fresh cache or not at all) until the answer has expired
EXPIRED = """
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(5)
sock.connect(("127.0.0.1", 53))
while True:
    sock.send({query!r})
    if sock.recv(4096)[3] & 15:
        print("expired", flush=True)
        break
"""
# The second nameserver: tells how many queries came, when its input is closed
SILENT = """
import select, socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.9", 53))
print("up", flush=True)
heard = 0
while sys.stdin not in (ready := select.select([sock, sys.stdin], [], [])[0]):
    sock.recv(4096)
    heard += 1
print(heard)
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/resolv.conf").write_text(f"nameserver {SECOND}\noptions rotate\n")
    subprocess.run(["sh", SCRIPT, "install", "--root", tmp_path], check=True, capture_output=True)
    (tmp_path / "nsswitch.conf").write_text("hosts: dns\n")
    (tmp_path / "zone").write_text(ZONE)
    command = [program("setpriv"), "--pdeathsig", "KILL", program("unshare"), "--mount", "--net"]
    with subprocess.Popen(
        [*command, "sh", "-ec", SETUP],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path, text=True,
    ) as holder:  # fmt: skip
        assert holder.stdout is not None
        assert holder.stdout.readline() == "up\n"
        enter = (program("nsenter"), "--mount", "--net", "--target", str(holder.pid))
        at = ("127.0.0.2", 53)
        zones = {"stale.example": tmp_path / "zone"}
        with (
            servers.nsd(tmp_path, zones, address=at, prefix=enter) as nsd,
            servers.codns(tmp_path, [at], address=("127.0.0.1", 53), prefix=enter) as codns,
        ):
            nsd.wait_said("nsd started")
            codns.wait_said("ready")
            yield Host(enter, nsd, tmp_path)
        assert holder.stdin is not None
        holder.stdin.close()


def with_a_dead_nameserver(host: Host, options: str) -> tuple[str, float, int]:
    """Let a cached name expire, stop the nameserver, ask: (address, seconds, heard by SECOND)."""
    silent = host.python(SILENT)
    assert silent.stdout is not None
    assert silent.stdout.readline() == "up\n"
    try:
        assert host.getent("")[0] == "192.0.2.80"
        query = dns.message.make_query("www.stale.example", "A", flags=0).to_wire()
        with host.python(EXPIRED.format(query=query)) as waiting:
            assert waiting.communicate(timeout=EXPIRE_S_MAX)[0] == "expired\n"
        host.nsd.signal(signal.SIGSTOP)
        address, took = host.getent(options)
        heard = int(silent.communicate(timeout=EXPIRE_S_MAX)[0])
    finally:
        host.nsd.signal(signal.SIGCONT)
        silent.kill()
        silent.wait()
    return address, took, heard


def test_glibc_receives_the_stale_answer(host: Host) -> None:
    assert "options timeout:2 attempts:2\n" in (host.folder / "etc/resolv.conf").read_text()
    address, took, heard = with_a_dead_nameserver(host, "")
    assert address == "192.0.2.80"
    assert took > 1.7
    assert heard == 0


def test_with_one_second_it_would_have_left(host: Host) -> None:
    _, took, heard = with_a_dead_nameserver(host, "timeout:1")
    assert took > 1.9
    assert heard > 0
