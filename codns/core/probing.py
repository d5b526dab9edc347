"""Probes as jobs: who watches which nameserver by `core.probe`, and what a verdict means.

Watched are nameservers that are one of several, and all where peers could be asked instead: there
probes are the samples of the local path's judgement (`core.local_path`).

What a probe says moves a server between up and down, not its RTT: a probe asks what the server
has in its cache, so its time would make a server that gets only probes look quicker than one that
works, and clients' queries would swing between the two.

Without peers a server alone in its zone is not probed: it is asked whatever a probe would say.
"""

import random
from math import inf

from codns.core.fleet import Fleet
from codns.core.keys import split_key
from codns.core.model import SendJob
from codns.core.nameserver import Nameserver
from codns.core.probe import TTL_LEFT_MIN_S, Prober, Question
from codns.core.state import State
from codns.core.timers import AGAIN_S
from codns.wire.batch import Result
from codns.wire.build import upstream_query

BAD_MAX = 2  # bad probes running that take a server down (RULES 6.2)


class _Exchange:
    """One probe on its way."""

    __slots__ = ("sent", "token", "watch")

    def __init__(self, watch: "Watch", token: int, sent: float) -> None:
        self.watch = watch
        self.token = token
        self.sent = sent

    def done(self, result: Result, now: float) -> None:
        """The job ended (`core.jobs`)."""
        self.watch.ended(self.token, result, now)


class Watch:
    """The probes of one nameserver."""

    __slots__ = ("_answered", "_fleet", "_key", "_state", "_ttl", "due", "prober", "server")

    def __init__(
        self,
        state: State,
        server: Nameserver,
        fleet: Fleet | None,
        rng: random.Random,
        now: float,
    ) -> None:
        self._state = state
        self._fleet = fleet
        self.server = server
        self.prober = Prober(rng, now, validation=fleet is not None)
        server.watch = self
        self._key = b""  # of the newest answer, with its TTL and when it came
        self._ttl = 0
        self._answered = now
        self.due = inf
        self._set()

    def stop(self) -> None:
        """It is no longer one of several."""
        self.server.watch = None
        self._state.timers.set(self, inf)

    def queried(self, now: float) -> None:
        """A real query was sent there."""
        if self.prober.queried(now):
            self._set()

    def won(self, key: bytes, ttl: int, now: float) -> None:
        """It answered one; the newest with time enough left is what a probe will ask."""
        self.prober.won()
        if ttl >= TTL_LEFT_MIN_S:
            self._key, self._ttl, self._answered = key, ttl, now

    def fire(self, now: float) -> None:
        """A probe, or the verdict on one, is due."""
        self._state.timers.set(self, now + AGAIN_S)
        if self._key:
            self.prober.learn(*split_key(self._key), self._ttl, self._answered)
            self._key = b""
        server, fleet = self.server, self._fleet
        wanted = not server.up or (fleet is not None and fleet.unwell(server.address))
        question, verdict = self.prober.handle_timeout(now, wanted=wanted)
        if question is not None:
            self._send(question, now)
        self._judge(verdict, now)
        self._set()

    def ended(self, token: int, result: Result, now: float) -> None:
        """A probe's exchange ended."""
        verdict = self.prober.ended(token, result.outcome, result.elapsed, now, ad=result.ad)
        self._judge(verdict, now)
        if self.due != inf:
            self._set()

    def _set(self) -> None:
        self._state.timers.set(self, self.prober.next_timeout())

    def _send(self, question: Question, now: float) -> None:
        state = self._state
        state.stats.probes += 1
        wire = upstream_query(
            question.name, question.qtype, question.qclass, do=question.do, cd=False
        )
        job = state.jobs.new(_Exchange(self, question.token, now))
        state.out.append(SendJob(job, self.server.address, 0, question.timeout_s, wire))

    def _judge(self, verdict: bool | None, now: float) -> None:
        server = self.server
        if verdict is None:
            return
        if self._fleet is not None:
            self._fleet.probed(server.address, now, good=verdict)
        if verdict:
            if server.alive():
                self._state.note_up(server)
        elif self.prober.bad_running >= BAD_MAX and server.dead(now):
            self._state.note_down(server, "probes unanswered")


class Probing:
    """Watches over the nameservers."""

    __slots__ = ("_fleet", "_rng", "_state", "_watches")

    def __init__(self, state: State, fleet: Fleet | None, rng: random.Random) -> None:
        self._state = state
        self._fleet = fleet
        self._rng = rng
        self._watches: dict[str, Watch] = {}

    def configure(self, now: float) -> None:
        """Start watching new servers, stop with those that are gone (or alone now)."""
        state = self._state
        wanted: dict[str, Nameserver] = {}
        if state.settings.probe:
            for upstreams in (state.default, *state.zones.values()):
                if len(upstreams.servers) > 1 or upstreams.side is not None:
                    wanted.update((server.address, server) for server in upstreams.servers)
        for address in [a for a in self._watches if a not in wanted]:
            self._watches.pop(address).stop()
        for address, server in wanted.items():
            if address not in self._watches:
                rng = random.Random(self._rng.getrandbits(64))
                self._watches[address] = Watch(state, server, self._fleet, rng, now)

    def validating(self, now: float) -> bool:
        """Say whether all nameservers of the default path validate DNSSEC (RULES 6.5).

        Those that are up, or were before they all went down: what they vouched for stays so.
        """
        servers = self._state.default.servers
        asked = [server for server in servers if server.up] or servers
        watches = [self._watches.get(server.address) for server in asked]
        return bool(watches) and all(w is not None and w.prober.validates(now) for w in watches)

    def explain(self, address: str, now: float) -> dict[str, object] | None:
        """Return what probes say of a nameserver, None if it is not probed."""
        watch = self._watches.get(address)
        return None if watch is None else watch.prober.explain(now)
