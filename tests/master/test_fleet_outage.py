"""Four daemons, four nameserver processes: one of these stops, one daemon is killed, all goes on.

The clients of the three nodes that are left ask all the while; the fourth's would have the second
line of their resolv.conf. What stops a nameserver is SIGSTOP: its port stays, nothing is refused.
"""

import re
import signal
import subprocess
import sys
import threading

import dns.message
import dns.rcode
import pytest
from daemon_rig import ROOT, WAIT_S, udp_client
from fleet_rig import Fleet

NODES = 4
EACH = 60  # lookups of a node in each act


class Nameserver:
    """The embedded nameserver as a process of its own. It listens where it says."""

    def __init__(self):
        command = [sys.executable, "-m", "codns.cli.embedded", "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(
            [*command, "--delay", "2ms", "--synthesize"],
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": str(ROOT)},
        )
        said = self.process.stdout.readline().decode()
        self.text = re.search(r"127\.0\.0\.1:\d+", said).group()

    def close(self):
        self.process.kill()
        self.process.wait(WAIT_S)
        self.process.stdout.close()


@pytest.fixture
def fleet(tmp_path):
    made = Fleet(tmp_path, NODES)
    servers = [Nameserver() for _ in range(NODES)]
    try:
        for node, server in enumerate(servers):
            made.start(node, nameserver=server.text)
        made.acquainted(*range(NODES))
        yield made, servers
    finally:
        made.close()
        for server in servers:
            server.close()


def load(fleet, nodes, act, meanwhile=None):
    """Ask each node for names nobody asked before, 8 at a time; return what failed."""
    failed, asked, started = [], [], threading.Event()

    def ask(node, part):
        with udp_client(fleet.daemons[node].addresses[0]) as sock:
            for number in range(part, EACH, 8):
                name = f"{act}-{number}.of{node}.d{number % 7}.org"
                query = dns.message.make_query(name, "A")
                sock.send(query.to_wire())
                response = dns.message.from_wire(sock.recv(4096))
                asked.append(name)
                if response.rcode() != dns.rcode.NOERROR or not response.answer:
                    failed.append((node, name, response.to_text()))
                if len(asked) == EACH // 2:
                    started.set()

    threads = [threading.Thread(target=ask, args=(n, part)) for n in nodes for part in range(8)]
    for thread in threads:
        thread.start()
    if meanwhile is not None:
        assert started.wait(WAIT_S)
        meanwhile()
    for thread in threads:
        thread.join(WAIT_S)
    assert len(asked) == EACH * len(nodes)
    return failed


def test_a_stopped_nameserver_and_a_killed_daemon_fail_no_query(fleet):
    fleet, servers = fleet
    everybody, left = range(NODES), range(NODES - 1)
    assert load(fleet, everybody, "well") == []
    stop = servers[0].process.send_signal
    assert load(fleet, left, "stopping", lambda: stop(signal.SIGSTOP)) == []
    kill = fleet.daemons[3].process.kill
    assert load(fleet, left, "killing", kill) == []
    assert load(fleet, left, "both") == []
    stop(signal.SIGCONT)
    assert load(fleet, left, "back") == []
    fleet.daemons[0].wait_for("local path")  # it noticed
