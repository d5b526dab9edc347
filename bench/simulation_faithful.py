"""Is the simulator right? The same scenario in virtual time and with real daemons on loopback.

The fleet is `bench.masking`'s: four nodes, each with its own emulated nameserver, node 1's
failing. Its plan of lookups and its nameservers' luck follow from seeds alone, so here the same
lookups meet the same nameservers at the same times, once in four daemons with their slaves and
once in four `core.Node`s. Compared are p50 and p95 of misses, and how many of them a peer won.

What virtual time does not have is the time that programs take. It is measured where nothing
fails, as the difference of the medians of nodes 2 to 4, and given to each exchange in virtual
time.

Nor do the nodes' own random numbers agree (when a probe leaves, say). Where a nameserver fails by
chance, whether a probe meets a burst decides if peers are asked at once or after the initial
delay for the next 16 s: one run differs from the next by more than anything compared here. So
virtual time has `--seeds` lives, whose mean and range are shown. A real figure *agrees* if it is
within 15 % of the mean; if it is not, but inside the range and the range is wider than that, this
is said: then one life tells nothing, and real ones would have to be many.
"""

import argparse
import sys
from collections.abc import Sequence
from statistics import fmean
from typing import Any, Final, NamedTuple

from bench import common
from bench.masking import emulator, load
from bench.masking.emulator import Spec, slow_everywhere
from bench.masking.faults import Fault
from bench.masking.fleet import Cell, run_batch
from bench.masking.systems import NODES, System
from codns.sim import links
from codns.sim.behaviour import Reaction
from codns.sim.book import Name
from codns.sim.cluster import Cluster
from codns.sim.host import Ask

LEAD_S: Final = 20.0  # virtual: the nodes find each other before the load begins
AGREE: Final = 0.15
AGREES, CHANCE, APART = "agrees", "within what chance makes", "APART"
TYPES: Final = (2, 6)  # NS and SOA, which the zone and the root have


class Figures(NamedTuple):
    """What is compared. Times in ms."""

    p50: float
    p95: float
    won: float  # remote wins a miss, of all nodes


class Emulated:
    """The emulator's nameserver without its sockets."""

    def __init__(self, site: int, fault: str, seconds: float, further_s: float) -> None:
        self._server = object.__new__(emulator.Nameserver)
        self._server.spec = Spec("", 0, 0, site, fault)
        self._server.fault = Fault(fault, seconds)
        self._server.start = LEAD_S
        self._server.asked = {}
        self._further_s = further_s

    def __call__(self, name: Name, now: float) -> Reaction:
        """As `Emulator.received` does."""
        delay = self._server.delay(name.name, slow_everywhere(name.name), now)
        if delay is None:
            return None
        delay += self._further_s
        inside = name.name.endswith(emulator.APEX)
        if name.qtype in TYPES and name.name in (emulator.APEX, emulator.ROOT):
            return delay, name.address(3600)
        if inside and name.qtype == 1:
            found = load.traits(name.name)
            return delay, name.address(found.ttl, found.address)
        return delay, name.denial(60, nxdomain=not inside and name.name != emulator.ROOT)


class Virtual:
    """The fleet in virtual time."""

    def __init__(
        self,
        policy: str,
        fault: str,
        plan: Sequence[load.Arrival],
        seconds: float,
        further_s: float,
        seed: int,
    ) -> None:
        self.cluster = Cluster(
            [
                Emulated(site, fault if site == 0 else "none", seconds, further_s)
                for site in range(NODES)
            ],
            link=links.same(further_s / 2),
            seed=seed,
            settings={"race_policy": policy},
            introductions=True,
            looking=True,
            kept=0,
        )
        self.misses: list[list[float]] = [[] for _ in range(NODES)]
        self._fresh: dict[tuple[int, str], float] = {}
        self._in_flight: dict[tuple[int, str], int] = {}
        self._missed: set[Ask] = set()
        self.cluster.answered_hook = self._answered
        self.cluster.run(LEAD_S - 10)
        for number, arrival in enumerate(plan):
            self.cluster.at(LEAD_S + arrival.at_s, self._begin, (number, arrival))
        self.cluster.run(LEAD_S + seconds + 10)

    def _begin(self, what: tuple[int, load.Arrival]) -> None:
        """What `client.Client.begin` does."""
        number, arrival = what
        cluster, where = self.cluster, (arrival.node, arrival.name)
        name = cluster.book.name(arrival.name)
        ask = Ask(cluster[arrival.node], name, number & 0xFFFF, number, cluster.now)
        waiting = self._in_flight.get(where, 0)
        if not waiting and self._fresh.get(where, -1.0) <= cluster.now:
            self._missed.add(ask)
        self._in_flight[where] = waiting + 1
        cluster.submit(ask, name.tail)

    def _answered(self, ask: Ask) -> None:
        where = (ask.host.index, ask.name.text.removesuffix(" A"))
        self._in_flight[where] -= 1
        missed = ask in self._missed
        if ask.rcode == 0:
            ttl = load.traits(ask.name.name).ttl
            until = ask.answered_at + ttl if missed else ask.at
            self._fresh[where] = max(self._fresh.get(where, 0.0), until)
        if missed and ask.at >= LEAD_S:
            self.misses[ask.host.index].append(ask.answered_at - ask.at)

    def figures(self, nodes: Sequence[int]) -> Figures:
        """Of some nodes; wins of all, since the start."""
        told: list[Any] = [
            host.node.status(self.cluster.now)["cooperation"] for host in self.cluster.hosts
        ]
        won = sum(cooperation["remote"]["won"] for cooperation in told)
        return _figures([self.misses[node] for node in nodes], won, len(self._missed))


def real(cell: Cell, nodes: Sequence[int]) -> Figures:
    """The daemons' figures."""
    misses = [
        [lookup.latency_s for lookup in cell.measured() if lookup.miss and lookup.node == node]
        for node in nodes
    ]
    won = sum(told["cooperation"]["remote"]["won"] for told in cell.told)
    return _figures(misses, won, sum(lookup.miss for lookup in cell.lookups))


def _figures(misses: Sequence[Sequence[float]], won: int, total: int) -> Figures:
    times = sorted(time for of_node in misses for time in of_node)
    p50, p95 = (1000 * common.percentile(times, percent) for percent in (50.0, 95.0))
    return Figures(p50, p95, won / total)


def compare(policy: str, fault: str, args: argparse.Namespace) -> bool:
    """Run both, print both; False if something is apart."""
    plan = load.plan(args.rate, args.seconds, 6.0, NODES, args.seed)
    batch = run_batch([(System("codns", policy), fault)], plan, args.seconds)
    cell, healthy = batch.cells[0], range(1, NODES)
    bare = Virtual(policy, fault, plan, args.seconds, 0.0, 1)
    further_s = (real(cell, healthy).p50 - bare.figures(healthy).p50) / 1000
    lives = [
        Virtual(policy, fault, plan, args.seconds, max(further_s, 0.0), seed)
        for seed in range(1, args.seeds + 1)
    ]
    print(f"{policy}, {fault}: programs take {1000 * further_s:.2f} ms an exchange")
    apart = 0
    for label, nodes in (("sick node", [0]), ("all nodes", list(range(NODES)))):
        there, here = real(cell, nodes), [life.figures(nodes) for life in lives]
        for field in Figures._fields:
            one = getattr(there, field)
            others = [getattr(figures, field) for figures in here]
            verdict = judge(one, others)
            apart += verdict == APART
            mean, low, high = fmean(others), min(others), max(others)
            told = f"  {label}  {field:4}  real {one:8.3f}  virtual {mean:8.3f}"
            print(f"{told} ({low:.3f} - {high:.3f})  {mean / one - 1:+.1%}  {verdict}")
    if batch.quality.doubtful:
        print("  CAREFUL: the machine was busy; the real figures may be too high")
    return not apart


def judge(one: float, others: Sequence[float]) -> str:
    """Of a real figure beside those of virtual lives."""
    mean, low, high = fmean(others), min(others), max(others)
    if abs(mean / one - 1) <= AGREE:
        return AGREES
    wide = high - low > AGREE * mean
    return CHANCE if wide and low <= one <= high else APART


def main(argv: Sequence[str]) -> int:
    """Compare, for each policy and fault that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.simulation faithful")
    parser.add_argument("--policy", default="adaptive,codns2004")
    parser.add_argument("--fault", default="periodic,continuous,sporadic")
    parser.add_argument("--rate", type=float, default=40.0)
    parser.add_argument("--seconds", type=float, default=100.0)
    parser.add_argument("--seed", type=int, default=1, help="of the lookups")
    parser.add_argument("--seeds", type=int, default=8, help="lives in virtual time")
    args = parser.parse_args(argv)
    agree = [
        compare(policy, fault, args)
        for policy in args.policy.split(",")
        for fault in args.fault.split(",")
    ]
    return 0 if all(agree) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
