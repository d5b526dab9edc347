"""The initial delay: how long the local nameserver has before a peer is asked.

A short delay spends queries on peers, a long one spends the client's patience. A wrong one costs
one spare query, never an answer, so it may follow the local path closely. Four policies:

`codns2004`, the paper's (CoDNS 3.2; DESIGN 4). Rules, in order:
  1. remote won more than 8 of the last 16 lookups        -> 0: "rare not to have a failure when
     more than 8 of 16 take more than 300 ms"
  2. leaving 0 by that count                              -> mean + 1 sigma of remote times
  3. 32 lookups in a row answered locally, no peer asked  -> 200 ms: the median of a healthy
     nameserver is under 100 ms, so 200 reacts fast and wastes few queries
  4. a remote win halves it; a local win with no peer asked adds 200/32 ms (the same 32 lead from
     0 to 200); a local win with a peer asked leaves it
  It starts at 200 ms.

`adaptive`, the default: the earliest delay whose waste the budget can bear. Rules, in order:
  1. the local path is failing        -> 0
  2. under 32 samples                 -> 50 ms (RULES 5.5)
  3. else the quantile of the last 256 local misses that leaves a share s above it, within
     10..200 ms, where s = 0.8 x `race.budget` / (1 - p), and p is the share of remote queries
     that helped lately (`Budget.pays`): s lookups of 100 ask a peer, s x (1 - p) of them in vain,
     and that is four fifths of what the budget allows.
So on a healthy nameserver, where hardly any help pays, a peer is asked for the slowest 8 to 10 %;
where help pays it is asked for more, and sooner, until it does not. Waste is the thing that is
held constant, whatever the distribution: a quantile alone runs to the clamp just when that share
of queries fails, and a multiple of the median asks for everything that a nameserver does not have
in its cache (3 x p50 did: 10 ms, 40 % of misses asked, the budget gone when it was needed; p99 on
`sporadic` 544 ms, now 413: bench/SIMULATIONS.md). Further:
  - cached answers of our own never enter (1 ms each would make the delay collapse).
  - a miss still unfinished counts as at least its age (a censored sample), or an estimate that
    sees only answers never learns of silence. One younger than the quantile of the finished says
    nothing about it yet: counted, hundreds in flight would pass for hundreds of quick answers.
    At most a quarter as many unfinished as finished ones count, the oldest first: more means a
    stall, which RULES 6.2 judges within 300 ms, and the delay must not run to its clamp meanwhile.
  A fixed delay is this policy with `initial_delay_min` equal to `initial_delay`.

`off` never asks peers. `shadow` decides as `adaptive` does, so that races are timed and counted,
but nothing is sent: `sends` is false. Whether help would have paid it cannot know, so p is 0.

Which lookups are fed: those of clients that went to the local nameserver and were not answered
from the cache. `begin` and `end` enclose the local attempt; `remote_won` or `local_won` tells how
the race went. A lookup nobody answered tells nothing.
"""

from bisect import bisect_right
from itertools import islice
from typing import ClassVar, Final

from codns.core.budget import Budget
from codns.core.gaps import RemoteTimes

DELAY_MAX_S: Final = 0.200  # race.initial_delay; CoDNS 3.2
DELAY_MIN_S: Final = 0.010  # race.initial_delay_min; a nameserver's own cache needs 1..5 ms

CLEAN_RUN: Final = 32  # CoDNS 3.2
RECENT: Final = 16  # CoDNS 3.2
RECENT_REMOTE_MAX: Final = 8  # CoDNS 3.2: more than half

SAMPLES_MAX: Final = 256  # RULES 5.5: 8 % are then the 20 slowest
SAMPLES_MIN: Final = 32  # RULES 5.5
DELAY_FIRST_S: Final = 0.050  # RULES 5.5
SPENT: Final = 0.8  # of the budget's share: the rest is for bursts (bench/SIMULATIONS.md)
UNFINISHED_PART: Final = 4  # one unfinished miss in so many finished ones counts: see above
OPEN_MAX: Final = 16_384  # misses in flight that are watched: as many as there are lookups
OPEN_S: Final = 15.0  # a lookup lives 10 s (RULES 4.2): later ends a mistake of ours took
REFRESH_AFTER: Final = 64  # samples: a quarter of the window, so that a sort is 0.5 us a lookup
REFRESH_S: Final = 0.050  # or so much time: a quarter of the longest delay

NO_TOKEN: Final = 0


class InitialDelay:
    """What all policies answer to. As it stands it asks no peer and learns nothing."""

    __slots__ = ()
    name: ClassVar[str]
    sends: ClassVar[bool] = True  # may the race send what it decides?

    def delay(self, now: float, *, failing: bool) -> float | None:
        """Return the delay in seconds, None if peers are never asked.

        `failing` is the judgement of the local path (RULES 6) for this lookup.
        """
        _ = now, failing
        return None

    def begin(self, now: float, *, failing: bool) -> int:
        """A miss is sent to the local nameserver. Return the token for `end` or `drop`."""
        _ = now, failing
        return NO_TOKEN

    def end(self, token: int, elapsed: float) -> None:
        """It was answered, or given up for good, `elapsed` seconds after `begin`."""

    def drop(self, token: int) -> None:
        """It ended in a failure that says nothing about time: SERVFAIL, refused, our overload."""

    def remote_won(self) -> None:
        """A peer's answer was first."""

    def local_won(self, *, remote_asked: bool) -> None:
        """The local answer was first; had a peer been asked by then?"""

    def explain(self, now: float, *, failing: bool) -> dict[str, object]:
        """Return the delay and what it comes from."""
        return {
            "policy": self.name,
            "sends": self.sends,
            "delay": self.delay(now, failing=failing),
        }


class Off(InitialDelay):
    """Peers are never asked."""

    __slots__ = ()
    name = "off"
    sends = False


class Codns2004(InitialDelay):
    """The paper's."""

    __slots__ = ("_clean", "_delay", "_delay_max", "_delay_min", "_recent", "_remote", "_zero")
    name = "codns2004"

    def __init__(
        self,
        remote: RemoteTimes,
        delay_max: float = DELAY_MAX_S,
        delay_min: float = DELAY_MIN_S,
    ) -> None:
        self._remote = remote
        self._delay_max = delay_max
        self._delay_min = delay_min
        self._delay = delay_max
        self._clean = 0  # lookups in a row answered locally with no peer asked
        self._recent = 0  # the last 16 lookups as bits, the newest lowest; 1: remote won
        self._zero = False

    def delay(self, now: float, *, failing: bool) -> float:
        """Return the delay; 0 also while the path is judged failing: local is hardly asked."""
        _ = now
        return 0.0 if failing or self._zero else self._delay

    def remote_won(self) -> None:
        """Halve it."""
        self._clean = 0
        if not self._count(1) and not self._zero:
            self._delay = max(self._delay / 2, self._delay_min)

    def local_won(self, *, remote_asked: bool) -> None:
        """Let it grow if no peer was asked."""
        self._clean = 0 if remote_asked else self._clean + 1
        left_zero = self._count(0)
        if self._clean >= CLEAN_RUN:
            self._delay = self._delay_max
        elif not remote_asked and not left_zero and not self._zero:
            self._delay = min(self._delay + self._delay_max / CLEAN_RUN, self._delay_max)

    def explain(self, now: float, *, failing: bool) -> dict[str, object]:
        """Return the delay and the counts behind it."""
        return super().explain(now, failing=failing) | {
            "clean": self._clean,
            "remote_won": self._recent.bit_count(),
            "of": RECENT,
            "remote_spread": self._remote.spread(),
        }

    def _count(self, remote: int) -> bool:
        """Count one lookup; True when 0 is left by it."""
        self._recent = (self._recent << 1 | remote) & ((1 << RECENT) - 1)
        was = self._zero
        self._zero = self._recent.bit_count() > RECENT_REMOTE_MAX
        if was and not self._zero:
            self._delay = min(max(self._remote.spread(), self._delay_min), self._delay_max)
            return True
        return False


class Adaptive(InitialDelay):
    """Follows the local path's own distribution of times."""

    __slots__ = (
        "_above",
        "_budget",
        "_changes",
        "_delay",
        "_delay_max",
        "_delay_min",
        "_median",
        "_open",
        "_position",
        "_refreshed",
        "_samples",
        "_times",
        "_token",
    )
    name = "adaptive"

    def __init__(
        self, budget: Budget, delay_max: float = DELAY_MAX_S, delay_min: float = DELAY_MIN_S
    ) -> None:
        self._budget = budget
        self._delay_max = delay_max
        self._delay_min = delay_min
        self._times: list[float] = []  # of finished misses, a ring
        self._position = 0
        self._open: dict[int, float] = {}  # token to begin, oldest first
        self._token = NO_TOKEN
        self._changes = 0  # samples since `_refresh`
        self._refreshed = float("-inf")
        self._samples = 0
        self._above = 0.0  # share of the samples that took longer: s, bar the bounds
        self._median = 0.0
        self._delay = self._clamped(DELAY_FIRST_S)

    def delay(self, now: float, *, failing: bool) -> float:
        """Return the delay, at most 64 samples and 50 ms old."""
        if failing:
            return 0.0
        if self._changes >= REFRESH_AFTER or (
            now >= self._refreshed + REFRESH_S and (self._changes or self._open)
        ):
            self._refresh(now)
        return self._delay

    def begin(self, now: float, *, failing: bool) -> int:
        """Watch a miss, unless the path is failing."""
        if failing or len(self._open) >= OPEN_MAX:
            return NO_TOKEN
        self._token = token = self._token + 1
        self._open[token] = now
        return token

    def end(self, token: int, elapsed: float) -> None:
        """Take its time."""
        if self._open.pop(token, None) is None:
            return
        times = self._times
        if len(times) < SAMPLES_MAX:
            times.append(elapsed)
        else:
            position = self._position
            times[position] = elapsed
            self._position = (position + 1) % SAMPLES_MAX
        self._changes += 1

    def drop(self, token: int) -> None:
        """Forget it."""
        self._open.pop(token, None)

    def explain(self, now: float, *, failing: bool) -> dict[str, object]:
        """Return the delay and what it follows."""
        self._refresh(now)
        return super().explain(now, failing=failing) | {
            "samples": self._samples,
            "median": self._median,
            "above": self._above,
        }

    def _refresh(self, now: float) -> None:
        self._changes = 0
        self._refreshed = now
        unfinished = self._open
        while unfinished and now > next(iter(unfinished.values())) + OPEN_S:
            del unfinished[next(iter(unfinished))]
        above = min(SPENT * self._budget.share / (1.0 - self._pays(now)), 1.0)
        times = sorted(self._times)
        limit = len(times) // UNFINISHED_PART
        if limit:
            known = _quantile(times, above)
            for begun in islice(unfinished.values(), limit):
                if now - begun <= known:
                    break
                times.append(now - begun)
            times.sort()
        self._samples = len(times)
        if times:
            self._median = _quantile(times, 0.5)
        wanted = DELAY_FIRST_S
        if self._samples >= SAMPLES_MIN:
            wanted = _quantile(times, above)
        self._delay = self._clamped(wanted)
        self._above = 1.0 - bisect_right(times, self._delay) / max(len(times), 1)

    def _pays(self, now: float) -> float:
        return self._budget.pays(now)

    def _clamped(self, delay: float) -> float:
        return min(max(delay, self._delay_min), self._delay_max)


class Shadow(Adaptive):
    """Decides as `adaptive` does; the race counts what it would have sent."""

    __slots__ = ()
    name = "shadow"
    sends = False

    def _pays(self, now: float) -> float:
        _ = now
        return 0.0


def make(
    policy: str,
    remote: RemoteTimes,
    budget: Budget,
    delay_max: float = DELAY_MAX_S,
    delay_min: float = DELAY_MIN_S,
) -> InitialDelay:
    """Return the policy that `race.policy` names. Raises KeyError on another name."""
    if policy == Codns2004.name:
        return Codns2004(remote, delay_max, delay_min)
    if policy == Off.name:
        return Off()
    kind = {Adaptive.name: Adaptive, Shadow.name: Shadow}[policy]
    return kind(budget, delay_max, delay_min)


def _quantile(ordered: list[float], above: float) -> float:
    """Return the least value that at most this share of the values exceeds."""
    return ordered[max(len(ordered) - 1 - int(above * len(ordered)), 0)]
