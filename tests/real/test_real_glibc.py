"""glibc asks through /etc/resolv.conf, in a network and mount namespace of its own."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_zone import PLAIN, REVERSE

from bench import servers
from bench.servers import program

pytestmark = [
    pytest.mark.real("nsd", "getent", "unshare", "nsenter", "ip", "setpriv"),
    pytest.mark.root,
]

# getent asks with AI_ADDRCONFIG, which wants an address that is not a loopback one
SETUP = """
ip link set lo up
ip address add 198.18.0.1/32 dev lo
ip address add 2001:db8:ffff::1/128 dev lo nodad
mount --bind resolv.conf /etc/resolv.conf
mount --bind nsswitch.conf /etc/nsswitch.conf
echo up
exec cat
"""
NAMESERVER = ("127.0.0.2", 53)
OPTIONS = ["", "edns0", "use-vc", "edns0 use-vc", "single-request", "edns0 trust-ad", "no-aaaa"]


@pytest.fixture(scope="module")
def inside(
    plain: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, ...]]:
    """The command that enters a namespace where codns serves 127.0.0.1:53.

    It finds its nameserver in resolv.conf, beside itself: what an administrator gets who only
    puts 127.0.0.1 in front.
    """
    folder = tmp_path_factory.mktemp("glibc")
    (folder / "resolv.conf").write_text(
        f"search {PLAIN}\nnameserver 127.0.0.1\nnameserver {NAMESERVER[0]}\n"
    )
    (folder / "nsswitch.conf").write_text("hosts: dns\n")
    command = [program("setpriv"), "--pdeathsig", "KILL", program("unshare"), "--mount", "--net"]
    with subprocess.Popen(
        [*command, "sh", "-ec", SETUP],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=folder,
        text=True,
    ) as holder:  # lives until its input is closed
        assert holder.stdout is not None
        assert holder.stdout.readline() == "up\n"
        enter = (program("nsenter"), "--mount", "--net", "--target", str(holder.pid))
        with (
            servers.nsd(folder, plain, address=NAMESERVER, prefix=enter) as nsd,
            servers.codns(folder, [], address=("127.0.0.1", 53), prefix=enter) as codns,
        ):
            nsd.wait_said("nsd started")
            codns.wait_said("ready")
            yield enter
        assert holder.stdin is not None
        holder.stdin.close()


def getent(inside: tuple[str, ...], options: str, *args: str) -> tuple[int, list[str]]:
    """Its exit code (2: not found) and lines."""
    env = {"RES_OPTIONS": f"timeout:5 attempts:1 {options}", "PATH": "/usr/sbin:/usr/bin:/bin"}
    done = subprocess.run(
        [*inside, program("getent"), *args],
        env=env, capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize("options", OPTIONS)
def test_addresses(inside: tuple[str, ...], options: str) -> None:
    code, lines = getent(inside, options, "ahostsv4", f"t-a.{PLAIN}")
    assert code == 0
    assert {line.split()[0] for line in lines} == {"192.0.2.1", "192.0.2.2"}


def test_both_families(inside: tuple[str, ...]) -> None:
    """A and AAAA leave together on one socket: two answers that must not wait for each other."""
    code, lines = getent(inside, "", "ahosts", f"h3.{PLAIN}")
    assert code == 0
    families = {":" in line.split()[0] for line in lines}
    assert families == {True, False}


@pytest.mark.parametrize("count", [60, 500, 1025])
def test_more_than_udp_holds(inside: tuple[str, ...], count: int) -> None:
    code, lines = getent(inside, "", "ahostsv4", f"count-{count}.{PLAIN}")
    assert code == 0
    assert len({line.split()[0] for line in lines}) == count


def test_reverse(inside: tuple[str, ...]) -> None:
    assert REVERSE == "78.56.in-addr.arpa."
    code, lines = getent(inside, "", "hosts", "56.78.1.9")
    assert (code, lines[0].split()) == (0, ["56.78.1.9", "h9.plain.example"])


def test_search_list(inside: tuple[str, ...]) -> None:
    code, lines = getent(inside, "", "ahostsv4", "chain-a-2")
    assert code == 0
    assert lines[0].split()[2] == "h1.plain.example"


@pytest.mark.parametrize("options", OPTIONS)
def test_not_found(inside: tuple[str, ...], options: str) -> None:
    assert getent(inside, options, "ahosts", f"nothing-there.{PLAIN}") == (2, [])


def test_localhost(inside: tuple[str, ...]) -> None:
    code, lines = getent(inside, "", "ahostsv4", "www.localhost.")
    assert code == 0
    assert {line.split()[0] for line in lines} == {"127.0.0.1"}
