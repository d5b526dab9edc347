"""Probing one nameserver: is it alive, though nobody asks or nothing comes back?

A probe must cost the nameserver nothing and say nothing of authorities: so it asks again what the
nameserver answered lately and must still have in its cache. A fixed name would test the path to
one authority, the root's NS (which every cache has) stands in when nothing is known. Any rcode is
life. Rules (RULES 6.5):

  1. a probe 1 s after the last while queries are sent there, 5 s after it when idle
  2. none in an interval in which a real exchange with it was won: that was the proof. But always
     while somebody waits for it to come back (`wanted`)
  3. the question: the newest answered name with >= 30 s of its TTL left, else the longest-lived
     one with that much, else `. NS`
  4. silence for max(4 x median probe, 100 ms) is bad, and so is a transport error at once. An
     answer after that changes no verdict but enters the median: an estimate that sees only quick
     answers would call a nameserver that became slower dead for ever
  5. each 5 min `. SOA` is asked with DO: AD=1 in the answer means that the nameserver validates,
     for 10 min; AD=0 ends it. It takes the turn of a probe but is no probe: the nameserver may
     have to fetch the answer, so neither its silence nor its time counts. Unanswered, it is asked
     again after 30 s

One probe waits for its verdict at a time. The median is of the last 16 times. The first probe
leaves at a random point of the first second: nodes start together.
"""

from collections import deque
from math import inf
from random import Random
from typing import Final, NamedTuple

from codns.wire import const
from codns.wire.outcome import Outcome

BUSY_S: Final = 1.0  # RULES 6.5
IDLE_S: Final = 5.0  # RULES 6.5; also how long after its last query a nameserver is busy
TTL_LEFT_MIN_S: Final = 30.0  # RULES 6.5: many times the silence, so that it is in the cache
SILENCE_MIN_S: Final = 0.100  # RULES 6.5: a cache answers in 1..5 ms, on a busy host in 100
MEDIANS: Final = 4  # RULES 6.5
TIMEOUT_S: Final = 2.0  # of the exchange, longer than a verdict takes: late answers are learned
TIMES_MAX: Final = 16  # probe times the median is of: 16 s of a busy nameserver
NAMES_MAX: Final = 16  # questions remembered: the newest is what is wanted, the rest is reserve
VALIDATES_S: Final = 600.0  # RULES 6.5
VALIDATE_EVERY_S: Final = 300.0  # half of it: one lost probe must not end it
VALIDATE_RETRY_S: Final = 30.0  # no answer: not each second, it is not cached


class Question(NamedTuple):
    """What to ask: `name` in wire form. `token` comes back in `Prober.ended`."""

    token: int
    name: bytes
    qtype: int
    qclass: int
    do: bool
    timeout_s: float


class Prober:
    """Probes of one nameserver. `now` never goes back.

    The owner calls `handle_timeout` at `next_timeout`, sends the question it may return, and
    reports every end of an exchange to `ended`. Verdicts come from both: True for life, False
    for silence; `good_running` and `bad_running` count them.
    Without `validation` the question 5 is never asked.
    """

    __slots__ = (
        "_due",
        "_judge_at",
        "_longest",
        "_names",
        "_out",
        "_queried",
        "_times",
        "_token",
        "_validate_due",
        "_validated",
        "_validating",
        "_won",
        "bad_running",
        "good_running",
        "verdict",
    )

    def __init__(self, rng: Random, now: float, *, validation: bool = True) -> None:
        self._times: deque[float] = deque(maxlen=TIMES_MAX)
        # (gone at, name, qtype, qclass), newest last
        self._names: deque[tuple[float, bytes, int, int]] = deque(maxlen=NAMES_MAX)
        self._longest: tuple[float, bytes, int, int] = (-inf, b"\0", const.NS, const.IN)
        self._due = now + rng.random() * BUSY_S
        self._judge_at = inf
        self._token = 0
        self._out = 0  # token of the probe that waits for its verdict
        self._validating = 0  # token of the `. SOA` that is out
        self._queried = -inf  # the last real query there
        self._won = False  # a real exchange was, in this interval
        self._validated = -inf  # last AD=1
        self._validate_due = now if validation else inf
        self.good_running = 0
        self.bad_running = 0
        self.verdict: bool | None = None  # the last one

    # -- what real queries tell -----------------------------------------------------------------

    def queried(self, now: float) -> bool:
        """A real query was sent there: it is busy. True: `next_timeout` is earlier now."""
        self._queried = now
        if self._due - now <= BUSY_S:
            return False
        self._due = now + BUSY_S
        return not self._out

    def won(self) -> None:
        """It won a real exchange."""
        self._won = True

    def learn(self, name: bytes, qtype: int, qclass: int, ttl: int, now: float) -> None:
        """It answered this with records of `ttl` seconds: a question to probe with."""
        if ttl >= TTL_LEFT_MIN_S:
            known = (now + ttl, name, qtype, qclass)
            self._names.append(known)
            if known[0] > self._longest[0]:
                self._longest = known

    # -- probes ---------------------------------------------------------------------------------

    def next_timeout(self) -> float:
        """Return when `handle_timeout` is due."""
        return self._judge_at if self._out else self._due

    def handle_timeout(self, now: float, *, wanted: bool) -> tuple[Question | None, bool | None]:
        """Return the question to send, or None, and a verdict, or None.

        `wanted`: the path or this server is not healthy, so that real exchanges are no excuse.
        """
        if self._out:
            if now < self._judge_at:
                return None, None
            self._out = 0
            return None, self._judge(good=False)
        if now < self._due:
            return None, None
        self._due = now + (BUSY_S if now - self._queried < IDLE_S else IDLE_S)
        won, self._won = self._won, False
        if now >= self._validate_due:
            self._validate_due = now + VALIDATE_RETRY_S
            question = self._question((0.0, b"\0", const.SOA, const.IN), do=True)
            self._validating = question.token
        elif won and not wanted:
            return None, None
        else:
            question = self._question(self._pick(now), do=False)
            self._out = question.token
            self._judge_at = now + self.silence_s()
        return question, None

    def ended(
        self, token: int, outcome: Outcome, elapsed: float, now: float, *, ad: bool
    ) -> bool | None:
        """A probe's exchange ended. Return the verdict; None if it was judged, or is our fault."""
        if token == self._validating:
            self._validating = 0
            if outcome.answered:
                self._validated = now if ad else -inf
                self._validate_due = now + VALIDATE_EVERY_S
            return None
        if outcome.answered:
            self._times.append(elapsed)
        if token != self._out:
            return None  # judged bad already
        self._out = 0
        if outcome is Outcome.OVERLOAD:
            return None
        return self._judge(good=outcome.answered)

    def silence_s(self) -> float:
        """Return how long a probe may take."""
        times = sorted(self._times)
        median = times[len(times) // 2] if times else 0.0
        return max(MEDIANS * median, SILENCE_MIN_S)

    def validates(self, now: float) -> bool:
        """Whether it validates DNSSEC, as far as is known."""
        return now - self._validated < VALIDATES_S

    def explain(self, now: float) -> dict[str, object]:
        """Return what is known of it by probes."""
        return {
            "verdict": self.verdict,
            "good_running": self.good_running,
            "bad_running": self.bad_running,
            "silence": self.silence_s(),
            "next_in": max(0.0, self.next_timeout() - now),
            "validates": self.validates(now),
        }

    # -- inside ---------------------------------------------------------------------------------

    def _pick(self, now: float) -> tuple[float, bytes, int, int]:
        for known in reversed(self._names):
            if known[0] - now >= TTL_LEFT_MIN_S:
                return known
        if self._longest[0] - now < TTL_LEFT_MIN_S:
            self._longest = (-inf, b"\0", const.NS, const.IN)
        return self._longest

    def _question(self, known: tuple[float, bytes, int, int], *, do: bool) -> Question:
        self._token += 1
        return Question(self._token, *known[1:], do, TIMEOUT_S)

    def _judge(self, *, good: bool) -> bool:
        self.verdict = good
        self.good_running = self.good_running + 1 if good else 0
        self.bad_running = 0 if good else self.bad_running + 1
        return good
