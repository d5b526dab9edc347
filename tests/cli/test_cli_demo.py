"""`codns demo` as a program: what it prints, what it leaves behind, how it ends."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from codns.cli import demo_fleet
from codns.cli.demo_fleet import HOSTS, DemoError, Fleet
from codns.cli.demo_told import Spec

WAIT_S = 60.0  # for anything that must happen; nothing waits that long when all is well
ROOT = Path(__file__).resolve().parent.parent.parent

# The shortest there is: the nameserver stalls for 0.5 s and is dead for 1.2 s
SECONDS = 4


@contextmanager
def started(*arguments, folder):
    """Start the demo, with its temporary files in `folder`."""
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "codns", "demo", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def commands_with(text):
    """Return the pids of processes with `text` in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if text.encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def nothing_left(folder):
    """Return whether neither files nor nodes are left."""
    return not list(folder.iterdir()) and not commands_with(str(folder))


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A whole run: (exit code, figures, what it said meanwhile, its folder)."""
    folder = tmp_path_factory.mktemp("demo")
    with started("--seconds", SECONDS, "--json", folder=folder) as process:
        out, said = process.communicate(timeout=WAIT_S)
    return process.returncode, json.loads(out), said, folder


def test_every_phase_has_its_figures(played):
    _, told, _, _ = played
    assert [phase["phase"] for phase in told["phases"]] == ["well", "stalls", "dead", "back"]
    ends = [0, *(phase["to_s"] for phase in told["phases"])]
    assert [phase["from_s"] for phase in told["phases"]] == ends[:-1]
    assert ends[-1] == SECONDS == told["seconds"]
    for phase in told["phases"]:
        one, other = phase["node1"], phase["without_peers"]
        assert one["lookups"] == other["lookups"] > 0  # the same load
        for figures in (one, other):
            assert 0 < figures["mean_s"] <= figures["worst_s"]
            assert figures["p99_s"] <= figures["worst_s"]
    assert told["late_p99_s"] <= told["late_worst_s"]


def test_peers_answer_where_the_nameserver_does_not(played):
    code, told, _, _ = played
    trouble = told["trouble"]
    assert trouble["node1"]["failed"] == trouble["node1"]["waiting"] == 0
    assert trouble["without_peers"]["worst_s"] > 0.5
    assert trouble["remote_queries"] > 0
    assert code == (0 if told["masked"] else 1)
    assert f"{trouble['node1']['lookups']} lookups" in told["conclusion"]


def test_progress_goes_where_json_does_not(played):
    _, _, said, _ = played
    assert said.splitlines()[0] == "starting 5 nodes on loopback"
    assert "0 s  All is well" in said
    assert "Site 1's nameserver is dead: it answers nobody." in said
    assert "node 1: p99 " in said


def test_nothing_is_left(played):
    assert nothing_left(played[3])


@pytest.mark.parametrize("numbers", [[signal.SIGINT], [signal.SIGTERM, signal.SIGINT]])
def test_a_signal_ends_it_and_everything(tmp_path, numbers):
    with started("--seconds", 600, folder=tmp_path) as process:
        assert process.stdout.readline() == "starting 5 nodes on loopback\n"
        for number in numbers:
            process.send_signal(number)
        out, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130
    assert "Traceback" not in out + said
    assert nothing_left(tmp_path)


def test_a_node_that_cannot_start_is_told_in_a_line(tmp_path):
    """The control socket's path gets longer than the kernel allows."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    with started("--seconds", SECONDS, folder=folder) as process:
        _, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == 2
    assert re.match(r"codns: (node \d|without peers) ended with 2: ", said)
    assert "too long a path" in said
    assert said.count("\n") == 1
    assert nothing_left(folder)


@pytest.mark.parametrize("seconds", ["1", "601", "x"])
def test_bad_lengths(codns, seconds):
    result = codns("demo", "--seconds", seconds)
    assert result.exit_code == 2
    assert "--seconds" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_node_ends_when_its_parent_is_killed(tmp_path):
    node = [sys.executable, "-m", "codns.cli.demo_node"]
    options = ["run", "--embedded", "--listen", "127.0.0.1:0", "--http", "off"]
    options += ["--control", str(tmp_path / "s")]
    program = (
        "import os, subprocess, sys\n"
        f"words = {node!r} + [str(os.getpid())] + {options!r}\n"
        "node = subprocess.Popen(words, stderr=subprocess.PIPE)\n"
        "while b' ready ' not in node.stderr.readline(): pass\n"
        "print(node.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    ) as parent:
        orphan = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    ended, _, _ = select.select([orphan], [], [], WAIT_S)
    os.close(orphan)
    assert ended


def test_a_node_whose_parent_is_gone_already_does_not_start():
    words = [sys.executable, "-m", "codns.cli.demo_node", "1", "run", "--listen", "nonsense"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, timeout=WAIT_S, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@contextmanager
def taken(host, kind=socket.SOCK_DGRAM):
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind((host, 0))
        yield sock.getsockname()[1]


def test_a_wanted_port_that_is_taken_somewhere_is_another():
    with taken(HOSTS[3]) as port:
        found = demo_fleet._free_port(port, HOSTS)
    assert found not in (0, port)


def test_a_wanted_port_that_is_free_is_it():
    with taken(HOSTS[0]) as port:
        pass
    assert demo_fleet._free_port(port, HOSTS[:2]) == port


def test_no_port_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(demo_fleet, "HOSTS", ["192.0.2.1"] * 5)  # not this machine's
    fleet = Fleet(tmp_path, Spec(seconds=4, rate=1, seed=1, nodes=[]))
    with pytest.raises(DemoError) as caught:
        fleet.start()
    fleet.close()
    assert caught.value.message.startswith("no port for the demo: 192.0.2.1:")
    assert "this machine has no such address" in caught.value.message


@pytest.mark.root
def test_no_loopback_is_one_line():
    words = ["unshare", "--net", sys.executable, "-m", "codns", "demo"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, check=False, timeout=WAIT_S)
    assert done.returncode == 2
    assert done.stderr.startswith(b"codns: no loopback network: 127.0.0.11: ")
    assert done.stderr.endswith(b": `ip link set lo up`\n")


def test_the_world_is_not_started_by_hand():
    words = [sys.executable, "-m", "codns.cli.demo_load"]
    spec = b'{"seconds":4,"rate":1,"seed":1,"nodes":[]}\n'
    done = subprocess.run(words, cwd=ROOT, input=spec, capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stderr == b"codns.cli.demo_load is started by `codns demo`\n"
