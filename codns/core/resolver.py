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
 6. Is the server silent to everybody, or behind with its work, tries that would repeat others
    wait (`core.late_tries`).
 7. Where there are peers, `core.fleet` says when they are asked, and may hold the first local try
    back. No try is repeated while a remote query is in flight: what is owed leaves when the last
    of them has failed. A peer's answer closes the lookup; a later local one still teaches, and
    takes its place in the cache.
 8. The lookup lives 10 s, so that a late answer still reaches the cache. A client that comes when
    those before it were given up on (4.5 s) starts the tries anew: it is a new question to it.
"""

from math import inf
from typing import TYPE_CHECKING, Final

from codns.core import answering, concluding, late_tries, stale
from codns.core.cache import Entry
from codns.core.failures import FAILING_ANSWERS
from codns.core.keys import KEY_ANY_UDP, question_key, split_key
from codns.core.lookup import Attempt, Lookup, Waiter
from codns.core.model import Client, SendJob
from codns.core.nameserver import RTO_MAX_S, Nameserver
from codns.core.state import State
from codns.wire import const
from codns.wire.batch import FLAG_FIRST_RRSET, FLAG_MIXED_CASE, Result
from codns.wire.build import upstream_query, upstream_question
from codns.wire.outcome import Outcome
from codns.wire.query import Query

if TYPE_CHECKING:
    from codns.core.fleet import Fleet
    from codns.core.helping import Asker, Helping

DEADLINE_S: Final = 4.5  # RULES 4.2: the stub's 5 s are near
LIFE_S: Final = 10.0  # RFC 8767 5: the query resolution timer, 10..30 s
WAITERS_MAX: Final = 1_024  # a lookup: a name everybody wants at once is a few hundred
LOOKUPS_MAX: Final = 16_384  # in flight: twice the clients, as lookups outlive them (10 s, 4.5 s)

# Members of an enum take a look-up each time they are named through their class
_NXDOMAIN: Final = Outcome.NXDOMAIN
_TRUNCATED: Final = Outcome.TRUNCATED
_UNREACHABLE: Final = Outcome.UNREACHABLE
_new: Final = tuple.__new__  # half of what calling a NamedTuple's class costs

# As if our nameserver had said so: a failure that is remembered
_SERVFAIL: Final = Result(0, Outcome.SERVFAIL, 2, False, False, False, 0, 0, 0, 0.0, b"", b"", b"")


class Resolver:
    """The table of lookups in flight."""

    __slots__ = ("fleet", "helping", "lookups", "served", "state")

    def __init__(self, state: State) -> None:
        self.state = state
        self.lookups: dict[object, Lookup] = {}
        self.served: dict[object, Lookup] = {}  # for peers, on the local path only
        self.fleet: Fleet | None = None
        self.helping: Helping | None = None

    # -- a client, or a refresh, wants an answer ------------------------------------------------

    def ask(
        self,
        query: Query,
        key: bytes,
        client: Client,
        expired: Entry | None,
        now: float,
        *,
        failed: bool = False,
    ) -> None:
        """Let `client` wait for the answer to `key`, joining or starting a lookup.

        `failed`: the local nameservers' failure is remembered, so only peers are asked.
        """
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
            state.shed(refusal, client, query)
            return
        if lookup is None:
            state.stats.cache_misses += 1
            lookup = self._new(table_key, key, query.ecs, now)
            if failed:
                self._begin_failed(lookup, now)
            else:
                self._begin(lookup, now, raced=lookup.cacheable)
        else:
            state.stats.coalesced += 1
            if now >= lookup.started + DEADLINE_S or self._is_dead(lookup):
                self._begin_again(lookup, now)
            elif lookup.side is None and self.fleet is not None:  # a refresh: now it is wanted
                self._race(lookup, now)
        lookup.waiters[waiter_key] = _new(Waiter, (client, query, now))
        if expired is not None and lookup.stale_at == inf:
            lookup.stale, lookup.stale_at = expired, now + stale.WAIT_S
        self._schedule(lookup)

    def refresh(self, entry: Entry, now: float, *, raced: bool = False) -> bool:
        """Ask for an entry anew with nobody waiting (prefetch, stale). False: not now.

        `raced`: peers may be asked too; not for a prefetch, which is in no hurry.
        """
        key = question_key(entry.key)
        if key in self.lookups or len(self.lookups) >= LOOKUPS_MAX:
            return False
        entry.refreshing = True
        lookup = self._new(key, key, None, now)
        lookup.stale = entry
        self._begin(lookup, now, raced=raced)
        self._schedule(lookup)
        return True

    def serve(self, key: bytes, asker: "Asker", now: float) -> Lookup:
        """Ask the local nameservers for a peer."""
        lookup = self._made(key, key, None, now, self.served)
        lookup.served, lookup.askers = True, [asker]
        self._begin(lookup, now, raced=False)
        self._schedule(lookup)
        return lookup

    def _new(self, table_key: object, key: bytes, ecs: bytes | None, now: float) -> Lookup:
        return self._made(table_key, key, ecs, now, self.lookups)

    def _made(
        self,
        table_key: object,
        key: bytes,
        ecs: bytes | None,
        now: float,
        table: dict[object, Lookup],
    ) -> Lookup:
        flags = key[-1]
        wire = upstream_question(key[:-1], flags)
        if ecs is not None:
            wire = upstream_query(*split_key(key), do=bool(flags & 1), cd=bool(flags & 2), ecs=ecs)
        state = self.state
        mixed = FLAG_MIXED_CASE if state.settings.case_randomization else 0
        lookup = table[table_key] = Lookup(
            self,
            table_key,
            key,
            wire,
            mixed | FLAG_FIRST_RRSET if flags & KEY_ANY_UDP else mixed,
            state.upstreams(key[:-5]) if state.zones else state.default,
            now,
            now + LIFE_S,
            cacheable=ecs is None,
        )
        return lookup

    def _begin(self, lookup: Lookup, now: float, *, raced: bool) -> None:
        if raced and self.fleet is not None and self._race(lookup, now):
            return
        if not self._try(lookup, now):
            lookup.retransmit_at = now  # no nameserver at all: concluded by the first timeout

    def _begin_again(self, lookup: Lookup, now: float) -> None:
        """To who asks now it is a new question; what is out for the old one may still answer."""
        former = lookup.race
        if self.fleet is not None:
            self.fleet.ended(lookup, now)
        lookup.begin_again(self.state.upstreams(lookup.key[:-5]), now, now + LIFE_S)
        if former is not None:
            former.closed(now)
        self._begin(lookup, now, raced=lookup.cacheable)

    def _race(self, lookup: Lookup, now: float) -> bool:
        """Let it be raced, if it may be. True: no local query for now."""
        side, key = lookup.upstreams.side, lookup.key
        if side is None or self.fleet is None or (not key[-5] and key[-4] == const.ANY):
            return False
        return self.fleet.begin(lookup, side, now)

    def _begin_failed(self, lookup: Lookup, now: float) -> None:
        """A local failure is remembered: as if it had come at once (RULES 3.5)."""
        lookup.failure, lookup.cached_failure = _SERVFAIL, True
        self._race(lookup, now)
        lookup.retransmit_at = now  # after whoever waits for it has been noted

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
            server.asked_first()
            if lookup.upstreams.side is not None:
                lookup.upstreams.side.path.sent(lookup.key[:-5], now)
        lookup.last = server
        lookup.last_sent = now
        lookup.outstanding += 1
        server.sent += 1
        if server.watch is not None:
            server.watch.queried(now)
        job = state.jobs.new(_new(Attempt, (lookup, server, now, lookup.started, False)))
        state.out.append(_new(SendJob, (job, address, lookup.flags, ends - now, lookup.wire)))
        return True

    def attempt_done(self, attempt: Attempt, result: Result, now: float) -> None:
        """A slave reports how an attempt ended."""
        lookup, server, sent, begun, late = attempt
        outcome = result.outcome
        if begun == lookup.started:
            lookup.outstanding -= 1
        else:  # of the tries before it began anew
            lookup.abandoned -= 1
        if lookup.last is server:
            lookup.last = None  # this try has ended: its timeout is nobody's silence
        self.state.stats.outcomes[outcome] += 1
        server.outcomes[outcome] += 1
        if outcome <= _TRUNCATED:
            server.heard_at = now
            if sent > server.acked and not late:
                server.acked = sent
            if server.postponed:
                late_tries.release(self.state, server, now)
            # The time of a truncated answer is that of a TCP exchange that failed, and `late`
            # ones are over TCP
            timed = outcome != _TRUNCATED and not late
            if server.heard(result.elapsed) if timed else server.alive():
                self.state.note_up(server)
            if server.watch is not None:
                ttl = result.ttl if result.cacheable and lookup.cacheable else 0
                server.watch.won(lookup.key, ttl, now)
            if lookup.upstreams.side is not None and self.fleet is not None:
                self.fleet.heard(lookup.upstreams.side, lookup, result, now)
            if outcome <= _NXDOMAIN:
                if not lookup.closed:
                    concluding.usable(self, lookup, result, now)
                elif lookup.race is not None:  # a peer answered first
                    concluding.late(self, lookup, result, now)
                return
        elif outcome is _UNREACHABLE and not late and server.unheard(now, refused=True):
            self.state.note_down(server, "refused")
        if not lookup.closed:
            self._failed(lookup, server, result, now)
        elif lookup.race is not None and lookup.outstanding == 0 and self.fleet is not None:
            self.fleet.local_failed(lookup, outcome, now)

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
            if not tried and outcome is _UNREACHABLE:
                self._unreachable(lookup, now)
        else:
            lookup.overload = lookup.overload or outcome is Outcome.OVERLOAD
            tried = outcome is Outcome.OVERLOAD and self._try(lookup, now)
        if lookup.closed:
            return
        if tried:
            self._schedule(lookup)
        elif lookup.outstanding == 0 and (
            now >= lookup.ends or lookup.upstreams.pick(lookup.tries, lookup.spent) is None
        ):
            self._local_over(lookup, outcome, now)

    def _unreachable(self, lookup: Lookup, now: float) -> None:
        if lookup.side is not None and self.fleet is not None:
            self.fleet.transport_error(lookup, lookup.side, now)

    def _local_over(self, lookup: Lookup, outcome: Outcome, now: float) -> None:
        """The local path has nothing more to say: peers may have, else what failed wins."""
        failure = lookup.failure
        if failure is not None and failure.outcome in FAILING_ANSWERS and lookup.cacheable:
            if not lookup.cached_failure:
                self.state.failures.record(lookup.key, const.SERVFAIL, now)
            outcome = failure.outcome
        if lookup.side is None or self.fleet is None:
            concluding.conclude(self, lookup, now)
        elif self.fleet.local_failed(lookup, outcome, now):
            lookup.retransmit_at = inf
            if not lookup.closed:
                self._schedule(lookup)
        elif not lookup.closed:
            concluding.conclude(self, lookup, now)

    def remote_ended(self, lookup: Lookup, now: float) -> None:
        """All peers that were asked have ended without an answer: the local path goes on."""
        if not lookup.tries and not lookup.cached_failure:
            if not self._try(lookup, now):
                lookup.retransmit_at = now
        elif lookup.outstanding == 0 and lookup.race is not None and lookup.race.local_ended:
            concluding.conclude(self, lookup, now)
        elif lookup.owed:
            lookup.owed = False
            self._try_again(lookup, now)
        if not lookup.closed:
            self._schedule(lookup)

    # -- time passes ----------------------------------------------------------------------------

    def _schedule(self, lookup: Lookup) -> None:
        due = min(lookup.retransmit_at, lookup.ends, lookup.race_at)
        waiters = lookup.waiters
        # Before these nothing else is due: the first try's timeout is 1.6 s at most. Several
        # waiters may have come before it, if it began anew
        if waiters and (due > lookup.started + RTO_MAX_S or len(waiters) > 1):
            due = min(due, lookup.stale_at)
            first = next(iter(waiters.values())).arrived + DEADLINE_S
            due = min(due, first)
        self.state.timers.set(lookup, due)

    def lookup_due(self, lookup: Lookup, now: float) -> None:
        """A deadline of this lookup has come: one of its four, in order of their weight."""
        if lookup.closed:  # by a peer's answer
            self._unheard(lookup, now)
            return
        if now >= lookup.stale_at:
            if concluding.outvoted(lookup, now):
                return
            answering.give_stale(self.state, lookup, now)
        if concluding.held_too_long(lookup, DEADLINE_S, now):
            return
        answering.expire(self.state, lookup, DEADLINE_S, now)
        if now >= lookup.ends:
            concluding.conclude(self, lookup, now)
            return
        if now >= lookup.race_at and self.fleet is not None:
            self.fleet.delay_over(lookup, now)
        if now >= lookup.retransmit_at and not lookup.closed:
            self._retransmit(lookup, now)
        if not lookup.closed:
            self._schedule(lookup)

    def _unheard(self, lookup: Lookup, now: float) -> None:
        """The last try's time is over: was its server silent?"""
        lookup.retransmit_at, last = inf, lookup.last
        if last is not None and lookup.outstanding and last.unheard(now, lookup.last_sent):
            self.state.note_down(last, "silent")

    def _retransmit(self, lookup: Lookup, now: float) -> None:
        self._unheard(lookup, now)
        race = lookup.race
        if lookup.cached_failure:
            self._local_over(lookup, Outcome.SERVFAIL, now)
        elif race is not None and race.attempts:
            lookup.owed = True
        else:
            self._try_again(lookup, now)

    def _try_again(self, lookup: Lookup, now: float) -> None:
        """The next try, or the end of all tries. For peers there is one: they ask others too."""
        race, wanted = lookup.race, not lookup.answered and not lookup.served
        held = race is not None and race.held is not None  # then its tries are to end soon
        postponed = wanted and not held and late_tries.postpone(lookup, now)
        if wanted and not postponed and self._try(lookup, now):
            self.state.stats.retransmissions += 1
        elif postponed or (race is not None and race.give_held(now)):
            return
        elif lookup.outstanding == 0:
            self._local_over(lookup, Outcome.TIMEOUT, now)
        elif wanted and late_tries.left(lookup):
            self.state.stats.retransmissions += late_tries.try_late(self.state, lookup, now)

    def _is_dead(self, lookup: Lookup) -> bool:
        """All its tries have been made, in vain: who asks now asks anew."""
        race = lookup.race
        return lookup.late and lookup.retransmit_at == inf and (race is None or not race.open)
