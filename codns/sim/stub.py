"""The way it was before: a stub resolver of 2004 with a cache in front, no codns at all.

What the paper calls local DNS: ask the first nameserver, wait 5 s, ask the next or the same again,
twice round (resolv.conf(5): timeout 5, attempts 2). The cache is the application's (a web proxy
has one), so that the misses are the same lookups as with codns. It stands where a `core.Node`
does, so that a host takes it for one.
"""

from collections.abc import Sequence
from typing import Final

from codns.core.fleet import Fleet
from codns.core.messages import Message
from codns.core.model import Answer, Client, Effect, SendJob, Transport
from codns.core.settings import Settings
from codns.wire import const
from codns.wire.batch import Result
from codns.wire.build import plain_answer, upstream_query
from codns.wire.outcome import Outcome
from codns.wire.query import Query, parse_query

TIMEOUT_S: Final = 5.0  # RES_TIMEOUT
ATTEMPTS: Final = 2  # RES_DFLRETRY
CACHE_MAX: Final = 200_000  # names before those whose time is over are dropped

_Waiter = tuple[Client, Query, int]


class Stub:
    """Answers by asking one nameserver at a time."""

    __slots__ = ("_cache", "_jobs", "_last", "_servers")
    _fleet: Fleet | None = None

    def __init__(self, settings: Settings) -> None:
        self._servers = settings.nameservers
        self._cache: dict[bytes, tuple[float, Result]] = {}
        self._jobs: dict[int, _Waiter] = {}
        self._last = 0

    def cached(self, _tail: bytes, _transport: Transport, _now: float) -> bytes | None:
        """Nothing is kept in this form."""
        return None

    def client_query(self, wire: bytes, client: Client, now: float) -> list[Effect]:
        """Answer from the cache or ask."""
        query = parse_query(wire)
        known = self._cache.get(query.question)
        if known is not None and known[0] > now:
            return [self._answer(client, query, known[1])]
        return [self._ask((client, query, 0))]

    def job_done(self, done: Result, now: float) -> list[Effect]:
        """Take the answer, or the next turn."""
        client, query, tries = self._jobs.pop(done.job)
        if done.outcome in (Outcome.TIMEOUT, Outcome.UNREACHABLE):
            if tries + 1 < ATTEMPTS * len(self._servers):
                return [self._ask((client, query, tries + 1))]
        elif done.outcome.usable and done.ttl:
            if len(self._cache) >= CACHE_MAX:
                self._cache = {q: kept for q, kept in self._cache.items() if kept[0] > now}
            self._cache[query.question] = now + done.ttl, done
        return [self._answer(client, query, done)]

    def peer_message(self, _message: Message, _peer: str, _now: float) -> list[Effect]:
        """It has no peers."""
        return []

    def peer_learned(self, _peer: str, _now: float) -> list[Effect]:
        """It has no peers."""
        return []

    def set_peers(self, _addresses: Sequence[str], _now: float) -> list[Effect]:
        """It has no peers."""
        return []

    def start(self, _now: float) -> list[Effect]:
        """It looks for no loops."""
        return []

    def handle_timeout(self, _now: float) -> list[Effect]:
        """Its jobs have their own."""
        return []

    def next_timeout(self) -> float | None:
        """Return None: there is no timer."""
        return None

    def status(self, _now: float) -> dict[str, object]:
        """It cooperates with nobody."""
        return {"cooperation": None}

    def _ask(self, waiter: _Waiter) -> SendJob:
        _, query, tries = waiter
        self._last += 1
        self._jobs[self._last] = waiter
        server = self._servers[tries % len(self._servers)]
        wire = upstream_query(query.name, query.qtype, query.qclass, do=False, cd=False)
        return SendJob(self._last, server, 0, TIMEOUT_S, wire)

    def _answer(self, client: Client, query: Query, said: Result) -> Answer:
        if said.outcome.usable:
            parts = said.rcode, said.ad, said.ancount, said.nscount, said.body
        else:
            parts = const.SERVFAIL, False, 0, 0, b""
        return Answer(client, plain_answer(query, *parts, const.MESSAGE_SIZE_MAX))
