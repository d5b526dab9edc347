"""A few real nodes in virtual time, with nameservers and links that behave as told.

Messages between nodes go as structs, as the link would give them; what is watched after every
event are the promises of the whole (`Watch`): each query answered once and before its deadline,
question and id right, no remote query passed on, never more attempts than allowed.
"""

import heapq
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import count

import dns.message
import dns.rdatatype
import node_world
from node_world import Behaviour, Got

from codns.core.messages import HeartbeatReply, HeartbeatRequest, Query, QueryReply
from codns.core.model import Answer, Client, Note, SendJob, SendPeer
from codns.core.node import Node
from codns.core.settings import PeerSettings, Settings
from codns.wire.outcome import Outcome

DEADLINE_S = 4.5
CONTACTS_MAX = 5


def address(index):
    return f"192.0.2.{index + 1}:7353"


def server(index):
    return f"198.51.100.{index + 1}#53"


def lan(delay=0.001):
    """All links take the same time."""
    return lambda source, target, message, now: delay


@dataclass
class Member:
    """One node and what it saw."""

    index: int
    node: Node
    settings: Settings
    behaviour: dict[str, Behaviour]
    got: list[Got] = field(default_factory=list)
    asked: list[tuple[float, str]] = field(default_factory=list)  # name type of local queries
    probes: list[float] = field(default_factory=list)
    remote: list[tuple[float, str, str]] = field(default_factory=list)  # when, whom, name
    notes: list[tuple[float, str, dict]] = field(default_factory=list)
    dead: bool = False


class Cluster:
    """Nodes 0..n-1. `behaviours[i]` is what node i's nameserver does."""

    def __init__(self, behaviours, *, link=None, seed=1, settings=None, each=None, listed=None):
        self.now = 0.0
        self.link = link or lan()
        self.rng = random.Random(seed)
        self.checks = Watch()
        self._events = []
        self._sequence = count()
        self._ids = count(1)
        self.members = []
        for index, behaviour in enumerate(behaviours):
            own = {**(settings or {}), **((each or {}).get(index, {}))}
            servers = behaviour if isinstance(behaviour, dict) else {server(index): behaviour}
            peers = PeerSettings(address(index), version="test")
            configured = Settings(**{"nameservers": tuple(servers), "peers": peers, **own})
            node = Node(configured, random.Random(seed * 1000 + index), 0.0)
            self.members.append(Member(index, node, configured, servers))
        addresses = listed or [address(index) for index in range(len(behaviours))]
        for member in self.members:
            self._apply(member, member.node.set_peers(addresses, 0.0))

    def __getitem__(self, index):
        return self.members[index]

    # -- what happens ---------------------------------------------------------------------------

    def at(self, time, do):
        heapq.heappush(self._events, (time, next(self._sequence), do))

    def ask(self, index, name, rdtype="A", *, at=None, client="c", **options):
        """A client of node `index` asks."""
        query = dns.message.make_query(name, rdtype, id=next(self._ids), **options)
        wire, member = query.to_wire(), self.members[index]

        def arrive():
            key = (index, client, query.id)
            self.checks.asked(key, query, self.now)
            tail = member.node.cached(wire[2:], "udp", self.now)
            if tail is not None:
                self._reply(member, key, wire[:2] + tail)
                return
            who = Client("udp", bytes([127, 0, 0, 1]), key, lambda _: None)
            self._apply(member, member.node.client_query(wire, who, self.now))

        self.at(self.now if at is None else at, arrive)
        return query.id

    def kill(self, index):
        """It hears and says nothing any more."""
        self.members[index].dead = True

    def run(self, until):
        """Let time pass up to and including `until`."""
        while True:
            times = [(self._events[0][0], -1)] if self._events else []
            for member in self.members:
                due = member.node.next_timeout()
                if due is not None and not member.dead:
                    times.append((max(due, self.now), member.index))
            when, index = min(times, default=(float("inf"), -1))
            if when > until:
                self.now = until
                return self
            self.now = when
            if index < 0:
                heapq.heappop(self._events)[2]()
            else:
                member = self.members[index]
                self._apply(member, member.node.handle_timeout(self.now))
            self.checks.after(self)

    # -- effects --------------------------------------------------------------------------------

    def _apply(self, member, effects):
        for effect in effects:
            match effect:
                case Answer():
                    self._reply(member, effect.client.key, effect.wire)
                case SendJob():
                    self._job(member, effect)
                case SendPeer():
                    self._send(member, effect.peer, effect.message)
                case Note():
                    member.notes.append((round(self.now, 6), effect.event, effect.fields))

    def _reply(self, member, key, wire):
        message = dns.message.from_wire(wire)
        self.checks.answered(key, message, self.now)
        member.got.append(Got(round(self.now, 6), key[1], message))

    def _job(self, member, job):
        query = dns.message.from_wire(job.wire)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True)
        kind = dns.rdatatype.to_text(question.rdtype)
        if kind == "NS" and name == "@":
            member.probes.append(self.now)
        else:
            member.asked.append((round(self.now, 6), f"{name} {kind}"))
        reaction = member.behaviour[job.server](query, self.now)
        if reaction is None or reaction[0] > job.timeout_s:
            delay = job.timeout_s
            result = node_world._without(job.job, Outcome.TIMEOUT, delay)
        else:
            delay, said = reaction
            result = node_world._result(job, said, delay)
        self.at(self.now + delay, lambda: self._done(member, result))

    def _done(self, member, result):
        if not member.dead:
            self._apply(member, member.node.job_done(result, self.now))

    def _send(self, member, peer, message):
        if member.dead:
            return
        if isinstance(message, Query):
            name = dns.name.from_wire(message.name, 0)[0].to_text(omit_final_dot=True)
            member.remote.append((round(self.now, 6), peer, name))
        target = next((m for m in self.members if address(m.index) == peer), None)
        if target is None:
            return
        self.checks.sent(member, target, message)
        delay = self.link(member.index, target.index, message, self.now)
        if delay is not None:
            source = address(member.index)
            self.at(self.now + delay, lambda: self._hear(target, message, source))

    def _hear(self, target, message, source):
        if not target.dead:
            self._apply(target, target.node.peer_message(message, source, self.now))

    # -- for assertions -------------------------------------------------------------------------

    def notes(self, index):
        """(when, event, state or peer) of what a node told its operator."""
        return [
            (at, event, fields.get("state") or fields.get("peer"))
            for at, event, fields in self.members[index].notes
        ]

    def path(self, index):
        return self.members[index].node._fleet.sides[b""].path


class Watch:
    """The promises, checked as things happen."""

    def __init__(self):
        self.open = {}
        self.late = []
        self.contacts = defaultdict(Counter)  # of a node: how often a name was asked of peers
        self.served = set()

    def asked(self, key, query, now):
        self.open.setdefault(key, (query, now))

    def answered(self, key, message, now):
        assert key in self.open, f"{key} answered twice, or never asked"
        query, arrived = self.open.pop(key)
        assert message.id == query.id
        assert message.question == query.question
        assert now - arrived <= DEADLINE_S + 1e-6, f"{key} after {now - arrived} s"

    def sent(self, member, target, message):
        assert isinstance(message, HeartbeatRequest | HeartbeatReply | Query | QueryReply)
        assert target is not member, "asked itself"
        if isinstance(message, Query):
            assert member.node._fleet.attempts[message.id].peer.address == address(target.index)

    def after(self, cluster):
        """What a lookup for a peer does is local: it has no race."""
        for member in cluster.members:
            resolver, fleet = member.node._resolver, member.node._fleet
            for lookup in resolver.served.values():
                assert lookup.race is None
                assert not lookup.waiters
            if fleet is None:
                continue
            for attempt in fleet.attempts.values():
                schedule = attempt.race.schedule
                assert schedule.contacted <= CONTACTS_MAX
                assert schedule.sent <= fleet.remote_max
            assert 0 <= fleet.budget.tokens(cluster.now) <= 50

    def finished(self):
        assert not self.open, f"never answered: {self.open}"
