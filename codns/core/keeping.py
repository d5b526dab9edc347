"""What a lookup's answer leaves in the cache (RULES 3.2 to 3.4).

Our own nameserver's word is kept as its TTL says, within the configured bounds; also what a CNAME
chain says of its last target. A peer's is kept for a minute at most, a denial for ten seconds: it
is help for an outage, and another site may be given other addresses (CDN).
"""

from typing import Final

from codns.core.cache import Entry, nxdomain_key
from codns.core.lookup import Lookup
from codns.core.messages import QueryReply
from codns.core.state import State
from codns.wire import const
from codns.wire.ageing import aged, capped
from codns.wire.batch import Result
from codns.wire.derived import Derived, unpack_derived
from codns.wire.outcome import Outcome

PEER_TTL_MAX_S: Final = 60  # RULES 3.4
PEER_NEGATIVE_TTL_MAX_S: Final = 10  # RULES 3.4

_NXDOMAIN: Final = Outcome.NXDOMAIN


def keep(state: State, lookup: Lookup, result: Result, now: float) -> Entry | None:
    """Put a local answer into the cache; returns the entry, None if nothing was kept."""
    key = lookup.key
    derived = unpack_derived(result.derived) if result.derived else None
    if derived is not None and state.upstreams(derived.name) is lookup.upstreams:
        target = derived.name + key[-5:]
        if derived.rcode == const.NXDOMAIN:
            target = nxdomain_key(target)
        if state.cache.find(target, now) is None:
            state.store(target, _of_derived(derived, ad=result.ad), now)
    if result.outcome is _NXDOMAIN and result.ancount == 0:
        state.cache.drop_other(key)
        key = nxdomain_key(key)
    return state.store(key, result, now)


def keep_remote(
    state: State, key: bytes, reply: QueryReply, asked: float, now: float
) -> tuple[Entry | None, bytes]:
    """Put a peer's answer into the cache; returns the entry, None if none was made, and the body.

    Its TTLs count from when it was `asked`: a denial may have been held since, a datagram delayed.
    Our own nameserver's word may have come meanwhile, to a lookup for a peer: it stays.
    """
    negative = reply.outcome is not Outcome.ANSWER
    ttl_max = PEER_NEGATIVE_TTL_MAX_S if negative else PEER_TTL_MAX_S
    ttl = min(reply.ttl, ttl_max)
    body = capped(reply.body, reply.offsets, ttl or ttl_max)
    given = aged(body, reply.offsets, int(now - asked))
    if now >= asked + ttl:
        return None, given
    known = state.cache.find(key, now)
    if known is not None and now < known.expires and known.meta.origin != "peer":
        return None, given
    if reply.outcome is _NXDOMAIN and reply.ancount == 0:
        state.cache.drop_other(key)
        key = nxdomain_key(key)
    meta = (reply.rcode, reply.ad, reply.ancount, reply.nscount, negative)
    return state.put(key, meta, body, reply.offsets, ttl, asked, origin="peer"), given


def _of_derived(derived: Derived, *, ad: bool) -> Result:
    """Return a chain's negative answer for its last target as the result it would have been.

    AD is the whole message's (RFC 4035 3.2.3), so it holds for this part of it.
    """
    outcome = Outcome.NXDOMAIN if derived.rcode == const.NXDOMAIN else Outcome.NODATA
    return Result(
        0,
        outcome,
        derived.rcode,
        ad=ad,
        cacheable=True,
        soa=True,
        ancount=0,
        nscount=derived.nscount,
        ttl=derived.ttl,
        elapsed=0.0,
        body=derived.body,
        offsets=derived.offsets,
        derived=b"",
    )
