"""What the dashboard shows: a row a question, a panel an answer to it.

SELECTED stands for the labels of the nodes that were chosen. Where a fleet is one line, it is one
line a fleet, and one a node where a node can be wrong alone.
"""

from typing import Final, Literal, NamedTuple

Kind = Literal["stat", "timeseries", "heatmap", "state-timeline", "table"]
Words = tuple[tuple[int, str, str], ...]

UP: Final[Words] = ((1, "up", "green"), (0, "down", "red"))
PATH: Final[Words] = ((0, "healthy", "green"), (1, "recovering", "yellow"), (2, "failing", "red"))


class Panel(NamedTuple):
    """One panel. `queries` are (expression, legend); `steps` where its colour changes."""

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: Kind = "timeseries"
    width: int = 8
    about: str = ""
    stacked: bool = False
    least: float | None = 0
    steps: tuple[float, ...] = ()
    worse: Literal["higher", "lower"] = "higher"
    words: Words = ()


def rate(metric: str, by: str = "", labels: str = "") -> str:
    """Return the rate of a counter, summed."""
    chosen = f"{labels}, SELECTED" if labels else "SELECTED"
    return f"sum{_by(by)}(rate({metric}{{{chosen}}}[$__rate_interval]))"


def quantile(share: float, histogram: str, by: str = "", labels: str = "") -> str:
    """Return a quantile of a histogram."""
    inner = rate(f"{histogram}_bucket", f"le, {by}" if by else "le", labels)
    return f"histogram_quantile({share}, {inner})"


def value(metric: str, by: str = "", how: str = "sum") -> str:
    """Return a gauge, put together over nodes."""
    return f"{how}{_by(by)}({metric}{{SELECTED}})"


def ratio(part: str, whole: str) -> str:
    """Return one of the other."""
    return f"{part} / {whole}"


def judged(state: str) -> str:
    """Return 1 for the nodes that think this of their own nameservers."""
    return f'max by (instance) (codns_local_path_state{{state="{state}", SELECTED}})'


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""


_NODE: Final = "instance"
DURATION: Final = "codns_dns_request_duration_seconds"
MISSES: Final = 'source=~"local|peer|stale|error"'
RESPONSES: Final = "codns_dns_responses_total"
SERVED: Final = rate("codns_served_queries_total", "instance")

FINE: Final = (
    Panel("Nodes up", ((value("up"), ""),), kind="stat", width=3),
    Panel(
        "Queries per second",
        ((rate("codns_dns_requests_total"), ""),),
        unit="reqps",
        kind="stat",
        width=3,
    ),
    Panel(
        "Slowest 1 %",
        ((quantile(0.99, DURATION), ""),),
        unit="s",
        kind="stat",
        width=3,
        about="99 % of all answers, cached ones too, came quicker.",
        steps=(0.2, 1),
    ),
    Panel(
        "SERVFAIL",
        ((ratio(rate(RESPONSES, labels='rcode="SERVFAIL"'), rate(RESPONSES)), ""),),
        unit="percentunit",
        kind="stat",
        width=3,
        steps=(0.01, 0.05),
    ),
    Panel(
        "From the cache",
        ((ratio(rate(RESPONSES, labels='source="cache"'), rate(RESPONSES)), ""),),
        unit="percentunit",
        kind="stat",
        width=3,
    ),
    Panel(
        "Saved by a peer",
        ((ratio(rate(RESPONSES, labels='source="peer"'), rate(RESPONSES)), ""),),
        unit="percentunit",
        kind="stat",
        width=3,
    ),
    Panel(
        "Youngest process",
        ((f"min(time() - {value('process_start_time_seconds', 'instance', 'max')})", ""),),
        unit="s",
        kind="stat",
        width=3,
        about="Time since the last start of any node.",
    ),
    Panel(
        "Versions",
        (("count by (version) (codns_build_info{SELECTED})", "{{version}}"),),
        kind="stat",
        width=3,
    ),
    Panel(
        "Time to an answer",
        tuple((quantile(share, DURATION), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)),
        unit="s",
        about="All answers; one from the cache counts as 0 s.",
    ),
    Panel(
        "Where answers come from",
        ((rate(RESPONSES, "source"), "{{source}}"),),
        unit="reqps",
        stacked=True,
    ),
    Panel(
        "What they say",
        ((rate(RESPONSES, "rcode"), "{{rcode}}"),),
        unit="reqps",
        stacked=True,
    ),
    Panel(
        "What is asked",
        ((rate("codns_dns_questions_total", "type"), "{{type}}"),),
        unit="reqps",
        stacked=True,
    ),
    Panel(
        "How it is asked",
        ((rate("codns_dns_requests_total", "proto, family"), "{{proto}} {{family}}"),),
        unit="reqps",
        stacked=True,
    ),
    Panel(
        "Slowest 1 % by node",
        ((quantile(0.99, DURATION, "instance"), "{{instance}}"),),
        unit="s",
    ),
)

WORTH: Final = (
    Panel(
        "With peers, and without",
        (
            (quantile(0.99, DURATION, labels=MISSES), "p99 of what was not cached"),
            (
                quantile(0.99, "codns_local_duration_seconds"),
                "p99 of the own nameservers for the same lookups",
            ),
            (quantile(0.5, DURATION, labels=MISSES), "p50 of what was not cached"),
            (
                quantile(0.5, "codns_local_duration_seconds"),
                "p50 of the own nameservers for the same lookups",
            ),
        ),
        unit="s",
        about="The own nameservers' time is taken to its end, also where a peer was quicker: it"
        " is what clients would have waited without peers.",
    ),
    Panel(
        "Remote queries per miss",
        (
            (
                ratio(
                    rate("codns_remote_queries_issued_total", "instance"),
                    rate("codns_cache_misses_total", "instance"),
                ),
                "{{instance}}",
            ),
        ),
        unit="percentunit",
        about="A healthy fleet needs few. Relieving a failing nameserver takes one or more each.",
    ),
    Panel(
        "How they ended",
        ((rate("codns_remote_queries_total", "outcome"), "{{outcome}}"),),
        unit="reqps",
        stacked=True,
    ),
    Panel(
        "Time saved per second",
        ((rate("codns_remote_saved_seconds_sum"), "seconds of waiting, all clients"),),
        unit="s",
    ),
    Panel(
        "Saved by a query that won",
        tuple(
            (quantile(share, "codns_remote_saved_seconds"), f"p{share * 100:g}")
            for share in (0.5, 0.95)
        ),
        unit="s",
    ),
    Panel(
        "Not sent, and why",
        ((rate("codns_remote_queries_suppressed_total", "reason"), "{{reason}}"),),
        unit="reqps",
        stacked=True,
    ),
    Panel(
        "Initial delay",
        ((value("codns_initial_delay_seconds", "instance", "max"), "{{instance}}"),),
        unit="s",
        about="How long the own nameservers have before a peer is asked; 0 while they fail.",
    ),
    Panel(
        "Budget left",
        (
            (
                ratio(
                    value("codns_budget_tokens", "instance"),
                    value("codns_budget_tokens_max", "instance"),
                ),
                "{{instance}}",
            ),
        ),
        unit="percentunit",
        about="What may still be wasted on queries that do not win.",
    ),
    Panel(
        "Slow for everybody",
        (
            (value("codns_slow_domains"), "domains watched"),
            (rate("codns_slow_domains_stopped_total"), "stopped per second"),
        ),
    ),
)

LOCAL: Final = (
    Panel(
        "Judgement",
        (
            (
                f"2 * {judged('failing')} + {judged('recovering')}",
                "{{instance}}",
            ),
        ),
        kind="state-timeline",
        words=PATH,
        about="What each node thinks of its site's nameservers.",
    ),
    Panel(
        "Time of nameservers",
        ((rate("codns_upstream_request_duration_seconds_bucket", "le"), "{{le}}"),),
        unit="reqps",
        kind="heatmap",
        least=None,
    ),
    Panel(
        "Slowest 5 % by nameserver",
        ((quantile(0.95, "codns_upstream_request_duration_seconds", "to"), "{{to}}"),),
        unit="s",
    ),
    Panel(
        "Nameservers up",
        ((value("codns_upstream_up", "instance, to", "min"), "{{instance}} {{to}}"),),
        kind="state-timeline",
        words=UP,
    ),
    Panel(
        "Failures",
        ((rate("codns_upstream_failures_total", "reason"), "{{reason}}"),),
        unit="reqps",
        stacked=True,
    ),
    Panel(
        "Unanswered in time",
        (
            (
                ratio(
                    rate("codns_upstream_unanswered_total", "to"),
                    rate("codns_upstream_requests_total", "to"),
                ),
                "{{to}}",
            ),
        ),
        unit="percentunit",
    ),
    Panel(
        "Worst nameservers",
        ((f"topk(20, {rate('codns_upstream_failures_total', 'instance, to')})", ""),),
        unit="reqps",
        kind="table",
        about="Exchanges per second that gave no usable answer.",
    ),
    Panel(
        "Repeated, probes, loops",
        (
            (rate("codns_upstream_retransmissions_total"), "repeated"),
            (rate("codns_upstream_probes_total"), "probes"),
            (value("codns_upstream_looped"), "nameservers that lead back to codns"),
        ),
    ),
    Panel(
        "Share raced",
        ((value("codns_local_path_share", "instance", "min"), "{{instance}}"),),
        unit="percentunit",
        about="Of lookups; the rest goes to peers first, to relieve a failing nameserver.",
    ),
)

PEERS: Final = (
    Panel(
        "Peers up",
        ((value("codns_peer_up", "peer", "min"), "{{peer}}"),),
        kind="state-timeline",
        words=UP,
        about="As seen by those that have it for a neighbour: down if one of them says so.",
    ),
    Panel(
        "Round trip",
        ((value("codns_peer_rtt_seconds", "peer", "avg"), "{{peer}}"),),
        unit="s",
    ),
    Panel(
        "Time of peers' nameservers",
        ((value("codns_peer_nameserver_seconds", "peer", "max"), "{{peer}}"),),
        unit="s",
    ),
    Panel(
        "Asked of others",
        (
            (
                rate("codns_peer_requests_total", "result", 'direction="out"'),
                "{{result}}",
            ),
        ),
        unit="reqps",
        stacked=True,
    ),
    Panel(
        "Done for others",
        ((rate("codns_served_queries_total", "result"), "{{result}}"),),
        unit="reqps",
        stacked=True,
    ),
    Panel(
        "Refused with BUSY",
        ((rate("codns_served_busy_total", "reason"), "{{reason}}"),),
        unit="reqps",
        stacked=True,
    ),
    Panel(
        "Imbalance",
        (
            (
                ratio(f"max({SERVED})", f"avg({SERVED})"),
                "busiest node / mean",
            ),
        ),
        about="Of queries served for others.",
    ),
    Panel(
        "Neighbours that could be asked",
        ((value("codns_neighbours_eligible", "instance", "min"), "{{instance}}"),),
    ),
    Panel(
        "Listed, watched, watching",
        (
            (value("codns_peers", how="max"), "listed"),
            (value("codns_neighbours", how="avg"), "neighbours of a node"),
            (value("codns_peer_seats", how="max"), "most who watch one node"),
            (value("codns_peer_listed", how="min"), "every node is listed"),
        ),
    ),
    Panel(
        "In service for others",
        (
            (value("codns_served_inflight", "instance"), "{{instance}} in service"),
            (value("codns_served_waiting", "instance"), "{{instance}} waiting"),
            (value("codns_served_window", "instance"), "{{instance}} window"),
        ),
    ),
    Panel(
        "Peer link",
        ((rate("codns_peer_link_bytes_total", "direction"), "{{direction}}"),),
        unit="Bps",
    ),
    Panel(
        "Dropped by the peer link",
        ((rate("codns_peer_link_dropped_total", "reason"), "{{reason}}"),),
        unit="reqps",
        stacked=True,
        about="key and cluster: another fleet or a missing key. sender and source: a list that"
        " is not the same everywhere. forged and replay: somebody tries.",
    ),
)

CACHE: Final = (
    Panel(
        "Hits",
        ((rate("codns_cache_hits_total", "kind"), "{{kind}}"),),
        unit="reqps",
        stacked=True,
    ),
    Panel(
        "Lookups",
        (
            (rate("codns_cache_misses_total"), "misses"),
            (rate("codns_queries_coalesced_total"), "joined one in flight"),
            (rate("codns_cache_prefetches_total"), "prefetches"),
            (rate("codns_cache_evictions_total"), "evictions"),
        ),
        unit="reqps",
    ),
    Panel(
        "Entries",
        (
            (
                ratio(
                    value("codns_cache_entries", "instance"),
                    value("codns_cache_entries_max", "instance"),
                ),
                "{{instance}}",
            ),
        ),
        unit="percentunit",
    ),
    Panel("Size", ((value("codns_cache_bytes", "instance"), "{{instance}}"),), unit="bytes"),
    Panel(
        "Failures remembered",
        ((value("codns_failures_remembered", "path"), "{{path}}"),),
    ),
)

PROTECTION: Final = (
    Panel(
        "Dropped",
        ((rate("codns_queries_dropped_total", "reason"), "{{reason}}"),),
        unit="reqps",
        stacked=True,
    ),
    Panel(
        "Refused",
        ((rate("codns_queries_refused_total", "reason"), "{{reason}}"),),
        unit="reqps",
        stacked=True,
        about="clients, address and waiters are limits: somebody asks for too much at once.",
    ),
    Panel(
        "In flight",
        (
            (value("codns_inflight_requests"), "clients' queries"),
            (value("codns_inflight_lookups"), "lookups"),
            (value("codns_remote_queries_inflight"), "remote queries"),
            (value("codns_slave_jobs"), "exchanges"),
            (value("codns_slave_jobs_waiting"), "exchanges without a slave"),
        ),
    ),
    Panel(
        "TCP",
        (
            (value("codns_tcp_connections_open"), "open"),
            (rate("codns_tcp_connections_total"), "new per second"),
            (rate("codns_tcp_refused_total"), "refused per second"),
            (rate("codns_tcp_limited_total"), "limited per second"),
        ),
    ),
    Panel(
        "TCP ends",
        ((rate("codns_tcp_closed_total", "reason"), "{{reason}}"),),
        unit="reqps",
        stacked=True,
    ),
    Panel(
        "Same query again, strays",
        (
            (rate("codns_queries_duplicate_total"), "queries repeated by clients"),
            (rate("codns_remote_strays_total"), "replies of peers nobody waits for"),
        ),
        unit="reqps",
    ),
)

PROCESS: Final = (
    Panel(
        "CPU",
        (
            (rate("process_cpu_seconds_total", "instance"), "{{instance}} master"),
            (rate("codns_slaves_cpu_seconds_total", "instance"), "{{instance}} slaves"),
        ),
        unit="percentunit",
    ),
    Panel(
        "Memory",
        (
            (value("process_resident_memory_bytes", "instance"), "{{instance}} master"),
            (value("codns_slaves_resident_memory_bytes", "instance"), "{{instance}} slaves"),
        ),
        unit="bytes",
    ),
    Panel(
        "Event loop lag",
        (
            (quantile(0.99, "codns_event_loop_lag_seconds", "instance"), "{{instance}} p99"),
            (quantile(0.5, "codns_event_loop_lag_seconds", "instance"), "{{instance}} p50"),
        ),
        unit="s",
        about="What every client of that node waits for beside its answer.",
    ),
    Panel(
        "Open files",
        (
            (
                ratio(value("process_open_fds", "instance"), value("process_max_fds", "instance")),
                "{{instance}}",
            ),
        ),
        unit="percentunit",
    ),
    Panel(
        "Slaves",
        (
            (
                f"{value('codns_slaves_wanted', _NODE)} - {value('codns_slaves', _NODE)}",
                "{{instance}} missing",
            ),
            (rate("codns_slave_restarts_total", "instance"), "{{instance}} restarts per second"),
        ),
        least=None,
    ),
    Panel(
        "Configuration, log, HTTP",
        (
            (
                value("codns_config_last_reload_successful", how="min"),
                "every node has its newest configuration",
            ),
            (rate("codns_log_lines_lost_total"), "log lines lost per second"),
            (rate("codns_http_refused_total"), "HTTP connections refused per second"),
        ),
    ),
)

ROWS: Final[tuple[tuple[str, tuple[Panel, ...]], ...]] = (
    ("Is it fine?", FINE),
    ("Is cooperation worth it?", WORTH),
    ("The sites' own nameservers", LOCAL),
    ("Peers", PEERS),
    ("Cache", CACHE),
    ("Protection", PROTECTION),
    ("Process", PROCESS),
)
