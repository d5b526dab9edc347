"""The promises of the whole, checked after every event that could break one.

 1. each client's query is answered exactly once, never later than its deadline (RULES 4.2), with
    its own id and question
 2. what a peer asks is not passed on: a node asks peers only for names that its own clients asked
    for lately, and a lookup for peers has no race (RULES 7.4)
 3. a lookup sends at most `max_remote` remote queries, contacts at most five peers, never one
    twice and never itself (RULES 5.1); the budget stays between nothing and its cap (RULES 5.6)
 4. after faults have healed, everything is answered again (`alive_again`)

A broken promise raises `ViolationError` with the seed and the last events that concern the lookup.
"""

from typing import Final

from codns.core.budget import CAPACITY
from codns.core.gaps import CONTACTS_MAX
from codns.core.messages import Query
from codns.core.resolver import DEADLINE_S, LIFE_S
from codns.sim.book import Name
from codns.sim.host import Ask, Host
from codns.sim.transcript import Transcript
from codns.wire.const import HEADER_SIZE, QR

TOLERANCE_S: Final = 1e-6  # sums of floats
SHOWN_MAX: Final = 60  # lines of the story: a lookup has three attempts of two events each
WANTED_MAX: Final = 4_096  # names a node's clients asked for, before old ones are looked for


class ViolationError(AssertionError):
    """A promise was broken. The text has the seed and the story."""


class Checks:
    """Watches over all hosts. `seed` is told with a violation."""

    __slots__ = ("_open", "_seed", "_transcript", "_wanted", "asked", "on")

    def __init__(self, seed: object, transcript: Transcript, *, on: bool = True) -> None:
        self.on = on
        self.asked = 0
        self._seed = seed
        self._transcript = transcript
        self._open: dict[Ask, None] = {}  # a set that keeps its order
        self._wanted: dict[Host, dict[Name, float]] = {}

    def __len__(self) -> int:
        """Return how many queries wait for their answer."""
        return len(self._open)

    # -- clients --------------------------------------------------------------------------------

    def query(self, ask: Ask, now: float) -> None:
        """A client asks."""
        self._open[ask] = None
        self.asked += 1
        wanted = self._wanted.get(ask.host)
        if wanted is None:
            wanted = self._wanted[ask.host] = {}
        if len(wanted) >= WANTED_MAX:
            old = [name for name, at in wanted.items() if now - at > LIFE_S]
            for name in old:
                del wanted[name]
        wanted[ask.name] = now

    def answer(self, ask: Ask, wire: bytes, now: float) -> None:
        """A client is answered."""
        if ask not in self._open:
            self.broken(f"answered client {ask.client} a second time", ask.name, ask.host)
        del self._open[ask]
        late = now - ask.at - DEADLINE_S
        if late > TOLERANCE_S:
            what = f"answered client {ask.client} {late:.6f} s after its deadline"
            self.broken(what, ask.name, ask.host)
        question = ask.name.question
        if wire[0] << 8 | wire[1] != ask.ident or not wire[2] & QR >> 8:
            self.broken("answered with another id", ask.name, ask.host)
        if wire[HEADER_SIZE : HEADER_SIZE + len(question)] != question:
            self.broken("answered with another question", ask.name, ask.host)

    def gone(self, host: Host) -> None:
        """The host stopped: its clients get nothing more."""
        self._wanted.pop(host, None)
        for ask in [ask for ask in self._open if ask.host is host]:
            del self._open[ask]

    def overdue(self, now: float) -> None:
        """Is somebody waiting for longer than the deadline? O(1): the oldest is first."""
        ask = next(iter(self._open), None)
        if ask is not None and now - ask.at - DEADLINE_S > TOLERANCE_S:
            what = f"has not answered client {ask.client}, {now - ask.at:.3f} s since {ask.at:.6f}"
            self.broken(what, ask.name, ask.host)

    # -- peers ----------------------------------------------------------------------------------

    def remote_query(self, host: Host, peer: str, query: Query, name: Name, now: float) -> None:
        """A node asks a peer."""
        if peer == host.me:
            self.broken("asked itself", name, host)
        at = self._wanted.get(host, {}).get(name)
        if at is None or now - at > LIFE_S + TOLERANCE_S:
            self.broken("passed on what no client of its own asked for", name, host)
        fleet = host.node._fleet
        if fleet is None:
            self.broken("asked a peer without having any", name, host)
            return
        attempt = fleet.attempts.get(query.id)
        if attempt is None or attempt.peer.address != peer:
            self.broken("asked a peer and forgot it", name, host)
            return
        race = attempt.race
        if race.lookup.served or race.lookup.askers is not None:
            self.broken("races what a peer asked for", name, host)
        if race.schedule.contacted > CONTACTS_MAX:
            self.broken(f"contacted {race.schedule.contacted} peers", name, host)
        if race.sent > fleet.remote_max:
            self.broken(f"sent {race.sent} remote queries", name, host)
        asked = [other.peer.address for other in race.attempts.values()]
        if len(set(asked)) != len(asked):
            self.broken("asked one peer twice", name, host)
        if not 0 <= fleet.budget.tokens(now) <= CAPACITY:
            self.broken(f"has {fleet.budget.tokens(now)} tokens", name, host)

    # -- the whole ------------------------------------------------------------------------------

    def alive_again(self, asks: list[Ask], within_s: float) -> None:
        """These were asked after all faults had healed: they are answered well, and soon."""
        for ask in asks:
            took = ask.answered_at - ask.at
            if not ask.host.alive:
                continue
            if took > within_s or ask.rcode not in (0, 3):
                said = f"rcode {ask.rcode}" if ask.wire else "nothing"
                what = f"healed, and still {said} after {took:.3f} s"
                self.broken(what, ask.name, ask.host)

    def broken(self, what: str, name: Name, host: Host) -> None:
        """Raise `ViolationError` with the story of the lookup."""
        story = [
            str(line)
            for line in self._transcript
            if line.name in (name, None) and (line.node == host.index or line.whom == host.me)
        ]
        told = f"node {host.index} ({host.me}) {what}: {name.text} (seed {self._seed})"
        raise ViolationError("\n".join([told, *story[-SHOWN_MAX:]]))
