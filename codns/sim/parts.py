"""One fleet in several processes: each simulates a part of the nodes, and all come to the same.

Nothing arrives sooner than it takes the nearest two nodes of different parts: the *lookahead*, a
millisecond or two. So when all processes know when anything happens next in any of them, each may
go on alone to that time and a lookahead more: whatever the others do meanwhile arrives later
(conservative synchronisation; Chandy and Misra, CACM 24(4), 1981; Fujimoto, CACM 33(10), 1990).
Then they tell each other what has left and when their next event is, and so on: for 1,000 nodes
a window has some fifty events in it.

That it changes nothing, not the order of two events of a node and not a random number, is what
the rest of `sim` is made for: what is drawn for a node follows from (seed, purpose, node),
messages that arrive at one instant come in their senders' order, and what befalls everybody
(faults, churn) is carried out by every process. Tests compare the reports.

Nodes that share a nameserver, or a site, are never apart. Not to be parted are fleets on one
switch, whose lookahead is next to nothing, and those with abstract heartbeats, which are read from
all nodes at once.
"""

import os
import socket
from collections.abc import Callable
from math import inf, nextafter
from typing import Final, NamedTuple

import msgspec

from codns.sim.cluster import Parcel
from codns.sim.kernel import Kernel
from codns.sim.network import Network, site_numbers
from codns.sim.scenario import Scenario

LOOKAHEAD_MIN_S: Final = 0.0005  # less, and they tell each other more than they do
BATCH_MAX: Final = 400  # parcels told at once: 40 KB, for which no socket makes anybody wait
PACKET_MAX: Final = 1 << 20  # a batch of the largest answers that simulated nameservers give
LOOKS: Final = 1000  # for a packet, before being put to sleep: not a millisecond
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

    WholeError if it cannot be.
    """
    if scenario.heartbeats == "abstract":
        raise WholeError("abstract heartbeats are read from all nodes at once")
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
        raise WholeError(f"nodes {lookahead_s * 2000:g} ms apart are too near to be parted")
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


class WholeError(Exception):
    """A fleet cannot be cut: the text says why."""


class GoneError(Exception):
    """Another part has ended before its time."""


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
        """Hand over what was posted; return when anything happens next anywhere.

        Everybody is told the same of me, so that all come to the same, and end together: also
        who gets none of what I have posted must know when it arrives somewhere.
        """
        earliest, more = inf, True
        while more:
            boxes = self._outgoing.values()
            told = min([kernel.next(), *(parcel.time for box in boxes for parcel in box)])
            more = any(len(box) > BATCH_MAX for box in boxes)
            earliest = min(earliest, told)
            for part, link in self._others.items():
                box = self._outgoing[part]
                self._send(link, (told, more, box[:BATCH_MAX]))
                self._outgoing[part] = box[BATCH_MAX:]
            came: list[Parcel] = []
            for link in self._others.values():
                theirs, unfinished, parcels = self._decoder.decode(_received_from(link))
                earliest = min(earliest, theirs)
                more = more or unfinished
                came += parcels
            for parcel in came:
                if parcel.time < kernel.now:
                    raise RuntimeError(f"{parcel} is late: it is {kernel.now} here")
                self.deliver(parcel)
        return earliest

    def _send(self, link: socket.socket, packet: tuple[float, bool, list[Parcel]]) -> None:
        try:
            link.send(self._encoder.encode(packet))
        except OSError:
            raise GoneError from None


def _received_from(link: socket.socket) -> bytes:
    """Return the next packet. The other is nearly done: looking is quicker than to be woken."""
    try:
        for _ in range(LOOKS):
            try:
                packet = link.recv(PACKET_MAX, socket.MSG_DONTWAIT)
                break
            except BlockingIOError:
                os.sched_yield()  # there may be more processes than cores
        else:
            packet = link.recv(PACKET_MAX)
    except OSError:
        raise GoneError from None
    if not packet:
        raise GoneError
    return packet
