"""The daemon as a process: what a user of it sees at its edges."""

import signal
import socket
import subprocess
import sys

import dns.rcode
import pytest
from daemon_rig import ROOT, WAIT_S, FakeNameserver, ask, ask_tcp, running, udp_client

JSON = "log: {format: json}\n"


@pytest.fixture
def nameserver():
    server = FakeNameserver()
    yield server
    server.close()


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "codns.yaml"
    path.write_text(JSON)
    return path


def data(response):
    return [rdata.to_text() for rrset in response.answer for rdata in rrset]


def test_udp_and_tcp_answer_and_share_the_cache(nameserver, config):
    with running(nameserver=nameserver, config=config) as codns:
        (address,) = codns.addresses
        assert data(ask(address, "a.example")) == ["192.0.2.1"]
        assert data(ask_tcp(address, "a.example")) == ["192.0.2.1"]
        for _ in range(3):
            assert data(ask(address, "a.example")) == ["192.0.2.1"]
        assert nameserver.asked.count("a.example") == 1
        assert codns.stop() == 0


@pytest.mark.parametrize(
    ("listen", "asked", "family"),
    [
        ("[::1]:0", "::1", socket.AF_INET6),
        ("0.0.0.0:0", "127.0.0.1", socket.AF_INET),
        ("0.0.0.0:0", "127.9.8.7", socket.AF_INET),
        ("[::]:0", "::1", socket.AF_INET6),
    ],
)
def test_the_answer_comes_from_the_address_asked(listen, asked, family, nameserver, config):
    """The client's socket is connected: an answer from another address would not reach it."""
    with running("--listen", listen, nameserver=nameserver, config=config) as codns:
        port = codns.addresses[1][1]
        for name in ("a.example", "a.example", "b.example", "a.example"):  # misses and hits
            assert data(ask((asked, port), name, family)) == ["192.0.2.1"]


def test_who_is_not_allowed_gets_silence(nameserver, config):
    config.write_text(JSON + "allow: [127.0.0.1/32]\n")
    with running(nameserver=nameserver, config=config) as codns:
        (address,) = codns.addresses
        ask(address, "a.example")
        with udp_client(address, source="127.0.0.2") as stranger:
            for name in (b"\1a", b"\1b"):  # in the cache, and not
                stranger.send(b"\0\1\1\0\0\1\0\0\0\0\0\0" + name + b"\7example\0\0\1\0\1")
            ask(address, "c.example")  # both datagrams have been seen by now
            stranger.setblocking(False)
            with pytest.raises(BlockingIOError):
                stranger.recv(4096)
        with pytest.raises(ConnectionError):
            ask_tcp(address, "a.example", source="127.0.0.2")
        assert "b.example" not in nameserver.asked


def test_sigterm_answers_what_is_in_flight(nameserver, config):
    nameserver.hold()
    with running(nameserver=nameserver, config=config) as codns:
        (address,) = codns.addresses
        with udp_client(address) as sock:
            sock.send(b"\0\7\1\0\0\1\0\0\0\0\0\0\4slow\7example\0\0\1\0\1")
            nameserver.wait_for("slow.example")
            codns.signal(signal.SIGTERM)
            assert codns.wait_for("stopping")["in_flight"] == 1
            nameserver.release()
            assert sock.recv(4096)[:2] == b"\0\7"
        assert codns.process.wait(WAIT_S) == 0


def test_sigterm_does_not_wait_for_ever(nameserver, config):
    nameserver.hold()
    with running(nameserver=nameserver, config=config) as codns:
        (address,) = codns.addresses
        with udp_client(address) as sock:
            sock.send(b"\0\7\1\0\0\1\0\0\0\0\0\0\4slow\7example\0\0\1\0\1")
            nameserver.wait_for("slow.example")
            assert codns.stop() == 0


def test_reload_takes_the_new_file_and_keeps_the_cache(nameserver, config):
    other = FakeNameserver()
    other.data = "192.0.2.2"
    config.write_text(JSON + f"nameservers: ['{nameserver.text}']\n")
    with running(config=config) as codns:
        (address,) = codns.addresses
        assert data(ask(address, "old.example")) == ["192.0.2.1"]
        config.write_text(JSON + f"nameservers: ['{other.text}']\n")
        codns.signal(signal.SIGHUP)
        codns.wait_for("reloaded")
        assert data(ask(address, "new.example")) == ["192.0.2.2"]
        assert data(ask(address, "old.example")) == ["192.0.2.1"]
    other.close()


def test_a_bad_file_changes_nothing_and_tells_every_problem(nameserver, config):
    config.write_text(JSON + f"nameservers: ['{nameserver.text}']\n")
    with running(config=config) as codns:
        (address,) = codns.addresses
        config.write_text("nameserver: [1]\ncache: {entries: none}\n")
        codns.signal(signal.SIGHUP)
        failed = codns.wait_for("reload failed, the old configuration stays")
        assert len(failed["problems"]) == 2
        assert "did you mean nameservers" in failed["problems"][0]
        assert data(ask(address, "a.example")) == ["192.0.2.1"]


def test_a_port_in_use_is_one_line_and_exit_code_2():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "codns", "run", "--listen", f"127.0.0.1:{port}",
             "--nameserver", "127.0.0.1:1", "--http", "off", "--control", "off"],
            cwd=ROOT, capture_output=True, timeout=WAIT_S, check=False, text=True,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(f"codns: 127.0.0.1:{port} is in use by ")
    assert done.stderr.count("\n") == 1


def test_a_slave_killed_with_a_query_on_its_way_loses_nothing(nameserver, config):
    nameserver.hold()
    with running(nameserver=nameserver, config=config) as codns:
        (address,) = codns.addresses
        names = [b"%02d" % n for n in range(32)]
        with udp_client(address) as sock:
            for name in names:
                sock.send(
                    b"\0" + name[1:] + b"\1\0\0\1\0\0\0\0\0\0\2" + name + b"\7example\0\0\1\0\1"
                )
            for name in names:
                nameserver.wait_for(f"{name.decode()}.example")
            for line in list(codns.log):
                if line["event"] == "slave is up":
                    subprocess.run(["kill", "-9", str(line["pid"])], check=True)
                    break
            codns.wait_for("slave died")
            nameserver.release()
            answered = {sock.recv(4096)[13:15] for _ in names}
        assert answered == set(names)


@pytest.mark.root
@pytest.mark.real("unshare")
def test_resolv_conf_without_a_nameserver_and_its_change(nameserver, config, tmp_path):
    """RULES 10.1: it starts all the same, warns, keeps watching; and takes what comes."""
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text("search example\n")
    script = f'mount --bind "{resolv_conf}" /etc/resolv.conf && exec "$@"'
    before = ("unshare", "--mount", "sh", "-c", script, "sh")
    config.write_text(JSON)
    with running(config=config, before=before) as codns:
        (address,) = codns.addresses
        assert any(line["event"].startswith("no nameserver") for line in codns.log)
        assert ask(address, "a.example").rcode() == dns.rcode.SERVFAIL
        assert data(ask(address, "localhost")) == ["127.0.0.1"]
        resolv_conf.write_text("nameserver 127.0.0.9\n")  # nobody there: only the change counts
        assert codns.wait_for("nameservers changed")["nameservers"] == ["127.0.0.9#53"]


def test_a_nameserver_that_leads_back_here_is_found(config):
    """codns asks a forwarder that asks codns: a loop, which no address would tell."""
    relay = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    relay.bind(("127.0.0.1", 0))
    relay.settimeout(WAIT_S)
    config.write_text(JSON + f"nameservers: ['127.0.0.1:{relay.getsockname()[1]}']\n")
    with running(config=config) as codns:
        (address,) = codns.addresses
        relay.sendto(relay.recvfrom(4096)[0], address)
        line = codns.wait_for("nameserver leads back to this node")
        assert line["level"] == "error"
        assert ask(address, "a.example").rcode() == dns.rcode.SERVFAIL
    relay.close()


def test_hostile_datagrams_do_no_harm(nameserver, config):
    with running(nameserver=nameserver, config=config) as codns:
        (address,) = codns.addresses
        with udp_client(address) as sock:
            for size in (0, 1, 11, 12, 13, 512, 4096, 4097, 60_000):
                for fill in (b"\0", b"\xff", b"\xc0\x0c"):
                    sock.send((fill * size)[:size])
        assert data(ask(address, "a.example")) == ["192.0.2.1"]
        assert codns.stop() == 0
        assert not any(line.get("level") == "error" for line in codns.log)
