"""Binding: pairs of sockets, their options, and the one line when it does not work."""

import errno
import os
import socket
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from codns.master import sockets
from codns.master.acl import packed_address
from codns.master.holder import Holder, find_holder
from codns.master.sockets import BindError, Pair, bind, split_address

HOLD = """
import socket, sys
s = socket.socket(type=getattr(socket, sys.argv[1]))
s.bind(("127.0.0.1", 0))
if sys.argv[1] == "SOCK_STREAM":
    s.listen()
print(s.getsockname()[1], flush=True)
sys.stdin.read()
"""


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("127.0.0.1:53", ("127.0.0.1", 53)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("[::1]:5300", ("::1", 5300)),
        ("[fe80::1%eth0]:53", ("fe80::1%eth0", 53)),
    ],
)
def test_split_address(text, parts):
    assert split_address(text) == parts


@pytest.mark.parametrize(
    "text",
    ["", "53", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:5x",
     "::1:53", "[127.0.0.1]:53", "[::1]", "localhost:53", "127.1:53", "127.0.0.1:\u0665"],
)  # fmt: skip
def test_what_is_no_address(text):
    with pytest.raises(BindError) as caught:
        split_address(text)
    assert str(caught.value) == (f"{text}: not an address and port like 127.0.0.1:53 or [::1]:53")


def test_a_pair_has_one_port_and_ready_sockets():
    with ExitStack() as stack:
        pairs = bind(["127.0.0.1:0", "[::1]:0"])
        for pair in pairs:
            stack.callback(pair.close)
        for pair, family in zip(pairs, (socket.AF_INET, socket.AF_INET6), strict=True):
            assert pair.udp.family == pair.tcp.family == family
            assert pair.udp.getsockname()[1] == pair.tcp.getsockname()[1] == pair.port != 0
            assert not pair.wildcard
            for sock in (pair.udp, pair.tcp):
                assert not sock.getblocking()
                assert not sock.get_inheritable()
            assert pair.tcp.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
            assert pair.tcp.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1
            assert pair.udp.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 0
        assert [p.address for p in pairs] == [
            f"127.0.0.1:{pairs[0].port}",
            f"[::1]:{pairs[1].port}",
        ]


def both_wildcards(stack):
    """A pair of each family on one port; others' sockets (512 a slave) have many ports of IPv4."""
    for tries in reversed(range(20)):
        (v6,) = bind(["[::]:0"])
        try:
            (v4,) = bind([f"0.0.0.0:{v6.port}"])
        except BindError as error:
            v6.close()
            if not tries or error.code != errno.EADDRINUSE:
                raise
            continue
        stack.callback(v6.close)
        stack.callback(v4.close)
        return v4, v6
    return None


def test_wildcards_of_both_families_share_a_port_and_tell_the_address_asked():
    with ExitStack() as stack:
        v4, v6 = both_wildcards(stack)
        assert v4.wildcard
        assert v6.wildcard
        for pair, source, target in (
            (v4, "127.0.0.1", "127.0.0.7"),
            (v6, "::1", "::1"),
        ):
            sender = stack.enter_context(socket.socket(pair.udp.family, socket.SOCK_DGRAM))
            sender.bind((source, 0))
            sender.sendto(b"x", (target, pair.port))
            data, ancillary, _, _ = pair.udp.recvmsg(10, 100)
            assert data == b"x"
            ((_, _, info),) = ancillary
            packed = packed_address(target)
            # in_pktinfo is index, local, destination; in6_pktinfo is destination, index
            assert (info[8:12] if len(packed) == 4 else info[:16]) == packed


def test_buffers_are_what_the_kernel_gave():
    (pair,) = bind(["127.0.0.1:0"])
    with closing(pair), socket.socket(type=socket.SOCK_DGRAM) as plain:
        for size, option in (
            (pair.receive_size, socket.SO_RCVBUF),
            (pair.send_size, socket.SO_SNDBUF),
        ):
            assert size == pair.udp.getsockopt(socket.SOL_SOCKET, option)
            assert size >= plain.getsockopt(socket.SOL_SOCKET, option)


def test_sockets_of_somebody_else_make_a_pair():
    with ExitStack() as stack:
        udp = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        udp.bind(("::", 0))
        tcp = stack.enter_context(socket.socket(socket.AF_INET6))
        tcp.bind(udp.getsockname())
        tcp.listen()
        pair = Pair.of(udp, tcp)
        assert (pair.host, pair.port) == ("::", udp.getsockname()[1])
        assert pair.wildcard
        assert not udp.getblocking()
        assert udp.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO) == 1


@pytest.mark.parametrize("kind", ["SOCK_DGRAM", "SOCK_STREAM"])
def test_the_holder_of_a_port_is_named(kind):
    command = [sys.executable, "-c", HOLD, kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        port = int(holder.stdout.readline())
        name = Path(f"/proc/{holder.pid}/comm").read_text().strip()
        before = open_files()
        with pytest.raises(BindError) as caught:
            bind(["127.0.0.1:0", f"127.0.0.1:{port}"])
        assert open_files() == before  # the first pair is closed again
        holder.communicate(b"")
    assert caught.value.code == errno.EADDRINUSE
    assert str(caught.value) == (
        f"127.0.0.1:{port} is in use by {name} (pid {holder.pid}): "
        "stop it or choose another address with --listen"
    )


def test_an_address_listed_twice():
    (pair,) = bind(["127.0.0.1:0"])
    with closing(pair), pytest.raises(BindError) as caught:
        bind([f"0.0.0.0:{pair.port}"])
    assert str(caught.value) == (
        f"0.0.0.0:{pair.port} is in use by codns itself: "
        "is it listed twice, or covered by 0.0.0.0 or [::]?"
    )


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (errno.EACCES, "needs root or CAP_NET_BIND_SERVICE, or use --listen 127.0.0.1:5300"),
        (errno.EADDRNOTAVAIL, ("this machine has no such address (`ip address` shows them): "
                               "choose another address with --listen")),
        (errno.EAFNOSUPPORT, "this machine has no IPv6: choose another address with --listen"),
        (errno.ENOBUFS, "No buffer space available (UDP): choose another address with --listen"),
    ],
)  # fmt: skip
def test_other_causes(code, line):
    error = sockets._explained("[::1]:53", "::1", 53, "udp", OSError(code, os.strerror(code)))
    assert str(error) == f"[::1]:53: {line}"
    assert error.code == code


def test_an_address_this_machine_has_not():
    # 192.0.2.0/24 is for documentation (RFC 5737): nobody has it
    before = open_files()
    with pytest.raises(BindError) as caught:
        bind(["127.0.0.1:0", "192.0.2.1:0"])
    assert caught.value.code == errno.EADDRNOTAVAIL
    assert open_files() == before
    with pytest.raises(BindError):
        bind(["192.0.2.1:0"], skip_absent=True)
    (pair,) = bind(["192.0.2.1:0", "127.0.0.1:0"], skip_absent=True)
    with closing(pair):
        assert pair.host == "127.0.0.1"


HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid ...\n"
LINE = "  1: {}:{:04X} 00000000:0000 {} 00000000:00000000 00:00000000 00000000 0 0 {} 2 0 0\n"


@pytest.mark.parametrize(
    ("kind", "table", "local", "state", "wanted", "found"),
    [
        ("udp", "udp", "3500007F", "07", "127.0.0.53", True),
        ("udp", "udp", "00000000", "07", "127.0.0.53", True),
        ("udp", "udp", "3500007F", "07", "0.0.0.0", True),
        ("udp", "udp", "0100007F", "07", "127.0.0.53", False),
        ("udp", "udp", "00000000", "07", "::1", False),
        ("udp", "udp6", "0" * 32, "07", "127.0.0.53", True),  # [::] may hold IPv4 as well
        ("udp", "udp6", "0" * 24 + "01000000", "07", "::1", True),
        ("udp", "udp6", "0" * 24 + "01000000", "07", "0.0.0.0", False),
        ("udp", "udp6", "0" * 16 + "FFFF0000" + "3500007F", "07", "127.0.0.53", True),
        ("tcp", "tcp", "3500007F", "0A", "127.0.0.53", True),
        ("tcp", "tcp", "3500007F", "01", "127.0.0.53", False),  # a connection, not a listener
        ("tcp", "udp", "3500007F", "07", "127.0.0.53", False),
    ],
)
@pytest.mark.skipif(sys.byteorder == "big", reason="the tables are written in native order")
def test_find_holder(tmp_path, kind, table, local, state, wanted, found):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / table).write_text(HEADER + LINE.format(local, 53, state, 777))
    for pid, inode, comm in ((9, 5, "nsd"), (70, 777, "systemd-resolve"), (71, 777, "child")):
        (tmp_path / str(pid) / "fd").mkdir(parents=True)
        (tmp_path / str(pid) / "fd" / "3").symlink_to(f"socket:[{inode}]")
        (tmp_path / str(pid) / "comm").write_text(f"{comm}\n")
    holder = find_holder(tmp_path, kind, packed_address(wanted), 53)
    assert holder == (Holder("systemd-resolved", 70) if found else None)
    assert find_holder(tmp_path, kind, packed_address(wanted), 54) is None


@pytest.mark.parametrize(
    ("holder", "line"),
    [
        (None, "is in use by another program (`ss -lnptu` as root shows it): stop it or X"),
        (Holder("dnsmasq", 123), "is in use by dnsmasq (pid 123): stop it or X"),
        (Holder("systemd-resolved", 70), (
            "is in use by systemd-resolved (pid 70): "
            "set DNSStubListener=no in /etc/systemd/resolved.conf and restart it, or X")),
    ],
)  # fmt: skip
def test_who_is_in_the_way(holder, line):
    assert sockets._in_use(holder, "X") == line
