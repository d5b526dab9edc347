"""One node: the whole brain, without I/O. The daemon and the simulator hold exactly this.

Everything comes in through the methods below with `now` in seconds on any clock that does not go
backwards; everything that has to happen comes out as a list of effects (`core.model`), to be
carried out in order. The shell keeps one timer, for `next_timeout()`.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from math import inf
from typing import Final

from codns.core import cache_view, late_tries, report
from codns.core.fleet import Fleet
from codns.core.helping import Helping
from codns.core.loopcheck import LoopCheck
from codns.core.mending import MEND_S, Mending
from codns.core.messages import HeartbeatReply, HeartbeatRequest, Message, Query
from codns.core.model import Client, Effect, Transport
from codns.core.probing import Probing
from codns.core.relieving import path_fails
from codns.core.resolver import Resolver
from codns.core.serve import Front
from codns.core.settings import Settings
from codns.core.state import State
from codns.core.stats import Stats
from codns.wire import const
from codns.wire.batch import Result
from codns.wire.shed import plain_key

PURGE_S: Final = 60.0  # how often what is too old even to be stale is removed


class _Periodic:
    """Something done every `interval` seconds, also after it went wrong."""

    __slots__ = ("_do", "_state", "due", "interval")

    def __init__(self, state: State, interval: float, do: Callable[[float], None]) -> None:
        self.due = inf
        self.interval = interval
        self._state = state
        self._do = do

    def fire(self, now: float) -> None:
        self._state.timers.set(self, now + self.interval)
        self._do(now)


class Node:
    """A caching forwarder: see DESIGN 2 for its place, the modules beside it for its rules."""

    __slots__ = (
        "_find",
        "_fleet",
        "_front",
        "_helping",
        "_loops",
        "_mending",
        "_probing",
        "_resolver",
        "_started",
        "_state",
        "exact_tcp",
        "exact_udp",
    )

    def __init__(self, settings: Settings, rng: random.Random, now: float) -> None:
        self._started = now
        self._state = state = State()
        self._resolver = Resolver(state)
        self._mending = Mending(self._resolver)
        self._loops = LoopCheck(state, random.Random(rng.getrandbits(64)))
        self._front = Front(state, self._resolver, self._loops)
        self._find = state.cache.find
        self.exact_udp, self.exact_tcp = state.cache.exact["udp"], state.cache.exact["tcp"]
        probing_rng = random.Random(rng.getrandbits(64))
        self._fleet: Fleet | None = None
        self._helping: Helping | None = None
        if settings.peers is not None:
            fleet_rng = random.Random(rng.getrandbits(64))
            self._fleet = fleet = Fleet(state, settings, settings.peers, fleet_rng)
            self._helping = helping = Helping(state, fleet, self._resolver)
            self._resolver.fleet, self._resolver.helping = fleet, helping
            fleet.on_failing = partial(path_fails, self._resolver)
            fleet.on_health = helping.set_healthy
            fleet.on_local_time = helping.serving.local_time
            fleet.peering.load = helping.load
        self._probing = Probing(state, self._fleet, probing_rng)
        if self._fleet is not None:
            self._fleet.peering.validating = self._probing.validating
        state.configure(settings)
        if self._fleet is not None:
            self._fleet.configure(settings, now)
        self._probing.configure(now)
        _Periodic(state, PURGE_S, self._purge).fire(now)

    def cached(self, tail: bytes, transport: Transport, now: float) -> bytes | None:
        """Return the finished answer to a query, both without their ids, or None.

        The hot path: no effects, no objects. None says nothing but "ask `client_query`".
        """
        exact = (self.exact_udp if transport == "udp" else self.exact_tcp).get(tail)
        if exact is None:
            return None
        if now < exact.until:
            exact.count.n += 1
            return exact.tail
        answer = self._state.cache.renew(exact, now)
        if answer is not None:
            exact.count.n += 1
        return answer

    def known(self, tail: bytes, now: float) -> bool:
        """Say, without parsing, whether the cache answers this query (without its id)."""
        entry = self._find(plain_key(tail), now)
        return entry is not None and now < entry.expires

    @property
    def tells(self) -> bool:
        """Who is one too many is told so, with SERVFAIL, or gets silence."""
        return self._state.settings.overload == "servfail"

    def client_query(self, wire: bytes, client: Client, now: float) -> list[Effect]:
        """Take a client's message, whatever it is."""
        self._front.query(wire, client, now)
        return self._take(now)

    def job_done(self, done: Result, now: float) -> list[Effect]:
        """Take a slave's report."""
        owner = self._state.jobs.take(done.job)
        if owner is not None:
            owner.done(done, now)
        return self._take(now)

    def peer_message(self, message: Message, peer: str, now: float) -> list[Effect]:
        """Take a message of a peer, which the link found to be its."""
        fleet, helping = self._fleet, self._helping
        if fleet is None or helping is None:
            return []
        # Heartbeats, most of what comes, change nothing that `Fleet.after` looks at
        if isinstance(message, HeartbeatRequest):
            fleet.peering.heartbeat(message, peer, now)
            return self._out()
        if isinstance(message, HeartbeatReply):
            fleet.peering.heartbeat_answered(message, peer, now)
            return self._out()
        if isinstance(message, Query):
            helping.query(message, peer, now)
        else:
            fleet.replied(message, peer, now)
        return self._take(now)

    def peer_learned(self, peer: str, now: float) -> list[Effect]:
        """The link was introduced to a peer's present life (RULES 8.3)."""
        if self._fleet is not None:
            self._fleet.peering.challenged(peer, now)
        return self._take(now)

    def set_peers(self, addresses: Sequence[str], now: float) -> list[Effect]:
        """Take the list of peers as it is now; ourselves may be on it."""
        if self._fleet is not None:
            self._fleet.peering.set_list(addresses, now)
        return self._take(now)

    def local_waiting(self, waiting: bool, now: float) -> list[Effect]:
        """Local clients wait for a slave, or do no longer: peers come after them."""
        if self._helping is not None:
            self._helping.set_local_waiting(waiting, now)
        return self._take(now)

    def learned_zones(self, now: float) -> dict[str, dict[str, object]]:
        """Return the private zones learned, for `load_learned_zones` of a later life."""
        return {} if self._fleet is None else self._fleet.private.export(now)

    def load_learned_zones(self, saved: Mapping[str, object], now: float) -> int:
        """Take them back; returns how many."""
        return 0 if self._fleet is None else self._fleet.private.load(saved, now)

    def configure(self, settings: Settings, now: float) -> list[Effect]:
        """Take new settings: what is in flight goes on, the cache stays."""
        before = self._state.servers
        fresh = self._state.configure(settings)
        if self._fleet is not None:
            self._fleet.configure(settings, now)
        self._probing.configure(now)
        self._loops.check(fresh, now)
        late_tries.removed(self._state, before, now)
        return self._take(now)

    def start(self, now: float) -> list[Effect]:
        """The listeners are open: look for loops through every nameserver."""
        self._loops.check(list(self._state.servers.values()), now)
        return self._take(now)

    def mistaken(self, now: float) -> None:
        """An exception has left one of the methods above: the tables are looked through soon."""
        if self._mending.due == inf:
            self._state.timers.set(self._mending, now + MEND_S)

    def flush(self) -> int:
        """Forget all answers and failures; returns how many answers there were."""
        self._state.failures.clear()
        if self._fleet is not None:
            self._fleet.peers_failed.clear()
        return self._state.cache.flush()

    def handle_timeout(self, now: float) -> list[Effect]:
        """Do everything that is due."""
        self._state.timers.fire(now)
        if self._fleet is not None:
            self._fleet.peering.after_timers(now)
        self._loops.outstanding(self._state.outstanding, now)
        return self._take(now)

    def next_timeout(self) -> float | None:
        """Return when `handle_timeout` wants to be called, or None."""
        return self._state.timers.next()

    @property
    def outstanding(self) -> int:
        """How many clients' queries wait."""
        return self._state.outstanding

    @property
    def stats(self) -> Stats:
        """The counters."""
        return self._state.stats

    @property
    def parts(self) -> tuple[State, Fleet | None, Helping | None, Resolver]:
        """What metrics are read from, and from nothing else: nobody changes anything there."""
        return self._state, self._fleet, self._helping, self._resolver

    @property
    def cache_entries(self) -> int:
        """How many answers are kept."""
        return len(self._state.cache)

    @property
    def cache_bytes(self) -> int:
        """What they count for against the byte limit."""
        return self._state.cache.bytes

    def can_answer(self, now: float) -> bool:
        """Some nameserver or peer is usable: a question that is not cached has a chance."""
        if any(server.up for server in self._state.servers.values()):
            return True
        return self._fleet is not None and bool(self._fleet.neighbours.eligible(b"\0", now))

    def status(self, now: float) -> dict[str, object]:
        """Return the state as JSON can carry it, without peers' rows and the cache's entries."""
        state, lookups = self._state, len(self._resolver.lookups)
        told = report.status(state, self._fleet, self._helping, lookups, now)
        version = self._fleet.peering.me.version if self._fleet is not None else None
        return {"version": version, "uptime_s": now - self._started, **told}

    def peers_status(self, now: float) -> list[dict[str, object]]:
        """Return a row for each listed peer, neighbours first."""
        return [row for rows in self.peers_rows(now) for row in rows]

    def recent_races(self, now: float) -> list[dict[str, object]]:
        """Return the last races in which peers were asked, newest last."""
        recent = () if self._fleet is None else self._fleet.recent
        return [report.race(race, now) for race in recent]

    def explain(
        self, name: bytes, qtype: int, now: float, *, do: bool = False, cd: bool = False
    ) -> dict[str, object]:
        """Tell how a lookup of a lower-case wire name would be or was answered."""
        fixed = qtype.to_bytes(2, "big") + const.IN.to_bytes(2, "big")
        key = name + fixed + bytes((do | cd << 1,))
        return report.explain(self._state, self._fleet, self._resolver, key, now)

    # -- for the control socket: generators that look at a little between two yields -------------

    def peers_rows(self, now: float) -> Iterator[list[dict[str, object]]]:
        """Yield the rows of `peers_status`, some at a time: a list of 4,000 takes 15 ms."""
        return iter(()) if self._fleet is None else report.peers(self._fleet, now)

    def local_path(self, now: float) -> tuple[str | None, float | None]:
        """Return the local path's state and the initial delay; None without peers."""
        return (None, None) if self._fleet is None else report.local_path(self._fleet, now)

    def slow_names(self, now: float) -> list[dict[str, object]]:
        """Return the lookups that took long lately, newest last."""
        return report.slow(self._state, now)

    def cache_dump(self, clock: Callable[[], float]) -> Iterator[list[dict[str, object]]]:
        """Yield a row for everything that is kept, some at a time."""
        return cache_view.dump(self._state.cache, clock)

    def cache_lookup(
        self, name: bytes, clock: Callable[[], float]
    ) -> Iterator[list[dict[str, object]]]:
        """Yield rows for what is kept of a lower-case wire name, of whatever type."""
        return cache_view.lookup(self._state.cache, name, clock)

    def cache_flush(self, name: bytes | None, *, zone: bool = False) -> Iterator[int]:
        """Forget a lower-case wire name, all of a zone, or everything; failures too.

        Yields how many answers went in each step.
        """
        goes = None
        if name is not None:
            goes = cache_view.is_in_zone(name) if zone else cache_view.is_name(name)
        failures = [self._state.failures]
        if self._fleet is not None:
            failures.append(self._fleet.peers_failed)
        for remembered in failures:
            for _ in cache_view.flush_failures(remembered, goes):
                yield 0
        yield from cache_view.flush(self._state.cache, goes)

    def _take(self, now: float) -> list[Effect]:
        if self._fleet is not None:
            self._fleet.after(now)
        return self._out()

    def _out(self) -> list[Effect]:
        effects = self._state.out
        if effects:
            self._state.out = []
        return effects

    def _purge(self, now: float) -> None:
        self._state.cache.purge(now)
        self._state.jobs.sweep(now)
