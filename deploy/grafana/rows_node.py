"""Rows on peers, the cache, what is refused, and the process."""

from typing import Final

from deploy.grafana.panels import NODE, SERVED, UP, Panel, quantile, rate, ratio, value

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
        about="clients, address and waiters are limits: somebody asks for too much at once."
        " backlog: more than this processor can do. rate: one client asks beyond rate_limit.",
    ),
    Panel(
        "Not taken yet",
        (
            (value("codns_backlog_queries", "instance"), "{{instance}} waiting"),
            (
                rate("codns_udp_kernel_drops_total", "instance"),
                "{{instance}} dropped by the kernel per second",
            ),
        ),
        about="Overload: the processor is not quick enough for what is asked. Cached names are"
        " answered past those that wait.",
    ),
    Panel(
        "Rate limit",
        (
            (value("codns_rate_limit_clients", "instance"), "{{instance}} clients counted"),
            (
                rate("codns_rate_limit_forgotten_total", "instance"),
                "{{instance}} forgotten per second",
            ),
        ),
        about="Clients are forgotten when more than 16,384 ask over one transport.",
    ),
    Panel(
        "Forged answers",
        (
            (rate("codns_upstream_rejected_total", "reason"), "{{reason}}"),
            (rate("codns_upstream_guarded_names_total"), "names that go over TCP for it"),
            (rate("codns_upstream_case_folded_total"), "nameservers that fold letters"),
        ),
        unit="reqps",
        about="Datagrams that looked like a nameserver's and were no answers. A few are late or"
        " doubled ones; many are somebody who guesses.",
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
        "Same query again, strays, lies",
        (
            (rate("codns_queries_duplicate_total"), "queries repeated by clients"),
            (rate("codns_remote_strays_total"), "replies of peers nobody waits for"),
            (rate("codns_remote_rejected_total", "reason"), "replies of peers, {{reason}}"),
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
        "Blocks of memory",
        ((value("codns_memory_blocks", "instance"), "{{instance}} master"),),
        about="Of Python's objects, exactly: what grows for hours beside a full cache is a leak.",
    ),
    Panel(
        "Garbage",
        (
            (rate("codns_garbage_objects_total", "instance"), "{{instance}} objects"),
            (rate("codns_garbage_collections_total", "instance"), "{{instance}} looks"),
            (rate("codns_garbage_collections_seconds_total", "instance"), "{{instance}} seconds"),
        ),
        about="Looks at all objects, up to six an hour, when nobody asks. To find some is a flaw.",
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
                f"{value('codns_slaves_wanted', NODE)} - {value('codns_slaves', NODE)}",
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
