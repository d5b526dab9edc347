"""Lookups over the local path: tries, failover, deadlines, and what becomes of an answer.

The rules (RULES 4), in the order a lookup meets them:

 1. One lookup a semantic key; whoever asks the same joins it. UDP and TCP share it.
 2. The first try leaves at once, to the best nameserver. Unanswered after the retransmission
    timeout, the next nameserver is tried with a fresh id and port, the timeout doubling; at most
    three tries a server. Earlier tries stay open: a late answer is as good.
 3. The first usable answer goes to everybody waiting and into the cache.
 4. A failing answer ends that server for this lookup and starts the next at once; a transport
    error starts the next *other* server at once and keeps the timeout for the same one. What
    failed wins only when nothing is left.
 5. With a stale entry at hand, nobody waits longer than 1.8 s (RFC 8767 5), or than until the
    refresh failed. Each waiter gets SERVFAIL 4.5 s after it arrived: before its own 5 s are over.
 6. The lookup lives 10 s, so that a late answer still reaches the cache. A client that comes when
    those before it were given up on (4.5 s) starts the tries anew: it is a new question to it.
"""

from math import inf
from typing import Final

from codns.core import stale
from codns.core.cache import KEY_NXDOMAIN, Entry, nxdomain_key
from codns.core.lookup import Attempt, Lookup, Waiter
from codns.core.model import Answer, Client, SendJob, Source
from codns.core.nameserver import RTO_MAX_S, Nameserver
from codns.core.state import State
from codns.wire import const
from codns.wire.batch import FLAG_FIRST_RRSET, Result
from codns.wire.build import plain_answer, upstream_query, upstream_question
from codns.wire.derived import Derived, unpack_derived
from codns.wire.outcome import Outcome
from codns.wire.query import Query

DEADLINE_S: Final = 4.5  # RULES 4.2: the stub's 5 s are near
LIFE_S: Final = 10.0  # RFC 8767 5: the query resolution timer, 10..30 s
WAITERS_MAX: Final = 1_024  # a lookup: a name everybody wants at once is a few hundred
LOOKUPS_MAX: Final = 16_384  # in flight: twice the clients, as lookups outlive them (10 s, 4.5 s)
KEY_ANY_UDP: Final = 4  # flag of a key beside DO and CD: only the first RRset is kept

# Members of an enum take a look-up each time they are named through their class
_NXDOMAIN: Final = Outcome.NXDOMAIN
_TRUNCATED: Final = Outcome.TRUNCATED
_UNREACHABLE: Final = Outcome.UNREACHABLE
_new: Final = tuple.__new__  # half of what calling a NamedTuple's class costs

_FAILING_ANSWERS: Final = (Outcome.SERVFAIL, Outcome.REFUSED, Outcome.FORMERR)
_RELAYED: Final = (Outcome.REFUSED, Outcome.NOTIMP, Outcome.OTHER)  # the rest says SERVFAIL


class Resolver:
    """The table of lookups in flight."""

    __slots__ = ("lookups", "state")

    def __init__(self, state: State) -> None:
        self.state = state
        self.lookups: dict[object, Lookup] = {}

    # -- a client, or a refresh, wants an answer ------------------------------------------------

    def ask(
        self, query: Query, key: bytes, client: Client, expired: Entry | None, now: float
    ) -> None:
        """Let `client` wait for the answer to `key`, joining or starting a lookup."""
        state, lookups = self.state, self.lookups
        waiter_key = (client.key, query.id, query.question)
        # An answer for one client's network is for nobody else: its own query again joins it
        table_key: object = key if query.ecs is None else (key, query.ecs, waiter_key)
        lookup = lookups.get(table_key)
        if lookup is None:
            refusal = "clients" if len(lookups) >= LOOKUPS_MAX else state.enter(client)
        elif waiter_key in lookup.waiters:
            state.stats.duplicates += 1  # the client sent it again: still one waiter
            return
        else:
            refusal = "waiters" if len(lookup.waiters) >= WAITERS_MAX else state.enter(client)
        if refusal is not None:
            state.stats.refusals[refusal] += 1
            state.reply(client, query, const.SERVFAIL, const.EDE_OTHER)
            return
        if lookup is None:
            state.stats.cache_misses += 1
            lookup = self._new(table_key, key, query.ecs, now)
        else:
            state.stats.coalesced += 1
            if now >= lookup.started + DEADLINE_S:
                lookup.begin_again(state.upstreams(key[:-5]), now, now + LIFE_S)
                self._begin(lookup, now)
        lookup.waiters[waiter_key] = _new(Waiter, (client, query, now))
        if expired is not None and lookup.stale_at == inf:
            lookup.stale, lookup.stale_at = expired, now + stale.WAIT_S
        self._schedule(lookup)

    def refresh(self, entry: Entry, now: float) -> bool:
        """Ask for an entry anew with nobody waiting (prefetch, stale). False: not now."""
        key = entry.key
        if key[-1] & KEY_NXDOMAIN:  # kept by name: any type asks for it
            flags = bytes((key[-1] & ~(KEY_NXDOMAIN | KEY_ANY_UDP),))
            key = key[:-5] + const.A.to_bytes(2, "big") + key[-3:-1] + flags
        if key in self.lookups or len(self.lookups) >= LOOKUPS_MAX:
            return False
        entry.refreshing = True
        lookup = self._new(key, key, None, now)
        lookup.stale = entry
        self._schedule(lookup)
        return True

    def _new(self, table_key: object, key: bytes, ecs: bytes | None, now: float) -> Lookup:
        flags = key[-1]
        if ecs is None:
            wire = upstream_question(key[:-1], flags)
        else:
            wire = upstream_query(*split_key(key), do=bool(flags & 1), cd=bool(flags & 2), ecs=ecs)
        state = self.state
        lookup = self.lookups[table_key] = Lookup(
            self,
            table_key,
            key,
            wire,
            FLAG_FIRST_RRSET if flags & KEY_ANY_UDP else 0,
            state.upstreams(key[:-5]) if state.zones else state.default,
            now,
            now + LIFE_S,
        )
        self._begin(lookup, now)
        return lookup

    def _begin(self, lookup: Lookup, now: float) -> None:
        if not self._try(lookup, now):
            lookup.retransmit_at = now  # no nameserver at all: concluded by the first timeout

    # -- attempts -------------------------------------------------------------------------------

    def _try(self, lookup: Lookup, now: float, besides: Nameserver | None = None) -> bool:
        """Ask the next nameserver; False if none may be asked (now)."""
        tries, ends, state = lookup.tries, lookup.ends, self.state
        server = lookup.upstreams.pick(tries, lookup.spent)
        if server is None or now >= ends or (besides is not None and server.address in tries):
            return False
        address = server.address
        if tries:
            lookup.retransmit_at = now + server.rto * (1 << sum(tries.values()))
            tries[address] = tries.get(address, 0) + 1
        else:
            lookup.retransmit_at = now + server.rto
            tries[address] = 1
        lookup.last = server
        lookup.last_sent = now
        lookup.outstanding += 1
        server.sent += 1
        if server.watch is not None:
            server.watch.queried(now)
        job = state.jobs.new(_new(Attempt, (lookup, server, now, lookup.started)))
        state.out.append(_new(SendJob, (job, address, lookup.flags, ends - now, lookup.wire)))
        return True

    def attempt_done(self, attempt: Attempt, result: Result, now: float) -> None:
        """A slave reports how an attempt ended."""
        lookup, server, _, begun = attempt
        outcome = result.outcome
        if begun == lookup.started:  # not of tries before it began anew
            lookup.outstanding -= 1
        if lookup.last is server:
            lookup.last = None  # this try has ended: its timeout is nobody's silence
        self.state.stats.outcomes[outcome] += 1
        if outcome <= _TRUNCATED:
            server.heard_at = now
            # The time of a truncated answer is that of a TCP exchange that failed
            if server.heard(result.elapsed) if outcome != _TRUNCATED else server.alive():
                self.state.note_up(server)
            if server.watch is not None:
                ttl = result.ttl if result.cacheable and lookup.cacheable else 0
                server.watch.won(*split_key(lookup.key), ttl, now)
            if outcome <= _NXDOMAIN:
                if not lookup.closed:  # else an earlier try answered; this one taught its time
                    self._usable(lookup, result, now)
                return
        elif outcome is _UNREACHABLE and server.unheard(now, refused=True):
            self.state.note_down(server, "refused")
        if not lookup.closed:
            self._failed(lookup, server, result, now)

    def _failed(self, lookup: Lookup, server: Nameserver, result: Result, now: float) -> None:
        outcome = result.outcome
        if outcome <= Outcome.OTHER:
            if lookup.failure is None:
                lookup.failure = result
            if lookup.spent is None:
                lookup.spent = set()
            lookup.spent.add(server.address)
            tried = self._try(lookup, now)
        elif outcome in (Outcome.UNREACHABLE, Outcome.TRUNCATED):
            lookup.refused = True
            tried = self._try(lookup, now, besides=server)
        else:
            lookup.overload = lookup.overload or outcome is Outcome.OVERLOAD
            tried = outcome is Outcome.OVERLOAD and self._try(lookup, now)
        if tried:
            self._schedule(lookup)
        elif lookup.outstanding == 0 and (
            now >= lookup.ends or lookup.upstreams.pick(lookup.tries, lookup.spent) is None
        ):
            self._conclude(lookup, now)

    # -- time passes ----------------------------------------------------------------------------

    def _schedule(self, lookup: Lookup) -> None:
        due = lookup.retransmit_at
        due = min(due, lookup.ends)
        # Before these nothing else is due: the first try's timeout is 0.8 s at most
        if due > lookup.started + RTO_MAX_S and lookup.waiters:
            due = min(due, lookup.stale_at)
            first = next(iter(lookup.waiters.values())).arrived + DEADLINE_S
            due = min(due, first)
        self.state.timers.set(lookup, due)

    def lookup_due(self, lookup: Lookup, now: float) -> None:
        """A deadline of this lookup has come: one of its four, in order of their weight."""
        if now >= lookup.stale_at:
            self._give_stale(lookup, now)
        self._expire_waiters(lookup, now)
        if now >= lookup.ends:
            self._conclude(lookup, now)
            return
        if now >= lookup.retransmit_at:
            lookup.retransmit_at = inf
            if (
                lookup.last is not None
                and lookup.outstanding
                and lookup.last.unheard(now, lookup.last_sent)
            ):
                self.state.note_down(lookup.last, "silent")
            if not lookup.answered and self._try(lookup, now):
                self.state.stats.retransmissions += 1
            elif lookup.outstanding == 0:
                self._conclude(lookup, now)
                return
        self._schedule(lookup)

    def _expire_waiters(self, lookup: Lookup, now: float) -> None:
        while lookup.waiters:
            key, waiter = next(iter(lookup.waiters.items()))
            if now < waiter.arrived + DEADLINE_S:
                return
            del lookup.waiters[key]
            self._deliver_error(lookup, waiter, const.SERVFAIL, now, deadline=True)

    def _conclude(self, lookup: Lookup, now: float) -> None:
        """Nothing is left to wait for: what failed wins (RULES 4.4)."""
        failure, state = lookup.failure, self.state
        if failure is not None and failure.outcome in _FAILING_ANSWERS and lookup.cacheable:
            state.failures.record(lookup.key, const.SERVFAIL, now)
        self._close(lookup)
        if lookup.stale is not None:
            self._give_stale(lookup, now)
        rcode = const.SERVFAIL
        if failure is not None and failure.outcome in _RELAYED and failure.rcode <= const.RCODE:
            rcode = failure.rcode  # an extended one is between that server and us
        for waiter in lookup.waiters.values():
            self._deliver_error(lookup, waiter, rcode, now)
        lookup.waiters.clear()

    def _close(self, lookup: Lookup) -> None:
        lookup.closed = True
        self.state.timers.set(lookup, inf)
        if self.lookups.get(lookup.table_key) is lookup:
            del self.lookups[lookup.table_key]

    # -- answers --------------------------------------------------------------------------------

    def _usable(self, lookup: Lookup, result: Result, now: float) -> None:
        state, waiters = self.state, lookup.waiters
        self._close(lookup)
        entry = None
        if lookup.table_key is lookup.key:  # for anybody
            if result.cacheable:
                entry = self._keep(lookup, result, now)
            state.failures.forget(lookup.key)
        if lookup.stale is not None:
            lookup.stale.refreshing = False
            if entry is None and lookup.cacheable:  # refreshed, but by what is not kept
                state.cache.drop(lookup.stale)
        body = result.body if entry is None else entry.body
        rcode, ad, ancount, nscount = result.rcode, result.ad, result.ancount, result.nscount
        answers, leave, out = state.stats.duration["local"], state.leave, state.out
        for client, query, arrived in waiters.values():
            size_max = query.size if client.transport == "udp" else const.MESSAGE_SIZE_MAX
            wire = plain_answer(
                query, rcode, ad and (query.do or query.ad), ancount, nscount, body, size_max
            )
            leave(client)
            answers.add(now - arrived)
            out.append(_new(Answer, (client, wire)))
        state.stats.answers["local"] += len(waiters)
        waiters.clear()

    def _keep(self, lookup: Lookup, result: Result, now: float) -> Entry | None:
        """Put a local answer into the cache (RULES 3.2); returns the entry."""
        state, key = self.state, lookup.key
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

    def _give_stale(self, lookup: Lookup, now: float) -> None:
        entry = lookup.stale
        lookup.stale_at = inf
        if entry is None:
            return
        stale.mark(entry, now)
        for waiter in lookup.waiters.values():
            wire = stale.stale_answer(waiter.query, waiter.client, entry)
            self._deliver(waiter, wire, "stale", now)
        lookup.answered = lookup.answered or bool(lookup.waiters)
        lookup.waiters.clear()

    def _deliver_error(
        self, lookup: Lookup, waiter: Waiter, rcode: int, now: float, *, deadline: bool = False
    ) -> None:
        ede: int | None = None
        if lookup.overload:
            ede = const.EDE_OTHER
        elif lookup.failure is None or deadline:
            ede = const.EDE_NETWORK_ERROR if lookup.refused else const.EDE_NO_REACHABLE_AUTHORITY
        lookup.answered = True
        self._deliver(waiter, self.state.error(waiter.query, rcode, ede), "error", now)

    def _deliver(self, waiter: Waiter, wire: bytes, source: Source, now: float) -> None:
        state = self.state
        state.leave(waiter.client)
        stats = state.stats
        stats.answers[source] += 1
        stats.duration[source].add(now - waiter.arrived)
        state.out.append(Answer(waiter.client, wire))


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


def split_key(key: bytes) -> tuple[bytes, int, int]:
    """Return (name, qtype, qclass) of a semantic key."""
    return key[:-5], int.from_bytes(key[-5:-3], "big"), int.from_bytes(key[-3:-1], "big")


def any_key(key: bytes) -> bytes:
    """Return the key of ANY over UDP, whose answer is cut to one RRset (RULES 2.5)."""
    return key[:-1] + bytes((key[-1] | KEY_ANY_UDP,))
