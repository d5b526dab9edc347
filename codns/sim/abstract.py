"""Heartbeats for fleets of thousands: a neighbour's state is read from the model once a second.

Of a simulation with heartbeats nine events in ten are heartbeats, and nearly all of them say that
nothing changed. So nodes are told to send theirs once an hour, and once a second each neighbour's
report is taken from the neighbour itself, if it lives and can be reached. Where it cannot, or was
missed before, real heartbeats are sent at the real pace: silence, back-off and return happen as
they do in full.

What is different from the full form, and is why it is compared with it by a test:
  1. a change is known after 0..1 s instead of after 0..2 s and half a round trip
  2. RTTs are those of the first heartbeats, not smoothed over many
  3. nobody says FULL
  4. the slow scan of the list is ten times slower: there is nobody far to be found on it
  5. a node's list holds the nearest of a sample only, since a list of 10,000 peers in 10,000
     nodes is 100 million entries
"""

import random
from heapq import nsmallest
from typing import Final

from codns.core.messages import Report
from codns.core.model import Effect
from codns.core.peer_state import Peer
from codns.core.peering import Peering
from codns.sim.cluster import Cluster
from codns.sim.host import Host
from codns.sim.network import Network

HEARTBEAT_S: Final = 3600.0  # of the nodes themselves: longer than simulations are
READ_S: Final = 1.0
SCAN_S: Final = 10.0  # between heartbeats of the scan, once the list was seen
SAMPLE_MAX: Final = 400  # peers looked at for a list: the 30 nearest of them are near enough
LISTED: Final = 3  # peers on a node's list for each neighbour it wants


class Reading:
    """Reads the state of all neighbours of all nodes once a second."""

    def __init__(self, cluster: Cluster, network: Network, heartbeat_s: float) -> None:
        self._cluster = cluster
        self._network = network
        self._heartbeat_s = heartbeat_s
        self._index = {host.me: host.index for host in cluster.hosts}
        cluster.at(cluster.now + READ_S, self._read)

    def _read(self, _: object) -> None:
        cluster, now = self._cluster, self._cluster.now
        reports: list[Report | None] = []
        for host in cluster.hosts:
            fleet = host.node._fleet
            alive = host.alive and fleet is not None
            reports.append(fleet.peering.report(now) if alive and fleet else None)
        for host in cluster.hosts:
            if host.alive and host.node._fleet is not None:
                self._read_for(host, reports, now)
        cluster.at(now + READ_S, self._read)

    def _read_for(self, host: Host, reports: list[Report | None], now: float) -> None:
        fleet = host.node._fleet
        if fleet is None:
            return
        for peer in fleet.neighbours.neighbours:
            target = self._index[peer.address]
            report = reports[target]
            reachable = report is not None and not self._network.severed(host.index, target, now)
            if reachable and report is not None and not peer.missing:
                peer.report(report, now)
                fleet.neighbours._reserve.moved = True
            elif now - peer.sent_at >= self._heartbeat_s:
                host.call(lambda at, p=peer, f=fleet: _heartbeat(f.peering, p, at))
        neighbours = fleet.neighbours
        alarm = neighbours._scan_alarm
        if not neighbours._scan.fast and (int(now / READ_S) + host.index) % (SCAN_S / READ_S):
            neighbours._timers.set(alarm, max(alarm.due, now + 2 * READ_S))


def _heartbeat(peering: Peering, peer: Peer, now: float) -> list[Effect]:
    """Send a real heartbeat."""
    peering.neighbours._send(peer, now)
    peering._do(peering.neighbours.take(), now)
    out, peering._state.out = peering._state.out, []
    return out


def lists(
    addresses: list[str], network: Network, wanted: int, rng: random.Random
) -> list[list[str]]:
    """Return each node's own list of peers: the nearest of a sample."""
    everybody = range(len(addresses))
    found = []
    for index in everybody:
        sample = everybody if len(everybody) <= SAMPLE_MAX else rng.sample(everybody, SAMPLE_MAX)
        apart = [(network.rtt(index, other), other) for other in sample if other != index]
        near = nsmallest(LISTED * wanted, apart)
        found.append([addresses[index], *(addresses[other] for _, other in near)])
    return found
