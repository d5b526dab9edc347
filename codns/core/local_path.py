"""Is our own nameserver sick? Judging the local path apart from the authorities behind it.

A slow answer may be the nameserver's doing or the authority's; only a comparison tells. So what
counts is who lost a race, and probes of names the nameserver has in its cache; an answer that was
slow and that no peer beat counts for nothing. A sick nameserver is relieved, not hammered, and
returned to in steps, at random intervals: a fleet behind one nameserver must not come back as one
wave. Samples (RULES 6.1):

    won         local answered within the initial delay, or before the peer that answered
    lost        a peer answered first and local needed >= max(20 ms, delay) more, or never came;
                or a transport error
    probe good, probe bad; with several nameservers a probe is bad only if all are (6.6)

    state       why            next        what it takes
    healthy     bad samples    failing     more than 8 of the last 16 samples lost or bad, of 60 s
    healthy     bad probes     failing     2 bad probes running, of every nameserver
    healthy     silence        failing     >= 4 lookups of >= 2 domains sent since the last answer
                                           of any kind, and 300 ms have passed since
    healthy     servfails      failing     > 8 of the last 16 answers SERVFAIL or REFUSED, and
                                           for >= 4 domains of these a peer had NOERROR
    failing     good probes    recovering  3 good probes running
    recovering  good samples   recovering  the step's time is over and 4 good samples came in it
    recovering  all steps      healthy     the same, after the last step
    recovering  bad samples    failing     a bad majority of the step's samples, of 4 or more
    recovering  bad probes     failing     as above
    recovering  silence        failing     as above
    recovering  servfails      failing     as above
    any         no nameserver  failing     there is none configured
    any         nameservers    healthy     all of them are new: nothing is known against them

`recovering` has three steps: 1/4, 1/2 and all lookups go to the local path. A step takes the dwell
x (0.5 + random), the dwell being 2 s. Falling back from recovering doubles the dwell, up to 60 s,
and keeps the path failing for a dwell x (0.5 + random): probes that the cache answers do not prove
that a nameserver can recurse, and without this pause it would be tried each few seconds. Each
5 min of health halve the dwell.

What a lookup does is its `Route`: a race (local now, peers after the delay), relief (peers now,
local only if no peer may be asked or all of them failed), or trickle (both now): while failing
every 8th, so that the trouble is seen to end. In relief and trickle `failing` is true to the
other policies (`initial_delay`, `budget`, `slow_domains`): no delay, no token.

"Domain" as in `core.domains`: lookups for one slow authority must not
condemn the nameserver.
"""

from collections.abc import Sequence
from enum import IntEnum, StrEnum
from math import inf
from random import Random
from typing import Final, NamedTuple

from codns.core.claims import Claims
from codns.core.path_signs import BAD_MAX, Sample, Samples, Servfails, Silence

LOST_MARGIN_S: Final = 0.020  # RULES 6.1: less is the difference between two healthy paths
BAD_PROBES: Final = 2  # RULES 6.2: one may be a lost packet
GOOD_PROBES: Final = 3  # RULES 6.4
TRICKLE: Final = 8  # RULES 6.3: every so many lookups while failing
STEPS: Final = (4, 2, 1)  # RULES 6.4: every 4th, every 2nd, every lookup is raced
STEP_SAMPLES: Final = 4  # RULES 6.4
DWELL_S: Final = 2.0  # RULES 6.4
DWELL_MAX_S: Final = 60.0  # RULES 6.4
DWELL_HALF_S: Final = 300.0  # RULES 6.4: good for so long, it is halved


class State(StrEnum):
    """What is thought of the local path."""

    HEALTHY = "healthy"
    FAILING = "failing"
    RECOVERING = "recovering"


class Why(StrEnum):
    """What makes it change: a closed vocabulary for logs, `explain` and the table above."""

    BAD_SAMPLES = "bad samples"
    BAD_PROBES = "bad probes"
    SILENCE = "silence"
    SERVFAILS = "servfails"
    GOOD_PROBES = "good probes"
    GOOD_SAMPLES = "good samples"
    ALL_STEPS = "all steps"
    NO_NAMESERVER = "no nameserver"
    NAMESERVERS = "nameservers"


TRANSITIONS: Final[dict[tuple[State, Why], State]] = {
    **{
        (state, why): State.FAILING
        for state in (State.HEALTHY, State.RECOVERING)
        for why in (Why.BAD_SAMPLES, Why.BAD_PROBES, Why.SILENCE, Why.SERVFAILS)
    },
    (State.FAILING, Why.GOOD_PROBES): State.RECOVERING,
    (State.RECOVERING, Why.GOOD_SAMPLES): State.RECOVERING,
    (State.RECOVERING, Why.ALL_STEPS): State.HEALTHY,
    **{(state, Why.NO_NAMESERVER): State.FAILING for state in State},
    **{(state, Why.NAMESERVERS): State.HEALTHY for state in State},
}


class Route(IntEnum):
    """What one lookup does."""

    RACE = 0
    RELIEF = 1
    TRICKLE = 2


_RECOVERING: Final = State.RECOVERING
_HEALTHY: Final = State.HEALTHY  # on the way of every miss: a global is quicker than a member
_RACE: Final = Route.RACE
_WON: Final = Sample.WON


class Change(NamedTuple):
    """A transition, for the log."""

    at: float
    before: State
    after: State
    why: Why
    share: float  # of lookups that are raced from now on


class LocalPath:
    """The judgement of one local path: the nameservers of one zone together.

    `probing` is false where the operator turned probes off: then won trickle lookups stand in.
    The caller reports each lookup that goes to the local path by `sent`, each answer by
    `answered`, and how races went by `won`, `lost`, `overtaken`. Changes of state are appended to
    `changes`, which the caller empties.
    """

    __slots__ = (
        "_claims",
        "_doubt",
        "_dwell",
        "_hold_until",
        "_rng",
        "_runs",
        "_samples",
        "_servfails",
        "_silence",
        "_step",
        "_step_until",
        "_turn",
        "_wins",
        "changes",
        "probing",
        "since",
        "state",
        "why",
    )

    def __init__(
        self, servers: Sequence[str], rng: Random, now: float, *, probing: bool = True
    ) -> None:
        self._rng = rng
        self.probing = probing
        self.changes: list[Change] = []
        self.state = State.HEALTHY
        self.why = Why.NAMESERVERS
        self.since = now
        self._samples = Samples()
        self._silence = Silence()
        self._servfails = Servfails()
        self._claims = Claims()  # "local needed so much more than the peer"
        self._runs: dict[str, int] = {}  # good (> 0) or bad (< 0) probes running, by server
        self._doubt = False  # some run is bad
        self._wins = 0  # running, while failing without probes
        self._dwell = DWELL_S
        self._hold_until = now
        self._step = 0
        self._step_until = inf
        self._turn = 0
        self.configure(servers, now)

    # -- what a lookup does ---------------------------------------------------------------------

    @property
    def share(self) -> float:
        """The share of lookups that are raced."""
        if self.state is State.RECOVERING:
            return 1 / STEPS[self._step]
        return 1.0 if self.state is State.HEALTHY else 0.0

    def route(self) -> Route:
        """Decide for one more lookup. RELIEF goes locally too when no peer can help."""
        if self.state is _HEALTHY:
            return _RACE
        self._turn += 1
        if self.state is State.RECOVERING:
            return Route.RELIEF if self._turn % STEPS[self._step] else Route.RACE
        if self._turn % TRICKLE or not self._runs:
            return Route.RELIEF
        return Route.TRICKLE

    # -- what the local path did ----------------------------------------------------------------

    def sent(self, name: bytes, now: float) -> None:
        """A lookup for `name` (lower case) goes to the local path; once each, not each try."""
        self._silence.sent(name, now)

    def answered(self, now: float, failed: bytes | None = None) -> None:
        """A nameserver answered, whatever it said; `failed`: SERVFAIL or REFUSED for that name."""
        if self._silence.waiting:
            self._silence.clear()
        if failed is None:
            self._servfails.good()
        else:
            self._servfails.failed(failed, now)

    def contradicted(self, name: bytes, now: float) -> None:
        """A peer answered NOERROR where the local answer was SERVFAIL or REFUSED."""
        enough = self._servfails.contradict(name, now)
        if self.state is State.RECOVERING:
            self._add(Sample.LOST, now)  # its usable answer never came
        if enough:
            self._go(Why.SERVFAILS, now)

    def won(self, now: float) -> None:
        """Local answered within the initial delay, or before a peer that answered too."""
        if self._doubt:  # a bad probe before this was a lost packet
            self._doubt = False
            self._runs = {server: max(run, 0) for server, run in self._runs.items()}
        self._samples.add(_WON, now)
        if self.state is not _HEALTHY:
            self._judge(now)
        if not self.probing:
            self._wins += 1
            self._recover(self._wins, now)

    def lost(self, now: float) -> None:
        """A transport error. Not also `overtaken` for the same lookup."""
        self._wins = 0
        self._add(Sample.LOST, now)

    def overtaken(self, delay: float, now: float) -> int:
        """A peer's answer was first. Return a handle for `caught_up` or `gave_up`.

        Unless one of them is called in time, this becomes *lost*.
        """
        return self._claims.make(now + max(LOST_MARGIN_S, delay))

    def caught_up(self, handle: int, now: float) -> None:
        """The local answer came after the peer's: no sample if it was close behind."""
        self._settle(now)
        self._claims.withdraw(handle)

    def gave_up(self, handle: int, now: float) -> None:
        """The local attempt ended without an answer, after the peer's: *lost*, if not yet."""
        self._settle(now)
        if self._claims.withdraw(handle):
            self.lost(now)

    def probed(self, server: str, now: float, *, good: bool) -> None:
        """A probe of `server` was judged (`core.probe`)."""
        runs = self._runs
        if server not in runs:
            return  # it was configured away meanwhile
        run = runs[server]
        if good:
            self._silence.clear()
            runs[server] = run + 1 if run > 0 else 1
            self._add(Sample.PROBE_GOOD, now)
            self._recover(runs[server], now)
            return
        self._doubt = True
        runs[server] = run - 1 if run < 0 else -1
        if max(runs.values()) < 0:
            self._add(Sample.PROBE_BAD, now)
        if max(runs.values()) <= -BAD_PROBES:
            self._go(Why.BAD_PROBES, now)

    # -- time and configuration -----------------------------------------------------------------

    def next_timeout(self) -> float:
        """Return when `handle_timeout` is due, inf for never."""
        due = self._silence.due
        if self._claims.open:
            due = min(due, self._claims.next_due())
        if self.state is _RECOVERING and self._samples.good >= STEP_SAMPLES:
            due = min(due, self._step_until)
        return due

    def handle_timeout(self, now: float) -> None:
        """Let time pass."""
        self._settle(now)
        self._samples.expire(now)
        if now >= self._silence.due:
            self._silence.clear()
            self._go(Why.SILENCE, now)
        if self.state is State.RECOVERING:
            self._advance(now)

    def configure(self, servers: Sequence[str], now: float) -> None:
        """Use these nameservers: what is known of those that stay is kept."""
        kept = {server: self._runs[server] for server in servers if server in self._runs}
        self._runs = {server: kept.get(server, 0) for server in servers}
        if not servers:
            self._go(Why.NO_NAMESERVER, now)
        elif not kept:
            self._dwell = DWELL_S
            self._go(Why.NAMESERVERS, now)

    def explain(self, now: float) -> dict[str, object]:
        """Return why it is in its state."""
        self._samples.expire(now)
        facts: dict[str, object] = {
            "state": self.state.value,
            "why": self.why.value,
            "for": now - self.since,
            "share": self.share,
            "samples": self._samples.counts(),
            "probes": dict(self._runs),
            "servfails": self._servfails.count(),
            "dwell": self._dwell_at(now),
        }
        if self.state is State.FAILING:
            facts["held_for"] = max(0.0, self._hold_until - now)
        elif self.state is State.RECOVERING:
            facts["step_for"] = max(0.0, self._step_until - now)
        return facts

    # -- samples --------------------------------------------------------------------------------

    def _add(self, kind: Sample, now: float) -> None:
        self._samples.add(kind, now)
        self._judge(now)

    def _judge(self, now: float) -> None:
        samples = self._samples
        if self.state is State.HEALTHY:
            samples.expire(now)
            if samples.bad > BAD_MAX:
                self._go(Why.BAD_SAMPLES, now)
        elif self.state is State.RECOVERING:
            samples.expire(now)
            if len(samples) >= STEP_SAMPLES and 2 * samples.bad > len(samples):
                self._go(Why.BAD_SAMPLES, now)
            else:
                self._advance(now)

    def _settle(self, now: float) -> None:
        for _ in range(self._claims.mature(now)):
            self.lost(now)

    def _recover(self, running: int, now: float) -> None:
        if running >= GOOD_PROBES and now >= self._hold_until:
            self._go(Why.GOOD_PROBES, now)

    def _advance(self, now: float) -> None:
        if self._samples.good >= STEP_SAMPLES and now >= self._step_until:
            last = self._step + 1 == len(STEPS)
            self._go(Why.ALL_STEPS if last else Why.GOOD_SAMPLES, now)

    # -- transitions ----------------------------------------------------------------------------

    def _go(self, why: Why, now: float) -> None:
        """Take the table's transition, if it has one here."""
        before = self.state
        after = TRANSITIONS.get((before, why))
        if after is None:
            return
        if after is State.FAILING:
            self._fail(before, now)
        elif after is State.RECOVERING:
            self._step = self._step + 1 if before is State.RECOVERING else 0
            self._step_until = now + self._jittered()
        self._turn = self._wins = 0
        for evidence in (self._samples, self._claims, self._servfails, self._silence):
            evidence.clear()  # each state is judged by what came in it
        self.state, self.why = after, why
        if after is not before:
            self.since = now
        if after is not before or after is State.RECOVERING:
            self.changes.append(Change(now, before, after, why, self.share))

    def _fail(self, before: State, now: float) -> None:
        self._runs = dict.fromkeys(self._runs, 0)  # good probes count from here on
        self._doubt = False
        self._hold_until = now
        if before is State.HEALTHY:
            self._dwell = self._dwell_at(now)
        elif before is State.RECOVERING:
            self._dwell = min(2 * self._dwell, DWELL_MAX_S)
            self._hold_until = now + self._jittered()

    def _dwell_at(self, now: float) -> float:
        """Return the dwell, halved for each good 5 min."""
        if self.state is not State.HEALTHY:
            return self._dwell
        halvings = min(int((now - self.since) / DWELL_HALF_S), 8)  # 60 s are 2 s after 5
        return max(self._dwell / (1 << halvings), DWELL_S)

    def _jittered(self) -> float:
        return self._dwell * (0.5 + self._rng.random())
