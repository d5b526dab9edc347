"""Counters of nodes and nameservers, over all lives of a node, from one moment to another."""

from typing import Any, Final

from codns.sim.host import Host
from codns.sim.nameserver import Nameserver

REMOTE: Final = ("won", "lost", "failed", "busy", "timeout")
SERVED: Final = ("cached", "answered", "failed", "refused", "busy")

Counts = dict[str, float]


def of_host(host: Host) -> Counts:
    """Return what a node has counted in this life."""
    counts: Counts = dict.fromkeys(("sent", "saved_s", "served", "served_busy", "denied"), 0)
    counts.update((f"remote_{what}", 0) for what in REMOTE)
    status: Any = host.node.status(host.kernel.now)["cooperation"]
    if status is None:
        return counts
    counts["sent"] = status["remote"]["sent"]
    counts["saved_s"] = status["saved_s"]
    counts["denied"] = status["suppressed"]["budget"]
    counts.update((f"remote_{what}", status["remote"][what]) for what in REMOTE)
    counts["served"] = sum(status["served"][what] for what in SERVED)
    counts["served_busy"] = status["served"]["busy"]
    return counts


def of_server(server: Nameserver) -> Counts:
    """Return what a nameserver has counted."""
    return {"queries": server.queries, "dropped": server.dropped, "lost": server.lost}


class Tally:
    """Counters that go on over lives: what a life had at its end is added up."""

    def __init__(self, hosts: list[Host], servers: dict[str, Nameserver]) -> None:
        self._hosts = hosts
        self._servers = servers
        self._past: list[Counts] = [{} for _ in hosts]

    def ended(self, index: int) -> None:
        """A node's life is over."""
        self._past[index] = _sum(self._past[index], of_host(self._hosts[index]))

    def now(self) -> tuple[list[Counts], dict[str, Counts]]:
        """Return the counters of nodes and nameservers."""
        hosts = [
            _sum(past, of_host(host)) if host.alive else past
            for past, host in zip(self._past, self._hosts, strict=True)
        ]
        return hosts, {address: of_server(server) for address, server in self._servers.items()}


def since(counts: Counts, before: Counts) -> Counts:
    """Return how much was added."""
    return {key: value - before.get(key, 0) for key, value in counts.items()}


def _sum(some: Counts, more: Counts) -> Counts:
    return {key: value + some.get(key, 0) for key, value in more.items()}
