"""codns on three hosts with a real systemd, from `dpkg -i` to `dpkg -r`.

    python -m deploy.e2e [--tree FOLDER] [--deb FILE] [--keep]

Needs root, Debian 12, the packages systemd-container, debootstrap, nsd and python3-venv, and
2 minutes (4 the first time, when the tree is made and the package built). What it does to the
machine: network namespaces and mounts of its own, gone in the end.

Each step prints what was looked at and what was measured. The first that fails ends it, with the
node's journal.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from deploy.e2e.nodes import HUB, E2EError, Hub, Node, inside_hub, make_tree, run, wait_for

ROOT: Final = Path(__file__).resolve().parents[2]
NODES: Final = 3
WEB: Final = 210  # the web server's number in the network
ZONE: Final = """$TTL 300
@ SOA ns.e2e.example. admin.e2e.example. 1 3600 600 86400 60
@ NS ns.e2e.example.
ns A {web}
* A {web}
"""
DEB: Final = "/srv/codns.deb"
CONFIG: Final = """peers:
  listen: "{address}:7353"
  nodes: [{nodes}]
  key_file: /etc/codns/peers.key
"""
RETURN_S: Final = 5.0  # the longest that codns may take to come back by itself
BROKEN_S: Final = 40.0  # 20 starts
WATCHDOG_S: Final = 16.0  # 10 s, and the time it takes to end what does not answer


def nameserver_of(number: int) -> int:
    """The number of a node's nameserver in the network."""
    return 200 + number


def resolv_conf(number: int) -> str:
    """What a node has before codns. Names of a search domain would be private: not for peers."""
    return f"search site.example\nnameserver 198.18.0.{nameserver_of(number)}\noptions rotate\n"


@contextlib.contextmanager
def nameserver(hub: Hub, number: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """nsd for the zone at an address of its own."""
    address = hub.add_address(number)
    home = folder / f"nsd-{number}"
    home.mkdir()
    (home / "zone").write_text(ZONE.format(web=f"198.18.0.{WEB}"))
    (home / "nsd.conf").write_text(
        f'server:\n  ip-address: {address}\n  username: ""\n  chroot: ""\n  database: ""\n'
        f"  zonesdir: {home}\n  pidfile: {home}/pid\n  xfrdfile: {home}/xfrd\n"
        f"  zonelistfile: {home}/list\n  xfrdir: {home}\n  rrl-ratelimit: 0\n"
        f"  server-count: 1\nremote-control:\n  control-enable: no\n"
        f"zone:\n  name: e2e.example\n  zonefile: zone\n"
    )
    command = ["nsd", "-d", "-c", str(home / "nsd.conf")]
    with inside_hub(command, home / "log") as process:
        yield process


class Fleet:
    """The nodes and their nameservers, and the steps."""

    def __init__(
        self, nodes: list[Node], servers: list[subprocess.Popen[bytes]], deb: Path
    ) -> None:
        self.nodes, self.servers, self.deb = nodes, servers, deb
        self.one = nodes[0]
        self.before = [node.read("/etc/resolv.conf") for node in nodes]

    # -- looking --------------------------------------------------------------------------------

    def working(self, node: Node) -> bool:
        """Is codns ready, and in resolv.conf?"""
        return node.state("codns-resolvconf.service") == "active" == node.state("codns.service")

    def original(self, node: Node) -> bool:
        return node.read("/etc/resolv.conf") == self.before[self.nodes.index(node)]

    def resolves(self, node: Node, name: str, within_s: float = 1.0) -> float:
        """Ask as programs do; returns the seconds it took."""
        start = time.monotonic()
        found = node(f"getent ahostsv4 {name}.e2e.example").stdout
        took = time.monotonic() - start
        if f"198.18.0.{WEB}" not in found or took > within_s:
            raise E2EError(f"getent {name}: {found!r} in {took:.2f} s")
        return took

    def load(self, node: Node, rate: int, seconds: int, fresh: int = 5) -> subprocess.Popen[str]:
        return node.start(f"python3 /srv/load.py {rate} {seconds} {fresh}")

    def result(self, load: subprocess.Popen[str]) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(load.communicate()[0])
        return result

    def main_pid(self, node: Node) -> str:
        return node.property("codns.service", "MainPID")

    def inode(self, node: Node) -> str:
        return node("stat -c '%i %Y' /etc/resolv.conf").stdout

    # -- the steps ------------------------------------------------------------------------------

    def install(self) -> str:
        """dpkg -i, and it works: getent and curl through resolv.conf"""
        for node in self.nodes:
            node.put(self.deb, DEB)
            node.put(ROOT / "deploy/e2e/load.py", "/srv/load.py")
            node(f"dpkg -i {DEB}")
        took = [wait_for("installed", lambda n=n: self.working(n), 20) for n in self.nodes]
        for node in self.nodes:
            lines = node.read("/etc/resolv.conf").splitlines()
            servers = [line.split()[1] for line in lines if line.startswith("nameserver")]
            number = self.nodes.index(node) + 1
            if servers != ["127.0.0.1", f"198.18.0.{nameserver_of(number)}"]:
                raise E2EError(str(servers))
            self.resolves(node, "first")
            if node("curl -s http://www.e2e.example/").stdout != "hello\n":
                raise E2EError("curl")
            node("codns healthcheck")
            control = node("stat -c '%a %G' /run/codns/control.sock").stdout.strip()
            if control != "660 codns":
                raise E2EError(f"control.sock: {control}")
        node = self.one
        score = node("systemd-analyze security codns.service | tail -1").stdout.split()
        buffers = node("ss -lnumH src 127.0.0.1:53").stdout.partition("rb")[2].partition(",")[0]
        caps = node(f"grep CapEff /proc/{self.main_pid(node)}/status").stdout.split()[1]
        if int(caps, 16) or int(buffers) < 16 << 20:
            raise E2EError(f"capabilities {caps}, buffer {buffers}")
        exposure = next(word for word in score if word.replace(".", "").isdigit())
        return f"ready {max(took):.1f} s after dpkg; no capability; exposure {exposure}"

    def cooperate(self) -> str:
        """the nodes become a fleet, by a configuration and a reload or restart"""
        key = self.one("codns keygen").stdout
        nodes = ", ".join(f'"{node.address}:7353"' for node in self.nodes)
        for node in self.nodes:
            config = CONFIG.format(address=node.address, nodes=nodes)
            node(f"cat > /etc/codns/codns.yaml <<'EOF'\n{config}EOF\n"
                 f"umask 077; cat > /etc/codns/peers.key <<'EOF'\n{key}EOF\n"
                 "chgrp codns /etc/codns/peers.key; chmod 640 /etc/codns/peers.key; "
                 "codns check && systemctl restart codns.service")  # fmt: skip
        for node in self.nodes:
            wait_for("peers", lambda n=node: "peer" in n("journalctl -u codns -o cat").stdout, 20)
        time.sleep(5)  # two heartbeats: the neighbours are known
        return "peer link up on all nodes"

    def silence(self) -> str:
        """the nameserver of one node stops: nobody notices"""
        load = self.load(self.one, 50, 12, fresh=1)
        time.sleep(4)
        os.killpg(self.servers[0].pid, signal.SIGSTOP)
        try:
            result = self.result(load)
            took = self.resolves(self.one, "while-it-is-silent")
        finally:
            os.killpg(self.servers[0].pid, signal.SIGCONT)
        if result["lost"] or result["failed"]:
            raise E2EError(str(result))
        wait_for("recovered", lambda: self.resolves(self.one, f"r{time.time_ns()}"), 10)
        return f"{result}; getent {took * 1000:.0f} ms"

    def restart(self) -> str:
        """systemctl restart under load, three times: no query lost, resolv.conf untouched"""
        before = self.inode(self.one)
        load = self.load(self.one, 500, 14)
        for _ in range(3):
            time.sleep(3)
            self.one("systemctl restart codns.service")
        result = self.result(load)
        if result["lost"] or result["failed"] or self.inode(self.one) != before:
            raise E2EError(f"{result}, {before} {self.inode(self.one)}")
        return str(result)

    def reload(self) -> str:
        """systemctl reload"""
        pid = self.main_pid(self.one)
        self.one("systemctl reload codns.service")
        wait_for(
            "reloaded", lambda: "reloaded" in self.one("journalctl -u codns -o cat").stdout, 5
        )
        if self.main_pid(self.one) != pid or self.one.state("codns.service") != "active":
            raise E2EError("it is another one now")
        return "the same process"

    def kill(self) -> str:
        """SIGKILL of the master under load"""
        before, pid = self.inode(self.one), self.main_pid(self.one)
        load = self.load(self.one, 200, 6)
        time.sleep(2)
        self.one(f"kill -KILL {pid}")
        took = wait_for("back", lambda: self.back(pid), RETURN_S)
        result = self.result(load)
        if self.inode(self.one) != before:
            raise E2EError("resolv.conf was written")
        # What it had taken from the socket is gone with it: a stub asks again
        if result["lost"] > 20:
            raise E2EError(str(result))
        return f"ready again after {took:.1f} s; {result}"

    def back(self, pid: str) -> bool:
        node = self.one
        return node.state("codns.service") == "active" and self.main_pid(node) != pid

    def watchdog(self) -> str:
        """SIGSTOP of the master: the watchdog ends it, programs go on meanwhile"""
        pid = self.main_pid(self.one)
        self.one(f"kill -STOP {pid}")
        start = time.monotonic()
        took = self.resolves(self.one, "while-it-is-stopped", within_s=3.0)
        wait_for("killed and back", lambda: self.back(pid), WATCHDOG_S)
        whole = time.monotonic() - start
        if "watchdog" not in self.one("journalctl -u codns").stdout.lower():
            raise E2EError("it was not the watchdog")
        return f"back after {whole:.1f} s; getent meanwhile {took:.2f} s (2 s, then the original)"

    def crash_loop(self) -> str:
        """a configuration that is wrong at the next start: back to the original nameservers"""
        self.one(
            "cp /etc/codns/codns.yaml /srv/good.yaml; echo 'nonsense: 1' > /etc/codns/codns.yaml"
        )
        return self._fails("cp /srv/good.yaml /etc/codns/codns.yaml")

    def no_interpreter(self) -> str:
        """a broken interpreter: the same, and it needs no Python"""
        self.one("mv /usr/lib/codns/bin/python3 /usr/lib/codns/bin/gone")
        return self._fails("mv /usr/lib/codns/bin/gone /usr/lib/codns/bin/python3")

    def _fails(self, repair: str) -> str:
        node = self.one
        node("systemctl restart --no-block codns.service")
        slowest = 0.0
        start = time.monotonic()
        while not (self.original(node) and node.state("codns-retry.timer") == "active"):
            if time.monotonic() - start > BROKEN_S:
                raise E2EError("resolv.conf is not back")
            slowest = max(slowest, self.resolves(node, f"x{time.time_ns()}", within_s=4.5))
        took = time.monotonic() - start
        if node.state("codns.socket") == "active":
            raise E2EError("the socket is there")
        quick = self.resolves(node, "without-codns")
        # Five minutes later, still broken: nothing changes
        node("systemctl start codns-retry.service", check=False)
        wait_for("failed again", lambda: node.state("codns.socket") != "active", BROKEN_S)
        self.resolves(node, "still-without-codns")
        if not self.original(node) or node.state("codns-retry.timer") != "active":
            raise E2EError("not as before the second try")
        node(repair)
        node("systemctl start codns-retry.service")
        wait_for("codns is back", lambda: self.working(node), 20)
        wait_for("timer ended", lambda: node.state("codns-retry.timer") == "inactive", 5)
        self.resolves(node, "with-codns-again")
        return (
            f"original back after {took:.1f} s, slowest getent until then {slowest:.2f} s, "
            f"then {quick * 1000:.0f} ms; repaired, the timer's turn brings it back"
        )

    def stop(self) -> str:
        """systemctl stop codns.socket: resolv.conf as it was; start: codns again"""
        self.one("systemctl stop codns.socket")
        wait_for("stopped", lambda: self.original(self.one), 5)
        wait_for("ended", lambda: self.one.state("codns.service") == "inactive", 8)
        self.resolves(self.one, "stopped")
        self.one("systemctl start codns.socket codns.service")
        wait_for("started", lambda: self.working(self.one), 10)
        self.one("systemctl stop codns.service")
        took = self.resolves(self.one, "stopped-without-its-socket", within_s=3.0)
        wait_for("started by the query", lambda: self.one.state("codns.service") == "active", 5)
        return f"restored, installed; the daemon alone stopped: a query starts it ({took:.1f} s)"

    def power_failure(self) -> str:
        """the power fails: at the next boot codns knows the original nameserver"""
        self.one.crash()
        text = self.one.on_disk("/etc/resolv.conf")
        if "nameserver 127.0.0.1" not in text:
            raise E2EError(f"not what a power failure leaves: {text}")
        self.one.boot()
        wait_for("up after boot", lambda: self.working(self.one), 20)
        self.resolves(self.one, "after-the-boot")
        self.one("systemctl stop codns.socket")
        wait_for("restored", lambda: self.original(self.one), 5)
        self.one("systemctl start codns.socket codns.service")
        wait_for("started", lambda: self.working(self.one), 10)
        return "boots with codns; the original is still known"

    def upgrade(self) -> str:
        """dpkg -i over it: another process, the same socket and resolv.conf"""
        before, pid = self.inode(self.one), self.main_pid(self.one)
        load = self.load(self.one, 100, 12)
        self.one(f"dpkg -i --force-confold {DEB}")
        wait_for("the new one", lambda: self.back(pid), 10)
        result = self.result(load)
        if self.inode(self.one) != before or result["lost"]:
            raise E2EError(str(result))
        return str(result)

    def uninstall(self) -> str:
        """dpkg -P: resolv.conf byte for byte, nothing left"""
        for node in self.nodes:
            node("rm -f /etc/codns/peers.key; dpkg -P codns")  # the key is not the package's
            if not self.original(node):
                raise E2EError(node.read("/etc/resolv.conf"))
            left = node("find / -xdev -path /proc -prune -o -path /sys -prune -o -name '*codns*' "
                        "! -path '/srv/*' ! -path '/var/log/*' -print; pgrep -a codns",
                        check=False).stdout  # fmt: skip
            if left:
                raise E2EError(f"left: {left}")
            self.resolves(node, "after-all")
        return "restored on all nodes"

    def steps(self) -> list[Callable[[], str]]:
        return [
            self.install,
            self.cooperate,
            self.silence,
            self.restart,
            self.reload,
            self.kill,
            self.watchdog,
            self.crash_loop,
            self.no_interpreter,
            self.stop,
            self.power_failure,
            self.upgrade,
            self.uninstall,
        ]


def whole(fleet: Fleet, only: list[str]) -> None:
    """Take the steps, one line each."""
    for step in fleet.steps():
        if only and step.__name__ not in only:
            continue
        start = time.monotonic()
        what = (step.__doc__ or "").strip()
        try:
            said = step()
        except (E2EError, AssertionError) as error:
            print(f"FAILED  {what}\n{error}", file=sys.stderr)
            journal = fleet.one("journalctl --no-pager -u 'codns*' | tail -80", check=False)
            print(journal.stdout, file=sys.stderr)
            raise
        print(f"ok {time.monotonic() - start:6.1f} s  {what}\n             {said}", flush=True)


def main() -> None:
    """Everything, from the tree to the last step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tree", type=Path, default=Path("/var/cache/codns-e2e/tree"))
    parser.add_argument("--deb", type=Path, help="an already built package")
    parser.add_argument("--only", nargs="*", default=[], help="names of steps")
    options = parser.parse_args()
    start = time.monotonic()
    options.tree.parent.mkdir(parents=True, exist_ok=True)
    make_tree(options.tree)
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="codns-e2e-")))
        deb = options.deb
        if deb is None:
            run(str(ROOT / "deploy/build-deb"), str(work))
            deb = next(work.glob("*.deb"))
        hub = stack.enter_context(Hub())
        numbers = range(1, NODES + 1)
        servers = [
            stack.enter_context(nameserver(hub, nameserver_of(number), work)) for number in numbers
        ]
        web = work / "web"
        web.mkdir()
        (web / "index.html").write_text("hello\n")
        serve = [sys.executable, "-u", "-m", "http.server", "80", "--bind", hub.add_address(WEB),
                 "--directory", str(web)]  # fmt: skip
        stack.enter_context(inside_hub(serve, work / "web.log"))
        nodes = [
            stack.enter_context(Node(number, options.tree, work, resolv_conf(number)))
            for number in numbers
        ]
        print(f"ok {time.monotonic() - start:6.1f} s  {NODES} nodes booted ({HUB})", flush=True)
        whole(Fleet(nodes, servers, deb.resolve()), options.only)


if __name__ == "__main__":
    main()
