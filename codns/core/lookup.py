"""One lookup: a question in flight, who waits for it, and what was tried.

A slotted object in a table, never a task (DESIGN 2). Its rules are in `core.resolver`.
"""

from math import inf
from typing import TYPE_CHECKING

from codns.core.cache import Entry
from codns.core.model import Client
from codns.core.nameserver import Nameserver, Upstreams
from codns.wire.batch import Result
from codns.wire.query import Query

if TYPE_CHECKING:
    from codns.core.resolver import Resolver


class Waiter:
    """A client's query that this lookup will answer."""

    __slots__ = ("arrived", "client", "query")

    def __init__(self, client: Client, query: Query, arrived: float) -> None:
        self.client = client
        self.query = query
        self.arrived = arrived


class Attempt:
    """One job given to a slave: which lookup it is for, whom it asks."""

    __slots__ = ("begun", "lookup", "sent", "server")

    def __init__(self, lookup: "Lookup", server: Nameserver, sent: float, begun: float) -> None:
        self.lookup = lookup
        self.server = server
        self.sent = sent
        self.begun = begun  # when the lookup did: it may begin anew

    def done(self, result: Result, now: float) -> None:
        """The job ended (`core.jobs`)."""
        self.lookup.resolver.attempt_done(self, result, now)


class Lookup:
    """A question in flight. `table_key` is unique where nobody may join (ECS)."""

    __slots__ = (
        "answered",
        "closed",
        "due",
        "ends",
        "failure",
        "flags",
        "key",
        "last",
        "last_sent",
        "outstanding",
        "overload",
        "refused",
        "resolver",
        "retransmit_at",
        "spent",
        "stale",
        "stale_at",
        "started",
        "table_key",
        "tries",
        "upstreams",
        "waiters",
        "wire",
    )

    def __init__(
        self,
        resolver: "Resolver",
        table_key: object,
        key: bytes,
        wire: bytes,
        flags: int,
        upstreams: Upstreams,
    ) -> None:
        self.resolver = resolver
        self.table_key = table_key
        self.key = key
        self.wire = wire  # what a nameserver is asked, id 0
        self.flags = flags  # of `wire.batch`
        self.upstreams = upstreams
        self.waiters: dict[tuple[object, int, bytes], Waiter] = {}
        self.due = inf
        self.stale: Entry | None = None
        self.stale_at = inf
        self.closed = False
        self.begin(0.0, 0.0)

    def begin(self, now: float, ends: float) -> None:
        """Start (again) with no attempt made."""
        self.started = now
        self.ends = ends
        self.tries: dict[str, int] = {}
        self.spent: set[str] | None = None  # servers that gave a failing answer
        self.last: Nameserver | None = None
        self.last_sent = now
        self.outstanding = 0
        self.retransmit_at = inf
        self.failure: Result | None = None
        self.refused = False  # a transport error happened: EDE 23 rather than 22
        self.overload = False
        self.answered = False  # somebody already got an answer, of whatever kind

    @property
    def cacheable(self) -> bool:
        """ECS answers are for one client only (RULES 2.5)."""
        return self.table_key is self.key

    def fire(self, now: float) -> None:
        """Its deadline has come (`core.timers`)."""
        self.resolver.lookup_due(self, now)
