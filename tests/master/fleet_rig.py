"""Real daemons that cooperate, with every datagram between them seen on the way.

Each node is heard on a port of its own and known to the others by another one, a port of the
`Crossing` in between: address translation, as a site behind NAT has it. So what passes can be
read, and sent again from where it came.
"""

import select
import shutil
import socket
import threading

import dns.message
from daemon_rig import WAIT_S, Codns, FakeNameserver, udp_client
from peer_world import free_port

from codns.peer import keyfile


class Crossing:
    """Passes datagrams between nodes. `seen` are (from, to, datagram)."""

    def __init__(self, count):
        self.inner = [free_port() for _ in range(count)]
        self._outer = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
        for sock in self._outer:
            sock.bind(("127.0.0.1", 0))
        self.listed = [f"127.0.0.1:{sock.getsockname()[1]}" for sock in self._outer]
        self.seen = []
        self._changed = threading.Condition()
        self._end, self._ended = socket.socketpair()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        node_of = {port: node for node, port in enumerate(self.inner)}
        to_of = {sock.fileno(): node for node, sock in enumerate(self._outer)}
        while True:
            ready, _, _ = select.select([self._ended, *self._outer], [], [])
            if self._ended in ready:
                return
            for sock in ready:
                datagram, (_, port) = sock.recvfrom(4096)
                here, there = node_of[port], to_of[sock.fileno()]
                self.send(here, there, datagram)
                with self._changed:
                    self.seen.append((here, there, datagram))
                    self._changed.notify_all()

    def send(self, here, there, datagram):
        """Send a datagram to a node, from where it knows another one."""
        self._outer[here].sendto(datagram, ("127.0.0.1", self.inner[there]))

    def count(self, here, there):
        return sum((a, b) == (here, there) for a, b, _ in self.seen)

    def wait_until(self, done):
        with self._changed:
            assert self._changed.wait_for(done, WAIT_S), len(self.seen)

    def close(self):
        self._end.send(b"x")
        self._thread.join(WAIT_S)
        for sock in (*self._outer, self._end, self._ended):
            sock.close()


class Fleet:
    """`count` nodes with a nameserver each, whose answers tell which one it was."""

    def __init__(self, folder, count):
        self.folder = folder
        self.crossing = Crossing(count)
        self.nameservers = [FakeNameserver() for _ in range(count)]
        for node, nameserver in enumerate(self.nameservers):
            nameserver.data = f"192.0.2.{node}"
        self.daemons = [None] * count
        self.key_files = [folder / f"key{node}" for node in range(count)]
        self.key_files[0].write_text(keyfile.generate())
        self.key_files[0].chmod(0o640)
        self.hand_out_keys()

    def hand_out_keys(self):
        """Copy node 0's key file to all."""
        for file in self.key_files[1:]:
            shutil.copy(self.key_files[0], file)

    def configure(self, node, *, nameserver=None, **changes):
        """Write a node's configuration file."""
        peers = {
            "listen": f"127.0.0.1:{self.crossing.inner[node]}",
            "advertise": self.crossing.listed[node],
            "nodes": self.crossing.listed,
            "key_file": str(self.key_files[node]),
            "heartbeat": "200ms",
            **changes,
        }
        lines = "".join(f"  {key}: {value!r}\n" for key, value in peers.items())
        path = self.folder / f"node{node}.yaml"
        path.write_text(
            f"nameservers: ['{nameserver or self.nameservers[node].text}']\n"
            # A probe asks again for a name of late: tests count what nameservers are asked
            f"probe: off\nslaves: 1\nlog: {{format: json}}\nstate_dir: {self.folder}/state{node}\n"
            f"http: {{listen: null}}\ncontrol: null\npeers:\n{lines}"
        )
        return path

    def start(self, node, *, module=("codns",), **changes):
        """Start a node, anew if it runs."""
        if self.daemons[node] is not None:
            self.daemons[node].end()
        self.daemons[node] = Codns(config=self.configure(node, **changes), module=module)
        return self.daemons[node]

    def acquainted(self, *nodes):
        """Return once these nodes have had four datagrams each way: introduction, heartbeat."""
        crossing = self.crossing
        pairs = [(a, b) for a in nodes for b in nodes if a != b]
        before = {pair: crossing.count(*pair) for pair in pairs}
        crossing.wait_until(lambda: all(crossing.count(*p) >= before[p] + 4 for p in pairs))

    def ask(self, node, name):
        """Ask a node for a name; return the number of the node whose nameserver answered."""
        (address,) = self.daemons[node].addresses
        query = dns.message.make_query(name, "A")
        with udp_client(address) as sock:
            sock.send(query.to_wire())
            response = dns.message.from_wire(sock.recv(4096))
        assert response.rcode() == 0, (name, response.to_text())
        return int(response.answer[0][0].address.rpartition(".")[2])

    def close(self):
        for daemon in self.daemons:
            if daemon is not None:
                daemon.end()
        self.crossing.close()
        for nameserver in self.nameservers:
            nameserver.close()
