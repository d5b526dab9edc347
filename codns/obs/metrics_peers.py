"""Cooperation: the judgement of the local path, remote queries, peers, and serving them.

None of it is there without peers: a zero of "neighbours that could be asked" would be an alarm.

Which peers have rows of their own: neighbours, and former ones that are down and tried again by a
timer (`core.neighbour_returns`), so that one that fell is seen as down and does not just vanish.
The nearest come first, and 32 is the end; the totals hold all.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final, get_args

from prometheus_client.core import Metric

from codns.core.fleet import Fleet
from codns.core.helping import Helping
from codns.core.peer_state import Peer, Why
from codns.core.settings import RacePolicy
from codns.core.stats import PATH_STATES
from codns.obs.metrics_text import by, counter, counters, gauge, gauges, histogram

PEERS_MAX: Final = 32  # three times the neighbours that are usual; 450 samples

_POLICIES: Final[tuple[str, ...]] = get_args(RacePolicy)
_DEFAULT: Final = b""


def local_path(fleet: Fleet, now: float) -> Iterator[Metric]:
    """Yield what is thought of the local path, and what follows from it."""
    side, counts = fleet.sides[_DEFAULT], fleet.counts
    state = side.path.state.value
    yield gauges(
        "codns_local_path_state",
        "1 for what the site's own nameservers are judged to be.",
        ("state",),
        [((known,), known == state) for known in PATH_STATES],
    )
    yield counters(
        "codns_local_path_changes_total",
        "Changes of that judgement, by the state entered; steps of a recovery count too.",
        ("state",),
        by(counts.changes),
    )
    yield gauge(
        "codns_local_path_share",
        "Share of lookups that go to the local path first.",
        side.path.share,
    )
    yield histogram(
        "codns_local_duration_seconds",
        "Time of the local path for clients' lookups, also where a peer answered first;"
        " without an answer until it was given up.",
        counts.local,
    )
    yield gauge(
        "codns_initial_delay_seconds",
        "How long the local path has before a peer is asked; NaN where none ever is.",
        side.policy.delay(now, failing=side.failing),
    )
    yield gauges(
        "codns_race_policy",
        "1 for the policy of the race.",
        ("policy",),
        [((policy,), policy == side.policy.name) for policy in _POLICIES],
    )


def remote(fleet: Fleet, now: float) -> Iterator[Metric]:
    """Yield what became of our queries to peers."""
    counts, budget = fleet.counts, fleet.budget
    yield counter("codns_remote_queries_issued_total", "Queries sent to peers.", counts.sent)
    yield counters(
        "codns_remote_queries_total",
        "Queries to peers that have ended, by how; a client got the answer of those won.",
        ("outcome",),
        by(counts.remote),
    )
    yield gauge(
        "codns_remote_queries_inflight", "Queries to peers in flight.", len(fleet.attempts)
    )
    yield counters(
        "codns_remote_queries_suppressed_total",
        "Times that no peer was asked though it was time to, by reason.",
        ("reason",),
        by(counts.suppressed),
    )
    yield counters(
        "codns_remote_rejected_total",
        "Answers of peers that were not what they said, by reason; among those failed.",
        ("reason",),
        by(counts.rejected),
    )
    yield histogram(
        "codns_remote_saved_seconds",
        "How much longer a client would have waited without the peer that answered,"
        " 4.5 s in all at the most.",
        counts.saved,
    )
    yield counter(
        "codns_remote_strays_total", "Replies of peers to no query of ours.", counts.strays
    )
    yield gauge("codns_budget_tokens", "Remote queries that may be wasted.", budget.tokens(now))
    yield gauge("codns_budget_tokens_max", "How many may be saved up.", budget.capacity)
    yield counter("codns_budget_taken_total", "Tokens that queries took.", budget.taken)
    yield counter(
        "codns_budget_refunded_total", "Tokens given back as the query paid.", budget.refunded
    )
    yield gauge(
        "codns_slow_domains", "Domains watched for being slow for everybody.", len(fleet.slow)
    )
    yield counter(
        "codns_slow_domains_stopped_total",
        "Times that peers were not to be asked for a domain any more.",
        fleet.slow.stopped,
    )
    yield gauge("codns_private_zones_learned", "Private zones learned.", len(fleet.private))


def peers(fleet: Fleet, now: float) -> Iterator[Metric]:
    """Yield what is known of peers."""
    known = fleet.neighbours
    neighbours, validating = known.neighbours, fleet.validating(now)
    eligible = {
        peer.address
        for peer in neighbours
        if peer.why(known.mine, now, validating=validating) is Why.ELIGIBLE
    }
    yield gauge("codns_peers", "Peers listed.", len(known.peers))
    yield gauge("codns_neighbours", "Peers chosen to be watched and asked.", len(neighbours))
    yield gauge("codns_neighbours_eligible", "Neighbours that could be asked now.", len(eligible))
    yield gauge("codns_peer_seats", "Peers that have this node for a neighbour.", len(known.seats))
    yield gauge("codns_peer_listed", "1 if this node is in the list it was given.", known.listed)
    rows = _rows(neighbours, known.returning)
    yield gauges(
        "codns_peer_up",
        "1 while a peer answers.",
        ("peer",),
        [((p.address,), not p.down) for p in rows],
    )
    yield gauges(
        "codns_peer_eligible",
        "1 while a peer could be asked.",
        ("peer",),
        [((p.address,), p.address in eligible) for p in rows],
    )
    yield gauges(
        "codns_peer_rtt_seconds",
        "Smoothed round-trip time of heartbeats.",
        ("peer",),
        [((p.address,), p.srtt) for p in rows],
    )
    yield gauges(
        "codns_peer_nameserver_seconds",
        "Time of a peer's own nameserver, as it reports; NaN while it knows none.",
        ("peer",),
        [((p.address,), p.mean_s) for p in rows],
    )
    yield counters(
        "codns_peer_requests_total",
        "Queries to a peer (out) and from it (in) that have ended, by how.",
        ("peer", "direction", "result"),
        [
            ((p.address, direction, result), count)
            for p in rows
            for direction, results in (("out", p.asked), ("in", p.served))
            for result, count in results.items()
        ],
    )


def served(helping: Helping) -> Iterator[Metric]:
    """Yield what was done for peers."""
    serving = helping.serving
    yield counters(
        "codns_served_queries_total",
        "Queries of peers, by what they were told.",
        ("result",),
        by(helping.served),
    )
    yield counters(
        "codns_served_busy_total",
        "Queries of peers that were told BUSY, by reason.",
        ("reason",),
        [((reason.value,), count) for reason, count in helping.refusals.items()],
    )
    yield gauge(
        "codns_served_inflight", "Queries of peers with our nameservers.", serving.in_service
    )
    yield gauge("codns_served_waiting", "Queries of peers that wait for a place.", serving.queued)
    yield gauge("codns_served_window", "How many of them may be in flight.", serving.window)


def _rows(neighbours: list[Peer], returning: list[Peer]) -> list[Peer]:
    near = sorted(neighbours, key=lambda peer: (peer.score, peer.address))
    return list(islice([*near, *returning], PEERS_MAX))
