"""Faults of the host and of the fleet, on real daemons: what a client sees of each.

The table of all of them, and a run of fifteen minutes: bench/chaos.
"""

import fcntl
import os
import resource
import select
import signal
import socket
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import dns.message
import dns.rcode
import pytest
from daemon_rig import ROOT, WAIT_S, FakeNameserver, ask, running, udp_client
from fleet_rig import Fleet
from peer_world import free_port

from bench.chaos.net import inside
from codns.peer import keyfile

JSON = "log: {format: json}\n"
# Puts sockets where systemd would, and becomes the daemon
ACTIVATE = (
    'exec 3<&"$1" 4<&"$2" && shift 2 && '
    'LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=dns:dns exec "$@"'
)
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


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


def query(name):
    return dns.message.make_query(name, "A").to_wire()


def wait_for_the_end(pid):
    """Return once a process that is no child of ours has ended."""
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        ready, _, _ = select.select([descriptor], [], [], WAIT_S)
        os.close(descriptor)
        assert ready, f"{pid} is still there"


# -- the processes ------------------------------------------------------------------------------


@pytest.fixture
def held():
    """The sockets of a daemon, as systemd holds them: UDP and TCP of one port."""
    while True:
        udp, tcp = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
        udp.bind(("127.0.0.1", 0))
        with suppress(OSError):
            tcp.bind(udp.getsockname())
            break
        udp.close()
        tcp.close()
    tcp.listen()
    yield udp, tcp
    udp.close()
    tcp.close()


def test_a_killed_master_leaves_what_was_not_read_to_the_next(nameserver, config, held):
    """With the sockets held as by systemd nothing is refused; the slaves end by themselves."""
    address, files = held[0].getsockname(), [sock.fileno() for sock in held]
    before = ("bash", "-c", ACTIVATE, "bash", *map(str, files))
    options = {"nameserver": nameserver, "config": config, "before": before, "pass_fds": files}
    with running(**options) as first, udp_client(address) as early, udp_client(address) as late:
        assert ask(address, "known.example").answer
        nameserver.hold()
        early.send(query("early.example"))
        nameserver.wait_for("early.example")
        first.process.kill()
        first.process.wait(WAIT_S)
        late.send(query("late.example"))  # nobody is there
        for pid in first.slaves():
            wait_for_the_end(pid)
        nameserver.release()
        with running(**options):
            assert dns.message.from_wire(late.recv(4096)).answer
            early.send(query("early.example"))  # as a stub does, after 5 s
            assert dns.message.from_wire(early.recv(4096)).answer


def test_a_stopped_master_answers_when_it_goes_on(nameserver, config):
    with running(nameserver=nameserver, config=config) as codns:
        (address,) = codns.addresses
        assert ask(address, "known.example").answer
        codns.signal(signal.SIGSTOP)
        names = ["known.example", *(f"new{n}.example" for n in range(20))]
        with udp_client(address) as sock:
            for name in names:
                sock.send(query(name))
            codns.signal(signal.SIGCONT)
            answers = [dns.message.from_wire(sock.recv(4096)) for _ in names]
        assert all(answer.answer for answer in answers)
        assert {a.question[0].name.to_text(omit_final_dot=True) for a in answers} == set(names)


# -- the host -----------------------------------------------------------------------------------


def peers_of(folder):
    """A configuration that keeps a state file, and has nobody to talk to."""
    key = folder / "key"
    key.write_text(keyfile.generate())
    key.chmod(0o640)
    port = free_port()
    return (
        f"{JSON}slaves: 1\nstate_dir: {folder}/state\npeers:\n"
        f"  {{listen: '127.0.0.1:{port}', nodes: ['127.0.0.1:{port}'], key_file: {key}}}\n"
    )


@pytest.mark.root
@pytest.mark.real("unshare", "nsenter")
def test_a_full_disk_is_a_warning_and_keeps_the_last_state(nameserver, config, tmp_path):
    """Answers go on, the end comes as usual, and what was kept before is still there, whole."""
    config.write_text(peers_of(tmp_path))
    state, kept = tmp_path / "state", '{"nodes":{},"zones":{}}'
    state.mkdir()
    mount = f"mount -t tmpfs -o size=16k none {state} && printf '%s' '{kept}' > {state}/peers.json"
    fill = f"! cat /dev/zero > {state}/filler 2> /dev/null"
    before = ("unshare", "--mount", "sh", "-c", f'{mount} && {fill} && exec "$@"', "sh")
    nameserver.data = "10.0.0.1"  # a private address: news for the state file
    with (
        running(nameserver=nameserver, config=config, before=before) as codns,
        Path(f"/proc/{codns.process.pid}/ns/mnt").open("rb") as namespace,  # outlives it
    ):
        assert ask(codns.addresses[0], "www.corp.example").answer
        assert codns.stop() == 0
        line = codns.wait_for("state file cannot be written")
        assert (line["level"], line["reason"]) == ("warning", "No space left on device")
        enter = f"--mount=/proc/{os.getpid()}/fd/{namespace.fileno()}"
        read = subprocess.run(
            ["nsenter", enter, "cat", state / "peers.json"],
            check=True, capture_output=True, text=True, timeout=WAIT_S,
        )  # fmt: skip
        assert read.stdout == kept


@pytest.mark.parametrize("stream", ["full", "unread"])
def test_a_log_that_takes_nothing_holds_up_nobody(nameserver, config, held, stream):
    """On a full disk, or into a pipe that nobody reads: answers go on, so does the rest."""
    address, files = held[0].getsockname(), [sock.fileno() for sock in held]
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    config.write_text("log: {level: debug, queries: 100%}\nhttp: {listen: null}\ncontrol: null\n")
    run = [sys.executable, "-m", "codns", "run", "-c", config, "--nameserver", nameserver.text]
    with os.fdopen(writer, "wb") as pipe, Path("/dev/full").open("wb") as full:
        process = subprocess.Popen(
            ["bash", "-c", ACTIVATE, "bash", *map(str, files), *run],
            stderr=full if stream == "full" else pipe,
            pass_fds=files,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    try:
        for number in range(90):  # a line each, under what may be logged in a second
            assert ask(address, f"name{number}.example").answer
        process.terminate()
        assert process.wait(WAIT_S) == 0
    finally:
        process.kill()
        process.wait(WAIT_S)
        os.close(reader)


def limit_files(pids, soft):
    for pid in pids:
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(soft, hard), hard))


def test_without_descriptors_it_goes_on(nameserver, config):
    """Neither a new socket nor a new slave can be had: those that are there do, TCP waits."""
    config.write_text(f"{JSON}slaves: 2\n")
    with running(nameserver=nameserver, config=config) as codns:
        (address,) = codns.addresses
        for number in range(4):  # each slave has sockets
            assert ask(address, f"before{number}.example").answer
        first, second = codns.slaves()
        limit_files((codns.process.pid, first, second), 3)
        for number in range(20):
            assert ask(address, f"meanwhile{number}.example").answer
        os.kill(first, signal.SIGKILL)
        assert "Too many open files" in codns.wait_for("slave could not be started")["reason"]
        for number in range(20):
            assert ask(address, f"alone{number}.example").answer
        with socket.create_connection(address, WAIT_S) as client:
            wire = query("tcp.example")
            client.sendall(len(wire).to_bytes(2, "big") + wire)
            limit_files((codns.process.pid, second), 1 << 20)
            assert int.from_bytes(client.recv(2), "big") > len(wire)
        codns.wait_for("slave is up", 3)
        assert ask(address, "after.example").answer
        assert codns.stop() == 0


@pytest.mark.root
@pytest.mark.real("unshare")
def test_a_resolv_conf_that_cannot_be_read_for_now_is_read_later(config, tmp_path):
    """Rewritten while there are no descriptors: the nameservers there were stay, until it can."""
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text("nameserver 127.0.0.9\n")
    script = f'mount --bind "{resolv_conf}" /etc/resolv.conf && exec "$@"'
    before = ("unshare", "--mount", "sh", "-c", script, "sh")
    with running(config=config, before=before) as codns:
        assert codns.ready["nameservers"] == ["127.0.0.9#53"]
        limit_files([codns.process.pid], 3)
        resolv_conf.write_text("nameserver 127.0.0.8\n")
        codns.wait_for("resolv.conf cannot be read now, the nameservers stay")
        assert not any(line["event"] == "nameservers changed" for line in codns.log)
        limit_files([codns.process.pid], 1 << 20)
        assert codns.wait_for("nameservers changed")["nameservers"] == ["127.0.0.8#53"]


@pytest.mark.real("faketime")
def test_the_time_of_day_jumps(nameserver, config, tmp_path):
    """Ten years on, and back by twenty: what is cached stays so, what is asked is answered."""
    offset = tmp_path / "offset"
    offset.write_text("+0")
    before = (
        "env", f"LD_PRELOAD={FAKETIME[0]}", f"FAKETIME_TIMESTAMP_FILE={offset}",
        "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1",
    )  # fmt: skip
    with running(nameserver=nameserver, config=config, before=before) as codns:
        (address,) = codns.addresses
        assert ask(address, "known.example").answer
        years = [int(codns.ready["time"][:4])]
        for count, jump in enumerate(("+10y", "-10y"), 1):
            offset.write_text(jump)
            codns.signal(signal.SIGHUP)
            years.append(int(codns.wait_for("reloaded", count)["time"][:4]))
            known = ask(address, "known.example")
            assert 200 < known.answer[0].ttl <= 300
            assert ask(address, f"new{count}.example").answer
        assert years[1] - years[0] in (9, 10)
        assert years[0] - years[2] in (10, 11)
        assert nameserver.asked.count("known.example") == 1


@pytest.mark.root
@pytest.mark.real("unshare", "ip")
def test_resolv_conf_that_names_only_us(config, tmp_path):
    """It leaves itself out, says so, and fails at once what it cannot know; no loop."""
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text("nameserver 127.0.0.1\n")
    script = f'ip link set lo up && mount --bind "{resolv_conf}" /etc/resolv.conf && exec "$@"'
    before = ("unshare", "--mount", "--net", "sh", "-c", script, "sh")
    with running("--listen", "127.0.0.1:53", config=config, before=before) as codns:
        assert codns.ready["nameservers"] == []
        assert any(line["event"].startswith("no nameserver") for line in codns.log)
        network = Path(f"/proc/{codns.process.pid}/ns/net")
        answer = inside(network, lambda: ask(("127.0.0.1", 53), "www.example"))
        assert answer.rcode() == dns.rcode.SERVFAIL
        assert inside(network, lambda: ask(("127.0.0.1", 53), "localhost")).answer


# -- the fleet ----------------------------------------------------------------------------------

OTHER = "bench.chaos.otherversion"


@pytest.fixture
def fleet(tmp_path):
    with closing(Fleet(tmp_path, 3)) as made:
        for node in (0, 1):
            made.start(node)
        yield made


def helped(fleet, node, label):
    """Ask for eight names, whose nameserver does not answer; who did?"""
    fleet.nameservers[node].hold()
    who = {fleet.ask(node, f"{label}{n}.example.com") for n in range(8)}
    fleet.nameservers[node].release()
    return who


def is_a_stranger(fleet):
    """Node 2 speaks, is not heard, and lives on its own nameserver."""
    fleet.acquainted(0, 1)
    spoken = fleet.crossing.count(2, 0)
    fleet.crossing.wait_until(lambda: fleet.crossing.count(2, 0) > spoken)
    assert helped(fleet, 0, "strange") == {1}
    assert fleet.ask(2, "own.example.com") == 2
    assert fleet.ask(1, "own.example.com") == 1


def test_peers_with_another_key_are_strangers(fleet):
    fleet.key_files[2].write_text(keyfile.generate())
    fleet.start(2)
    is_a_stranger(fleet)


def test_another_version_number_is_a_stranger(fleet):
    fleet.start(2, module=(OTHER, "alien"))
    is_a_stranger(fleet)


def test_a_version_with_more_fields_helps_and_is_helped(fleet):
    fleet.start(2, module=(OTHER, "newer"))
    fleet.acquainted(0, 1, 2)
    assert helped(fleet, 0, "older") == {1, 2}
    assert helped(fleet, 2, "newer") == {0, 1}
