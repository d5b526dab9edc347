"""The race of one lookup: the local nameserver now, peers after the initial delay.

A slow lookup is either the local nameserver's doing or the authority's, and nobody can tell which
while it waits. So a second way is tried before the first is given up: a peer, whose own nameserver
is another one. Waiting for the first to fail would cost the client seconds; asking both at once
would double everybody's load. Rules, in order (RULES 5):

 1. Peers are asked in HRW order (`core.eligibility`) at the times `core.gaps` says. Each attempt
    takes a token (`core.budget`) unless the local path is failing, and has 2 s.
 2. The first usable answer wins: everybody waiting gets it, no further peer is asked. A failing
    answer, an unsound one (`core.vetting`) or BUSY sends the next at once and never beats an
    answer that may still come.
 3. A peer's NXDOMAIN or NODATA needs a SOA, and is *held*: our own nameserver may know the name
    (split horizon). It wins while the local path is failing, or once the local attempt has ended
    without an answer or has been silent for all its tries, and never over a stale positive of our
    own nameserver's. One of a peer's is no better: it may have been a lie.
 4. SERVFAIL or REFUSED from a healthy local path asks one peer: a broken domain is broken
    everywhere. Garbage or a transport error, which say nothing of the domain, or a path that is
    failing, asks all three.
 5. Losers run on to their own time-out. What the local attempt would have needed teaches the
    estimators (a censored sample), and a local answer replaces a peer's in the cache.
 6. In relief (`core.local_path`) peers go first; the local nameserver is asked when all that were
    asked ended without an answer.

A race begins when the first peer is to be asked, so most lookups have none. It is over when the
local attempt and all remote ones have ended; then it is told to the memory of slow domains and to
the list of recent races (`codns explain`).
"""

from math import inf
from typing import TYPE_CHECKING, Final

from codns.core.budget import WIN_MARGIN_S, Payment
from codns.core.concluding import remote_won
from codns.core.failures import FAILING_ANSWERS
from codns.core.gaps import Schedule
from codns.core.local_path import Route
from codns.core.messages import QueryReply, Status, is_answer
from codns.core.peer_state import Peer
from codns.core.remote import Event, RemoteAttempt
from codns.core.side import Side
from codns.core.vetting import vetted
from codns.wire import const
from codns.wire.outcome import Outcome

if TYPE_CHECKING:
    from codns.core.fleet import Fleet
    from codns.core.lookup import Lookup

EVENTS_MAX: Final = 32  # of a timeline: 5 contacts with 2 events each, local tries, the end

_ANSWER: Final = Outcome.ANSWER
_SERVFAIL: Final = Outcome.SERVFAIL
_REFUSED: Final = Outcome.REFUSED
_OVERLOAD: Final = Outcome.OVERLOAD


class Race:
    """One race. Its lookup's resolver answers whoever waits.

    `candidates` are the peers to be asked, first to last. `winner` is "local", a peer's address,
    or empty while there is none.
    """

    __slots__ = (
        "_budget_claim", "_compared", "_path_claim", "_settled", "answered_remotely",
        "attempts", "began", "candidates", "caught_at", "delay", "denial", "due", "events",
        "fleet", "held", "local_ended", "local_outcome", "lookup", "refusal", "route",
        "schedule", "sent", "side", "winner", "won_at",
    )  # fmt: skip

    def __init__(
        self, fleet: "Fleet", lookup: "Lookup", side: Side, route: Route, candidates: list[Peer]
    ) -> None:
        self.fleet = fleet
        self.lookup = lookup
        self.side = side
        self.route = route
        self.candidates = candidates
        self.delay = lookup.delay
        self.began = lookup.begun_at
        self.schedule = Schedule(self.began, self.delay, fleet.times.spread(), fleet.remote_max)
        self.attempts: dict[int, RemoteAttempt] = {}
        self.held: tuple[QueryReply, RemoteAttempt] | None = None
        self.denial: QueryReply | None = None  # a peer's NXDOMAIN, to compare with our own word
        self.refusal: Outcome | None = None  # a failing answer of a peer (RFC 9520)
        self.local_outcome: Outcome | None = None  # of its usable answer
        self.local_ended = False
        self.answered_remotely = False  # some peer had a usable answer
        self.winner = ""
        self.won_at = inf
        self.caught_at = inf  # the local answer came after the peer's
        self.sent = 0  # attempts, BUSY not counted
        self.events: list[Event] = []
        self.due = inf
        self._path_claim = 0
        self._budget_claim = 0
        self._compared = False
        self._settled = False

    # -- time -----------------------------------------------------------------------------------

    def fire(self, now: float) -> None:
        """The next peer's turn, or a time-out, has come (`core.timers`)."""
        while self.attempts:
            ident, attempt = next(iter(self.attempts.items()))
            if now < attempt.ends:
                break
            self._unanswered(ident, attempt, now)
        self.advance(now)

    def advance(self, now: float) -> None:
        """Ask whom it is time to ask; is nobody left to hear from, the local path goes on."""
        while now >= self.schedule.next_at and not self.over:
            self._next(now)
        if not self.over and not self.open:
            if self.refusal is not None and not self.answered_remotely:
                self.fleet.peers_failed.record(self.lookup.key, const.SERVFAIL, now)
                self.refusal = None
            self.lookup.resolver.remote_ended(self.lookup, now)
        elif self.lookup.owed and not self.attempts and not self.over:
            # Who comes next may be denied for long: a local try does not wait for that
            self.lookup.resolver.remote_ended(self.lookup, now)
        self._settle(now)
        due = inf if self.over else self.schedule.next_at
        if self.attempts:
            due = min(due, next(iter(self.attempts.values())).ends)
        self.fleet.timers.set(self, due)

    @property
    def over(self) -> bool:
        """The lookup is answered, or began anew with another race."""
        return self.lookup.closed or self.lookup.race is not self

    @property
    def open(self) -> bool:
        """May an answer of a peer still come?"""
        return bool(self.attempts) or self.schedule.next_at != inf

    @property
    def failing(self) -> bool:
        """The local path is not to be relied on: no token, no waiting."""
        return self.route is not Route.RACE or self.side.failing

    @property
    def well(self) -> bool:
        """The local path is healthy: help it does not need is waste, and limited."""
        side = self.lookup.side
        return self.route is Route.RACE and (side is None or side.healthy)

    # -- asking peers ---------------------------------------------------------------------------

    def _next(self, now: float) -> None:
        fleet, schedule, candidates = self.fleet, self.schedule, self.candidates
        fleet.keep_fit(candidates, self.lookup, now)
        if not candidates:
            schedule.stop()
            return
        crowded = fleet.crowded()
        payment = None
        if not crowded:
            payment = fleet.budget.take(schedule.sent + 1, now, failing=not self.well)
        if not payment:
            fleet.counts.suppressed["overload" if crowded else "budget"] += 1
            if self.local_ended and not self.attempts:
                schedule.stop()  # a token may come back, but who waits has waited for nothing
            else:
                schedule.denied(now)
            return
        peer = candidates.pop(0)
        schedule.attempted(now)
        self.sent += 1
        attempt = RemoteAttempt(self, peer, paid=payment is Payment.PAID, now=now)
        self.attempts[fleet.send_query(attempt, self.lookup)] = attempt
        self.note(now, peer.address, "asked")

    def _unanswered(self, ident: int, attempt: RemoteAttempt, now: float) -> None:
        fleet, peer = self.fleet, attempt.peer
        self._forget(ident)
        self.note(now, peer.address, "no answer")
        fleet.tell("timeout", peer)
        # What nobody answered says nothing of this peer (RULES 7.3)
        if self.winner or self.answered_remotely or fleet.replied_at > attempt.sent:
            peer.query_unanswered(now)

    def _forget(self, ident: int) -> None:
        self.attempts.pop(ident, None)
        self.fleet.attempts.pop(ident, None)

    # -- what peers say -------------------------------------------------------------------------

    def replied(self, ident: int, attempt: RemoteAttempt, reply: QueryReply, now: float) -> None:
        """A peer's reply to one of our attempts came."""
        fleet, peer, schedule = self.fleet, attempt.peer, self.schedule
        self._forget(ident)
        said = vetted(reply, self.lookup.key) if is_answer(reply) else None
        if isinstance(said, str):
            self._rejected(attempt, said, now)
            return
        fleet.replied_at = now
        peer.query_answered()
        if said is not None:
            self.note(now, peer.address, "answered")
            self._answered(attempt, said, now)
        elif reply.status in (Status.BUSY, Status.FULL):
            self.note(now, peer.address, reply.status.name.lower())
            fleet.tell("busy", peer)
            fleet.declined(peer, reply.status, now)
            if attempt.paid:
                fleet.budget.declined()
            self.sent -= 1
            schedule.busy(now)
        else:
            self.note(now, peer.address, reply.outcome.name.lower())
            fleet.tell("failed", peer)
            if reply.outcome in FAILING_ANSWERS:
                self.refusal = reply.outcome
            schedule.hurry(now)
        self.advance(now)

    def _rejected(self, attempt: RemoteAttempt, why: str, now: float) -> None:
        """The reply is no answer to what was asked: a fault, or a lie. The next peer at once."""
        fleet, peer = self.fleet, attempt.peer
        self.note(now, peer.address, "unsound")
        fleet.tell("failed", peer)
        fleet.counts.rejected[why] += 1
        peer.query_unanswered(now)
        self.schedule.hurry(now)
        self.advance(now)

    def _answered(self, attempt: RemoteAttempt, reply: QueryReply, now: float) -> None:
        lookup, fleet = self.lookup, self.fleet
        fleet.times.add(now - attempt.sent)
        fleet.peers_failed.forget(lookup.key)
        self.answered_remotely = True
        positive = reply.outcome is _ANSWER
        if positive and lookup.failure is not None:
            self.side.path.contradicted(lookup.key[:-5], now)
        if reply.outcome is Outcome.NXDOMAIN:
            self.denial = reply
            self._check_split(now)
        if self.over:
            fleet.tell("lost", attempt.peer)
            self._compare(now)
            return
        if not positive:
            stale = lookup.stale
            if stale is not None and not (stale.meta.negative or stale.meta.origin == "peer"):
                fleet.tell("lost", attempt.peer)
                return
            if not (self.local_ended or self.failing):
                if self.held is None:
                    self.held = (reply, attempt)
                    self.note(now, attempt.peer.address, "held")
                else:
                    fleet.tell("lost", attempt.peer)
                return
        self._wins(reply, attempt, now)

    def _wins(self, reply: QueryReply, attempt: RemoteAttempt, now: float) -> None:
        """Take this reply for the answer."""
        fleet, lookup = self.fleet, self.lookup
        self.winner = attempt.peer.address
        self.won_at = now
        self.schedule.stop()
        fleet.tell("won", attempt.peer)
        self.side.policy.remote_won()
        if not lookup.outstanding:
            self.side.policy.drop(lookup.token)  # nobody will come and tell
        elif not self.local_ended:
            self._path_claim = self.side.path.overtaken(self.delay, now)
        if attempt.paid:
            if self.local_ended:
                fleet.budget.refund()
            else:
                self._budget_claim = fleet.budget.won(now)
        remote_won(lookup.resolver, lookup, reply, attempt, now)

    def give_held(self, now: float) -> bool:
        """Let the answer that is held win, if there is one."""
        if self.held is None or self.over:
            return False
        held, self.held = self.held, None
        self._wins(*held, now)
        self._settle(now)
        return True

    # -- what the local path does ---------------------------------------------------------------

    def _check_split(self, now: float) -> None:
        """Does a name exist here (NOERROR) that a peer denies (RULES 7.5)?"""
        if self.denial is not None and self.local_outcome in (_ANSWER, Outcome.NODATA):
            self.fleet.learn_split(self.lookup.key, self.denial, now)

    def local_answered(self, outcome: Outcome, now: float) -> None:
        """A usable local answer came; the lookup is still open if it won."""
        fleet, lookup = self.fleet, self.lookup
        self.local_outcome = outcome
        self._check_split(now)
        self.note(now, "local", "answered")
        self.local_ended = True
        if not lookup.closed:
            self.winner = "local"
            self.schedule.stop()
            self._compare(now)  # with what is held
        elif self.won_at != inf:
            self.caught_at = now
            fleet.counts.spared(self.began, self.won_at, now)
            if self._path_claim:
                self.side.path.caught_up(self._path_claim, now)
            if self._budget_claim:
                fleet.budget.local_answered(self._budget_claim, now)
        if self.held is not None:
            fleet.tell("lost", self.held[1].peer)
            self.held = None

    def _compare(self, now: float) -> None:
        """Local won and a peer had an answer too: the nameserver is quicker than another."""
        if self.winner == "local" and self.answered_remotely and not self._compared:
            self._compared = True
            self.side.path.won(now)

    def closed(self, now: float) -> None:
        """The lookup is closed now, by whatever."""
        self.schedule.stop()
        self._settle(now)
        if not self.attempts:
            self.fleet.timers.set(self, inf)

    def transport_error(self, now: float) -> None:
        """The local nameserver cannot be reached: the next peer at once."""
        self.note(now, "local", "unreachable")
        self.schedule.hurry(now)
        self.advance(now)

    def local_failed(self, outcome: Outcome, now: float) -> bool:
        """The local attempt ended without an answer. True: an answer may still come."""
        fleet, lookup = self.fleet, self.lookup
        if self.local_ended:  # another try has said so
            return self.open and not self.over
        self.note(now, "local", outcome.name.lower())
        self.local_ended = True
        if self._budget_claim:
            fleet.budget.local_failed(self._budget_claim, now)
        if self._path_claim:
            path = self.side.path
            (path.caught_up if outcome is _OVERLOAD else path.gave_up)(self._path_claim, now)
        if self.over:
            if self.won_at != inf:
                fleet.counts.spared(self.began, self.won_at, now)
            self._settle(now)
            return False
        if self.give_held(now):
            return True
        if (outcome is _SERVFAIL or outcome is _REFUSED) and not self.failing:
            self.schedule.limit(1, now)
        elif not lookup.cached_failure:  # that one came when the first peer was asked
            self.schedule.hurry(now)
        while now >= self.schedule.next_at:
            self._next(now)
        if self.open:
            self.advance(now)
        return self.open

    def path_fails(self, now: float) -> None:
        """The path is judged failing from now on: peers are what there is."""
        if self.over or self.give_held(now):
            return
        self.schedule.reopen(now)
        self.advance(now)

    # -- the end --------------------------------------------------------------------------------

    def _settle(self, now: float) -> None:
        """If everything has ended, tell those who remember races."""
        if self.attempts or not self.over:
            return
        lookup, mine = self.lookup, self.lookup.race is self
        if mine and lookup.outstanding and not self.local_ended:
            return
        if not self._settled:
            self._settled = True
            if self.sent:
                helped = self.won_at != inf and self.caught_at - self.won_at >= WIN_MARGIN_S
                self.fleet.over(self, now, helped=helped)
        self.held = None
        if mine and (self.local_ended or not lookup.abandoned):
            # Nothing can come any more. They held each other, and what forms a cycle is kept for
            # ever if it was there when the collector looked (`master.daemon`)
            lookup.race = None

    def note(self, now: float, who: str, what: str) -> None:
        """Write a line of the timeline."""
        if len(self.events) < EVENTS_MAX:
            self.events.append(Event(now - self.began, who, what))
