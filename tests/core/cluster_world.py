"""A few real nodes in virtual time, with nameservers, links and strangers that behave as told.

Messages between nodes go as structs, as the link would give them. The promises of the whole are
watched after every event (`cluster_watch`). Peers that are no real node (`strangers`) say what a
test wants said: BUSY, lies, nothing.
"""

import heapq
import random
from dataclasses import dataclass, field, replace
from itertools import count

import dns.message
import dns.name
import dns.rdatatype
import node_world
from cluster_watch import Watch
from node_world import Behaviour, Got

from codns.core.messages import Query
from codns.core.model import Answer, Client, Note, SendJob, SendPeer
from codns.core.node import Node
from codns.core.settings import PeerSettings, Settings
from codns.wire.outcome import Outcome

LOST = object()  # a nameserver's reaction: the slave that had the job died, nobody reports


def address(index):
    return f"192.0.2.{index + 1}:7353"


def server(index):
    return f"198.51.100.{index + 1}#53"


def lan(delay=0.001):
    """All links take the same time."""
    return lambda source, target, message, now: delay


def fixed(delay, **more):
    """Settings with this initial delay, whatever was measured; and nothing but what is tested."""
    return {
        "race_delay_s": delay,
        "race_delay_min_s": delay,
        "probe": False,
        "cache_prefetch": False,
        **more,
    }


@dataclass
class Member:
    """One node and what it saw."""

    index: int
    node: Node
    settings: Settings
    behaviour: dict[str, Behaviour]
    got: list[Got] = field(default_factory=list)
    asked: list[tuple[float, str]] = field(default_factory=list)  # name type of local queries
    jobs: list[tuple[float, str]] = field(default_factory=list)  # their servers
    probes: list[float] = field(default_factory=list)
    remote: list[tuple[float, str, str]] = field(default_factory=list)  # when, whom, name
    notes: list[tuple[float, str, dict]] = field(default_factory=list)
    dead: bool = False
    most: int = 0  # attempts a race, by the settings it had so far

    def __post_init__(self):
        self.most = self.settings.race_max_remote

    @property
    def address(self):
        return address(self.index)

    @property
    def fleet(self):
        return self.node._fleet

    @property
    def path(self):
        return self.fleet.sides[b""].path


class Cluster:
    """Nodes 0..n-1. `behaviours[i]` is what node i's nameserver does, or several by address."""

    def __init__(
        self,
        behaviours,
        *,
        link=None,
        seed=1,
        settings=None,
        each=None,
        listed=None,
        strangers=None,
        **watched,
    ):
        self.now = 0.0
        self.link = link or lan()
        self.strangers = strangers
        self.checks = Watch(**watched)
        self.sent = 0  # messages between peers
        self.transcript = []
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
        addresses = listed or [member.address for member in self.members]
        for member in self.members:
            self._apply(member, member.node.set_peers(addresses, 0.0))

    def __getitem__(self, index):
        return self.members[index]

    # -- what happens ---------------------------------------------------------------------------

    def at(self, time, do):
        heapq.heappush(self._events, (time, next(self._sequence), do))

    def ask(self, index, name, rdtype="A", *, at=None, client="c", transport="udp", **options):
        """A client of node `index` asks."""
        query = dns.message.make_query(name, rdtype, id=next(self._ids) & 0xFFFF, **options)
        self.again(index, query, at=at, client=client, transport=transport)
        return query

    def again(self, index, query, *, at=None, client="c", transport="udp"):
        """The same query from the same socket, once more."""
        wire, member = query.to_wire(), self.members[index]

        def arrive():
            key = (index, client, query.id)
            self.checks.asked(key, query, self.now)
            tail = member.node.cached(wire[2:], transport, self.now)
            if tail is not None:
                self._reply(member, key, wire[:2] + tail)
                return
            who = Client(transport, bytes([127, 0, 0, 1]), key, lambda _: None)
            self._apply(member, member.node.client_query(wire, who, self.now))

        self.at(self.now if at is None else at, arrive)

    def say(self, index, message, peer, *, at=None):
        """A stranger's message arrives at a node."""
        if isinstance(message, Query):
            name = dns.name.from_wire(message.name, 0)[0].to_text(omit_final_dot=True)
            self.checks.queries[peer, message.id] = (name, dns.rdatatype.to_text(message.qtype))
        self.at(self.now if at is None else at, lambda: self._hear(self[index], message, peer))

    def kill(self, index):
        """It hears and says nothing any more."""
        self.members[index].dead = True

    def reload(self, index, servers=None, **changes):
        """Other settings; `servers` are its nameservers' behaviours from now on."""
        member = self.members[index]
        if servers is not None:
            member.behaviour = {**member.behaviour, **servers}
            changes = {"nameservers": tuple(servers), **changes}
        member.settings = replace(member.settings, **changes)
        member.most = max(member.most, member.settings.race_max_remote)
        self._apply(member, member.node.configure(member.settings, self.now))

    def run(self, until):
        """Let time pass up to and including `until`."""
        while True:
            when, index = self._events[0][0] if self._events else float("inf"), -1
            for member in self.members:
                due = member.node.next_timeout()
                if due is not None and due < when and not member.dead:
                    when, index = max(due, self.now), member.index
            if when > until:
                self.now = until
                return self
            self.now = when
            if index < 0:
                heapq.heappop(self._events)[2]()
            else:
                member = self.members[index]
                self._apply(member, member.node.handle_timeout(self.now))

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
        self.checks.after(member, self.now)

    def _tell(self, member, *what):
        self.transcript.append((round(self.now, 9), member.index, *what))

    def _reply(self, member, key, wire):
        message = dns.message.from_wire(wire)
        self._tell(member, "answer", wire)
        self.checks.answered(member, key, message, self.now)
        member.got.append(Got(round(self.now, 6), key[1], message))

    def _job(self, member, job):
        query = dns.message.from_wire(job.wire)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True)
        kind = dns.rdatatype.to_text(question.rdtype)
        self._tell(member, "job", job.server, name, kind)
        if not hasattr(member.node._state.jobs._owners[job.job], "lookup"):
            member.probes.append(self.now)
        else:
            member.asked.append((round(self.now, 6), f"{name} {kind}"))
            member.jobs.append((round(self.now, 6), job.server))
        reaction = member.behaviour[job.server](query, self.now)
        if reaction is LOST:
            return
        said = None
        if reaction is None or reaction[0] > job.timeout_s:
            delay = job.timeout_s
            result = node_world._without(job.job, Outcome.TIMEOUT, delay)
        else:
            delay, said = reaction
            result = node_world._result(job, said, delay)
        self.at(self.now + delay, lambda: self._done(member, said, result))

    def _done(self, member, said, result):
        if not member.dead:
            self.checks.said(member, said, result, self.now)
            self._apply(member, member.node.job_done(result, self.now))

    def _send(self, member, peer, message):
        if member.dead:
            return
        self.sent += 1
        if isinstance(message, Query):
            name = dns.name.from_wire(message.name, 0)[0].to_text(omit_final_dot=True)
            member.remote.append((round(self.now, 6), peer, name))
        self._tell(member, "peer", peer, message)
        self.checks.sent(member, peer, message, self.now)
        target = next((other for other in self.members if other.address == peer), None)
        if target is not None:
            source = member.address
            delays = self.link(member.index, target.index, message, self.now)
            for delay in delays if isinstance(delays, tuple) else (delays,):
                if delay is not None:
                    self.at(self.now + delay, lambda: self._hear(target, message, source))
        elif self.strangers is not None:
            reaction = self.strangers(peer, message, self.now)
            if reaction is not None:
                delay, reply = reaction
                self.at(self.now + delay, lambda: self._hear(member, reply, peer))

    def _hear(self, target, message, source):
        if target.dead:
            return
        stranger = all(source != member.address for member in self.members)
        self.checks.heard(target, message, source, self.now, stranger=stranger)
        self._apply(target, target.node.peer_message(message, source, self.now))

    # -- for assertions -------------------------------------------------------------------------

    def notes(self, index):
        """(when, event, state or peer) of what a node told its operator."""
        return [
            (at, event, fields.get("state") or fields.get("peer"))
            for at, event, fields in self.members[index].notes
        ]

    def waits(self, index):
        """How long the clients `(number, asked at)` of a node waited, as asked."""
        return {got.client: round(got.at - got.client[1], 6) for got in self.members[index].got}

    def finish(self):
        """Let everything end, and look whether anything is left."""
        self.checks.finished(self)
