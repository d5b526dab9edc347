"""Six nodes under load, and the acts that are played upon them."""

import json
import pickle
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final, Self

from bench.chaos import net
from bench.chaos.faults import Rig
from bench.chaos.judge import Act, Afflicted
from bench.chaos.net import ChaosError, Host
from bench.chaos.node import Node, Resources
from bench.chaos.table import BY_NAME, FAKED
from bench.masking.client import Lookup
from bench.servers import ROOT
from codns.peer.keyfile import generate

NODES: Final = 6
WELL_S_MAX: Final = 60.0  # a peer that was down is tried again after 4 s, 8 s, 16 s, with jitter
WELL_LOOKUP_S: Final = 1.0
LOOK_S: Final = 0.2
LEAD_S: Final = 2.0  # from the decision to begin until the first lookup
WARM_S: Final = 10.0  # of load before the first fault
CALM_S: Final = 1.5  # between two acts
CLIENTS_S_MAX: Final = 30.0  # two times 5 s, and writing


class Fleet:
    """Everything that runs."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.chance = random.Random(seed)
        net.make_hub(NODES)
        key = generate()
        addresses = [f"{net.NETWORK}.{number}" for number in range(1, NODES + 1)]
        self.nodes = [
            Node(Host(number), folder, addresses, key, number == FAKED)
            for number in range(1, NODES + 1)
        ]
        self.start = 0.0  # of the load
        self._serial = 0
        self._clients: list[subprocess.Popen[str]] = []
        self._nameservers = subprocess.Popen(
            [sys.executable, "-m", "bench.chaos.nameservers"]
            + [node.host.nameserver for node in self.nodes],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )

    def __enter__(self) -> Self:
        try:
            assert self._nameservers.stdout is not None
            _ready(self._nameservers.stdout, "nameservers")
            for node in self.nodes:
                node.start()
            for node in self.nodes:
                node.wait_ready()
            self.wait_well()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.stop()
        for process in (*self._clients, self._nameservers):
            process.kill()
            process.wait()

    # -- load -----------------------------------------------------------------------------------

    def load(self, rate: float, seconds: float, seed: int) -> None:
        """Begin it; returns when it has begun."""
        for i, node in enumerate(self.nodes):
            spec = {
                "rate": rate,
                "seconds": seconds,
                "nodes": NODES,
                "seed": seed,
                "node": i,
                "file": str(self.folder / f"lookups{i}"),
            }
            self._begin_clients(node, spec)
        for process in self._clients:
            assert process.stdout is not None
            _ready(process.stdout, "clients")

    def _begin_clients(self, node: Node, spec: dict[str, Any]) -> None:
        if not self.start:
            self.start = time.monotonic() + LEAD_S
        path = Path(f"{spec['file']}.json")
        path.write_text(json.dumps({**spec, "start": self.start}))
        command = node.host.command(sys.executable, "-m", "bench.chaos.clients", str(path))
        self._clients.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True)
        )

    def lookups(self) -> tuple[list[Lookup], list[float]]:
        """What came of the load, and how late its lookups left, ascending. Waits for its end."""
        found, late = [], []
        for i, process in enumerate(self._clients):
            if process.wait(CLIENTS_S_MAX):
                raise ChaosError(f"clients of n{i + 1} ended with {process.returncode}")
            rows, its_late = pickle.loads((self.folder / f"lookups{i}").read_bytes())
            found += [Lookup(*row) for row in rows]
            late += its_late
        return found, sorted(late)

    # -- acts -----------------------------------------------------------------------------------

    def now(self) -> float:
        """Seconds since the load began."""
        return time.monotonic() - self.start

    def act(self, pairs: list[tuple[str, int]]) -> Act:
        """Faults on nodes, at a time; until all is well again."""
        began = self.now()
        done: list[Afflicted] = []
        threads = [
            threading.Thread(target=lambda f=f, n=n: done.append(self._afflict(f, n)))
            for f, n in pairs
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        error = ""
        try:
            self.wait_well()
        except ChaosError as problem:
            error = f"not well again: {problem}"
        return Act(sorted(done), began, self.now(), error)

    def _afflict(self, fault: str, number: int) -> Afflicted:
        self._serial += 1
        rig = Rig(self.tell_nameserver, random.Random(self.chance.random()), self._serial)
        node, began, error = self.nodes[number], self.now(), ""
        try:
            BY_NAME[fault].run(rig, node)
        except Exception as problem:  # noqa: BLE001 - whatever it is, the others go on
            error = f"{fault}: {problem!r}"
        return Afflicted(fault, number, began, self.now(), error)

    def tell_nameserver(self, node: Node, mode: str) -> None:
        """Let a node's nameserver be otherwise."""
        assert self._nameservers.stdin is not None
        self._nameservers.stdin.write(f"{self.nodes.index(node)} {mode}\n")
        self._nameservers.stdin.flush()

    def wait_well(self) -> None:
        """Until all know each other, trust their nameservers, answer what is new. ChaosError."""
        deadline = time.monotonic() + WELL_S_MAX
        for node in self.nodes:
            while problem := self._unwell(node):
                if time.monotonic() > deadline:
                    raise ChaosError(problem)
                time.sleep(LOOK_S)

    def _unwell(self, node: Node) -> str:
        cooperation = node.told().get("cooperation")
        if cooperation is None:
            return f"{node.host.name} does not tell how it is"
        if (up := cooperation["peers_up"]) < NODES - 1:
            return f"{node.host.name} knows {up} peers"
        if (state := cooperation["path"]["state"]) != "healthy":
            return f"{node.host.name} takes its nameserver for {state}"
        self._serial += 1
        try:
            node.ask(f"well{self._serial}.of{node.host.name}.example.", WELL_LOOKUP_S)
        except ChaosError as error:
            return str(error)
        return ""

    def resources(self) -> list[Resources]:
        """Of all nodes."""
        return [node.resources() for node in self.nodes]


def _ready(said: IO[str], who: str) -> None:
    if "ready" not in said.readline():
        raise ChaosError(f"{who} did not start")


def schedule(
    fleet: Fleet, chosen: list[str], seconds: float, tell: Callable[[str], None]
) -> list[Act]:
    """Each fault once, then two at a time, as long as there is time for another."""
    chance = fleet.chance
    singles = chance.sample(chosen, len(chosen))
    time.sleep(max(0.0, WARM_S - fleet.now()))
    acts: list[Act] = []
    while True:
        left = seconds - fleet.now()
        if singles:
            names = [singles.pop(0)]
        else:
            fitting = [name for name in chosen if BY_NAME[name].takes_s <= left]
            if not fitting:
                return acts
            names = chance.sample(fitting, min(2, len(fitting)))
        if max(BY_NAME[name].takes_s for name in names) > left:
            continue  # a first one that does not fit: told as not run
        pairs = placed(names, chance)
        tell(f"{fleet.now():5.0f} s: " + ", ".join(f"{f} at n{n + 1}" for f, n in pairs))
        acts.append(fleet.act(pairs))
        time.sleep(CALM_S)


def placed(names: list[str], chance: random.Random) -> list[tuple[str, int]]:
    """On nodes, different ones; only one has a clock that jumps."""
    free = chance.sample(range(NODES), NODES)
    pairs = []
    for name in sorted(names, key=lambda name: name != "clock-jumps"):
        node = FAKED - 1 if name == "clock-jumps" else free[0]
        free.remove(node)
        pairs.append((name, node))
    return pairs
