"""One lookup: a question in flight, who waits for it, and what was tried.

A small object in a table, never a task (DESIGN 2). Its rules are in `core.resolver`.
"""

from math import inf
from typing import TYPE_CHECKING, NamedTuple

from codns.core.cache import Entry
from codns.core.model import Client
from codns.core.nameserver import Nameserver, Upstreams
from codns.core.side import Side
from codns.wire.batch import Result
from codns.wire.query import Query

if TYPE_CHECKING:
    from codns.core.helping import Asker
    from codns.core.race import Race
    from codns.core.resolver import Resolver


class Waiter(NamedTuple):
    """A client's query that this lookup will answer."""

    client: Client
    query: Query
    arrived: float


class Attempt(NamedTuple):
    """One job given to a slave: which lookup it is for, whom it asks, since when.

    `begun` is when the lookup did: it may begin anew. `late`: over TCP (`core.late_tries`).
    """

    lookup: "Lookup"
    server: Nameserver
    sent: float
    begun: float
    late: bool

    def done(self, result: Result, now: float) -> None:
        """The job ended (`core.jobs`)."""
        self.lookup.resolver.attempt_done(self, result, now)


class Lookup:
    """A question in flight. `table_key` is unique where nobody may join (ECS).

    No slots here: what most lookups never change costs nothing as a class's default.
    """

    due = inf
    stale: Entry | None = None
    stale_at = inf
    closed = False
    spent: set[str] | None = None  # servers that gave a failing answer
    last: Nameserver | None = None
    last_sent = 0.0
    outstanding = 0
    abandoned = 0  # tries still out of what it was before it began anew
    retransmit_at = inf
    failure: Result | None = None
    refused = False  # a transport error happened: EDE 23 rather than 22
    overload = False
    answered = False  # somebody already got an answer, of whatever kind
    cached_failure = False  # it begins with a failure remembered: EDE 13
    again = False  # it began anew
    late = False  # it was asked over TCP, as UDP was silent
    owed = False  # a local try waits until no remote query is in flight (RULES 4.3)

    # Of the race; all stay as they are where no peer can be asked (`core.fleet`)
    side: Side | None = None
    race: "Race | None" = None
    race_at = inf  # the initial delay ends
    unhelped = False  # no peer could be asked when its time had come
    delay = 0.0
    begun_at = 0.0  # when its race's clock started: a client's lookup began, or joined a refresh
    token = 0  # of the initial delay's estimator
    served = False  # it is for peers
    askers: "list[Asker] | None" = None  # peers that wait (`core.helping`)

    def __init__(
        self,
        resolver: "Resolver",
        table_key: object,
        key: bytes,
        wire: bytes,
        flags: int,
        upstreams: Upstreams,
        now: float,
        ends: float,
        *,
        cacheable: bool,
    ) -> None:
        self.cacheable = cacheable  # ECS answers are for one client only (RULES 2.5)
        self.resolver = resolver
        self.table_key = table_key
        self.key = key
        self.wire = wire  # what a nameserver is asked, id 0
        self.flags = flags  # of `wire.batch`
        self.upstreams = upstreams
        self.waiters: dict[tuple[object, int, bytes], Waiter] = {}
        self.started = now
        self.ends = ends
        self.tries: dict[str, int] = {}

    def begin_again(self, upstreams: Upstreams, now: float, ends: float) -> None:
        """Start anew with no attempt made."""
        self.upstreams = upstreams
        self.started, self.ends = now, ends
        self.tries = {}
        self.spent = None
        self.last = None
        self.failure = None
        self.abandoned += self.outstanding
        self.outstanding = 0
        self.retransmit_at = inf
        self.refused = self.overload = self.answered = False
        self.cached_failure = self.owed = False
        self.late = False
        self.again = True
        self.unhelped = False
        self.race = None
        self.race_at = inf

    def fire(self, now: float) -> None:
        """Its deadline has come (`core.timers`)."""
        self.resolver.lookup_due(self, now)
