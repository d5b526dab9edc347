"""The commands that speak to a running daemon, against two real ones that are peers."""

import json
import os
import pty
import socket
import subprocess
import sys
import threading
from pathlib import Path

import dns.message
import pytest
from click.testing import CliRunner

from codns.cli import control, main
from codns.config.paths import CONTROL

ROOT = Path(__file__).resolve().parent.parent.parent
WAIT_S = 20.0


class Running:
    """A daemon with HTTP, a control socket, a nameserver of its own, and maybe a peer."""

    def __init__(self, folder, number, ports, key):
        self.socket = folder / f"{number}.sock"
        self.config = folder / f"{number}.yaml"
        peers = [f"127.0.0.1:{port}" for port in (*ports, 9)]
        self.text = (
            f"http: {{listen: '127.0.0.1:0'}}\ncontrol: {self.socket}\nstate_dir: null\n"
            f"slaves: 1\nlog: {{format: json}}\n"
            f"peers: {{listen: '{peers[number]}', key_file: {key}, nodes: {peers}}}\n"
        )
        self.config.write_text(self.text)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "codns", "run", "-c", str(self.config), "--embedded",
             "--listen", "127.0.0.1:0"],
            stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        self.log, self._changed = [], threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()
        ready = self.wait_for(lambda line: line["event"] == "ready")
        host, _, port = ready["listen"][0].rpartition(":")
        self.address = (host, int(port))

    def _read(self):
        for line in self.process.stderr:
            with self._changed:
                self.log.append(json.loads(line))
                self._changed.notify_all()

    def wait_for(self, wanted):
        def found():
            return next((line for line in self.log if wanted(line)), None)

        with self._changed:
            assert self._changed.wait_for(found, WAIT_S), self.log
            return found()

    def ask(self, name, kind="A"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(WAIT_S)
            sock.sendto(dns.message.make_query(name, kind).to_wire(), self.address)
            return dns.message.from_wire(sock.recv(4096))

    def stop(self):
        self.process.terminate()
        code = self.process.wait(WAIT_S)
        self.process.stderr.close()
        return code


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fleet")
    key = folder / "key"
    run("keygen", str(key))
    socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for sock in socks:
        sock.bind(("127.0.0.1", 0))
    ports = [sock.getsockname()[1] for sock in socks]
    for sock in socks:
        sock.close()
    daemons = [Running(folder, number, ports, key) for number in range(2)]
    yield daemons
    assert [daemon.stop() for daemon in daemons] == [0, 0]
    assert not [path for path in folder.iterdir() if path.suffix == ".sock"]


@pytest.fixture
def daemon(fleet):
    return fleet[0]


def run(*words, environ=None):
    return CliRunner().invoke(main, words, env=environ)


def told(daemon, *words, code=0):
    done = run(*words, "-c", str(daemon.config))
    assert done.exit_code == code, done.output
    return done.output


def told_json(daemon, *words, code=0):
    return json.loads(told(daemon, *words, "--json", code=code))


def test_status(daemon):
    daemon.ask("www.example")
    daemon.ask("www.example")
    text = told(daemon, "status")
    assert text.startswith("codns 0.1.0\n  state")
    for said in ("ready", "answers", "local", "nameservers (from configuration)", "initial delay"):
        assert said in text
    said = told_json(daemon, "status")
    assert said["answers"]["local"] >= 1
    assert said["answers"]["cache"] >= 1
    assert said["http"]["control"] == str(daemon.socket)
    assert said["cooperation"]["peers"] == 2


def test_the_socket_may_be_named(daemon):
    assert run("status", "--socket", str(daemon.socket)).exit_code == 0
    assert run("--json", "-c", str(daemon.config), "status").output.startswith("{")


def test_peers(fleet):
    daemon, other = fleet
    rows = told_json(daemon, "peers", "--all")
    assert {row["peer"].partition(":")[0] for row in rows} == {"127.0.0.1"}
    assert len(rows) == 2
    text = told(daemon, "peers", "--all")
    assert "127.0.0.1:9" in text
    near = told_json(other, "peers")
    assert all(row["neighbour"] for row in near)
    assert "are listed (--all shows them)" in told(other, "peers")


def test_explain(daemon):
    assert "not there" in told(daemon, "explain", "mail.example")
    daemon.ask("mail.example", "MX")
    text = told(daemon, "explain", "Mail.example", "MX")
    assert text.startswith("mail.example. MX\n")
    for said in ("cache", "fresh", "local path", "initial delay", "budget", "slow domain"):
        assert said in text
    assert "special" in told(daemon, "explain", "localhost")
    assert "single label" in told(daemon, "explain", "printer")
    said = told_json(daemon, "explain", "www.other.example", "TYPE65280")
    assert (said["type"], said["cache"], said["cooperation"]["raced"]) == (65280, None, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("explain",), "Missing argument 'NAME'"),
        (("explain", "a..b"), "'a..b' is not a domain name"),
        (("explain", "a.example", "AXYZ"), "'AXYZ' is not a record type; write A, MX"),
        (("cache", "flush"), "say NAME, --zone NAME or --all"),
        (("cache", "flush", "--all", "a.example"), "say NAME, --zone NAME or --all"),
        (("cache", "flush", "--zone"), "say NAME, --zone NAME or --all"),
        (("cache", "flush", "a..b"), "name: a label of 'a..b' has 0 octets"),
        (("top", "-i", "1ms"), "0.1 s is the least"),
    ],
)
def test_what_makes_no_sense(daemon, words, said):
    assert said in told(daemon, *words, code=2)


def test_the_cache(daemon):
    daemon.ask("a.example")
    daemon.ask("www.example")
    daemon.ask("www.example", "AAAA")
    text = told(daemon, "cache", "lookup", "WWW.example")
    assert "www.example. A: fresh, NOERROR" in text
    assert "192.0.2.80" in text
    assert "2001:db8::80" in text
    entries = told_json(daemon, "cache", "lookup", "www.example")
    assert [entry["type"] for entry in entries] == ["A", "AAAA"]
    assert entries[0]["answer"][0]["data"] == "192.0.2.80"
    assert told_json(daemon, "cache", "lookup", "nobody.asked.example", code=1) == []
    dumped = [json.loads(line) for line in told(daemon, "cache", "dump", "--json").splitlines()]
    assert {"a.example.", "www.example."} <= {entry["name"] for entry in dumped}
    assert ("www.example.", "192.0.2.80") in [
        (record["name"], record["data"]) for entry in dumped for record in entry["answer"]
    ]
    dump = told(daemon, "cache", "dump")
    assert "; www.example. AAAA: fresh" in dump
    assert "\tIN\tAAAA\t2001:db8::80" in dump
    assert told(daemon, "cache", "flush", "www.example") == "2 entries flushed\n"
    assert told_json(daemon, "cache", "flush", "www.example") == {"flushed": 0}
    assert "nothing is kept" in told(daemon, "cache", "lookup", "www.example", code=1)
    assert told_json(daemon, "cache", "flush", "--zone", "example")["flushed"] >= 1
    daemon.ask("www.example")
    assert told_json(daemon, "cache", "flush", "--all")["flushed"] >= 1
    assert told(daemon, "cache", "dump") == ""


def test_top(daemon):
    daemon.ask("www.example")
    text = told(daemon, "top", "-n", "2", "-i", "0.2s")
    assert text.count("queries") == 2
    lines = told(daemon, "top", "-n", "2", "-i", "200ms", "--json").splitlines()
    first, second = map(json.loads, lines)
    assert 0 < first["seconds"] < 600  # since the start; then since the first
    assert 0.1 < second["seconds"] < 5
    assert set(second["answers"]) == set(first["answers"])


def test_health(daemon):
    assert told(daemon, "healthcheck") == "ok\n"
    assert told_json(daemon, "healthcheck", "--ready") == {"ok": True, "problems": []}


def test_health_over_tcp_where_there_is_no_control_socket(daemon, tmp_path):
    listen = told_json(daemon, "status")["http"]["listen"]
    config = tmp_path / "codns.yaml"
    config.write_text(f"control: null\nhttp: {{listen: '{listen}'}}\n")
    done = run("healthcheck", "-c", str(config))
    assert (done.exit_code, done.output) == (0, "ok\n")


def test_no_health_without_a_daemon(tmp_path):
    config = tmp_path / "codns.yaml"
    config.write_text(f"control: {tmp_path}/none.sock\nhttp: {{listen: null}}\n")
    done = run("healthcheck", "-c", str(config))
    assert done.exit_code == 1
    assert done.output.startswith(f"no daemon answers at {tmp_path}/none.sock")


def test_reload(daemon):
    try:
        assert told(daemon, "reload") == "reloaded\n"
        daemon.wait_for(lambda line: line["event"] == "reloaded")
        # From now on the file is wrong: whoever asks the daemon is told so, and is answered
        daemon.config.write_text(daemon.text + "lisen: []\n")
        done = run("reload", "--socket", str(daemon.socket))
        assert done.exit_code == 2
        assert "lisen: unknown key; did you mean listen?" in done.output
        done = run("reload", "--socket", str(daemon.socket), "--json")
        assert (done.exit_code, json.loads(done.output)["ok"]) == (2, False)
        assert "last reload" in run("status", "--socket", str(daemon.socket)).output
    finally:
        daemon.config.write_text(daemon.text)
        told(daemon, "reload")


@pytest.mark.parametrize(
    "words",
    [
        ("status",), ("peers",), ("top",), ("reload",), ("explain", "a.example"),
        ("cache", "lookup", "a.example"), ("cache", "flush", "--all"), ("cache", "dump"),
    ],
)  # fmt: skip
def test_without_a_daemon_one_line_and_exit_code_3(words, tmp_path):
    done = run(*words, "--socket", str(tmp_path / "none.sock"))
    assert done.exit_code == 3
    (line,) = done.output.splitlines()
    assert line.startswith(f"codns: no daemon answers at {tmp_path}/none.sock: is codns running?")


def test_a_daemon_that_hangs_or_breaks_off_is_one_line_too(tmp_path, monkeypatch):
    path = tmp_path / "dumb.sock"
    monkeypatch.setattr(control, "TIMEOUT_S", 0.2)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dumb:
        dumb.bind(str(path))
        dumb.listen()
        done = run("status", "--socket", str(path))
        assert done.exit_code == 3
        assert done.output == "codns: the daemon broke off: timed out; its log may say why\n"


def test_where_the_daemon_is_sought(daemon, tmp_path):
    own = {"XDG_RUNTIME_DIR": str(tmp_path)}
    (tmp_path / "codns").mkdir()
    (tmp_path / "codns" / "control.sock").symlink_to(daemon.socket)
    if not Path(CONTROL).exists():
        assert run("status", environ=own).exit_code == 0
    config = tmp_path / "codns.yaml"
    config.write_text("control: null\n")
    done = run("status", "-c", str(config))
    assert (done.exit_code, done.output) == (
        3, "codns: `control` is null: the daemon has no control socket\n",
    )  # fmt: skip
    done = run("status", "-c", str(tmp_path / "missing.yaml"))
    assert done.exit_code == 2
    assert "no such file" in done.output


def on_terminal(*words):
    """Run codns on a terminal of its own and return what it drew."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "codns", *words], stdin=follower, stdout=follower,
        stderr=follower, close_fds=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "110",
             "LINES": "60"},
    )  # fmt: skip
    os.close(follower)
    drawn = b""
    while True:
        try:
            data = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        drawn += data
    os.close(leader)
    assert process.wait(WAIT_S) == 0, drawn
    return drawn.decode()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("status",), "ready"),
        (("explain", "www.example"), "neighbours"),
        (("top", "-n", "2", "-i", "200ms"), "local path"),
    ],
)
def test_on_a_terminal_it_is_coloured(daemon, words, said):
    drawn = on_terminal(*words, "-c", str(daemon.config))
    assert said in drawn
    assert "\x1b[1;36m" in drawn
    alternate = "\x1b[?1049h" in drawn
    assert alternate is (words[0] == "top")
