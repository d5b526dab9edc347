"""What breaks and what operators do while it runs, as `plan` says.

Faults of nameservers are the emulator's own; here are those of processes and peers. A partition is
a node that reloads with a key that nobody else has: to peers it is silent, as they are to it.
"""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any, Final

import trio

from bench.soak import http, plan
from bench.soak.fleet import Fleet, Node, replace
from bench.soak.plan import Chore, Fault
from codns.peer.keyfile import generate

Note = Callable[[dict[str, Any]], None]

GARBAGE: Final = "listen: [127.0.0.1:53\nnameserver: {of: none}\n"
SETTLE_S: Final = 1.0  # between the steps of a chore
SETTLE_SHARE: Final = 0.02  # of a cycle at most: chores of a short run must not meet
LOOK_S: Final = 2.0  # between two questions of whoever looks at the fleet
LOOKS: Final = (
    "/v1/summary", "/v1/status", "/v1/races", "/v1/history", "/v1/peers", "/v1/cache",
    "/v1/explain?name=www0.site0.example&type=1", "/v1/explain?name=w0.nowhere.example&type=28",
    "/v1/cache/lookup?name=www1.site1.example", "/healthz", "/readyz", "/nothing",
    "/v1/explain?name=..&type=x",
)  # fmt: skip
PAGES: Final = ("/", "/status", "/metrics", "/healthz", "/v1/cache/flush?all=1", "/../etc/passwd")
RUBBISH: Final = b"GET  / HTTP/9.9\r\nHost :\r\n\r\n" + bytes(64)


class Chores:
    """All of it."""

    def __init__(self, fleet: Fleet, seconds: float, note: Note) -> None:
        self.fleet, self.seconds, self.note = fleet, seconds, note
        self.settle_s = min(SETTLE_S, SETTLE_SHARE * plan.cycle_s(seconds))
        self.refused: list[str] = []  # chores that the daemons did not do as they should

    async def run(self, start: float) -> None:
        """Until the end of the run; each in a task of its own."""
        async with trio.open_nursery() as nursery:
            for fault in plan.faults(self.seconds):
                nursery.start_soon(self.fault, fault, start)
            for chore in plan.chores(self.seconds):
                nursery.start_soon(self.chore, chore, start)
            nursery.start_soon(self.look)

    async def fault(self, fault: Fault, start: float) -> None:
        """From its beginning to its end."""
        await trio.sleep_until(start + fault.start)
        row = {"at": fault.start, "end": fault.end, "fault": fault.kind, "nodes": fault.nodes}
        self.note(row)
        until = start + fault.end
        node = self.fleet.nodes[fault.nodes[0]]
        if fault.kind == "node down":
            node.kill()
            await trio.sleep_until(until)
            node.start()
        elif fault.kind == "slave killed":
            kill(node.slaves()[:1], signal.SIGKILL)
        elif fault.kind == "slave stopped":
            stopped = node.slaves()[:1]
            kill(stopped, signal.SIGSTOP)
            await trio.sleep_until(until)
            kill([pid for pid in stopped if pid in node.slaves()], signal.SIGCONT)
        elif fault.kind == "partition":
            peers = {**node.document["peers"], "key_file": str(self.fleet.strange_key)}
            node.write({**node.document, "peers": peers})
            node.reload()
            await trio.sleep_until(until)
            node.write(node.document)
            node.reload()

    async def chore(self, chore: Chore, start: float) -> None:
        """One."""
        await trio.sleep_until(start + chore.at_s)
        self.note({"at": chore.at_s, "chore": chore.kind})
        nodes = self.fleet.nodes
        if chore.kind == "reload":
            for node in nodes:
                node.reload()
        elif chore.kind == "bad reload":
            await self.bad_reload(nodes[0])
        elif chore.kind == "rotate":
            await self.rotate()
        elif chore.kind == "flush all":  # of one node only: others show their cache full
            await self.post(nodes[1], "/v1/cache/flush?all=1")
        elif chore.kind == "flush zone":
            await self.post(nodes[2], "/v1/cache/flush?zone=site7.example")
        elif chore.kind == "flush name":
            await self.post(nodes[0], "/v1/cache/flush?name=www0.site0.example")

    async def post(self, node: Node, path: str, status: int = 200) -> None:
        """Something that changes something."""
        answer = await http.ask(node.control, path, method="POST")
        if answer is None or answer.status != status:
            said = answer and (answer.status, answer.body[:200])
            self.refused.append(f"node {node.index + 1} {path}: {said}")

    async def bad_reload(self, node: Node) -> None:
        """By signal and by verb; then the good one again."""
        replace(node.config, GARBAGE)
        node.reload()
        await trio.sleep(self.settle_s)
        await self.post(node, "/v1/reload", 409)
        node.write(node.document)
        await self.post(node, "/v1/reload")

    async def rotate(self) -> None:
        """A new key in three steps: all open it, all seal with it, the old one is gone."""
        file = self.fleet.nodes[0].key_file
        old = file.read_text()
        new = generate()
        for text in (old + new, new + old, new):
            replace(file, text)
            for node in self.fleet.nodes:
                node.reload()
            await trio.sleep(self.settle_s)

    async def look(self) -> None:
        """Whoever watches the fleet: one question after the other, to node after node."""
        for i in count():
            await trio.sleep(LOOK_S)
            node = self.fleet.nodes[i % plan.NODES]
            turn = i // plan.NODES
            await http.ask(node.control, LOOKS[turn % len(LOOKS)])
            await http.ask(node.http, PAGES[turn % len(PAGES)])
            if turn % 10 == 0:
                await http.ask(node.http, "/", raw=RUBBISH)


def kill(pids: list[int], signum: int) -> None:
    """Those that are still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signum)
