"""The end of a lookup: an answer of our own nameserver, of a peer, or none at all."""

from math import inf
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from codns.core import answering
from codns.core.cache import Entry
from codns.core.keeping import keep, keep_remote
from codns.core.lookup import Lookup
from codns.core.messages import QueryReply
from codns.core.remote import RemoteAttempt
from codns.wire import const
from codns.wire.batch import Result
from codns.wire.outcome import Outcome

if TYPE_CHECKING:
    from codns.core.resolver import Resolver

_RELAYED: Final = (Outcome.REFUSED, Outcome.NOTIMP, Outcome.OTHER)  # the rest says SERVFAIL


def conclude(resolver: "Resolver", lookup: Lookup, now: float) -> None:
    """Nothing is left to wait for: what failed wins (RULES 4.4)."""
    failure = lookup.failure
    if lookup.race is not None and lookup.race.give_held(now):
        return
    close(resolver, lookup)
    if lookup.stale is not None:
        answering.give_stale(resolver.state, lookup, now)
    rcode = const.SERVFAIL
    if failure is not None and failure.outcome in _RELAYED and failure.rcode <= const.RCODE:
        rcode = failure.rcode  # an extended one is between that server and us
    answering.give_error(resolver.state, lookup, rcode, now)
    if lookup.askers is not None and resolver.helping is not None:
        resolver.helping.failed(lookup, failure.outcome if failure else Outcome.TIMEOUT, now)
    if lookup.side is not None and resolver.fleet is not None:
        resolver.fleet.ended(lookup, now)


def held_too_long(lookup: Lookup, deadline_s: float, now: float) -> bool:
    """A peer's denial that is held is better than a SERVFAIL: for who gives up now, it wins."""
    if lookup.race is None or lookup.race.held is None or not lookup.waiters:
        return False
    oldest = next(iter(lookup.waiters.values()))
    return now >= oldest.arrived + deadline_s and lookup.race.give_held(now)


def outvoted(lookup: Lookup, now: float) -> bool:
    """A peer's denial that is held is better than what another peer once said: it wins."""
    stale, race = lookup.stale, lookup.race
    if stale is None or race is None or stale.meta.origin != "peer" or stale.meta.negative:
        return False
    return race.give_held(now)


def close(resolver: "Resolver", lookup: Lookup) -> None:
    """Nobody may join it any more."""
    lookup.closed = True
    resolver.state.timers.set(lookup, inf)
    table = resolver.served if lookup.served else resolver.lookups
    if table.get(lookup.table_key) is lookup:
        del table[lookup.table_key]


def usable(resolver: "Resolver", lookup: Lookup, result: Result, now: float) -> None:
    """Give a usable local answer to everybody who waits."""
    side, fleet = lookup.side, resolver.fleet
    if side is not None and fleet is not None:
        fleet.local_answered(lookup, side, result, now)
    close(resolver, lookup)
    entry = _store(resolver, lookup, result, now)
    answering.give(
        resolver.state,
        lookup,
        (result.rcode, result.ad, result.ancount, result.nscount),
        result.body if entry is None else entry.body,
        "local",
        now,
    )
    if fleet is not None:
        private = fleet.learn(lookup.key, result, now)
        if lookup.askers is not None and resolver.helping is not None:
            resolver.helping.answered(lookup, result, private=private, now=now)
        if lookup.race is not None:
            lookup.race.closed(now)


def _store(resolver: "Resolver", lookup: Lookup, result: Result, now: float) -> Entry | None:
    entry = None
    if lookup.cacheable:  # for anybody
        if result.cacheable:
            entry = keep(resolver.state, lookup, result, now)
        resolver.state.failures.forget(lookup.key)
    if lookup.stale is not None:
        lookup.stale.refreshing = False
    if entry is None and lookup.cacheable:
        # What is not kept takes the place of others all the same
        cache = resolver.state.cache
        if lookup.stale is not None:
            cache.drop(lookup.stale)
        known = cache.find(lookup.key, now)
        if known is not None and known.meta.origin == "peer":
            cache.drop(known)
    return entry


def late(resolver: "Resolver", lookup: Lookup, result: Result, now: float) -> None:
    """Our own nameserver's answer after a peer's: it teaches, and replaces it."""
    race, side, fleet = lookup.race, lookup.side, resolver.fleet
    if race is None or side is None or fleet is None or race.local_ended:
        return
    fleet.local_answered(lookup, side, result, now)
    _store(resolver, lookup, result, now)
    fleet.learn(lookup.key, result, now)
    race.closed(now)


def remote_won(
    resolver: "Resolver", lookup: Lookup, reply: QueryReply, attempt: RemoteAttempt, now: float
) -> None:
    """A peer's answer is the first."""
    state, fleet, side = resolver.state, resolver.fleet, lookup.side
    close(resolver, lookup)
    if len(lookup.upstreams.servers) > 1:
        # It is not tried again, but its silence counts: the next lookup goes to another server
        state.timers.set(lookup, lookup.retransmit_at)
    # RULES 2.2: AD is worth what both nodes' nameservers are
    ad = reply.ad and attempt.peer.validates and fleet is not None and fleet.validating(now)
    if lookup.stale is not None:
        lookup.stale.refreshing = False
    kept = replace(reply, ad=ad) if ad != reply.ad else reply
    entry, body = keep_remote(state, lookup.key, kept, attempt.sent, now)
    if entry is not None and fleet is not None and side is not None:
        fleet.stored(entry, side)
    said = (reply.rcode, ad, reply.ancount, reply.nscount)
    answering.give(state, lookup, said, body, "peer", now)
