"""Answering peers: from the cache or our own nameserver, never onward.

A peer's query is a favour to a node in trouble; what it gets must be true by our own nameserver's
word, or errors and poison would travel through the fleet. Rules, in order (RULES 3.3, 7.4, 7.5):

  1. private and special names, ANY: refused. Who asks for one has not learned yet that it may not
  2. a fresh cache entry that our own nameserver gave: its TTLs lowered by its age rounded up, so
     that no answer lives longer for having travelled; one whose time is up by that is a miss.
     Entries from peers, stale ones, and those whose TTL `min_ttl` raised, are for our clients only
  3. a failure of our nameserver that is remembered: told at once
  4. else a lookup of its own on the local path, as `core.serving` has room; BUSY otherwise. Peers
     that ask the same share it; clients' lookups are apart, as those may be answered by a peer
  5. told within 2 s, for nobody waits there any longer; what comes later is kept all the same
"""

from collections import deque
from functools import partial
from math import ceil, inf
from typing import Any, Final, NamedTuple

from codns.core.fleet import Fleet
from codns.core.lookup import Lookup
from codns.core.messages import Query, QueryReply, Status
from codns.core.model import SendPeer
from codns.core.neighbour_returns import Alarm
from codns.core.portions import SEALED_SIZE, Portions, Turns, is_many
from codns.core.remote import REMOTE_TIMEOUT_S
from codns.core.resolver import LOOKUPS_MAX, Resolver
from codns.core.serving import Busy, Refusal, Serving, Start
from codns.core.special import is_special
from codns.core.state import State
from codns.core.stats import SERVED
from codns.wire import const
from codns.wire.ageing import aged
from codns.wire.batch import Result
from codns.wire.outcome import Outcome

ASKERS_MAX: Final = 64  # peers that wait for one lookup: as many as may be our neighbours' (7.1)

_REFUSED_TYPES: Final = frozenset((const.ANY, const.AXFR, const.IXFR))


class Asker(NamedTuple):
    """A peer that waits. `started`: it has a place in the window."""

    peer: str
    id: int
    started: bool


class Helping:
    """Queries of peers."""

    def __init__(self, state: State, fleet: Fleet, resolver: Resolver) -> None:
        self._state = state
        self._fleet = fleet
        self._resolver = resolver
        self.serving: Serving[Query] = Serving()
        self.served = dict.fromkeys(SERVED, 0)
        self.refusals = dict.fromkeys(Refusal, 0)
        self._waiting: deque[tuple[float, Lookup]] = deque()  # lookups whose askers give up then
        self._portions: Turns[Asker] = Turns()
        self._queue_alarm = Alarm(self._queue_due)
        self._give_up_alarm = Alarm(self._give_up)

    def load(self) -> tuple[int, int]:
        """Return how many are in service or wait, and the window."""
        return self.serving.in_service + self.serving.queued, self.serving.window

    def query(self, query: Query, peer: str, now: float) -> None:
        """A peer asks."""
        state, fleet = self._state, self._fleet
        if (
            query.qtype in _REFUSED_TYPES
            or is_special(query.name)
            or fleet.private.is_private(query.name, now)
        ):
            self._fail(peer, query.id, Outcome.REFUSED, "refused")
            return
        key = _key(query)
        if self._from_cache(key, query.id, peer, now):
            return
        if state.failures.get(key, now) is not None:
            self._fail(peer, query.id, Outcome.SERVFAIL, "failed")
            return
        lookup = self._resolver.served.get(key)
        if lookup is not None and lookup.askers is not None:
            if len(lookup.askers) < ASKERS_MAX:
                lookup.askers.append(Asker(peer, query.id, started=False))
                return
            self._busy(peer, query, Refusal.SHARE)
            return
        self._do(self.serving.offer(peer, query, now), now)

    def _from_cache(self, key: bytes, ident: int, peer: str, now: float) -> bool:
        entry = self._state.cache.find(key, now)
        if entry is None or entry.meta.origin != "local":
            return False
        age = ceil(now - entry.expires + entry.ttl)
        if age >= entry.ttl:
            return False
        rcode, ad, ancount, nscount, negative, _ = entry.meta
        outcome = Outcome.ANSWER
        if negative:
            outcome = Outcome.NXDOMAIN if rcode == const.NXDOMAIN else Outcome.NODATA
        body = aged(entry.body, entry.offsets, age)
        self._reply(
            peer,
            QueryReply(
                ident,
                Status.ANSWER,
                outcome,
                rcode,
                ad,
                negative,  # without a SOA it would not have been kept
                entry.ttl - age,
                ancount,
                nscount,
                body,
                entry.offsets,
            ),
            "cached",
        )
        return True

    # -- lookups for peers ----------------------------------------------------------------------

    def answered(self, lookup: Lookup, result: Result, *, private: bool, now: float) -> None:
        """A usable local answer for those who ask; its zone may have been learned meanwhile."""
        if not private and lookup.askers:
            private = self._fleet.private.is_private(lookup.key[:-5], now)
        askers = self._askers(lookup)
        one = partial(self._tell, result, private)
        size = SEALED_SIZE * len(result.body)
        if is_many(len(askers), size):
            Portions(self._state.timers, askers, size, one, self._portions).begin(now)
        else:
            for asker in askers:
                one(asker, now)

    def _tell(self, result: Result, private: bool, asker: Asker, now: float) -> None:
        if private:
            self._fail(asker.peer, asker.id, Outcome.REFUSED, "refused")
        else:
            self._reply(
                asker.peer,
                QueryReply(
                    asker.id,
                    Status.ANSWER,
                    result.outcome,
                    result.rcode,
                    result.ad,
                    result.soa,
                    result.ttl if result.cacheable else 0,
                    result.ancount,
                    result.nscount,
                    result.body,
                    result.offsets,
                ),
                "answered",
            )
        self._finished(asker, now, served=not private)

    def failed(self, lookup: Lookup, outcome: Outcome, now: float) -> None:
        """No usable answer, or none in time."""
        for asker in self._askers(lookup):
            self._fail(asker.peer, asker.id, outcome, "failed")
            self._finished(asker, now, served=False)

    def _askers(self, lookup: Lookup) -> list[Asker]:
        askers, lookup.askers = lookup.askers or [], None
        return askers

    def _finished(self, asker: Asker, now: float, *, served: bool) -> None:
        if asker.started:
            self._do(self.serving.finished(asker.peer, served=served), now)

    def _do(self, effects: list[Any], now: float) -> None:
        """Carry out what `Serving` says: a list of Start and Busy.

        What cannot be started ends at once and so starts the next. That is done in a loop: the
        queue may be longer than calls may nest.
        """
        waiting = deque(effects)
        while waiting:
            effect = waiting.popleft()
            if isinstance(effect, Busy):
                self._busy(effect.peer, effect.query, effect.reason)
            elif isinstance(effect, Start) and not self._start(effect.peer, effect.query, now):
                self._busy(effect.peer, effect.query, Refusal.QUEUE_FULL)
                waiting.extend(self.serving.finished(effect.peer, served=False))
        due = self.serving.next_timeout()
        self._state.timers.set(self._queue_alarm, inf if due is None else due)

    def _start(self, peer: str, query: Query, now: float) -> bool:
        """Ask for it; False if there are too many lookups."""
        if len(self._resolver.lookups) + len(self._resolver.served) >= LOOKUPS_MAX:
            return False
        asker = Asker(peer, query.id, started=True)
        key = _key(query)
        known = self._resolver.served.get(key)
        if known is not None and known.askers is not None:  # both had waited in the queue
            known.askers.append(asker)
            return True
        lookup = self._resolver.serve(key, asker, now)
        if lookup.askers is not None:
            until = now + REMOTE_TIMEOUT_S
            self._waiting.append((until, lookup))
            self._state.timers.set(self._give_up_alarm, self._waiting[0][0])
        return True

    def _give_up(self, now: float) -> None:
        while self._waiting and (self._waiting[0][1].askers is None or self._waiting[0][0] <= now):
            _, lookup = self._waiting.popleft()
            self.failed(lookup, Outcome.TIMEOUT, now)
        due = self._waiting[0][0] if self._waiting else inf
        self._state.timers.set(self._give_up_alarm, due)

    def _queue_due(self, now: float) -> None:
        self._do(self.serving.handle_timeout(now), now)

    def recount(self) -> None:
        """Who has a place in the window is counted anew (`core.mending`)."""
        askers = [asker for _, lookup in self._waiting for asker in lookup.askers or ()]
        askers += self._portions.left()
        self.serving.recount([asker.peer for asker in askers if asker.started])

    # -- our own state --------------------------------------------------------------------------

    def set_healthy(self, healthy: bool, now: float) -> None:
        """The judgement of our own path changed."""
        self._do(self.serving.set_healthy(healthy), now)

    def set_local_waiting(self, waiting: bool, now: float) -> None:
        """Local clients wait for a slave, or do no longer."""
        self._do(self.serving.set_local_waiting(waiting, now), now)

    # -- replies --------------------------------------------------------------------------------

    def _busy(self, peer: str, query: Query, reason: Refusal) -> None:
        self.refusals[reason] += 1
        self._reply(peer, QueryReply(query.id, Status.BUSY), "busy")

    def _fail(self, peer: str, ident: int, outcome: Outcome, counted: str) -> None:
        self._reply(peer, QueryReply(ident, Status.FAILURE, outcome), counted)

    def _reply(self, peer: str, reply: QueryReply, counted: str) -> None:
        self.served[counted] += 1
        known = self._fleet.neighbours.peers.get(peer)
        if known is not None:
            known.count_served(counted)
        self._state.out.append(SendPeer(peer, reply))


def _key(query: Query) -> bytes:
    """Return the semantic key of a peer's query."""
    fixed = query.qtype.to_bytes(2, "big") + query.qclass.to_bytes(2, "big")
    return query.name + fixed + bytes((query.do | query.cd << 1,))
