"""What a node tells of itself: for `codns status`, `peers` and `explain`, the page, metrics.

Everything is plain values that JSON can carry; times are seconds, instants "seconds ago" or "from
now", as the node's clock means nothing to anybody else. Names are shown as text, and only where
somebody asked for a name or for races: counters carry none.
"""

from collections.abc import Iterator
from typing import Final

from codns.core.cache import Entry, nxdomain_key
from codns.core.fleet import Fleet, Recent
from codns.core.helping import Helping
from codns.core.peer_state import Peer
from codns.core.resolver import Resolver
from codns.core.special import is_special
from codns.core.state import State
from codns.core.stats import Histogram
from codns.wire import const
from codns.wire.name import to_text
from codns.wire.outcome import Outcome

Row = dict[str, object]

PEERS_AT_ONCE: Final = 128  # rows made in one go: half a millisecond
_DEFAULT: Final = b""
_OUTCOMES: Final = tuple(outcome.name.lower() for outcome in Outcome)


def status(
    state: State, fleet: Fleet | None, helping: Helping | None, lookups: int, now: float
) -> Row:
    """Return the whole state but for peers and cache entries: some kilobytes."""
    stats = state.stats
    hits = sum(counter.n for counter in stats.hits.values())
    return {
        "clients": {"outstanding": state.outstanding, "lookups": lookups},
        "answers": {"cache": hits, **stats.answers},
        "durations": {source: _histogram(h) for source, h in stats.duration.items()},
        "cache": {
            "entries": len(state.cache),
            "bytes": state.cache.bytes,
            "hits": hits,
            "misses": stats.cache_misses,
            "evictions": stats.cache_evictions,
            "prefetches": stats.cache_prefetches,
            "coalesced": stats.coalesced,
        },
        "retransmissions": stats.retransmissions,
        "probes": stats.probes,
        "duplicates": stats.duplicates,
        "nameservers": [
            {
                "address": server.address,
                "up": server.up,
                "srtt_s": server.srtt,
                "rto_s": server.rto,
                "sent": server.sent,
                "answers": server.answers,
                "timeouts": server.timeouts,
                "looped": server.looped,
            }
            for server in state.servers.values()
        ],
        "queries": dict(stats.queries),
        "drops": dict(stats.drops),
        "refusals": dict(stats.refusals),
        "outcomes": dict(zip(_OUTCOMES, stats.outcomes, strict=True)),
        "cooperation": None if fleet is None else _cooperation(fleet, helping, now),
    }


def _histogram(histogram: Histogram) -> Row:
    counts = histogram.counts
    return {"count": sum(counts), "sum_s": histogram.total, "buckets": list(counts)}


def _cooperation(fleet: Fleet, helping: Helping | None, now: float) -> Row:
    side, neighbours, counts = fleet.sides[_DEFAULT], fleet.neighbours, fleet.counts
    delay = side.policy.delay(now, failing=side.failing)
    served: Row = {}
    if helping is not None:
        serving = helping.serving
        served = {
            **helping.served,
            "in_service": serving.in_service,
            "queued": serving.queued,
            "window": serving.window,
            "refusals": {reason.value: n for reason, n in helping.refusals.items()},
        }
    return {
        "me": neighbours.me,
        "listed": neighbours.listed,
        "policy": side.policy.name,
        "initial_delay_s": delay,
        "path": side.path.explain(now),
        "zones": {
            to_text(zone): side.path.explain(now)
            for zone, side in fleet.sides.items()
            if zone != _DEFAULT
        },
        "budget": fleet.budget.explain(now),
        "remote": {"sent": counts.sent, "in_flight": len(fleet.attempts), **counts.remote},
        "suppressed": dict(counts.suppressed),
        "saved_s": counts.saved.total,
        "served": served,
        "validates": fleet.validating(now),
        "neighbours": len(neighbours.neighbours),
        "peers": len(neighbours.peers),
        "peers_up": sum(not peer.down for peer in neighbours.neighbours),
        "seats": len(neighbours.seats),
        "slow_domains": len(fleet.slow),
        "learned_zones": len(fleet.private),
    }


def peers(fleet: Fleet, now: float) -> Iterator[list[Row]]:
    """Yield one row a listed peer, some at a time: neighbours by score, then others by address."""
    known = fleet.neighbours
    near = sorted(known.neighbours, key=lambda peer: (peer.score, peer.address))
    listed = near + [peer for _, peer in sorted(known.peers.items()) if peer.slot is None]
    for start in range(0, len(listed), PEERS_AT_ONCE):
        yield [_peer(fleet, peer, now) for peer in listed[start : start + PEERS_AT_ONCE]]


def local_path(fleet: Fleet, now: float) -> tuple[str, float | None]:
    """Return the state of the path and the initial delay of names without a zone of their own."""
    side = fleet.sides[_DEFAULT]
    return side.path.state.value, side.policy.delay(now, failing=side.failing)


def slow(state: State, now: float) -> list[Row]:
    """Return the lookups that took long lately, newest last."""
    return [
        {
            "ago_s": now - slow.ended,
            "name": to_text(slow.key[:-5]),
            "type": int.from_bytes(slow.key[-5:-3], "big"),
            "source": slow.source,
            "took_s": slow.took_s,
        }
        for slow in state.slow
    ]


def _peer(fleet: Fleet, peer: Peer, now: float) -> Row:
    validating = fleet.validating(now)
    return {
        "peer": peer.address,
        "neighbour": peer.slot is not None,
        "why": peer.why(fleet.neighbours.mine, now, validating=validating).value,
        "rtt_s": peer.srtt,
        "nameserver_s": peer.mean_s,
        "score_s": peer.score if peer.srtt is not None else None,
        "up": not peer.down,
        "failing": peer.failing,
        "full": peer.full,
        "busy": now < peer.busy_until,
        "validates": peer.validates,
        "heard_ago_s": now - peer.heard_at if peer.srtt is not None else None,
    }


def race(recent: Recent, now: float) -> Row:
    """Return one race that is over."""
    return {
        "ago_s": now - recent.ended,
        "name": to_text(recent.key[:-5]),
        "type": int.from_bytes(recent.key[-5:-3], "big"),
        "route": recent.route.name.lower(),
        "delay_s": recent.delay,
        "winner": recent.winner or None,
        "events": [
            {"at_s": event.at, "who": event.who, "what": event.what} for event in recent.events
        ],
    }


def explain(state: State, fleet: Fleet | None, resolver: Resolver, key: bytes, now: float) -> Row:
    """Tell how a lookup for `key` would be answered or raced now, and how it was lately."""
    name = key[:-5]
    entry = state.cache.find(key, now)
    told: Row = {
        "name": to_text(name),
        "type": int.from_bytes(key[-5:-3], "big"),
        "special": is_special(name),
        "cache": None if entry is None else _entry(entry, state, now),
        "in_flight": key in resolver.lookups,
        "failures": {"local": state.failures.get(key, now) is not None},
        "nameservers": [server.address for server in state.upstreams(name).servers],
        "cooperation": None,
    }
    if fleet is not None:
        told["failures"] = {
            "local": state.failures.get(key, now) is not None,
            "peers": fleet.peers_failed.get(key, now) is not None,
        }
        told["cooperation"] = _race_of(state, fleet, key, now)
        told["races"] = [race(recent, now) for recent in fleet.recent if recent.key[:-5] == name]
    return told


def _entry(entry: Entry, state: State, now: float) -> Row:
    left = entry.expires - now
    how = "fresh" if left > 0 else "stale"
    if left <= -state.cache.stale_s:
        how = "too old"
    return {
        "state": how,
        "rcode": entry.meta.rcode,
        "origin": entry.meta.origin,
        "negative": entry.meta.negative,
        "ttl_s": entry.ttl,
        "left_s": left,
        "hits": entry.hits,
        "for_all_types": entry.key == nxdomain_key(entry.key),
    }


def _race_of(state: State, fleet: Fleet, key: bytes, now: float) -> Row:
    name, side = key[:-5], state.upstreams(key[:-5]).side
    if side is None:
        return {"raced": False, "because": "its zone is not asked of peers"}
    failing = side.failing
    because = fleet.private.explain(name, now)
    if because is None and int.from_bytes(key[-5:-3], "big") == const.ANY:
        because = "ANY is never raced"
    if because is None and not side.policy.sends:
        because = f"race.policy is {side.policy.name}"
    stopped = fleet.slow.blocked_until(name, now) - now
    validating = not key[-1] & 2 and fleet.validating(now)
    standings = fleet.neighbours.standings(name, now, validating=validating)
    return {
        "raced": because is None,
        "because": because,
        "path": side.path.explain(now),
        "initial_delay": side.policy.explain(now, failing=failing),
        "spread_s": fleet.times.spread(),
        "max_remote": fleet.remote_max,
        "budget": fleet.budget.explain(now),
        "slow_domain_for_s": max(0.0, stopped),
        "peers": [
            {**_peer(fleet, s.peer, now), "why": s.why.value, "weight": f"{s.weight:016x}"}
            for s in standings
        ],
    }
