"""Prometheus metrics: everything that is counted, under names that do not change.

Nothing here counts. `core` and the shells keep plain integers and bump them on their way; a scrape
reads them, gives them names, and writes text. So a metric costs nothing while nobody looks.

What holds for all of them:

  - `codns_<what>_<unit>`; counters end in `_total`, times are seconds, sizes bytes; times of
    answers are histograms with 16 bounds from 0.25 ms, each twice the one before.
  - Every combination of labels is there from the first scrape on: `rate()` of a counter that
    appears with its first event misses that event.
  - No name that a client asked for, and no client, is in a label: nameservers, peers and words out
    of closed lists are. At most `SAMPLES_MAX` samples in all, however large the fleet: peers have
    rows if they are neighbours (`metrics_peers`), nameservers if among the first
    (`metrics_local`).
  - Names are for ever. Dashboards and alerts out there break silently when one changes, as CoreDNS
    did to the most used ones of its own.

A scrape is written in slices of some hundred samples, each a millisecond at most; between them
the event loop serves clients. A node with ten neighbours has 600 samples, which take 2 ms in all.
"""

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from codns.core.node import Node
from codns.obs import metrics_clients, metrics_local, metrics_peers, metrics_shell
from codns.obs.metrics_shell import Processes, Shell
from codns.obs.metrics_text import CONTENT_TYPE, Writer

SAMPLES_MAX: Final = 1_500  # of one scrape: what a Prometheus can take of 1,000 nodes each 15 s
SLICE_SAMPLES: Final = 100  # 0.4 ms; a family is never divided


class Metrics(Collector):
    """All metrics of one daemon: a prometheus_client Collector, and a quick way to write them.

    `shell` is called once a scrape; `clock` is the node's.
    """

    def __init__(self, node: Node, shell: Callable[[], Shell], clock: Callable[[], float]) -> None:
        self._node = node
        self._shell = shell
        self._clock = clock
        self._processes = Processes()
        self._writer = Writer()

    def collect(self) -> Iterator[Metric]:
        """Yield families, each made when its turn comes."""
        state, fleet, helping, resolver = self._node.parts
        shell = self._shell()
        yield from metrics_shell.build()
        yield from metrics_clients.clients(state, len(resolver.lookups))
        yield from metrics_clients.cache(state, fleet)
        yield from metrics_local.upstreams(state)
        yield from metrics_local.exchanges(state.stats)
        if fleet is not None:
            yield from metrics_peers.local_path(fleet, self._clock())
            yield from metrics_peers.remote(fleet, self._clock())
            yield from metrics_peers.peers(fleet, self._clock())
        if helping is not None:
            yield from metrics_peers.served(helping)
        if shell.datagrams is not None and shell.link_drops is not None:
            yield from metrics_shell.link(shell.datagrams, shell.link_drops)
        yield from metrics_shell.tcp(shell)
        yield from metrics_shell.slaves(shell)
        yield from metrics_shell.shell(shell)
        yield from self._processes.slaves(shell.slaves)
        yield from self._processes.own()

    def __call__(self) -> tuple[str, Iterator[bytes]]:
        """Return a scrape: content type, and the text in slices."""
        return CONTENT_TYPE, self.slices()

    def slices(self) -> Iterator[bytes]:
        """Yield the text; each slice tells what was counted when it was made."""
        written, samples = [], 0
        for family in self.collect():
            written.append(self._writer.write(family))
            samples += len(family.samples)
            if samples >= SLICE_SAMPLES:
                yield "".join(written).encode()
                written, samples = [], 0
        yield "".join(written).encode()
