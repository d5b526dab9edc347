"""Cooperation of one node with its peers: what the race, the judgement and the serving share.

A node that has peers has one of these; one that has none has none, and pays nothing. The resolver
asks it four things: may this lookup go to the local nameservers now (`begin`), what when its
initial delay is over (`delay_over`), and what becomes of a local answer or failure. The policies
themselves are beside this module, one file each; what stands here is who is told of what.
"""

import random
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final, Literal, NamedTuple

from codns.core.budget import Budget
from codns.core.cache import Entry
from codns.core.failures import Failures
from codns.core.gaps import RemoteTimes
from codns.core.initial_delay import make
from codns.core.local_path import Change, Route
from codns.core.local_path import State as PathState
from codns.core.lookup import Lookup
from codns.core.messages import ID_MAX, Query, QueryReply, Status
from codns.core.model import Note, SendPeer
from codns.core.peer_state import Peer, Why
from codns.core.peering import Peering
from codns.core.private import PrivateNames, holds_private_address
from codns.core.race import Race
from codns.core.remote import ATTEMPTS_MAX, Event, RemoteAttempt
from codns.core.settings import PeerSettings, Settings
from codns.core.side import Side
from codns.core.slow_domains import SlowDomains
from codns.core.state import State
from codns.core.stats import FleetStats
from codns.wire import const
from codns.wire.batch import Result
from codns.wire.name import to_text
from codns.wire.outcome import Outcome
from codns.wire.soa import soa_owner

RECENT_MAX: Final = 64  # races kept for `explain`: some seconds of a busy node, 2 KiB each
RELIEVED_MAX: Final = 20_000  # peers' answers that are asked anew after an outage; 60 s of them
REFRESH_AT_HIT: Final = -1.0  # `Entry.recheck` of such an answer

_DEFAULT: Final = b""
_CD: Final = 2  # flag of a key
_RACE: Final = Route.RACE
_ANSWER: Final = Outcome.ANSWER
_SERVFAIL: Final = Outcome.SERVFAIL
_REFUSED: Final = Outcome.REFUSED
_TIMEOUT: Final = Outcome.TIMEOUT


class Recent(NamedTuple):
    """A race that is over."""

    ended: float
    key: bytes
    route: Route
    delay: float
    winner: str
    events: list[Event]


class Fleet:
    """Everything this node knows of its peers, and of itself as their peer."""

    def __init__(
        self, state: State, settings: Settings, me: PeerSettings, rng: random.Random
    ) -> None:
        self.state = state
        self.timers = state.timers
        self._rng = rng
        self.times = RemoteTimes()
        self.budget = Budget(settings.race_budget)
        self.slow = SlowDomains()
        self.private = PrivateNames()
        self.peers_failed = Failures()
        self.peering = Peering(state, me, random.Random(rng.getrandbits(64)))
        self.neighbours = self.peering.neighbours
        self.attempts: dict[int, RemoteAttempt] = {}
        self.remote_max = settings.race_max_remote
        self.sides: dict[bytes, Side] = {}  # by zone; _DEFAULT for all names without one
        self.counts = FleetStats()
        self.replied_at = -inf  # when a peer last answered a query, whatever it said but nonsense
        self.recent: deque[Recent] = deque(maxlen=RECENT_MAX)
        self.relieved: deque[Entry] = deque(maxlen=RELIEVED_MAX)
        self.on_health: Callable[[bool, float], None] = _nothing
        self.on_failing: Callable[[Side, float], None] = _nothing
        self.on_local_time: Callable[[float, float], None] = _nothing
        self._last_id = rng.getrandbits(48)  # replies to an earlier life match nothing
        self._policy: tuple[object, ...] = ()
        self._all: tuple[Side, ...] = ()

    # -- settings -------------------------------------------------------------------------------

    def configure(self, settings: Settings, now: float) -> None:
        """Take settings that `State.configure` has taken before."""
        state, known, self.sides = self.state, self.sides, {}
        policy = (settings.race_policy, settings.race_delay_s, settings.race_delay_min_s)
        changed, self._policy = policy != self._policy, policy
        for zone, upstreams in ((_DEFAULT, state.default), *state.zones.items()):
            servers = tuple(server.address for server in upstreams.servers)
            if zone is not _DEFAULT and not settings.zones[zone].peers:
                continue  # asked of its own nameservers in every state
            if zone is not _DEFAULT and servers == settings.nameservers:
                upstreams.side = self.sides[_DEFAULT]
                continue
            side = known.get(zone)
            if side is None or changed:
                made = make(policy[0], self.times, self.budget, policy[1], policy[2])
            if side is None:
                rng = random.Random(self._rng.getrandbits(64))
                side = Side(servers, made, rng, now, probing=settings.probe)
            elif changed:
                side.policy = made
            side.configure(servers, now, probing=settings.probe)
            upstreams.side = self.sides[zone] = side
        for zone, side in known.items():
            if zone not in self.sides:
                self.timers.set(side, inf)
        self._all = tuple(self.sides.values())
        state.cache.prefetch = settings.cache_prefetch and not self.sides[_DEFAULT].failing
        self.remote_max = settings.race_max_remote
        self.budget.configure(settings.race_budget)
        apart = [name for name, zone in settings.zones.items() if not zone.peers]
        self.private.configure((*settings.private_zones, *apart))
        self.peering.failing = not self.healthy()
        self.peering.configure(settings, now)
        self.after(now)

    # -- lookups --------------------------------------------------------------------------------

    def begin(self, lookup: Lookup, side: Side, now: float) -> bool:
        """A client's lookup starts, or a client joins a refresh. True: no local query for now."""
        lookup.side, lookup.begun_at = side, now
        route = side.path.route()
        if route is _RACE:
            self.budget.earn()
            delay = side.policy.delay(now, failing=False)
            if not lookup.cached_failure:
                lookup.token = side.policy.begin(now, failing=False)
            if delay is not None:
                lookup.delay = delay
                lookup.race_at = now + delay
            return False
        lookup.delay = 0.0
        race = self._race(lookup, route, now)
        if race is not None:
            self.timers.set(race, now)  # not at once: nobody waits for the lookup yet
        return race is not None and route is Route.RELIEF

    def delay_over(self, lookup: Lookup, now: float) -> None:
        """Nothing usable came within the initial delay."""
        lookup.race_at = inf
        race = self._race(lookup, _RACE, now)
        if race is not None:
            race.advance(now)

    def _race(self, lookup: Lookup, route: Route, now: float) -> Race | None:
        """Start the race, if there is anybody to ask."""
        side = lookup.side
        if side is None:
            return None
        failing = route is not _RACE or side.failing
        candidates = self._candidates(lookup.key, side, failing=failing, now=now)
        if isinstance(candidates, str):
            if not lookup.unhelped:
                self.counts.suppressed[candidates] += 1
            if candidates == "no_peer":  # there may be one soon: after a start, a lost heartbeat
                lookup.unhelped = True
                lookup.race_at = now + max(2 * (now - lookup.begun_at), self.times.spread())
            return None
        race = lookup.race = Race(self, lookup, side, route, candidates)
        if route is not Route.RELIEF and not lookup.cached_failure:
            race.note(lookup.begun_at, "local", "asked")
        return race

    def _candidates(
        self, key: bytes, side: Side, *, failing: bool, now: float
    ) -> list[Peer] | str:
        """Return whom to ask for `key`, first to last, or why nobody (of `SUPPRESSED`)."""
        name = key[:-5]
        if not side.policy.sends:
            return "off" if side.policy.name == "off" else "shadow"
        if self.private.is_private(name, now):
            return "private"
        if self.peers_failed.get(key, now) is not None:
            return "failed"
        if self.slow.blocked(name, now, failing=failing):
            return "slow_domain"
        if self.crowded():
            return "overload"
        validating = not key[-1] & _CD and self.validating(now)
        return self.neighbours.eligible(name, now, validating=validating) or "no_peer"

    def validating(self, now: float) -> bool:
        """Our own nameservers validate DNSSEC."""
        return self.peering.validating(now)

    def helpless(self, key: bytes, now: float) -> bool:
        """The local path fails and no peer may be asked: waiting for an answer is in vain."""
        side = self.state.upstreams(key[:-5]).side
        if side is None or not side.failing:
            return False
        return isinstance(self._candidates(key, side, failing=True, now=now), str)

    def crowded(self) -> bool:
        """No more queries may be under way to peers."""
        return len(self.attempts) >= ATTEMPTS_MAX

    def keep_fit(self, candidates: list[Peer], lookup: Lookup, now: float) -> None:
        """Leave out who may not be asked any more: all if nobody waits or it is private now."""
        key, mine = lookup.key, self.neighbours.mine
        if self.private.is_private(key[:-5], now) or (lookup.answered and not lookup.waiters):
            candidates.clear()
        validating = not key[-1] & _CD and self.validating(now)
        while candidates and (
            candidates[0].why(mine, now, validating=validating) is not Why.ELIGIBLE
        ):
            del candidates[0]

    def send_query(self, attempt: RemoteAttempt, lookup: Lookup) -> int:
        """Ask a peer; returns the query's id."""
        self._last_id = ident = (self._last_id + 1) & ID_MAX
        self.attempts[ident] = attempt
        self.counts.sent += 1
        key = lookup.key
        name, qtype, qclass = key[:-5], key[-5] << 8 | key[-4], key[-3] << 8 | key[-2]
        query = Query(ident, name, qtype, qclass, bool(key[-1] & 1), bool(key[-1] & _CD))
        self.state.out.append(SendPeer(attempt.peer.address, query))
        return ident

    def tell(self, outcome: str, peer: Peer) -> None:
        """Count how a query to a peer ended (of `stats.REMOTE`)."""
        self.counts.remote[outcome] += 1
        peer.count_asked(outcome)

    def declined(self, peer: Peer, status: Status, now: float) -> None:
        """It said BUSY or FULL to a query."""
        if status is Status.BUSY:
            peer.busy(now)
        else:
            self.peering.full(peer.address, now)

    def over(self, race: Race, now: float, *, helped: bool) -> None:
        """A race in which peers were asked has ended; `helped`: one won by 10 ms."""
        key = race.lookup.key
        self.slow.raced(key[:-5], race.sent, now, won=helped)
        self.recent.append(Recent(now, key, race.route, race.delay, race.winner, race.events))

    # -- what the local path does ---------------------------------------------------------------

    def heard(self, side: Side, lookup: Lookup, result: Result, now: float) -> None:
        """A local nameserver answered, whatever it said."""
        outcome = result.outcome
        failed = outcome is _SERVFAIL or outcome is _REFUSED
        side.path.answered(now, lookup.key[:-5] if failed else None)
        if lookup.side is not None:  # our own clients'
            self.on_local_time(result.elapsed, now)

    def local_answered(self, lookup: Lookup, side: Side, result: Result, now: float) -> None:
        """A usable local answer came for a client's lookup, which is open still if it won."""
        race, elapsed = lookup.race, now - lookup.begun_at
        if lookup.token:
            side.policy.end(lookup.token, elapsed)
            lookup.token = 0
        self.counts.local.add(elapsed)
        if race is not None:
            race.local_answered(result.outcome, now)
        if not lookup.closed:
            side.policy.local_won(remote_asked=race is not None and race.sent > 0)
            if elapsed <= lookup.delay:
                side.path.won(now)
                self.slow.quick(lookup.key[:-5])

    def learn(self, key: bytes, result: Result, now: float) -> bool:
        """A local answer: does it hold an address of this site? Then its zone is private."""
        if result.outcome is not _ANSWER or key[-5] or key[-4] not in (const.A, const.AAAA):
            return False
        if not holds_private_address(result.body, result.offsets, result.ancount):
            return False
        if not self.private.is_private(key[:-5], now):
            self.private.learn_address(key[:-5], now)
        return True

    def learn_split(self, key: bytes, denial: QueryReply, now: float) -> None:
        """A peer said NXDOMAIN of what exists here: split horizon (RULES 7.5)."""
        name = key[:-5]
        if not self.private.is_private(name, now):
            count = denial.ancount + denial.nscount
            self.private.learn_split(name, soa_owner(key[:-1], denial.body, count), now)

    def transport_error(self, lookup: Lookup, side: Side, now: float) -> None:
        """No local nameserver of this lookup can be reached."""
        side.path.lost(now)
        race = self._started(lookup, now)
        if race is not None:
            race.transport_error(now)

    def local_failed(self, lookup: Lookup, outcome: Outcome, now: float) -> bool:
        """The local attempt ended without an answer. True: a peer's may still come."""
        side = lookup.side
        if side is not None and lookup.token:
            if outcome is _TIMEOUT:
                side.policy.end(lookup.token, now - lookup.begun_at)
            else:  # it says nothing about time
                side.policy.drop(lookup.token)
            lookup.token = 0
        if not lookup.cached_failure and (lookup.race is None or not lookup.race.local_ended):
            self.counts.local.add(now - lookup.begun_at)
        race = lookup.race if lookup.closed else self._started(lookup, now)
        return race is not None and race.local_failed(outcome, now)

    def ended(self, lookup: Lookup, now: float) -> None:
        """A client's lookup was closed with nobody's answer."""
        if lookup.token and lookup.side is not None:
            lookup.side.policy.end(lookup.token, now - lookup.begun_at)
            lookup.token = 0
        lookup.race_at = inf
        if lookup.race is not None:
            lookup.race.closed(now)

    def _started(self, lookup: Lookup, now: float) -> Race | None:
        """Return the lookup's race; one that waits for its delay begins now."""
        if lookup.race is None and lookup.race_at != inf:
            lookup.race_at = inf
            return self._race(lookup, _RACE, now)
        return lookup.race

    def replied(self, reply: QueryReply, peer: str, now: float) -> None:
        """A peer says what became of a query of ours."""
        attempt = self.attempts.get(reply.id)
        if attempt is None or attempt.peer.address != peer:
            self.counts.strays += 1  # too late, or never asked
            return
        attempt.race.replied(reply.id, attempt, reply, now)

    # -- the judgement --------------------------------------------------------------------------

    def probed(self, server: str, now: float, *, good: bool) -> None:
        """A probe of a nameserver was judged."""
        for side in self.sides.values():
            if server in side.servers:
                side.path.probed(server, now, good=good)

    def healthy(self) -> bool:
        """May this node serve peers?"""
        return self.sides[_DEFAULT].healthy

    def unwell(self, server: str) -> bool:
        """Is a path not healthy that this nameserver belongs to?"""
        return any(server in side.servers and not side.healthy for side in self.sides.values())

    def after(self, now: float) -> None:
        """Something happened: carry out changes of judgement, set their next deadline."""
        for side in self._all:
            path = side.path
            while path.changes:
                self._changed(side, path.changes.pop(0), now)
            due = path.next_timeout()
            if due != side.due:
                self.timers.set(side, due)

    def _changed(self, side: Side, change: Change, now: float) -> None:
        zone = next(zone for zone, known in self.sides.items() if known is side)
        fields: dict[str, object] = {"state": change.after.value, "reason": change.why.value}
        if zone is not _DEFAULT:
            fields["zone"] = to_text(zone)
        if change.after is PathState.RECOVERING:
            fields["share"] = change.share
        failing = change.after is PathState.FAILING
        level: Literal["warning", "info"] = "warning" if failing else "info"
        self.state.out.append(Note(level, "local path", fields))
        if zone is _DEFAULT:
            self.counts.changes[change.after.value] += 1
            self.state.cache.prefetch = self.state.settings.cache_prefetch and not failing
            self.peering.failing = change.after is not PathState.HEALTHY
            self.on_health(change.after is PathState.HEALTHY, now)
        if failing:
            self.on_failing(side, now)
        elif change.before is PathState.FAILING:
            self.state.failures.clear()  # RULES 3.5: a sick nameserver's word
            self._relieved(now)

    def stored(self, entry: Entry, side: Side) -> None:
        """A peer's answer was kept."""
        if side.failing:
            self.relieved.append(entry)

    def _relieved(self, now: float) -> None:
        """RULES 3.4: the first hit on a peer's answer asks our own nameserver again."""
        for entry in self.relieved:
            if now < entry.expires:
                entry.recheck = REFRESH_AT_HIT
                self.state.cache.drop_exact(entry)
        self.relieved.clear()


def _nothing(_what: object, _now: float) -> None: ...
