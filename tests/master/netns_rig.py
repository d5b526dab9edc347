"""Network namespaces for tests: a node and, at the other end of a cable, its nameservers."""

import subprocess
from pathlib import Path

from daemon_rig import WAIT_S, FakeNameserver, ask

from bench.chaos.net import inside
from bench.servers import program

NODE, SITE = "198.18.0.1", "198.18.0.101"  # for tests of networks (RFC 2544)


class Namespace:
    """A network namespace; it ends with the process that holds it."""

    def __init__(self):
        hold = "ip link set lo up && echo up && exec cat"
        command = [program("setpriv"), "--pdeathsig", "KILL", program("unshare"), "--net"]
        self.holder = subprocess.Popen(
            [*command, "sh", "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.holder.stdout.readline() == "up\n"
        self.path = Path(f"/proc/{self.holder.pid}/ns/net")
        self.enter = (program("nsenter"), f"--net={self.path}")

    def run(self, *words, text=None):
        subprocess.run([*self.enter, *words], check=True, timeout=WAIT_S, input=text, text=True)

    def ip(self, *words):
        self.run("ip", *words)

    def filter(self, rule):
        """Judge what arrives and what leaves by an nft rule; None: no more."""
        hooks = "".join(
            f"chain {hook} {{ type filter hook {hook} priority 0; {rule}; }}\n"
            for hook in ("input", "output")
        )
        table = f"table inet test {{ {hooks} }}"
        self.run(program("nft"), "-f", "-", text=table if rule else "delete table inet test")

    def inside(self, make):
        return inside(self.path, make)

    def close(self):
        self.holder.stdin.close()
        self.holder.wait(WAIT_S)
        self.holder.stdout.close()


class Site:
    """A node's namespace, its nameservers' one, and a cable."""

    def __init__(self, nameservers=1):
        self.node, self.hub = Namespace(), Namespace()
        peer = str(self.hub.holder.pid)
        self.node.ip("link", "add", "e0", "type", "veth", "peer", "name", "e0", "netns", peer)
        for end, address in ((self.node, NODE), (self.hub, SITE)):
            end.ip("address", "add", f"{address}/24", "dev", "e0")
            end.ip("link", "set", "e0", "up")
        self.nameservers = [
            self.hub.inside(lambda: FakeNameserver(SITE)) for _ in range(nameservers)
        ]

    def ask(self, codns, name):
        """As a client on the node."""
        return self.node.inside(lambda: ask(codns.addresses[0], name))

    def close(self):
        for nameserver in self.nameservers:
            nameserver.close()
        self.node.close()
        self.hub.close()
