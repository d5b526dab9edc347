"""The site's own nameservers: each of them, and what slaves' exchanges with them came to.

A histogram and a dozen counters for each nameserver is 31 samples, so the first 16 have rows of
their own: the site's, then those of zones in the order of the configuration. The totals by
outcome hold all.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from prometheus_client.core import Metric

from codns.core.state import State
from codns.core.stats import Stats
from codns.obs.metrics_text import by, counter, counters, gauges, histograms
from codns.wire.outcome import Outcome

UPSTREAMS_MAX: Final = 16  # as many as `nameservers: auto` takes; 500 samples

_OUTCOMES: Final = tuple(outcome.name.lower() for outcome in Outcome)
_FAILURES: Final = tuple(outcome for outcome in Outcome if outcome > Outcome.NXDOMAIN)


def upstreams(state: State) -> Iterator[Metric]:
    """Yield what is known of each nameserver."""
    servers = [
        (_shown(address), server)
        for address, server in islice(state.servers.items(), UPSTREAMS_MAX)
    ]
    yield histograms(
        "codns_upstream_request_duration_seconds",
        "Time of exchanges with a nameserver that it answered, whatever it said.",
        ("to",),
        [((to,), server.duration, 0) for to, server in servers],
    )
    yield counters(
        "codns_upstream_requests_total",
        "Queries sent to a nameserver, repeated ones too.",
        ("to",),
        [((to,), server.sent) for to, server in servers],
    )
    yield counters(
        "codns_upstream_failures_total",
        "Exchanges with a nameserver that gave no usable answer, by how they ended.",
        ("to", "reason"),
        [
            ((to, _OUTCOMES[outcome]), server.outcomes[outcome])
            for to, server in servers
            for outcome in _FAILURES
        ],
    )
    yield counters(
        "codns_upstream_unanswered_total",
        "Queries that a nameserver did not answer within its usual time, or that it refused.",
        ("to",),
        [((to,), server.timeouts) for to, server in servers],
    )
    yield gauges(
        "codns_upstream_up",
        "1 while a nameserver answers.",
        ("to",),
        [((to,), server.up) for to, server in servers],
    )
    yield gauges(
        "codns_upstream_srtt_seconds",
        "Smoothed time of a nameserver's answers; NaN before the first.",
        ("to",),
        [((to,), server.srtt) for to, server in servers],
    )
    yield gauges(
        "codns_upstream_looped",
        "1 if a nameserver leads back to this node; it is not asked then.",
        ("to",),
        [((to,), server.looped) for to, server in servers],
    )


def exchanges(stats: Stats) -> Iterator[Metric]:
    """Yield what holds for all of them together."""
    yield counters(
        "codns_upstream_exchanges_total",
        "Exchanges with any of the nameservers, by how they ended.",
        ("outcome",),
        by(dict(zip(_OUTCOMES, stats.outcomes, strict=True))),
    )
    yield counter(
        "codns_upstream_retransmissions_total",
        "Queries that were sent again, to the next nameserver, for lack of an answer.",
        stats.retransmissions,
    )
    yield counter("codns_upstream_probes_total", "Probes sent to nameservers.", stats.probes)
    yield counter(
        "codns_upstream_loops_total", "Times a nameserver led back to this node.", stats.loops
    )


def _shown(address: str) -> str:
    """Return "192.0.2.1:53" for "192.0.2.1#53", as everybody else writes it."""
    host, _, port = address.rpartition("#")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
