"""Rows on what clients get and what the site's nameservers do."""

from typing import Final

from deploy.grafana.panels import (
    DURATION,
    MISSES,
    PATH,
    RESPONSES,
    UP,
    Panel,
    judged,
    quantile,
    rate,
    ratio,
    value,
)

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
