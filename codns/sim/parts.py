"""One fleet in several processes: each simulates a part of the nodes, and all come to the same.

Nothing arrives sooner than it takes the nearest two nodes of different parts: the *lookahead*, a
millisecond or two. So when all processes know when anything happens next in any of them, each may
go on alone to that time and a lookahead more: whatever the others do meanwhile arrives later
(conservative synchronisation; Chandy and Misra, CACM 24(4), 1981; Fujimoto, CACM 33(10), 1990).
Then they tell each other what has left and when their next event is, and so on: for 1,000 nodes
a window has some fifty events in it.

That it changes nothing, not the order of two events of a node and not a random number, is what the
rest of `sim` is made for: what is drawn for a node follows from (seed, purpose, node), and what
befalls everybody (faults, churn) is carried out by every process. A test compares the bytes.

Nodes that share a nameserver, or a site, are never apart. Not to be parted are fleets on one
switch, whose lookahead is next to nothing, and those with abstract heartbeats, which are read from
all nodes at once.
"""

import socket
import time
from collections.abc import Callable, Sequence
from math import inf, nextafter
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from codns.config.problems import ConfigError, Problem
from codns.sim.checks import ViolationError
from codns.sim.cluster import Elsewhere, Parcel
from codns.sim.kernel import Kernel
from codns.sim.meter import Node
from codns.sim.network import Network, site_numbers
from codns.sim.scenario import Scenario
from codns.sim.simulation import Simulation, network_of
from codns.sim.tally import Counts

if TYPE_CHECKING:
    from codns.sim.runs import Run

PARTS_MAX: Final = 64  # cores of a large machine; each tells each other something a window
LOOKAHEAD_MIN_S: Final = 0.0005  # less, and they tell each other more than they do
BATCH_MAX: Final = 400  # parcels told at once: 40 KB, for which no socket makes anybody wait
PACKET_MAX: Final = 1 << 20  # a batch of the largest answers that simulated nameservers give
LOOKS: Final = 500  # for a packet, before being put to sleep: some 300 us
END_S: Final = 5.0  # what a process that is told to stop may take for it
HEARTBEATS: Final = 20.0  # events a second of a node without lookups
PER_LOOKUP: Final = 4.0  # and for each lookup


class Plan(NamedTuple):
    """Which part simulates which node, and how long a message takes from one to another."""

    part_of: list[int]
    lookahead_s: float

    def elsewhere(self, me: int) -> frozenset[int]:
        """Return the nodes that part `me` does not simulate."""
        return frozenset(node for node, part in enumerate(self.part_of) if part != me)


def plan(scenario: Scenario, network: Network, parts: int) -> Plan:
    """Cut a fleet in up to so many parts of much the same work, along its map.

    ConfigError if it cannot be.
    """
    if scenario.heartbeats == "abstract":
        raise _impossible("heartbeats", "abstract ones are read from all nodes at once")
    units = _units(scenario, network)
    total = sum(work for _, work, _ in units)
    part_of = [0] * sum(len(nodes) for _, _, nodes in units)
    done, part = 0.0, 0
    for _, work, nodes in sorted(units):
        # A unit belongs where its middle lies
        part = max(part, min(int((done + work / 2) / total * parts), parts - 1))
        for node in nodes:
            part_of[node] = part
        done += work
    used = sorted(set(part_of))
    part_of = [used.index(part) for part in part_of]
    lookahead_s = _lookahead(network, site_numbers(scenario), part_of)
    if lookahead_s < LOOKAHEAD_MIN_S:
        text = f"nodes {lookahead_s * 2000:g} ms apart are too near to be parted"
        raise _impossible("network", text)
    return Plan(part_of, lookahead_s)


def _units(scenario: Scenario, network: Network) -> list[tuple[float, float, list[int]]]:
    """Return (place, work, nodes) of all that must stay together."""
    units: list[tuple[float, float, list[int]]] = []
    node = site = 0
    for kind in scenario.sites.values():
        rate = scenario.workload.rate if kind.rate is None else kind.rate
        work = kind.nodes * (HEARTBEATS + PER_LOOKUP * rate)
        for number in range(kind.count):
            nodes = list(range(node, node + kind.nodes))
            if kind.shared and number:
                units[-1] = units[-1][0], units[-1][1] + work, units[-1][2] + nodes
            else:
                units.append((network.longitude(site), work, nodes))
            node, site = node + kind.nodes, site + 1
    return units


def _lookahead(network: Network, site_of: list[int], part_of: list[int]) -> float:
    """Return the least one-way delay between two nodes of different parts; inf: there are none."""
    first: dict[int, int] = {}  # of each site: they are all in one place
    for node, site in enumerate(site_of):
        first.setdefault(site, node)
    nodes = list(first.values()) if network.by_site else range(len(site_of))
    parts: dict[int, list[int]] = {}
    for node in nodes:
        parts.setdefault(part_of[node], []).append(node)
    least = inf
    for part, here in parts.items():
        there = [node for other, nodes in parts.items() if other != part for node in nodes]
        least = min(least, min((network.rtt(a, b) for a in here for b in there), default=inf))
    return least / 2


Links = dict[int, socket.socket]


class Exchange:
    """What the parts tell each other. `others`: a socket to each, by part; a packet a time."""

    def __init__(self, plan: Plan, others: Links) -> None:
        self._part_of = plan.part_of
        self._lookahead_s = plan.lookahead_s
        self._others = others
        self._outgoing: dict[int, list[Parcel]] = {part: [] for part in others}
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(tuple[float, bool, list[Parcel]])
        self.deliver: Callable[[Parcel], None]

    def post(self, parcel: Parcel) -> None:
        """A message leaves for a node elsewhere."""
        self._outgoing[self._part_of[parcel.target]].append(parcel)

    def run(self, kernel: Kernel, until: float) -> None:
        """Let time pass up to and including `until`, here and everywhere."""
        while (earliest := self._swap(kernel)) <= until:
            kernel.run(min(nextafter(earliest + self._lookahead_s, -inf), until))
        kernel.run(until)

    def _swap(self, kernel: Kernel) -> float:
        """Hand over what was posted; return when anything happens next anywhere."""
        earliest, more = kernel.next(), True
        while more:
            more = False
            for part, link in self._others.items():
                waiting = self._outgoing[part]
                now, self._outgoing[part] = waiting[:BATCH_MAX], waiting[BATCH_MAX:]
                told = min([kernel.next(), *(parcel.time for parcel in waiting)])
                earliest = min(earliest, told)
                unfinished = bool(self._outgoing[part])
                more = more or unfinished
                link.send(self._encoder.encode((told, unfinished, now)))
            came: list[Parcel] = []
            for link in self._others.values():
                told, unfinished, parcels = self._decoder.decode(_received_from(link))
                earliest = min(earliest, told)
                more = more or unfinished
                came += parcels
            came.sort(key=lambda parcel: parcel.time)
            for parcel in came:
                self.deliver(parcel)
        return earliest


def _received_from(link: socket.socket) -> bytes:
    """Return the next packet. The other is nearly done: looking is quicker than to be woken."""
    for _ in range(LOOKS):
        try:
            packet = link.recv(PACKET_MAX, socket.MSG_DONTWAIT)
            break
        except BlockingIOError:
            continue
    else:
        packet = link.recv(PACKET_MAX)
    if not packet:
        raise EOFError
    return packet


class Part(NamedTuple):
    """What a process found out about its nodes, for the one that makes the report."""

    meters: dict[int, Node]
    begun: tuple[dict[int, Counts], dict[str, Counts]]
    ended: tuple[dict[int, Counts], dict[str, Counts]]
    peaks: dict[str, int]
    asked_of: list[int]
    first_wins: dict[int, int]
    events: int
    seconds: float


def simulate(
    run: "Run", processes: int, progress: Callable[[float], None] | None = None
) -> tuple[Simulation, float]:
    """Carry out a run in so many processes; this one is one of them.

    Returns the simulation as if there had been one, and the seconds of processor time of all.
    ConfigError, ViolationError as without. A fleet that is one site takes one process.
    """
    scenario = run.scenario()
    cut = plan(scenario, network_of(scenario), min(processes, PARTS_MAX))
    parts = max(cut.part_of) + 1
    context = get_context("spawn")
    links: list[Links] = [{} for _ in range(parts)]
    for one in range(parts):
        for other in range(one + 1, parts):
            pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            links[one][other], links[other][one] = pair
    ways = [context.Pipe() for _ in range(1, parts)]
    others = [
        context.Process(target=_work, args=(run, cut, part, links[part], ways[part - 1][1]))
        for part in range(1, parts)
    ]
    try:
        for process in others:
            process.start()
        for part in range(1, parts):  # theirs alone: else nobody sees when one ends
            ways[part - 1][1].close()
            for link in links[part].values():
                link.close()
        found: list[Part] = []
        try:
            simulation, began = _carry_out(run, scenario, cut, 0, links[0], progress)
            seconds = time.process_time() - began
            found += [_received(way) for way, _ in ways]
        except (EOFError, OSError):
            raise _reason([way for way, _ in ways], others) from None
        for part_found in found:
            _merge(simulation, part_found)
        return simulation, seconds + sum(part_found.seconds for part_found in found)
    finally:
        for link in links[0].values():
            link.close()
        for process in others:
            process.join(END_S)
            process.kill()


def _carry_out(
    run: "Run",
    scenario: Scenario,
    cut: Plan,
    me: int,
    links: Links,
    progress: Callable[[float], None] | None,
) -> tuple[Simulation, float]:
    policy = dict(run.settings).get("policy")
    exchange = Exchange(cut, links)
    began = time.process_time()
    simulation = Simulation(
        scenario,
        policy=str(policy) if policy else None,
        checked=run.checked,
        elsewhere=Elsewhere(cut.elsewhere(me), exchange.post),
    )
    cluster = simulation.cluster
    exchange.deliver = cluster.deliver
    cluster.advance = lambda until: exchange.run(cluster.kernel, until)
    simulation.run(progress)
    return simulation, began


def _work(run: "Run", cut: Plan, me: int, links: Links, result: Connection) -> None:
    """What another process does; what it finds, or what went wrong, goes to `result`."""
    try:
        simulation, began = _carry_out(run, run.scenario(), cut, me, links, None)
        nodes = [node for node, part in enumerate(cut.part_of) if part == me]
        result.send(_part(simulation, nodes, time.process_time() - began))
    except ViolationError as violation:
        result.send(str(violation))
    except (EOFError, OSError, KeyboardInterrupt):
        pass  # another has said why
    finally:
        for link in links.values():
            link.close()


def _part(simulation: Simulation, nodes: list[int], seconds: float) -> Part:
    cluster = simulation.cluster
    servers = {address for node in nodes for address in cluster[node].servers}

    def own(counts: tuple[list[Counts], dict[str, Counts]]) -> Any:
        return (
            {node: counts[0][node] for node in nodes},
            {address: counts[1][address] for address in servers},
        )

    return Part(
        {node: simulation.meter.nodes[node] for node in nodes},
        own(simulation.begun),
        own(simulation.ended),
        {address: simulation.servers[address].peak for address in servers},
        simulation.asked_of,
        simulation.first_wins,
        cluster.kernel.events,
        seconds,
    )


def _merge(simulation: Simulation, part: Part) -> None:
    for node, meter in part.meters.items():
        simulation.meter.nodes[node] = meter
    for mine, theirs in ((simulation.begun, part.begun), (simulation.ended, part.ended)):
        for node, counts in theirs[0].items():
            mine[0][node] = counts
        mine[1].update(theirs[1])
    for address, peak in part.peaks.items():
        simulation.servers[address].peak = peak
    for node, asked in enumerate(part.asked_of):
        simulation.asked_of[node] += asked
    for place, wins in part.first_wins.items():
        simulation.first_wins[place] = simulation.first_wins.get(place, 0) + wins
    simulation.cluster.kernel.events += part.events


def _received(way: Connection) -> Part:
    found = way.recv()
    if isinstance(found, str):
        raise ViolationError(found)
    assert isinstance(found, Part)
    return found


def _reason(ways: Sequence[Connection], others: Sequence[BaseProcess]) -> Exception:
    """Return why another process has gone."""
    for way in ways:
        try:
            if way.poll(END_S):
                _received(way)
        except ViolationError as violation:
            return violation
        except (EOFError, OSError):
            continue
    for process in others:
        process.join(END_S)
    codes = [process.exitcode for process in others if process.exitcode]
    said = "one of the processes was ended"
    if codes and codes[0] < 0:
        said += f" by signal {-codes[0]}: is there memory for all of them?"
    return ConfigError([Problem("jobs", said, source="command line")])


def _impossible(key: str, text: str) -> ConfigError:
    return ConfigError([Problem(key, f"{text}; only --jobs 1 will do")])
