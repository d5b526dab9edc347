"""A nameserver of a site: its cache, its queue, its troubles, and the authorities behind it.

A query passes, in this order:
  1. the way there: lost with probability `loss`
  2. trouble (`trouble`): lost, or answered SERVFAIL, or late
  3. the queue: a server of `rate` queries a second, of which other users take the share `busy`,
     does one after the other; what would wait behind `queue` others is dropped, as by a full
     socket buffer. Retransmissions and peers' queries are load like any other, so that what is
     done to help can harm
  4. its cache: what it resolved before and whose TTL is not over; of other names a share is
     there because others asked (`cache_hits`), with part of the TTL left; never unique names
  5. the authorities: a time by zone and by chance; asked again meanwhile, it waits for the same
     resolution, as recursive servers do

`queries` counts what arrived, `peak` the most within one second.
"""

import random
from hashlib import blake2b
from typing import Final, NamedTuple

from codns.sim.behaviour import Reaction
from codns.sim.book import SERVFAIL, Name, Reply
from codns.sim.chance import Chance
from codns.sim.scenario import Authorities as Settings
from codns.sim.scenario import NameserverModel
from codns.sim.trouble import Draw, Trouble, Troubles

KNOWN_MAX: Final = 100_000  # names in its cache before those whose TTL is over are dropped


class Zone(NamedTuple):
    """What the authorities of one zone are like. `lot` in 0..1: who is hit by a partial fault."""

    typical: float
    mode: str
    lot: float


class Facts(NamedTuple):
    """What is true of one name, everywhere."""

    ttl: int
    denied: bool
    unique: bool
    zone: Zone


class Authorities:
    """The rest of the DNS. What a name and its zone are like follows from (seed, name) alone."""

    def __init__(self, settings: Settings, ttls: dict[int, float], seed: object) -> None:
        self._settings = settings
        self._seed = seed
        self._ttls, self._weights = list(ttls), list(ttls.values())
        self._typical = Draw(settings.latency)
        self._slow = Draw(settings.slow_latency)
        self._broken = Draw(settings.broken_latency)
        self._zones: dict[bytes, Zone] = {}
        self._troubles: list[tuple[Trouble, float]] = []

    def fails(self, trouble: Trouble, share: float) -> None:
        """A share of all zones has trouble."""
        self._troubles.append((trouble, share))

    def facts(self, name: Name) -> Facts:
        """Return what is true of a name."""
        known = name.facts
        if isinstance(known, Facts):
            return known
        zone = self._zones.get(name.zone)
        if zone is None:
            zone = self._zones[name.zone] = self._zone(name.zone)
        rng = random.Random(f"{self._seed}/name/{name.question.hex()}")
        ttl = rng.choices(self._ttls, self._weights)[0]
        denied = rng.random() < self._settings.nxdomain
        made = Facts(ttl, denied, name.name[1:2] == b"u", zone)
        name.facts = made
        return made

    def _zone(self, zone: bytes) -> Zone:
        settings = self._settings
        rng = random.Random(f"{self._seed}/zone/{zone.hex()}")
        kind, lot = rng.random(), rng.random()
        if kind < settings.broken:
            return Zone(self._broken(rng), "broken", lot)
        if kind < settings.broken + settings.slow:
            return Zone(self._slow(rng), "slow", lot)
        return Zone(self._typical(rng), "fine", lot)

    def resolve(self, facts: Facts, rng: Chance, now: float) -> tuple[float, bool] | None:
        """Return how long a resolution takes and whether it fails; None: for ever."""
        zone = facts.zone
        # Most of the variance is the zone's own: what was slow once is slow again, everywhere
        delay = zone.typical * (0.8 + 0.4 * rng.random())
        failed = zone.mode == "broken"
        for trouble, share in self._troubles:
            if trouble.start <= now < trouble.end and zone.lot < share:
                if rng.random() < trouble.loss:
                    return None
                delay += trouble.delay(rng) if trouble.delay is not None else 0.0
                failed = failed or rng.random() < trouble.servfail
        return delay, failed


class Nameserver:
    """One nameserver; nodes of a site share it. Call it as any `behaviour.Behaviour`."""

    __slots__ = (
        "_asked", "_authorities", "_free_at", "_hit", "_known", "_loss", "_queue_s",
        "_second", "_seed", "_service_s", "_this_second", "dropped", "lost", "model", "peak",
        "queries", "troubles",
    )  # fmt: skip

    def __init__(self, model: NameserverModel, authorities: Authorities, seed: str) -> None:
        self.model = model
        self._seed = blake2b(seed.encode(), digest_size=16).digest()
        # By question: a unique name that was forgotten (`workload`) is the same if asked again
        self._asked: dict[bytes, int] = {}
        self.troubles = Troubles()
        self._loss = model.loss
        self.queries = 0
        self.dropped = 0  # by its queue
        self.lost = 0  # on the way, or in trouble
        self.peak = 0
        self._authorities = authorities
        self._hit = Draw(model.hit)
        self._known: dict[bytes, tuple[float, float]] = {}  # when resolved, when its TTL is over
        self._free_at = 0.0
        self._service_s = 0.0
        self._queue_s = 0.0
        if model.rate is not None:
            self._service_s = 1 / (model.rate * max(1 - model.busy, 0.001))
            self._queue_s = self._service_s * model.queue
        self._second = 0
        self._this_second = 0

    def heal(self) -> None:
        """Nothing is lost any more, and there is no more trouble."""
        self._loss = 0.0
        self.troubles = Troubles()

    def __call__(self, name: Name, now: float) -> Reaction:
        """Take a query."""
        self._count(now)
        rng = self._chance(name)
        if self._loss and rng.random() < self._loss:
            self.lost += 1
            return None
        delay, slowdown, servfail = 0.0, 1.0, False
        for trouble in self.troubles.at(now):
            if rng.random() < trouble.loss:
                self.lost += 1
                return None
            slowdown = max(slowdown, trouble.slowdown)
            if trouble.delay is not None:
                delay += trouble.delay(rng)
            servfail = servfail or (trouble.servfail > 0 and rng.random() < trouble.servfail)
        if self._service_s:
            wait = max(self._free_at - now, 0.0)
            if wait > self._queue_s:
                self.dropped += 1
                return None
            service = self._service_s * slowdown
            self._free_at = now + wait + service
            delay += wait + service
        delay += self._hit(rng)
        if servfail:
            return delay, SERVFAIL
        return self._answer(name, now, delay, rng)

    def _chance(self, name: Name) -> Chance:
        """Return the luck of this query."""
        asked = self._asked
        if len(asked) >= KNOWN_MAX:
            asked.clear()
        asked[name.question] = times = asked.get(name.question, 0) + 1
        return Chance(self._seed + times.to_bytes(4, "little") + name.question)

    def _answer(self, name: Name, now: float, delay: float, rng: Chance) -> Reaction:
        if name.name == b"\0":  # a probe of the root: every cache has it
            return delay, name.address(86_400, ad=self.model.validates)
        facts = self._authorities.facts(name)
        known = self._known.get(name.question)
        if known is None or known[1] <= now:
            known = self._resolve(name, facts, now, rng)
            if known is None:
                return None
        ready, expires = known
        delay += max(ready - now, 0.0)
        if expires < ready:
            return delay, SERVFAIL
        left = int(expires - max(ready, now))
        return delay, self._reply(name, facts, left)

    def _resolve(
        self, name: Name, facts: Facts, now: float, rng: Chance
    ) -> tuple[float, float] | None:
        """Return when it is resolved and until when it is known; a failure ends before."""
        if not facts.unique and rng.random() < self.model.cache_hits:
            known = now, now + facts.ttl * rng.random() + 1.0
        else:
            found = self._authorities.resolve(facts, rng, now)
            if found is None:
                return None
            took, failed = found
            known = now + took, now - 1.0 if failed else now + took + facts.ttl
            if failed:
                return known
        if len(self._known) >= KNOWN_MAX:
            self._known = {q: k for q, k in self._known.items() if k[1] > now}
        self._known[name.question] = known
        return known

    def _reply(self, name: Name, facts: Facts, ttl: int) -> Reply:
        if facts.denied:
            return name.denial(min(ttl, 900))
        return name.address(ttl)

    def _count(self, now: float) -> None:
        self.queries += 1
        second = int(now)
        if second != self._second:
            self._second, self._this_second = second, 0
        self._this_second += 1
        self.peak = max(self.peak, self._this_second)
