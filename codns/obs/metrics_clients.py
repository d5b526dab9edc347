"""What clients asked and got, what was dropped or refused, and the cache.

An answer that needs no lookup, from the cache say, leaves in the turn in which its query came:
its time is not taken, and it counts into the lowest bucket. So the buckets of all sources together
are all answers, and a quantile over them is what clients see.
"""

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import Metric

from codns.core.fleet import Fleet
from codns.core.model import SOURCES, Source
from codns.core.state import State
from codns.core.stats import RCODES, Histogram, Stats
from codns.obs.metrics_text import by, counter, counters, gauge, gauges, histograms
from codns.wire import const

OTHER: Final = "other"
# What stub resolvers ask for, and who looks into trouble; a label for each type there is would let
# a client make 65,536 of them
TYPES: Final = {
    1: "A",
    2: "NS",
    5: "CNAME",
    6: "SOA",
    12: "PTR",
    15: "MX",
    16: "TXT",
    28: "AAAA",
    33: "SRV",
    35: "NAPTR",
    43: "DS",
    48: "DNSKEY",
    64: "SVCB",
    65: "HTTPS",
    255: "ANY",
}
RCODE_NAMES: Final = {
    0: "NOERROR",
    1: "FORMERR",
    2: "SERVFAIL",
    3: "NXDOMAIN",
    4: "NOTIMP",
    5: "REFUSED",
    const.BADVERS: "BADVERS",
}

_NOTHING: Final = Histogram()


def clients(state: State, lookups: int) -> Iterator[Metric]:
    """Yield what has to do with clients' queries."""
    stats = state.stats
    answered = _answered(stats)
    yield counters(
        "codns_dns_requests_total",
        "Messages that arrived from clients, also those that were dropped.",
        ("proto", "family"),
        _requests(stats),
    )
    yield counters(
        "codns_dns_questions_total",
        "Questions of clients that were taken, by the type asked for.",
        ("type",),
        by(_questions(stats)),
    )
    yield counters(
        "codns_dns_responses_total",
        "Answers to clients, by their rcode and by where they came from.",
        ("rcode", "source"),
        [
            ((rcode, source), count)
            for source, counts in answered.items()
            for rcode, count in counts.items()
        ],
    )
    yield histograms(
        "codns_dns_request_duration_seconds",
        "Time from a query to its answer; an answer that needed no lookup counts as 0 s.",
        ("source",),
        [_duration(stats, source, sum(answered[source].values())) for source in SOURCES],
    )
    yield gauge("codns_inflight_requests", "Clients' queries that wait.", state.outstanding)
    yield gauge("codns_inflight_lookups", "Lookups in flight, for clients.", lookups)
    yield counter(
        "codns_queries_coalesced_total",
        "Queries that joined a lookup already in flight.",
        stats.coalesced,
    )
    yield counter(
        "codns_queries_duplicate_total",
        "Queries that the same client had asked already and waited for.",
        stats.duplicates,
    )
    yield counters(
        "codns_queries_dropped_total",
        "Datagrams that got no answer, by reason.",
        ("reason",),
        by(stats.drops),
    )
    yield counters(
        "codns_queries_refused_total",
        "Queries that were answered with an error at once, by reason.",
        ("reason",),
        by(stats.refusals),
    )


def cache(state: State, fleet: Fleet | None) -> Iterator[Metric]:
    """Yield what has to do with the cache."""
    stats = state.stats
    yield gauge("codns_cache_entries", "Answers that are kept.", len(state.cache))
    yield gauge(
        "codns_cache_entries_max", "Answers that may be kept.", state.settings.cache_entries
    )
    yield gauge("codns_cache_bytes", "Memory counted for what is kept.", state.cache.bytes)
    kinds = {"positive": 0, "negative": 0, "stale": sum(stats.rcodes["stale"])}
    for (_, _, _, negative), hits in list(stats.hits.items()):
        kinds["negative" if negative else "positive"] += hits.n
    yield counters(
        "codns_cache_hits_total",
        "Answers from the cache, by kind; stale ones had expired.",
        ("kind",),
        by(kinds),
    )
    yield counter(
        "codns_cache_misses_total", "Lookups begun for a client's query.", stats.cache_misses
    )
    yield counter(
        "codns_cache_prefetches_total",
        "Lookups begun for entries that were about to expire.",
        stats.cache_prefetches,
    )
    yield counter(
        "codns_cache_evictions_total", "Entries that left for lack of room.", stats.cache_evictions
    )
    remembered = {
        "local": len(state.failures),
        "peers": len(fleet.peers_failed) if fleet is not None else 0,
    }
    yield gauges(
        "codns_failures_remembered",
        "Questions that failed lately, so that nobody is asked them on this path for a while.",
        ("path",),
        by(remembered),
    )


def _requests(stats: Stats) -> list[tuple[tuple[str, str], int]]:
    rows: list[tuple[tuple[str, str], int]] = []
    for proto, count in stats.queries.items():
        ipv6 = stats.queries_ipv6[proto]
        rows += [((proto, "ipv4"), count - ipv6), ((proto, "ipv6"), ipv6)]
    return rows


def _questions(stats: Stats) -> dict[str, int]:
    counts = dict.fromkeys((*TYPES.values(), OTHER), 0)
    for (_, qtype, _, _), hits in list(stats.hits.items()):
        counts[TYPES.get(qtype, OTHER)] += hits.n
    for qtype, missed in enumerate(stats.missed):
        if missed:
            counts[TYPES.get(qtype, OTHER)] += missed
    return counts


def _answered(stats: Stats) -> dict[Source, dict[str, int]]:
    """Return answers by source and rcode."""
    cached = [0] * RCODES
    for (_, _, rcode, _), hits in list(stats.hits.items()):
        cached[rcode] += hits.n
    told: dict[Source, dict[str, int]] = {}
    for source in SOURCES:
        counts = told[source] = dict.fromkeys((*RCODE_NAMES.values(), OTHER), 0)
        for rcode, count in enumerate(cached if source == "cache" else stats.rcodes[source]):
            if count:
                counts[RCODE_NAMES.get(rcode, OTHER)] += count
    return told


def _duration(stats: Stats, source: Source, answers: int) -> tuple[tuple[str], Histogram, int]:
    timed = stats.duration.get(source, _NOTHING)
    return (source,), timed, answers - sum(timed.counts)
