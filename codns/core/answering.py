"""Answers to those who wait for a lookup: each waiter gets exactly one."""

from collections.abc import Callable
from functools import partial
from math import inf
from typing import Final

from codns.core import stale
from codns.core.lookup import Lookup, Waiter
from codns.core.model import Answer, Source
from codns.core.portions import Portions, is_many
from codns.core.slow_names import SLOW_S, Slow
from codns.core.state import State
from codns.wire import const
from codns.wire.build import plain_answer

_new: Final = tuple.__new__  # half of what calling a NamedTuple's class costs


def give(
    state: State,
    lookup: Lookup,
    said: tuple[int, bool, int, int],
    body: bytes,
    source: Source,
    now: float,
) -> None:
    """Give an answer (rcode, AD, counts, records) to everybody who waits."""
    waiters = lookup.waiters
    _note_slow(state, lookup, source, now)
    state.stats.rcodes[source][said[0] & const.RCODE] += len(waiters)
    if is_many(len(waiters), len(body)):
        one = partial(_give, state, said, body, source)
        Portions(state.timers, waiters.values(), len(body), one, state.portions).begin(now)
    else:
        for waiter in waiters.values():
            _give(state, said, body, source, waiter, now)
    waiters.clear()


def _give(
    state: State,
    said: tuple[int, bool, int, int],
    body: bytes,
    source: Source,
    waiter: Waiter,
    now: float,
) -> None:
    client, query, arrived = waiter
    rcode, ad, ancount, nscount = said
    size_max = query.size if client.transport == "udp" else const.MESSAGE_SIZE_MAX
    wire = plain_answer(
        query, rcode, ad and (query.do or query.ad), ancount, nscount, body, size_max
    )
    state.leave(client)
    state.stats.duration[source].add(now - arrived + client.waited)
    state.out.append(_new(Answer, (client, wire)))


def give_stale(state: State, lookup: Lookup, now: float) -> None:
    """Nothing came in time: the expired answer goes to everybody who waits (RFC 8767)."""
    entry = lookup.stale
    lookup.stale_at = inf
    if entry is None:
        return
    _note_slow(state, lookup, "stale", now)
    stale.mark(entry, now)
    lookup.answered = lookup.answered or bool(lookup.waiters)
    body = stale.stale_body(entry) if lookup.waiters else b""

    def deliver(waiter: Waiter, now: float) -> None:
        wire = stale.stale_answer(waiter.query, waiter.client, entry, body)
        _deliver(state, waiter, wire, "stale", now)

    _to_all(state, lookup.waiters, len(body), deliver, now)


def give_error(state: State, lookup: Lookup, rcode: int, now: float) -> None:
    """Nothing will come: everybody who waits is told."""
    _note_slow(state, lookup, "error", now)
    _errors(state, lookup, lookup.waiters, rcode, now)


def _to_all(
    state: State,
    waiters: dict[tuple[object, int, bytes], Waiter],
    size: int,
    deliver: Callable[[Waiter, float], None],
    now: float,
) -> None:
    """Let everybody who waits have an answer of `size` octets: at once, if they are not many."""
    if is_many(len(waiters), size):
        Portions(state.timers, waiters.values(), size, deliver, state.portions).begin(now)
    else:
        for waiter in waiters.values():
            deliver(waiter, now)
    waiters.clear()


def expire(state: State, lookup: Lookup, deadline_s: float, now: float) -> None:
    """Tell those who have waited for `deadline_s`, oldest first."""
    waiters = lookup.waiters
    over = {}
    for key, waiter in waiters.items():
        if now < waiter.arrived + deadline_s:
            break
        over[key] = waiter
    if not over:
        return
    _note_slow(state, lookup, "error", now)
    for key in over:
        del waiters[key]
    _errors(state, lookup, over, const.SERVFAIL, now, deadline=True)


def _errors(
    state: State,
    lookup: Lookup,
    waiters: dict[tuple[object, int, bytes], Waiter],
    rcode: int,
    now: float,
    *,
    deadline: bool = False,
) -> None:
    ede: int | None = None
    if lookup.cached_failure:
        ede = const.EDE_CACHED_ERROR
    elif lookup.overload:
        ede = const.EDE_OTHER
    elif lookup.failure is None or deadline:
        ede = const.EDE_NETWORK_ERROR if lookup.refused else const.EDE_NO_REACHABLE_AUTHORITY
    # Now, not with each portion: until the last of them the lookup may have begun anew
    lookup.answered = lookup.answered or bool(waiters)

    def deliver(waiter: Waiter, now: float) -> None:
        _deliver(state, waiter, state.error(waiter.query, rcode, ede), "error", now)

    _to_all(state, waiters, 0, deliver, now)


def _deliver(state: State, waiter: Waiter, wire: bytes, source: Source, now: float) -> None:
    state.leave(waiter.client)
    stats = state.stats
    stats.rcodes[source][wire[3] & const.RCODE] += 1
    stats.duration[source].add(now - waiter.arrived + waiter.client.waited)
    state.out.append(Answer(waiter.client, wire))


def _note_slow(state: State, lookup: Lookup, source: Source, now: float) -> None:
    """Did who waited longest wait long?"""
    for waiter in lookup.waiters.values():
        took_s = now - waiter.arrived
        if took_s >= SLOW_S:
            state.slow.append(Slow(now, lookup.key, source, took_s))
        return
