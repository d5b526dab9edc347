"""One node in virtual time, between clients and nameservers that behave as told.

Nameservers answer with real messages (made by dnspython), which go through the slave's digest, so
that what a scenario shows is what bytes would do. Times are exact: nothing here rounds or waits.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from codns.core.model import Answer, Client, Effect, Note, SendJob
from codns.core.node import Node
from codns.core.settings import Settings
from codns.wire.batch import FLAG_FIRST_RRSET, Result, pack_job
from codns.wire.digest import digest
from codns.wire.outcome import Outcome

# What a nameserver does with a query: seconds until it answers and the answer (a message, or an
# outcome without one), or None for silence.
Reaction = tuple[float, dns.message.Message | Outcome] | None
Behaviour = Callable[[dns.message.Message, float], Reaction]


def silent(query, now):
    return None


def answers(delay, *, ttl=300, address="192.0.2.1", flags=0):
    """One address record of the type asked for (TXT where it is neither A nor AAAA)."""

    def behave(query, now):
        response = dns.message.make_response(query, recursion_available=True)
        response.flags |= flags
        question = query.question[0]
        kind = dns.rdatatype.to_text(question.rdtype)
        data = {"A": address, "AAAA": "2001:db8::1"}.get(kind, '"x"')
        kind = kind if kind in ("A", "AAAA") else "TXT"
        response.answer.append(dns.rrset.from_text(question.name, ttl, "IN", kind, data))
        return delay, response

    return behave


def negative(delay, *, rcode="NXDOMAIN", ttl=900, minimum=600, soa=True):
    def behave(query, now):
        response = dns.message.make_response(query, recursion_available=True)
        response.set_rcode(dns.rcode.from_text(rcode))
        if soa:
            text = f"ns.example. host.example. 1 3600 600 86400 {minimum}"
            response.authority.append(dns.rrset.from_text("example.", ttl, "IN", "SOA", text))
        return delay, response

    return behave


def failing(delay, rcode="SERVFAIL"):
    return negative(delay, rcode=rcode, soa=False)


def unreachable(delay=0.0):
    return lambda query, now: (delay, Outcome.UNREACHABLE)


def records(delay, *lines, rcode="NOERROR", authority=()):
    """Whatever is told, as lines of a zone file with full names."""

    def behave(query, now):
        response = dns.message.make_response(query, recursion_available=True)
        response.set_rcode(dns.rcode.from_text(rcode))
        for section, texts in ((response.answer, lines), (response.authority, authority)):
            for text in texts:
                name, ttl, _, kind, data = text.split(None, 4)
                section.append(dns.rrset.from_text(name, int(ttl), "IN", kind, data))
        return delay, response

    return behave


def until(time, first, then):
    """`first` before `time`, `then` from it on."""
    return lambda query, now: (first if now < time else then)(query, now)


@dataclass
class Got:
    """An answer a client got, and when."""

    at: float
    client: str
    message: dns.message.Message

    @property
    def rcode(self):
        return dns.rcode.to_text(self.message.rcode())

    @property
    def ede(self):
        codes = [int(o.code) for o in self.message.options if o.otype == 15]
        return codes[0] if codes else None

    @property
    def ttl(self):
        return self.message.answer[0].ttl if self.message.answer else None

    @property
    def data(self):
        return [rdata.to_text() for rrset in self.message.answer for rdata in rrset]


@dataclass
class World:
    """A node and its surroundings. `servers` maps an address to a behaviour."""

    servers: dict[str, Behaviour]
    settings: dict[str, object] = field(default_factory=dict)
    seed: int = 1
    many: bool = False

    def __post_init__(self):
        self.now = 0.0
        self.got: list[Got] = []
        self.jobs: list[tuple[float, str, str]] = []  # when, server, "qname qtype"
        self.flags: list[int] = []
        self.queries: list[dns.message.Message] = []  # as nameservers saw them
        self.notes: list[tuple[float, str, dict[str, object]]] = []
        self._events: list[tuple[float, int, Callable[[], list[Effect]]]] = []
        self._sequence = count()
        self._ids = count(1)
        self.configured = Settings(
            nameservers=tuple(self.servers), **{"probe": False, **self.settings}
        )
        self.node = Node(self.configured, random.Random(self.seed), 0.0)

    def at(self, time: float, do: Callable[[], list[Effect] | None]) -> None:
        heapq.heappush(self._events, (time, next(self._sequence), lambda: do() or []))

    def ask(
        self,
        name=None,
        rdtype="A",
        *,
        at=None,
        client="c",
        transport="udp",
        wire=None,
        ident=None,
        **options,
    ):
        """Let a client ask at a time (now). Its answers go to `got`."""
        query = None
        if wire is None:
            query = dns.message.make_query(name, rdtype, id=ident or next(self._ids), **options)
        data = query.to_wire() if query else wire

        def arrive():
            tail = self.node.cached(data[2:], transport, self.now)
            if tail is not None:
                self._reply(client, data[:2] + tail)
                return []
            address = bytes([127, 0, 0, 1]) if isinstance(client, str) else client
            return self.node.client_query(
                data, Client(transport, address, client, lambda _: None), self.now
            )

        self.at(self.now if at is None else at, arrive)
        return query

    def _reply(self, client, wire):
        self.got.append(Got(round(self.now, 6), client, dns.message.from_wire(wire)))

    def run(self, until: float) -> "World":
        """Let time pass up to and including `until`."""
        while True:
            timeout = self.node.next_timeout()
            event = self._events[0][0] if self._events else float("inf")
            next_time = min(event, float("inf") if timeout is None else timeout)
            if next_time > until:
                self.now = until
                return self
            self.now = max(next_time, self.now)
            if event <= next_time:
                self._apply(heapq.heappop(self._events)[2]())
            else:
                self._apply(self.node.handle_timeout(self.now))

    def _apply(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Answer():
                    self._reply(effect.client.key, effect.wire)
                case SendJob():
                    self._job(effect)
                case Note():
                    self.notes.append((round(self.now, 6), effect.event, effect.fields))

    def _job(self, job: SendJob) -> None:
        assert job.timeout_s > 0
        pack_job(job.job, 0, job.flags, job.timeout_s, job.wire)  # it can be sent
        if self.many:  # thousands of queries that nobody answers: only their number matters
            timeout = _without(job.job, Outcome.TIMEOUT, job.timeout_s)
            self.at(self.now + job.timeout_s, lambda: self.node.job_done(timeout, self.now))
            return
        query = dns.message.from_wire(job.wire)
        question = query.question[0]
        text = f"{question.name.to_text(omit_final_dot=True)} " + dns.rdatatype.to_text(
            question.rdtype
        )
        self.jobs.append((round(self.now, 6), job.server, text))
        self.flags.append(job.flags)
        self.queries.append(query)
        reaction = self.servers[job.server](query, self.now)
        if reaction is None or reaction[0] > job.timeout_s:
            result = _without(job.job, Outcome.TIMEOUT, job.timeout_s)
            delay = job.timeout_s
        else:
            delay, said = reaction
            result = _result(job, said, delay)
        self.at(self.now + delay, lambda: self.node.job_done(result, self.now))

    @property
    def asked(self) -> list[tuple[float, str]]:
        """When which server was asked."""
        return [(at, server) for at, server, _ in self.jobs]

    @property
    def times(self) -> list[tuple[float, str]]:
        """When which answer came: (time, rcode)."""
        return [(got.at, got.rcode) for got in self.got]


def _without(job: int, outcome: Outcome, elapsed: float) -> Result:
    return Result(job, outcome, 0, False, False, False, 0, 0, 0, elapsed, b"", b"", b"")


def _result(job: SendJob, said: dns.message.Message | Outcome, elapsed: float) -> Result:
    if isinstance(said, Outcome):
        return _without(job.job, said, elapsed)
    found = digest(
        job.wire, said.to_wire(max_size=65535), first_rrset=bool(job.flags & FLAG_FIRST_RRSET)
    )
    return Result(
        job.job,
        found.outcome,
        found.rcode,
        found.ad,
        found.cacheable,
        found.soa,
        found.ancount,
        found.nscount,
        found.ttl,
        elapsed,
        found.body,
        found.offsets,
        found.derived,
    )
