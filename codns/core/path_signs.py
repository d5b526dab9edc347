"""Signs that a local path is sick: what `local_path` judges by. Each knows one rule of RULES 6.2.

`Samples` keeps the last 16 comparisons and probes, `Silence` notices that nothing at all is
answered any more, `Servfails` that everything is answered with a failure which peers do not have.
"""

from collections import deque
from enum import IntEnum
from math import inf
from typing import Final

from codns.core.domains import domain

SAMPLES_MAX: Final = 16  # RULES 6.2, from CoDNS 3.2: "more than 8 of 16"
BAD_MAX: Final = 8  # RULES 6.2
SAMPLE_LIFE_S: Final = 60.0  # RULES 6.2
SILENT_LOOKUPS: Final = 4  # RULES 6.2
SILENCE_S: Final = 0.300  # RULES 6.2; CoDNS 3.2 calls a lookup over 300 ms a failure
SERVFAIL_DOMAINS: Final = 4  # RULES 6.2


class Sample(IntEnum):
    """What a comparison or a probe said. Odd ones are bad."""

    WON = 0
    LOST = 1
    PROBE_GOOD = 2
    PROBE_BAD = 3


class Samples:
    """The last 16 samples of the last 60 s; `bad` of them are bad."""

    __slots__ = ("_samples", "bad")

    def __init__(self) -> None:
        self._samples: deque[tuple[float, Sample]] = deque(maxlen=SAMPLES_MAX)
        self.bad = 0

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def good(self) -> int:
        """How many are good."""
        return len(self._samples) - self.bad

    def add(self, kind: Sample, now: float) -> None:
        """Take one; the oldest of 16 goes."""
        samples = self._samples
        if len(samples) == SAMPLES_MAX and samples[0][1] & 1:
            self.bad -= 1
        samples.append((now, kind))
        self.bad += kind & 1

    def expire(self, now: float) -> None:
        """Drop those of 60 s and more. Called before the counts are read."""
        samples = self._samples
        while samples and now - samples[0][0] >= SAMPLE_LIFE_S:
            self.bad -= samples.popleft()[1] & 1

    def clear(self) -> None:
        """Forget all."""
        self._samples.clear()
        self.bad = 0

    def counts(self) -> dict[str, int]:
        """Return how many of each kind there are."""
        kinds = [kind for _, kind in self._samples]
        return {kind.name.lower(): kinds.count(kind) for kind in Sample}


class Silence:
    """At least 4 lookups of 2 domains have waited for 300 ms, and nothing came meanwhile.

    What counts are the lookups sent since the last answer: as soon as they are enough, `due` is
    when their silence is complete; an answer sets it back to inf. Old lookups of dead domains thus
    never add up with a pause in traffic. Domains are compared only once 4 lookups wait.
    """

    __slots__ = ("_domain", "due", "waiting")

    def __init__(self) -> None:
        self.waiting: list[bytes] = []  # no more than are needed
        self.due = inf
        self._domain = b""  # of all that wait, once they are 3 and one is asked for too many

    def sent(self, name: bytes, now: float) -> None:
        """A lookup for `name` went out."""
        if self.due != inf:
            return
        waiting = self.waiting
        waiting.append(name)
        if len(waiting) < SILENT_LOOKUPS:
            return
        owner = self._domain
        if not owner:
            owner = self._domain = domain(waiting[0])
            mixed = not all(other.endswith(owner) for other in waiting)
        else:
            mixed = not name.endswith(owner)
        if mixed:
            self.due = now + SILENCE_S
        else:
            waiting.pop()  # all of one domain: wait for one of another

    def clear(self) -> None:
        """Something was answered."""
        self.waiting.clear()
        self._domain = b""
        self.due = inf


class _Failure:
    """A failing answer, and whether a peer had a usable one."""

    __slots__ = ("at", "contradicted", "name")

    def __init__(self, name: bytes, at: float) -> None:
        self.name = name
        self.at = at
        self.contradicted = False


class Servfails:
    """More than 8 of the last 16 answers were failures, and peers knew better.

    Broken domains fail everywhere; a crawler meets many at once. So failures condemn the path
    only when, for 4 domains of them, a peer answered NOERROR.
    """

    __slots__ = ("_answers",)

    def __init__(self) -> None:
        self._answers: deque[_Failure | None] = deque(maxlen=SAMPLES_MAX)  # None: a good one

    def good(self) -> None:
        """Take a good answer."""
        self._answers.append(None)

    def failed(self, name: bytes, now: float) -> None:
        """Take a failing answer."""
        self._answers.append(_Failure(name, now))

    def contradict(self, name: bytes, now: float) -> bool:
        """A peer answered NOERROR for `name`, which failed here. True: that is enough."""
        for answer in reversed(self._answers):
            if answer is not None and answer.name == name and not answer.contradicted:
                answer.contradicted = True
                break
        fresh = [a for a in self._answers if a is not None and now - a.at < SAMPLE_LIFE_S]
        domains = {domain(a.name) for a in fresh if a.contradicted}
        return len(fresh) > BAD_MAX and len(domains) >= SERVFAIL_DOMAINS

    def clear(self) -> None:
        """Forget all."""
        self._answers.clear()

    def count(self) -> int:
        """Return how many failures are among the last 16 answers."""
        return sum(answer is not None for answer in self._answers)
