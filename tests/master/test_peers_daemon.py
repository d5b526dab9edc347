"""Daemons that cooperate, as processes: what operators see and what a listener on the way sees."""

import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest
from click.testing import CliRunner
from daemon_rig import ROOT, WAIT_S, running
from fleet_rig import Fleet
from peer_world import free_port
from zone_server import ZoneServer

from codns.cli import main
from codns.peer import keyfile

SPARE = 3  # listed from the start, started by the tests that need it


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    made = Fleet(tmp_path_factory.mktemp("fleet"), 4)
    try:
        for node in range(3):
            made.start(node)
        made.acquainted(0, 1, 2)
        made.nameservers[0].hold()  # from now on node 0 lives on help
        yield made
    finally:
        made.close()


def keygen(*args):
    result = CliRunner().invoke(main, ["keygen", *map(str, args)])
    assert result.exit_code == 0, result.stderr


def hup(fleet, node):
    daemon = fleet.daemons[node]
    count = sum(line["event"] == "reloaded" for line in daemon.log)
    daemon.signal(signal.SIGHUP)
    daemon.wait_for("reloaded", count + 1)


def test_help_comes_from_peers_and_no_name_is_seen_on_the_way(fleet):
    labels = [f"secret-project-{n}" for n in range(20)]
    helped = [fleet.ask(0, f"{label}.example.com") for label in labels]
    assert set(helped) <= {1, 2}
    assert len(set(helped)) == 2  # the name picks the peer
    assert fleet.ask(1, "own.example.com") == 1
    passed = b"".join(datagram for *_, datagram in fleet.crossing.seen)
    assert len(passed) > 1000
    for word in (*labels, "example", "192.0.2.", fleet.nameservers[1].text):
        assert word.encode() not in passed.lower()


def test_what_was_captured_does_nothing_after_a_restart_or_elsewhere(fleet):
    crossing, nameservers = fleet.crossing, fleet.nameservers
    names = [f"captured{n}.example.com" for n in range(12)]
    since = len(crossing.seen)
    assert {fleet.ask(0, name) for name in names} == {1, 2}
    captured = [
        datagram for here, there, datagram in crossing.seen[since:] if (here, there) == (0, 1)
    ]
    asked = [nameservers[node].asked.count(name) for name in names for node in (1, 2)]
    fleet.start(1)  # its cache is empty: an old query would be a new question to its nameserver
    for datagram in captured:
        crossing.send(0, 1, datagram)  # again
        crossing.send(0, 2, datagram)  # to another node
        crossing.send(2, 1, datagram)  # from another address
    fleet.acquainted(0, 1)
    fleet.acquainted(1, 2)
    numbers = iter(range(100))  # a sound query behind them in the same queue: they were all read
    while fleet.ask(0, f"sound{next(numbers)}.example.com") != 1:
        pass
    assert [nameservers[node].asked.count(n) for n in names for node in (1, 2)] == asked


def test_a_rotation_of_keys_loses_nothing(fleet):
    (old,) = keyfile.load(fleet.key_files[0])
    answers, stop = [], threading.Event()

    def load():
        number = 0
        while not stop.is_set():
            start = time.monotonic()
            try:
                node = fleet.ask(0, f"rotation{number}.example.com")
            except AssertionError as error:
                node = error
            answers.append((node, time.monotonic() - start))
            number += 1
            stop.wait(0.005)

    lines = [len(fleet.daemons[node].log) for node in range(3)]
    client = threading.Thread(target=load)
    client.start()
    try:
        for step in ("--add", "--first", "--prune"):
            keygen(step, fleet.key_files[0])
            fleet.hand_out_keys()
            for node in range(3):  # one after the other, with time to talk in between
                hup(fleet, node)
                fleet.acquainted(0, 1, 2)
    finally:
        stop.set()
        client.join(WAIT_S)
    (new,) = keyfile.load(fleet.key_files[0])
    assert new != old
    assert {node for node, _ in answers} == {1, 2}
    assert max(took_s for _, took_s in answers) < 1.0
    assert len(answers) > 50
    for node in range(3):
        events = [line["event"] for line in fleet.daemons[node].log[lines[node] :]]
        assert events.count("keys changed") == 3
        assert "peer does not answer" not in events


def test_a_bad_key_file_keeps_the_old_keys(fleet):
    sound = fleet.key_files[0].read_text()
    fleet.key_files[0].write_text("no key!\n")
    hup(fleet, 0)
    line = fleet.daemons[0].wait_for("key file is bad, the old keys stay")
    assert "no base64" in line["problems"][0]
    assert fleet.ask(0, "bad-key.example.com") in (1, 2)
    fleet.key_files[0].write_text(sound)
    hup(fleet, 0)


def test_what_a_reload_changes_and_what_it_does_not(fleet):
    daemon = fleet.daemons[0]
    fleet.configure(0, cluster="staging", neighbours=3, nodes=fleet.crossing.listed[:2])
    hup(fleet, 0)
    later = daemon.wait_for("takes effect at the next start only")
    assert later["keys"] == ["peers.cluster", "peers.neighbours"]
    assert daemon.wait_for("list of peers", 2)["addresses"] == 2
    assert {fleet.ask(0, f"two{n}.example.com") for n in range(8)} == {1}
    fleet.configure(0)
    hup(fleet, 0)
    assert daemon.wait_for("list of peers", 3)["addresses"] == 4
    fleet.acquainted(0, 2)


def srv_records(fleet):
    name = "_codns._udp.fleet.example."
    ports = [listed.rpartition(":")[2] for listed in fleet.crossing.listed]
    return [f"{name} 60 SRV 0 0 {port} node.fleet.example." for port in ports] + [
        "node.fleet.example. 60 A 127.0.0.1"
    ]


def test_a_list_by_srv_and_a_start_with_dead_dns(fleet):
    nodes = ["srv:_codns._udp.fleet.example"]
    with closing(ZoneServer(srv_records(fleet))) as server:
        daemon = fleet.start(SPARE, nodes=nodes, nameserver=server.text)
        assert daemon.wait_for("list of peers")["addresses"] == 0
        assert daemon.wait_for("list of peers", 2)["addresses"] == 4
        fleet.acquainted(0, 1, 2, SPARE)
        assert daemon.stop() == 0
        server.silent = True
        daemon = fleet.start(SPARE, nodes=nodes, nameserver=server.text)
        assert daemon.wait_for("list of peers")["addresses"] == 4
        fleet.acquainted(1, 2, SPARE)
        assert fleet.ask(SPARE, "dead-dns.example.com") in (1, 2)


def run_codns(config):
    return subprocess.run(
        [sys.executable, "-m", "codns", "run", "-c", str(config), "--listen", "127.0.0.1:0"],
        cwd=ROOT,
        capture_output=True,
        timeout=WAIT_S,
        check=False,
        text=True,
    )


def test_a_start_that_cannot_be_is_one_line(fleet):
    """Node 3's own port, which it does not have now: somebody else does."""
    if fleet.daemons[SPARE] is not None:
        fleet.daemons[SPARE].end()
        fleet.daemons[SPARE] = None
    port = fleet.crossing.inner[SPARE]
    config = fleet.configure(SPARE)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", port))
        done = run_codns(config)
    assert done.returncode == 2
    assert done.stderr.startswith(f"codns: 127.0.0.1:{port} is in use by ")
    assert done.stderr.endswith("choose another address in peers.listen\n")
    assert done.stderr.count("\n") == 1
    fleet.key_files[SPARE].chmod(0o644)
    done = run_codns(config)
    fleet.key_files[SPARE].chmod(0o640)
    assert done.returncode == 2
    assert done.stderr.startswith(f"codns: peers.key_file: {fleet.key_files[SPARE]}: mode 0644")
    assert done.stderr.count("\n") == 1


def test_behind_a_wildcard_the_list_tells_who_we_are(tmp_path):
    """One file for all nodes, and only DNS knows that we are 127.0.0.77 (RULES 7.1)."""
    port, key = free_port(), tmp_path / "key"
    keygen(key)
    records = [
        f"_codns._udp.fleet.example. 60 SRV 0 0 {port} node.fleet.example.",
        "node.fleet.example. 60 A 127.0.0.77",
        "node.fleet.example. 60 A 192.0.2.7",
    ]

    def configure(server, nodes):
        config = tmp_path / "codns.yaml"
        config.write_text(
            "log: {format: json}\nslaves: 1\nstate_dir: null\nhttp: {listen: null}\n"
            f"control: null\nnameservers: ['{server.text}']\n"
            f"peers: {{listen: '0.0.0.0:{port}', key_file: {key}, nodes: ['{nodes}']}}\n"
        )
        return config

    with closing(ZoneServer(records)) as server:
        config = configure(server, "srv:_codns._udp.fleet.example")
        with running(config=config) as codns:
            assert codns.wait_for("own address is another one")["me"] == f"127.0.0.77:{port}"
            assert codns.wait_for("list of peers", 2)["addresses"] == 2
            configure(server, "192.0.2.8")
            codns.signal(signal.SIGHUP)
            said = codns.wait_for("this node is not in its list of peers")
            assert said["me"] == f"127.0.0.77:{port}"  # it stays: a list may be wrong for a while
            assert said["remedy"] == "set peers.advertise"
            assert codns.stop() == 0
