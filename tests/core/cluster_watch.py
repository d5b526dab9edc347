"""What a cluster promises, checked after every event by other means than the code under test.

*To clients*: each query is answered once, within 4.5 s, with its id and question, and no record
lives longer than some nameserver said. *To peers*: what one is told is what our own nameserver
said, with no TTL longer than what is left of it; private and special names are not sent. *Of the
race*: a peer is asked only for what an own client asked, at most `max_remote` times, five with
those that were busy. *Of the node*: nobody who waits is without a deadline, the counters match
what is there, and when all is over nothing is left.
"""

import json
import struct
from collections import defaultdict
from dataclasses import dataclass, field
from math import inf

import dns.exception
import dns.message
import dns.name
import dns.rdatatype

from codns.core.lookup import Attempt
from codns.core.messages import Query, QueryReply, Status
from codns.core.private import holds_private_address
from codns.core.remote import REMOTE_TIMEOUT_S
from codns.core.resolver import DEADLINE_S
from codns.wire.outcome import Outcome

SLACK_S = 1e-6
CONTACTS_MAX = 5
BURST = 50  # tokens
STALE_TTL = 30
LEFTOVER_S = 11.0  # longer than anything in flight may live: 10 s, and a client asks now


@dataclass
class Asked:
    """A query of a client that waits."""

    query: dns.message.Message
    arrived: float


@dataclass
class Raced:
    """One race, by what left and came back; `most` is what may be allowed to it."""

    most: int
    sent: int = 0
    busy: int = 0
    paid: int = 0


@dataclass
class Watch:
    """The promises of one cluster."""

    link_s: float = 2.0  # a message's longest way: as much may a peer's TTL be late
    open: dict = field(default_factory=dict)
    waiting: dict = field(default_factory=lambda: defaultdict(int))  # by node
    names: dict = field(default_factory=lambda: defaultdict(set))  # of a node's own clients
    own: dict = field(
        default_factory=dict
    )  # (node, name, type): own nameserver's word is good so long
    anyone: dict = field(default_factory=dict)  # (name, type): the same, of all nameservers
    inside: dict = field(default_factory=lambda: defaultdict(set))  # of a node: zones of the site
    left: dict = field(default_factory=dict)  # (node, name): when a client was last answered
    private: tuple = ()  # zones no peer may hear of
    races: dict = field(default_factory=dict)
    queries: dict = field(default_factory=dict)  # (who asked, id): name, type
    owed: dict = field(default_factory=lambda: defaultdict(int))  # replies, by node, asker and id

    # -- clients --------------------------------------------------------------------------------

    def asked(self, key, query, now):
        if key not in self.open:
            self.open[key] = Asked(query, now)
            self.waiting[key[0]] += 1
        self.names[key[0]].add(_name(query))

    def answered(self, member, key, message, now):
        assert key in self.open, f"{key} answered twice, or never asked"
        asked = self.open.pop(key)
        self.waiting[key[0]] -= 1
        self.left[key[0], _name(asked.query)] = now
        assert message.id == asked.query.id
        assert message.question == asked.query.question
        assert now - asked.arrived <= DEADLINE_S + SLACK_S, f"{key} after {now - asked.arrived} s"
        for rrset in message.answer:
            name = rrset.name.to_text(omit_final_dot=True).lower()
            known = self.anyone.get((name, dns.rdatatype.to_text(rrset.rdtype)))
            if known is None:
                assert _special(name), f"nobody ever said {rrset}"
            elif (
                now + rrset.ttl
                > max(known, now + member.settings.cache_min_ttl_s) + 1 + self.link_s
            ):
                assert member.settings.cache_stale_s, (
                    f"{rrset} lives {now + rrset.ttl - known} s too long"
                )
                assert rrset.ttl <= STALE_TTL
                assert message.edns < 0 or {int(o.code) for o in message.options} & {3, 19}

    # -- nameservers ----------------------------------------------------------------------------

    def said(self, member, message, result, now):
        """A nameserver's answer came in at a node."""
        job = member.node._state.jobs._owners.get(result.job)
        if not isinstance(message, dns.message.Message) or not isinstance(job, Attempt):
            return  # nobody keeps what a probe was told
        question = message.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        own = (member.index, name, None if result.outcome is Outcome.NXDOMAIN else kind)
        self.own[own] = max(self.own.get(own, -inf), now + result.ttl)
        for rrset in message.answer:
            text = (
                rrset.name.to_text(omit_final_dot=True).lower(),
                dns.rdatatype.to_text(rrset.rdtype),
            )
            self.anyone[text] = max(self.anyone.get(text, -inf), now + rrset.ttl)
        race = job.lookup.race
        taken = not job.lookup.closed or (race is not None and not race.local_ended)
        if member.node._fleet.private.is_private(job.lookup.key[:-5], now):
            return  # by the operator's word, which a reload may take back
        if taken and holds_private_address(result.body, result.offsets, result.ancount):
            self.inside[member.index].add(_parent(name))

    # -- peers ----------------------------------------------------------------------------------

    def sent(self, member, peer, message, now):
        assert peer != member.address, "asked itself"
        if isinstance(message, Query):
            self._query(member, peer, message, now)
        elif isinstance(message, QueryReply):
            self._reply(member, peer, message, now)

    def _query(self, member, peer, message, now):
        name = _text(message.name)
        fleet = member.node._fleet
        assert name in self.names[member.index], f"{name} passed on"
        assert name.count("."), f"single label {name} sent"
        assert not _special(name)
        assert message.qtype != dns.rdatatype.ANY
        assert not any(name == zone or name.endswith("." + zone) for zone in self.private)
        assert _parent(name) not in self.inside[member.index], f"{name} is of this site"
        attempt = fleet.attempts[message.id]
        assert attempt.peer.address == peer
        lookup = attempt.race.lookup
        assert lookup.cacheable  # no ECS
        assert not lookup.served
        left = self.left.get((member.index, name)) == now  # at this very moment
        assert lookup.waiters or lookup.stale is not None or left, f"nobody wants {name}"
        raced = self.races.setdefault(attempt.race, Raced(member.most))
        raced.sent += 1
        raced.paid += attempt.paid
        assert raced.sent <= CONTACTS_MAX
        assert raced.sent - raced.busy <= raced.most
        self.queries[member.address, message.id] = (name, dns.rdatatype.to_text(message.qtype))

    def _reply(self, member, peer, reply, now):
        self.owed[member.index, peer, reply.id] -= 1
        assert self.owed[member.index, peer, reply.id] >= 0, "told a peer twice"
        question = self.queries.get((peer, reply.id))
        assert question is not None, "answered what nobody asked"
        name, kind = question
        if reply.status is not Status.ANSWER:
            return
        assert not _special(name)
        assert name.count(".")
        assert _parent(name) not in self.inside[member.index], f"{name} of the site told"
        until = max(
            self.own.get((member.index, name, kind), -inf),
            self.own.get((member.index, name, None), -inf),
        )
        assert until > -inf, f"{name} is not our own nameserver's word"
        assert now + reply.ttl <= until + SLACK_S, f"{name} lengthened"

    def heard(self, member, message, source, now, *, stranger):
        """A message is about to be heard. A stranger's answer is the word of its nameserver."""
        if isinstance(message, Query):
            self.owed[member.index, source, message.id] += 1
        elif isinstance(message, QueryReply):
            self._heard_reply(member, message, now, stranger=stranger)

    def _heard_reply(self, member, reply, now, *, stranger):
        attempt = member.node._fleet.attempts.get(reply.id)
        if attempt and reply.status in (Status.BUSY, Status.FULL):
            self.races[attempt.race].busy += 1
        if stranger and reply.status is Status.ANSWER:
            for rrset in _told(reply, *self.queries[member.address, reply.id]):
                name = rrset.name.to_text(omit_final_dot=True).lower()
                known = name, dns.rdatatype.to_text(rrset.rdtype)
                self.anyone[known] = max(self.anyone.get(known, -inf), now + rrset.ttl)

    # -- the node -------------------------------------------------------------------------------

    def after(self, member, now):
        """Something happened at this node."""
        resolver, fleet = member.node._resolver, member.node._fleet
        assert member.node.outstanding == self.waiting[member.index]
        for lookup in resolver.lookups.values():
            assert not lookup.closed
            assert lookup.due < inf, f"{lookup.key} waits for nothing"
            if lookup.waiters:
                first = next(iter(lookup.waiters.values())).arrived
                assert lookup.due <= max(first + DEADLINE_S, now) + SLACK_S
        for lookup in resolver.served.values():
            assert lookup.race is None
            assert not lookup.waiters
            assert not lookup.closed
            assert lookup.due < inf
        if fleet is None:
            return
        for ident, attempt in fleet.attempts.items():
            assert attempt.race.attempts[ident] is attempt
            assert attempt.race.due <= max(attempt.sent + REMOTE_TIMEOUT_S, now) + SLACK_S
        budget = fleet.budget
        assert 0 <= budget.tokens(now) <= BURST
        earned = BURST + member.settings.race_budget * member.node.stats.cache_misses
        assert budget.taken - budget.refunded <= earned + SLACK_S

    def finished(self, cluster):
        """All is over: nobody waits, nothing is left."""
        cluster.run(cluster.now + LEFTOVER_S)
        assert not self.open, f"never answered: {self.open}"
        for member in cluster.members:
            if not member.dead:
                self.empty(member, cluster.now)
                node, now = member.node, cluster.now
                told = (node.status(now), node.peers_status(now), node.recent_races(now))
                json.dumps((*told, node.explain(b"\3www\4name\7example\0", 1, now)))
        alive = {member.index for member in cluster.members if not member.dead}
        left = {key: count for key, count in self.owed.items() if count and key[0] in alive}
        assert not left, f"peers never told: {left}"

    def empty(self, member, now):
        """Nothing of any lookup is left."""
        node = member.node
        state, resolver, fleet, helping = node._state, node._resolver, node._fleet, node._helping
        assert not resolver.lookups
        assert not resolver.served
        assert not state._waiting
        assert not [job for job in state.jobs._owners.values() if hasattr(job, "lookup")]
        if fleet is None:
            return
        assert not fleet.attempts
        for side in fleet.sides.values():
            assert not getattr(side.policy, "_open", None), f"tokens left: {side.policy._open}"
            assert not len(side.path._claims)
        assert not len(fleet.budget._claims)
        assert not helping._waiting
        assert (helping.serving.in_service, helping.serving.queued) == (0, 0)
        assert not helping.serving._serving
        assert not helping.serving._queues
        for race in [race for race in self.races if race.fleet is fleet]:
            assert not race.attempts
            assert race.due == inf
            assert race._settled


def _name(query):
    return query.question[0].name.to_text(omit_final_dot=True).lower()


def _text(name):
    return dns.name.from_wire(name, 0)[0].to_text(omit_final_dot=True)


def _told(reply, name, kind):
    """The answer section of a peer's reply as dnspython reads it; a lie may be no message.

    Records that it cannot read (A of class CH with an address) are passed over: codns leaves out
    whatever is of another class, and the rest is still what the peer said.
    """
    question = dns.message.make_query(name, kind).to_wire()[12:]
    header = struct.pack(">HHHHHH", 0, 0x8180, 1, reply.ancount, reply.nscount, 0)
    try:
        wire = header + question + reply.body
        message = dns.message.from_wire(wire, ignore_trailing=True, continue_on_error=True)
    except (dns.exception.DNSException, ValueError):
        return []
    return message.answer


def _parent(name):
    return ".".join(name.split(".")[-2:])


def _special(name):
    return name.rpartition(".")[2] in ("localhost", "invalid", "onion", "alt")
