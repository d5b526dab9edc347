"""Sockets from systemd: which are taken, how they are paired, what is said of the others."""

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from daemon_rig import ROOT, WAIT_S, FakeNameserver, ask, ask_tcp

from codns.master import activation, sockets
from codns.master.activation import FIRST, SOCKETS_MAX, activate, inherited
from codns.master.sockets import BindError

# Plays systemd for one program: makes the sockets that argv names, puts them at 3, 4 ... with
# LISTEN_FDS and executes the rest of argv
SYSTEMD = """
import os, socket, sys
kinds, command = sys.argv[1].split(","), sys.argv[2:]
fds = []
port = 0
for kind in kinds:
    sock = socket.socket(socket.AF_INET, getattr(socket, kind))
    sock.bind(("127.0.0.1", port))
    port = sock.getsockname()[1]
    if kind == "SOCK_STREAM":
        sock.listen()
    fds.append(os.dup2(os.dup(sock.fileno()), 50 + len(fds)))
for i, fd in enumerate(fds):
    os.dup2(fd, 3 + i)
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES="dns:dns")
print(port, flush=True)
os.execv(command[0], command)
"""


@pytest.fixture
def given(monkeypatch):
    """Sockets as if they had been passed: given(sock, ...) -> environment."""
    passed = []

    def take(number):
        return passed[number - FIRST]

    def pass_on(*socks, names=None):
        passed.extend(socks)
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(socks)), "HOME": "/"}
        if names is not None:
            environ["LISTEN_FDNAMES"] = names
        return environ

    monkeypatch.setattr(activation, "_take", take)
    yield pass_on
    for sock in passed:
        sock.close()


def opened(kind, host="127.0.0.1", port=0, *, listen=True, only=True):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, kind)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(only))
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    if kind == socket.SOCK_STREAM and listen:
        sock.listen()
    return sock


def pair(host="127.0.0.1"):
    while True:
        udp = opened(socket.SOCK_DGRAM, host)
        try:
            return udp, opened(socket.SOCK_STREAM, host, udp.getsockname()[1])
        except OSError:  # somebody has the same port for TCP
            udp.close()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LISTEN_FDS": "2"},
        {"LISTEN_PID": "1", "LISTEN_FDS": "2"},  # meant for another process
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "-1"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "two"},
    ],
)
def test_nothing_was_passed(environ):
    assert inherited(environ, os.getpid()) == ([], [])
    assert environ == {}  # no child takes it for its own


@pytest.mark.parametrize("count", [0, SOCKETS_MAX + 1, 10**9])
def test_as_many_as_no_unit_has(count):
    environ = {"LISTEN_PID": "7", "LISTEN_FDS": str(count)}
    with pytest.raises(BindError, match=f"LISTEN_FDS={count}: from 1 to {SOCKETS_MAX}"):
        inherited(environ, 7)


def test_a_descriptor_that_is_no_socket():
    environ = {"LISTEN_PID": "7", "LISTEN_FDS": str(SOCKETS_MAX)}
    with pytest.raises(BindError, match=r"descriptor \d+ from systemd: "):
        inherited(environ, 7)


def test_pairs_by_address_in_any_order(given):
    one, two = pair(), pair("::1")
    environ = given(two[1], one[1], one[0], two[0], names="dns:dns:dns:dns")
    found = activate(["127.0.0.1:53", "[::1]:53"], automatic=True, environ=environ)
    assert [(p.udp, p.tcp) for p in found.pairs] == [one, two]
    assert all(not sock.getblocking() for p in found.pairs for sock in (p.udp, p.tcp))
    assert found.warnings == []
    assert environ == {"HOME": "/"}


@pytest.mark.parametrize("names", [None, "", "dns:dns", "unknown:codns.socket", "dns"])
def test_names_that_are_ours(given, names):
    found = activate([], automatic=True, environ=given(*pair(), names=names))
    assert len(found.pairs) == 1


def test_another_name_is_not_used(given):
    other = opened(socket.SOCK_DGRAM)
    found = activate([], automatic=True, environ=given(*pair(), other, names="dns:dns:peer"))
    assert len(found.pairs) == 1
    assert found.warnings == ["a socket that systemd calls 'peer' is not used"]
    assert other.fileno() == -1


def test_addresses_are_matched_to_listen(given):
    udp, tcp = pair()
    host, port = udp.getsockname()
    environ = given(udp, tcp)
    found = activate([f"{host}:{port}", "127.0.0.2:0"], automatic=False, environ=environ)
    try:
        assert [p.host for p in found.pairs] == ["127.0.0.1", "127.0.0.2"]
        assert found.pairs[0].udp is udp
        assert found.warnings == []
    finally:
        found.pairs[1].close()


def test_what_listen_does_not_name_is_served_and_told(given):
    udp, tcp = pair()
    found = activate(["127.0.0.2:0"], automatic=False, environ=given(udp, tcp))
    try:
        assert [p.host for p in found.pairs] == ["127.0.0.1", "127.0.0.2"]
        assert found.warnings[0].startswith(f"127.0.0.1:{udp.getsockname()[1]} is not in `listen`")
    finally:
        found.pairs[1].close()


def test_what_cannot_be_bound_beside_them_names_the_unit(given):
    udp, tcp = pair()
    with pytest.raises(BindError, match=r"or add it to the unit .* `systemctl edit codns.socket`"):
        activate(["192.0.2.1:53"], automatic=False, environ=given(udp, tcp))
    assert udp.fileno() == -1  # none stays open


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: [opened(socket.SOCK_DGRAM)], "add ListenStream=127.0.0.1:"),
        (lambda: [opened(socket.SOCK_STREAM)], "add ListenDatagram=127.0.0.1:"),
        (lambda: [opened(socket.SOCK_STREAM, listen=False)], "needs Accept=no"),
        (lambda: [opened(socket.SOCK_DGRAM, "::", only=False)], "needs BindIPv6Only=ipv6-only"),
        (lambda: [socket.socket(socket.AF_UNIX)], "AF_UNIX: codns.socket may name IP addresses"),
    ],
)
def test_what_the_unit_has_wrong(given, make, text):
    with pytest.raises(BindError, match=text):
        activate([], automatic=True, environ=given(*make()))


def test_the_same_socket_twice(given):
    udp, tcp = pair()
    two = pytest.raises(BindError, match=r"passed two sockets for 127\.0\.0\.1:")
    with contextlib.closing(udp.dup()) as again, two:
        activate([], automatic=True, environ=given(udp, tcp, again))


def test_a_buffer_that_systemd_made_larger_stays(given, monkeypatch):
    monkeypatch.setattr(sockets, "UDP_BUFFER_SIZE", 4096)
    udp, tcp = pair()
    before = udp.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    found = activate([], automatic=True, environ=given(udp, tcp))
    assert before > 4096
    assert found.pairs[0].receive_size == before


def test_without_systemd_it_binds():
    found = activate(["127.0.0.1:0"], automatic=False, environ={})
    try:
        assert found.pairs[0].host == "127.0.0.1"
    finally:
        found.pairs[0].close()


def test_the_daemon_serves_what_it_was_given_and_its_children_get_none(tmp_path):
    """As a process: they survive exec, the port is not that of `listen`, UDP and TCP answer."""
    nameserver = FakeNameserver()
    config = tmp_path / "codns.yaml"
    config.write_text(f"log: {{format: json}}\nnameservers: ['{nameserver.text}']\n")
    words = ["SOCK_DGRAM,SOCK_STREAM", sys.executable, "-m", "codns", "run", "-c", str(config)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", SYSTEMD, *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True,
    ) as process:  # fmt: skip
        try:
            port = int(process.stdout.readline())
            lines = iter(process.stderr.readline, "")
            ready = next(line for line in lines if '"ready"' in line)
            assert f'"127.0.0.1:{port}"' in ready
            for asked in (ask, ask_tcp):
                response = asked(("127.0.0.1", port), "a.example")
                assert response.answer[0][0].to_text() == "192.0.2.1"
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
            assert children
            for child in children.split():
                assert b"LISTEN_" not in Path(f"/proc/{child}/environ").read_bytes()
        finally:
            process.terminate()
            process.stderr.read()
            assert process.wait(WAIT_S) == 0
            nameserver.close()
