"""A scenario, carried out: sites, nameservers, network, workload, and what is measured.

Everything random comes from generators of its own, each derived from (seed, what it is for), so
that nothing that is added changes what was there: two policies see the same queries at the same
times, and the same troubles.
"""

import gc
import random
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from math import inf
from pathlib import Path
from typing import Any, Final

from codns.core.fleet import Recent
from codns.sim import abstract
from codns.sim.book import Name
from codns.sim.cluster import Cluster, Elsewhere, node_address, server_address
from codns.sim.constants import overridden
from codns.sim.faults import Faults
from codns.sim.host import Ask, Host
from codns.sim.load import ttls
from codns.sim.meter import Meter
from codns.sim.nameserver import Authorities, Nameserver
from codns.sim.network import Network, site_numbers
from codns.sim.scenario import Scenario, Site
from codns.sim.stub import ATTEMPTS, TIMEOUT_S, Stub
from codns.sim.tally import Counts, Tally
from codns.sim.transcript import KEPT_MAX
from codns.sim.trouble import recurring
from codns.sim.workload import Names, Traced, read_trace

STUB: Final = "stub"  # in place of a policy: no codns at all
STEPS: Final = 200  # of progress
LAST_S: Final = ATTEMPTS * TIMEOUT_S + 0.5  # the last ones get their answers
GARBAGE: Final = (200_000, 20, 20)  # lookups and races are cycles; seldom is soon enough for them


class _Wins(deque[Recent]):
    """Sees every race that is over: which of the peers contacted was it that won?"""

    def __init__(self, places: dict[int, int]) -> None:
        super().__init__(maxlen=1)
        self._places = places

    def append(self, race: Recent) -> None:
        super().append(race)
        asked = [event.who for event in race.events if event.what == "asked"]
        peers = [who for who in asked if who != "local"]
        if race.winner in peers:
            place = peers.index(race.winner)
            self._places[place] = self._places.get(place, 0) + 1


class Simulation:
    """One run. `run()` carries it out; then `meter`, `begun` and `ended` have what there is.

    `policy`: in place of the scenario's; "stub" for none. `checked=False` turns the checks off.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        policy: str | None = None,
        checked: bool = True,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self.scenario = scenario
        self.policy = policy or scenario.race.policy
        self.kinds: list[str] = []  # of each node's site
        self.servers: dict[str, Nameserver] = {}
        self.server_kinds: dict[str, str] = {}
        self.network = network_of(scenario)
        self.authorities = Authorities(scenario.authorities, ttls(scenario), scenario.seed)
        self._rates: list[float] = []
        behaviours: list[Mapping[str, Nameserver]] = []
        for kind, site in scenario.sites.items():
            behaviours += self._sites(kind, site)
        self.first_wins: dict[int, int] = {}
        with overridden(scenario.constants):
            self.cluster = self._cluster(behaviours, elsewhere, checked=checked)
        self.meter = Meter(len(behaviours), scenario.warm_up, scenario.duration)
        self.cluster.answered_hook = self.meter.answered
        self.asked_of = [0] * len(behaviours)  # remote queries that peers were sent
        self.cluster.remote_hook = self._remote
        self.tally = Tally(self.cluster.hosts, self.servers)
        self.begun: tuple[list[Counts], dict[str, Counts]] = ([], {})
        self.ended = self.begun
        self.names = Names(
            scenario.workload, scenario.authorities.names_per_zone, self.cluster.book
        )
        self._trace: Generator[Traced] | None = None
        self._load()
        Faults(self)
        if scenario.heartbeats == "abstract" and self.policy != STUB:
            abstract.Reading(self.cluster, self.network, scenario.peers.heartbeat)

    def run(self, progress: Callable[[float], None] | None = None) -> "Simulation":
        """Carry it out; `progress` is told the share that is done, now and then."""
        scenario, cluster = self.scenario, self.cluster
        # A stub asks each of its nameservers so often; it is waited for, whatever the policy
        most = max(len(site.nameservers) for site in scenario.sites.values())
        end = scenario.duration + LAST_S + (most - 1) * ATTEMPTS * TIMEOUT_S
        threshold = gc.get_threshold()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GARBAGE)
        try:
            with overridden(scenario.constants):
                for step in range(1, STEPS + 1):
                    self._to(end * step / STEPS)
                    if progress is not None:
                        progress(step / STEPS)
        finally:
            gc.set_threshold(*threshold)
            gc.unfreeze()
            if self._trace is not None:
                self._trace.close()  # it may go on for longer than we do
        self.meter.finish(cluster.now)
        return self

    def _to(self, time: float) -> None:
        scenario, cluster = self.scenario, self.cluster
        if cluster.now < scenario.warm_up <= time or not self.begun[0]:
            cluster.run(min(scenario.warm_up, time))
            self.begun = self.tally.now()
            self.asked_of[:] = [0] * len(self.asked_of)
            self.first_wins.clear()
        if cluster.now < scenario.duration <= time:
            cluster.run(scenario.duration)
            self.ended = self.tally.now()
            self.cluster.remote_hook = None
        cluster.run(time)

    # -- making ---------------------------------------------------------------------------------

    def _rng(self, purpose: str) -> random.Random:
        return random.Random(f"{self.scenario.seed}/{purpose}")

    def _sites(self, kind: str, site: Site) -> Iterator[Mapping[str, Nameserver]]:
        """Yield each node's nameservers, all sites of a kind."""
        shared: dict[str, Nameserver] | None = None
        for _ in range(site.count):
            servers = shared if shared is not None else self._servers(kind, site)
            if site.shared:
                shared = servers
            for _ in range(site.nodes):
                self.kinds.append(kind)
                rate = self.scenario.workload.rate if site.rate is None else site.rate
                self._rates.append(rate)
                yield servers

    def _servers(self, kind: str, site: Site) -> dict[str, Nameserver]:
        made = {}
        for model in site.nameservers:
            address = server_address(len(self.servers))
            settings = self.scenario.nameservers[model]
            server = Nameserver(settings, self.authorities, f"{self.scenario.seed}/{address}")
            for number, failure in enumerate(settings.failures):
                rng = self._rng(f"failure/{address}/{number}")
                server.troubles.add(recurring(failure, rng))
            made[address] = self.servers[address] = server
            self.server_kinds[address] = kind
        return made

    def _cluster(
        self,
        behaviours: list[Mapping[str, Nameserver]],
        elsewhere: Elsewhere | None,
        *,
        checked: bool,
    ) -> Cluster:
        scenario, stub = self.scenario, self.policy == STUB
        peers: dict[str, Any] = {
            "neighbours": scenario.peers.neighbours,
            "heartbeat_s": scenario.peers.heartbeat,
        }
        lists = None
        if scenario.heartbeats == "abstract" and not stub:
            peers["heartbeat_s"] = abstract.HEARTBEAT_S
            addresses = [node_address(index) for index in range(len(behaviours))]
            rng = self._rng("lists")
            lists = abstract.lists(addresses, self.network, scenario.peers.neighbours, rng)
        return Cluster(
            behaviours,
            link=self.network,
            seed=scenario.seed,
            settings=self._settings(),
            peers=peers,
            lists=lists,
            kept=KEPT_MAX if checked else 0,
            checked=checked and not stub,
            looking=True,
            introductions=not stub,
            brain=Stub if stub else None,
            began_hook=self._began,
            elsewhere=elsewhere,
        )

    def _began(self, host: Host) -> None:
        if host.node._fleet is not None:
            host.node._fleet.recent = _Wins(self.first_wins)

    def _settings(self) -> dict[str, Any]:
        race, cache = self.scenario.race, self.scenario.cache
        return {
            "cache_entries": cache.entries,
            "cache_min_ttl_s": cache.min_ttl,
            "cache_max_ttl_s": cache.max_ttl,
            "cache_max_negative_ttl_s": cache.max_negative_ttl,
            "cache_stale_s": cache.stale,
            "cache_prefetch": cache.prefetch,
            "probe": self.scenario.probe != "off",
            "race_policy": "off" if self.policy == STUB else self.policy,
            "race_delay_s": race.initial_delay,
            "race_delay_min_s": race.initial_delay_min,
            "race_max_remote": race.max_remote,
            "race_budget": race.budget,
        }

    def _remote(self, _source: int, target: int) -> None:
        self.asked_of[target] += 1

    # -- load -----------------------------------------------------------------------------------

    def _load(self) -> None:
        if self.scenario.workload.trace is not None:
            self._trace = read_trace(Path(self.scenario.workload.trace))
            self._traced(self._trace, 0.0)
            return
        for index, rate in enumerate(self._rates):
            if rate and index not in self.cluster.elsewhere:
                client = _Clients(self, index, rate, self._rng(f"clients/{index}"))
                self.cluster.at(client.next(0.0), client.ask)

    def _traced(self, queries: Iterator[Traced], last: float) -> None:
        """Let the next query of the file come at its time, and then the one behind it."""
        query = next(queries, None)
        if query is None:
            return
        nodes = len(self.cluster)
        rng = self._rng(f"trace/{last}/{query.name}")
        at = query.at
        if at is None:
            rate = nodes * self.scenario.workload.rate
            at = last + rng.expovariate(rate) if rate else inf
        node = rng.randrange(nodes) if query.node is None else query.node % nodes

        def arrive(_: object) -> None:
            here = self.here(node)
            if self.cluster.now < self.scenario.duration:
                if here:
                    self.submit(node, self.cluster.book.name(query.name, query.rdtype), rng)
                self._traced(queries, at)

        self.cluster.at(at, arrive)

    def here(self, index: int) -> bool:
        """Does this process simulate the node? What befalls others is no event here."""
        if index not in self.cluster.elsewhere:
            return True
        self.cluster.kernel.events -= 1
        return False

    def submit(self, index: int, name: Name, rng: random.Random) -> None:
        """A client of a node asks now."""
        cluster = self.cluster
        ask = Ask(
            cluster.hosts[index], name, rng.getrandbits(16), cluster.next_client(), cluster.now
        )
        cluster.submit(ask, name.tail)


def network_of(scenario: Scenario) -> Network:
    """Return the ways between a scenario's nodes."""
    rng = random.Random(f"{scenario.seed}/network")
    return Network(scenario.network, site_numbers(scenario), rng)


class _Clients:
    """All clients of one node: lookups at random."""

    __slots__ = ("_index", "_rate", "_rng", "_simulation", "_until")

    def __init__(
        self, simulation: Simulation, index: int, rate: float, rng: random.Random
    ) -> None:
        self._simulation = simulation
        self._index = index
        self._rate = rate
        self._rng = rng
        self._until = simulation.scenario.duration

    def next(self, now: float) -> float:
        """Return when the next one asks; never after the end."""
        time = now + self._rng.expovariate(self._rate)
        return time if time < self._until else inf

    def ask(self, _: object) -> None:
        """Ask, and set the next."""
        simulation, rng = self._simulation, self._rng
        now = simulation.cluster.now
        simulation.submit(self._index, simulation.names.draw(rng, now, self._index), rng)
        simulation.cluster.at(self.next(now), self.ask)
