"""How two nodes come to trust each other's present life, without any clock (RULES 8.3).

A captured datagram stays sealed and valid for ever. Inside one life of both ends the counters
tell copies; but a receiver that restarts has forgotten them. So each life of a sender has a random
number, its *boot*, and a receiver takes datagrams only of the boot it knows. A boot becomes known
in one way: a datagram of it echoes 16 random bytes that this receiver made and sent a moment ago.
Nothing captured can contain them. The window opens behind that datagram (`window.py`), so nothing
sent before it counts either.

    A fresh, B fresh                                       A knows b      B knows a
      A -> B  heartbeat, challenge cA         dropped
      B -> A  greeting: challenge cB, echo cA               at 1 RTT
      A -> B  greeting: echo cB                                            at 1.5 RTT

A *greeting* is a heartbeat of the link's own, without a message. Rules:
  1. A heartbeat carries my challenge while I do not know the peer's boot (or doubt it: something
     of another boot came), and the echo of the peer's latest challenge for 10 s: a lost greeting
     costs nothing then.
  2. Something of an unknown boot is dropped; at most once a second it is answered by a greeting
     with challenge and echo. To the listed address, so a replayed capture makes one node greet
     another once a second, no more.
  3. A challenge from a known boot is echoed at once, the same one at most once a second.
  4. A challenge holds for 10 s and for one echo. Until then it is said again, not replaced: were
     it new each time, two ends starting at once could for ever echo what was just replaced.
"""

from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple

from codns.peer.frame import CHALLENGE_SIZE, Frame
from codns.peer.window import Window

CHALLENGE_LIFE_S: Final = 10.0  # five heartbeats: lost ones are made up for; RULES 7.2
GREETING_S: Final = 1.0  # RULES 8.3: challenged at most once a second


class Verdict(Enum):
    """What a datagram's boot and counter say."""

    KNOWN = "known"
    LEARNED = "learned"  # known from this datagram on
    REPLAY = "replay"
    UNKNOWN = "unknown"


class Greeting(NamedTuple):
    """What to say of each other's lives; either may be empty."""

    challenge: bytes
    echo: bytes


class Handshake:
    """What one node knows of one peer's life, and the peer is owed of its own."""

    __slots__ = (
        "_challenge",
        "_challenge_until",
        "_echo",
        "_echo_until",
        "_echoed_at",
        "_greeted_at",
        "_random",
        "_window",
        "boot",
    )

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self.boot: bytes | None = None
        self._window = Window(0)
        self._challenge = b""
        self._challenge_until = 0.0
        self._echo = b""
        self._echo_until = 0.0
        self._greeted_at = float("-inf")
        self._echoed_at = float("-inf")

    def heartbeat(self, now: float) -> Greeting:
        """Return what a heartbeat that leaves now carries (rule 1)."""
        doubted = self._challenge and now < self._challenge_until
        challenge = self._mine(now) if self.boot is None or doubted else b""
        return Greeting(challenge, self._owed(now))

    def judge(self, frame: Frame, now: float) -> Verdict:
        """Judge a datagram that is authentic, and remember what it says."""
        known = frame.boot == self.boot
        if known and not self._window.accept(frame.counter):
            return Verdict.REPLAY
        if not frame.echo or frame.echo != self._challenge or now >= self._challenge_until:
            return Verdict.KNOWN if known else Verdict.UNKNOWN
        self._challenge = b""
        if known:
            return Verdict.KNOWN  # the doubt is over: it lives
        self.boot = frame.boot
        self._window = Window(frame.counter)
        return Verdict.LEARNED

    def react(self, frame: Frame, verdict: Verdict, now: float) -> Greeting | None:
        """Return the greeting that the datagram is answered by, if any (rules 2 and 3)."""
        if verdict is Verdict.REPLAY:
            return None
        news = frame.challenge != self._echo
        if frame.challenge:
            self._echo = frame.challenge
            self._echo_until = now + CHALLENGE_LIFE_S
        if verdict is Verdict.UNKNOWN:
            if now < self._greeted_at + GREETING_S:
                return None
            self._greeted_at = now
            greeting = Greeting(self._mine(now), self._owed(now))
        elif frame.challenge and (news or now >= self._echoed_at + GREETING_S):
            greeting = Greeting(b"", frame.challenge)
        else:
            return None
        if greeting.echo:
            self._echoed_at = now
        return greeting

    def _mine(self, now: float) -> bytes:
        """Return the outstanding challenge, a new one if there is none (rule 4)."""
        if not self._challenge or now >= self._challenge_until:
            self._challenge = self._random(CHALLENGE_SIZE)
            self._challenge_until = now + CHALLENGE_LIFE_S
        return self._challenge

    def _owed(self, now: float) -> bytes:
        """Return the echo of the peer's latest challenge while it may still wait for it."""
        return self._echo if now < self._echo_until else b""
