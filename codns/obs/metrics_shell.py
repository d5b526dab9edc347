"""What the shells around the node count: listeners, peer link, slaves, the loop, the process.

`Shell` is made by the master for each scrape, out of the counters it keeps; here they get names.
The process's own figures have the names that exporters of all languages give them. They are read
from the files of our own processes only, so that they are there under ProcSubset=pid too.
"""

import platform
import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from prometheus_client.core import Metric

from codns import __version__
from codns.core.stats import Histogram
from codns.obs.metrics_process import Spent, blocks, cpu_and_memory, descriptors
from codns.obs.metrics_text import by, counter, counters, gauge, gauges, histogram

# Of what the peer link counts, what stands for a loss; the rest is traffic
_LINK_LOSSES: Final = ("refused", "queue", "unlisted", "too_large")
_WAYS: Final = ("in", "out")


class Shell(NamedTuple):
    """Counters of the shells at one moment.

    `forgery` as `master.forgery.EVENTS`, `tcp` as `master.tcp.COUNTERS`, `datagrams` as
    `master.peerlink.COUNTS` and `link_drops` as `peer.link.DROPS`, both None without peers.
    `slaves` are the process ids of those that are up.
    """

    slaves: Sequence[int]
    slaves_wanted: int
    slave_restarts: int
    jobs: int
    jobs_waiting: int
    forgery: Mapping[str, int]
    rate_clients: int
    rate_forgotten: int
    backlog: int
    kernel_drops: int | None  # None: the kernel does not tell
    tcp: Mapping[str, int]
    tcp_open: int
    datagrams: Mapping[str, int] | None
    link_drops: Mapping[str, int] | None
    lag: Histogram
    garbage: tuple[int, int, float]  # full looks for it, objects found by them, seconds they took
    reload_ok: bool
    reloaded_at: float  # the last that went well, or the start; wall time
    log_lines_lost: int
    http_open: int
    http_refused: int


class Processes:
    """CPU time and memory of this process and of the slaves."""

    def __init__(self) -> None:
        self._started_at = time.time()
        self._slaves = Spent()

    def own(self) -> Iterator[Metric]:
        """Yield the usual figures of this process."""
        cpu, virtual, resident = cpu_and_memory(Path("/proc/self"))
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        yield counter("process_cpu_seconds_total", "CPU time of the master.", cpu)
        yield gauge("process_virtual_memory_bytes", "Address space of the master.", virtual)
        yield gauge("process_resident_memory_bytes", "Memory of the master.", resident)
        yield gauge("codns_memory_blocks", "Blocks of memory that objects hold now.", blocks())
        yield gauge("process_open_fds", "Open file descriptors of the master.", descriptors())
        yield gauge("process_max_fds", "Limit on open file descriptors.", limit)
        yield gauge("process_start_time_seconds", "Start, in Unix time.", self._started_at)

    def slaves(self, processes: Sequence[int]) -> Iterator[Metric]:
        """Yield figures of all slaves together."""
        cpu, memory = self._slaves.look(processes)
        yield counter(
            "codns_slaves_cpu_seconds_total",
            "CPU time of all slaves; of those that died, up to the scrape before.",
            cpu,
        )
        yield gauge("codns_slaves_resident_memory_bytes", "Memory of all slaves.", memory)


def build() -> Iterator[Metric]:
    """Yield what is running."""
    yield gauges(
        "codns_build_info",
        "1, with what is running.",
        ("version", "python_version"),
        [((__version__, platform.python_version()), 1)],
    )


def shell(shell: Shell) -> Iterator[Metric]:
    """Yield what the shells count."""
    yield histogram(
        "codns_event_loop_lag_seconds",
        "How late the event loop came to a task that was due, ten times a second.",
        shell.lag,
    )
    looks, found, seconds = shell.garbage
    yield counter(
        "codns_garbage_collections_total", "Looks at all objects for cycles nobody needs.", looks
    )
    yield counter(
        "codns_garbage_collections_seconds_total",
        "Time these took, in which nobody is answered. They wait for a quiet moment, for hours.",
        seconds,
    )
    yield counter("codns_garbage_objects_total", "Objects that these freed.", found)
    yield gauge(
        "codns_config_last_reload_successful",
        "0 if the last reload failed: an older configuration is in effect.",
        shell.reload_ok,
    )
    yield gauge(
        "codns_config_last_reload_success_timestamp_seconds",
        "When a configuration was taken last, in Unix time.",
        shell.reloaded_at,
    )
    yield counter(
        "codns_log_lines_lost_total", "Log lines that could not be written.", shell.log_lines_lost
    )
    yield gauge("codns_http_connections", "HTTP connections open.", shell.http_open)
    yield counter(
        "codns_http_refused_total", "HTTP connections that were one too many.", shell.http_refused
    )


def guards(shell: Shell) -> Iterator[Metric]:
    """Yield what there is of too many queries."""
    yield gauge(
        "codns_rate_limit_clients", "Clients that the rate limit counts for.", shell.rate_clients
    )
    yield counter(
        "codns_rate_limit_forgotten_total",
        "Clients that the rate limit forgot as there were more than it counts for.",
        shell.rate_forgotten,
    )
    yield gauge(
        "codns_backlog_queries",
        "Clients' queries that came over UDP and were not taken yet.",
        shell.backlog,
    )
    if shell.kernel_drops is not None:
        yield counter(
            "codns_udp_kernel_drops_total",
            "Clients' datagrams that the kernel dropped: codns did not read as fast as they came.",
            shell.kernel_drops,
        )


def slaves(shell: Shell) -> Iterator[Metric]:
    """Yield what there is of slaves, and what they reject."""
    yield gauge("codns_slaves", "Slaves that are up.", len(shell.slaves))
    yield gauge("codns_slaves_wanted", "Slaves that should be up.", shell.slaves_wanted)
    yield counter(
        "codns_slave_restarts_total", "Slaves started in place of dead ones.", shell.slave_restarts
    )
    yield gauge("codns_slave_jobs", "Exchanges given to slaves and not ended.", shell.jobs)
    yield gauge("codns_slave_jobs_waiting", "Exchanges that wait for a slave.", shell.jobs_waiting)
    yield counters(
        "codns_upstream_rejected_total",
        "Datagrams from nameservers' addresses that were no answers, by what was wrong with them.",
        ("reason",),
        by({reason: shell.forgery[reason] for reason in ("unmatched", "wrong_case")}),
    )
    yield counter(
        "codns_upstream_guarded_names_total",
        "Times that a name went over TCP for a minute, as answers to it were being forged.",
        shell.forgery["guarded"],
    )
    yield counter(
        "codns_upstream_case_folded_total",
        "Times that a slave went back to lower case, as a nameserver does not keep letters.",
        shell.forgery["folded"],
    )


def tcp(shell: Shell) -> Iterator[Metric]:
    """Yield what the TCP listener counts."""
    counts = {key.removeprefix("tcp_"): value for key, value in shell.tcp.items()}
    yield counter("codns_tcp_connections_total", "Connections of clients.", counts["connections"])
    yield gauge("codns_tcp_connections_open", "Connections of clients now.", shell.tcp_open)
    yield counters(
        "codns_tcp_refused_total",
        "Connections that were not served, by reason.",
        ("reason",),
        by({**_part(counts, "refused_"), "accept_failed": counts["accept_failed"]}),
    )
    yield counters(
        "codns_tcp_closed_total",
        "Connections that ended, by why.",
        ("reason",),
        by(_part(counts, "closed_")),
    )
    yield counters(
        "codns_tcp_limited_total",
        "Times that a limit on TCP took effect.",
        ("limit",),
        by({limit: counts[limit] for limit in ("pressure", "paused", "unsent", "duplicates")}),
    )


def link(datagrams: Mapping[str, int], drops: Mapping[str, int]) -> Iterator[Metric]:
    """Yield what the peer link counts."""
    yield counters(
        "codns_peer_link_datagrams_total",
        "Datagrams from and to peers.",
        ("direction",),
        by({way: datagrams[way] for way in _WAYS}),
    )
    yield counters(
        "codns_peer_link_bytes_total",
        "Bytes from and to peers, without headers.",
        ("direction",),
        by({way: datagrams[f"{way}_bytes"] for way in _WAYS}),
    )
    yield counters(
        "codns_peer_link_dropped_total",
        "Datagrams from who is no peer, or is not believed, and messages that could not leave.",
        ("reason",),
        by({**drops, **{reason: datagrams[reason] for reason in _LINK_LOSSES}}),
    )


def _part(counts: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {
        key.removeprefix(prefix): value for key, value in counts.items() if key.startswith(prefix)
    }
