"""The gaps between attempts at peers, and the answer times they follow.

Peer 1 is asked when the initial delay d is over; how long has each peer before the next is asked?
A constant either swamps quick peers or wastes the client's time on slow ones. The paper doubles
the delay each time and, where d is 0, takes mean + 1 sigma of recent remote answer times, "to
avoid swamping fast remote servers" (CoDNS 3.2). Rules, in order (RULES 5.1):

  1. attempts leave at d, d + g, d + 3g after the local query, with g = max(2d, m)
  2. m = mean + 1 sigma of remote answer times within 20..400 ms; 100 ms before 16 of them
  3. at most 3 attempts: 95 % of remote wins are the first or second peer's (CoDNS 4.3)
  4. a transport error or a failing answer, local or remote, sends the next at once, and
     later gaps count from then
  5. a BUSY peer took no attempt; but no more than 5 peers are contacted in all

So d = 200 ms gives 200, 600, 1400; d = 0 gives 0, m, 3m. An attempt that may not leave (no
budget) has to wait for the next turn, which takes twice as long again; tokens may be back by then.
After 8 turns the client's patience (4.5 s) is over whatever the gap.
"""

from math import inf, sqrt
from typing import Final

SPREAD_MIN_S: Final = 0.020  # RULES 5.1: under it a peer that has to recurse has no chance
SPREAD_MAX_S: Final = 0.400  # RULES 5.1: three attempts end within 1.2 s, before stale at 1.8 s
SPREAD_FIRST_S: Final = 0.100  # RULES 5.1: before enough samples; RTT of a neighbour is < 90 ms
SAMPLES_MIN: Final = 16  # RULES 5.1
SAMPLES_MAX: Final = 64  # "recent": 4 x the least number, about a minute of a sick node's trickle
REMOTE_MAX: Final = 3  # CoDNS 4.3: the fourth is unlikely to help
TURNS_MAX: Final = 8  # 20 ms doubled as often is 5 s: nobody waits any more
CONTACTS_MAX: Final = 5  # RULES 5.1: three that may answer and two that said BUSY


class RemoteTimes:
    """Times of remote answers, losers' included; a query never answered is no answer time."""

    __slots__ = ("_position", "_spread", "_times")

    def __init__(self) -> None:
        self._times: list[float] = []
        self._position = 0
        self._spread = SPREAD_FIRST_S

    def __len__(self) -> int:
        return len(self._times)

    def add(self, elapsed: float) -> None:
        """A peer answered, `elapsed` seconds after it was asked."""
        times = self._times
        if len(times) < SAMPLES_MAX:
            times.append(elapsed)
        else:
            times[self._position] = elapsed
            self._position = (self._position + 1) % SAMPLES_MAX
        self._spread = 0.0  # computed when somebody asks

    def spread(self) -> float:
        """Return m: mean + 1 sigma in seconds, clamped."""
        if not self._spread:
            self._spread = self._compute()
        return self._spread

    def _compute(self) -> float:
        times = self._times
        count = len(times)
        if count < SAMPLES_MIN:
            return SPREAD_FIRST_S
        mean = sum(times) / count
        sigma = sqrt(sum((time - mean) ** 2 for time in times) / count)
        return min(max(mean + sigma, SPREAD_MIN_S), SPREAD_MAX_S)


class Schedule:
    """When one lookup asks its next peer.

    `next_at` is that time, inf when no attempt is left; `sent` counts attempts (BUSY ones not),
    `contacted` the peers asked. The caller acts when `next_at` has come and then calls exactly
    one of `attempted`, `denied` and `stop`.
    """

    __slots__ = ("_gap", "_limit", "_step", "contacted", "next_at", "sent")

    def __init__(
        self, start: float, delay: float, spread: float, remote_max: int = REMOTE_MAX
    ) -> None:
        self._gap = max(2 * delay, spread)
        self._limit = remote_max
        self._step = 0  # turns so far, whether an attempt left or was denied
        self.sent = 0
        self.contacted = 0
        self.next_at = start + delay if remote_max > 0 else inf

    def attempted(self, now: float) -> None:
        """A peer was asked."""
        self.sent += 1
        self.contacted += 1
        self._turn(now)

    def denied(self, now: float) -> None:
        """The attempt may not leave: its turn is over, it waits for the next."""
        self._turn(now)

    def hurry(self, now: float) -> None:
        """Send the next at once: a failing answer, a transport error, or the path is failing."""
        if self.next_at > now and self._open():
            self.next_at = now

    def reopen(self, now: float) -> None:
        """Nothing is denied any more (the path is failing): what was may leave, at once."""
        self._step = min(self._step, self.sent)
        self.hurry(now)

    def busy(self, now: float) -> None:
        """A peer asked by this lookup said BUSY: its attempt is given back and sent again."""
        self.sent -= 1
        self._step -= 1
        self.hurry(now)
        if not self._open():
            self.next_at = inf

    def limit(self, attempts: int, now: float) -> None:
        """Let at most `attempts` leave in all, the next at once.

        For a failing answer from a healthy local path (RULES 5.2): one peer, not three.
        """
        self._limit = min(self._limit, attempts)
        if self._open():
            self.hurry(now)
        else:
            self.next_at = inf

    def stop(self) -> None:
        """No more attempts: answered, or no peer is left."""
        self._limit = 0
        self.next_at = inf

    def _open(self) -> bool:
        return self.sent < self._limit and self.contacted < CONTACTS_MAX and self._step < TURNS_MAX

    def _turn(self, now: float) -> None:
        self._step += 1
        self.next_at = now + self._gap * 2 ** (self._step - 1) if self._open() else inf
