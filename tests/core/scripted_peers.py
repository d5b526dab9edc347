"""Peers that say what they are told: for tests of what one node makes of it.

They answer each heartbeat after 2 ms and so are neighbours; the k-th of them that is asked for a
name (whoever that is: the name decides) reacts as the k-th behaviour says.
"""

from dataclasses import dataclass

import dns.message
import dns.name
from cluster_world import Cluster, address, fixed
from msgspec.structs import replace
from node_world import _result, answers

from codns.core.messages import HeartbeatReply, HeartbeatRequest, Query, QueryReply, Report, Status
from codns.core.model import SendJob
from codns.wire.outcome import Outcome

RTT_S = 0.002


def busy(delay=RTT_S, status=Status.BUSY):
    """Says BUSY."""
    return lambda query, now: (delay, status)


class Scripted:
    """`behaviours` by order of being asked; the last is everybody's who comes after."""

    def __init__(self, behaviours, *, count=None, validates=False, failing=False):
        self.behaviours = behaviours
        self.count = len(behaviours) if count is None else count
        self.validates = validates
        self.failing = failing
        self.silent = False  # to heartbeats too
        self.asked = {}  # name: addresses in order

    @property
    def addresses(self):
        return [address(index) for index in range(1, self.count + 1)]

    def __call__(self, peer, message, now):
        if self.silent:
            return None
        if isinstance(message, HeartbeatRequest):
            number = int(peer.split(":")[0].rpartition(".")[2])
            identity = number.to_bytes(8, "big")
            report = Report(0.010, self.failing, self.validates, (identity,), 0, 32, "test")
            return RTT_S, HeartbeatReply(message.token, full=False, report=report)
        if not isinstance(message, Query):
            return None
        order = self.asked.setdefault(message.name + bytes((message.qtype & 255,)), [])
        order.append(peer)
        behave = self.behaviours[min(len(order), len(self.behaviours)) - 1]
        reaction = behave(self._query(message), now)
        if reaction is None:
            return None
        delay, said = reaction
        return delay, self.reply(message, said)

    @staticmethod
    def query(ident, name, qtype=1, *, do=False, cd=False):
        """A query of a peer."""
        return Query(ident, name, qtype, 1, do, cd)

    @staticmethod
    def said(name, rdtype="A", behaviour=None):
        """What a nameserver says of a name."""
        return (behaviour or answers(0.0))(dns.message.make_query(name, rdtype), 0.0)[1]

    @staticmethod
    def _query(message):
        name = dns.name.from_wire(message.name, 0)[0]
        return dns.message.make_query(name, message.qtype, use_edns=0, want_dnssec=message.do)

    def reply(self, message, said):
        """What `said` is as a peer's reply."""
        if isinstance(said, QueryReply):
            return replace(said, id=message.id)
        if isinstance(said, Status):
            return QueryReply(message.id, said)
        if isinstance(said, Outcome):
            return QueryReply(message.id, Status.FAILURE, said)
        job = SendJob(1, "", 0, 1.0, self._query(message).to_wire())
        found = _result(job, said, 0.0)
        if not found.outcome.usable:
            return QueryReply(message.id, Status.FAILURE, found.outcome, found.rcode)
        return QueryReply(
            message.id,
            Status.ANSWER,
            found.outcome,
            found.rcode,
            found.ad,
            found.soa,
            found.ttl if found.cacheable else 0,
            found.ancount,
            found.nscount,
            found.body,
            found.offsets,
        )


def scripted(local, behaviours, *, settings=None, listed=None, **options):
    """One node among scripted peers, which it has met: (cluster, peers)."""
    peers = Scripted(behaviours, **options)
    listed = listed or [address(0), *peers.addresses]
    cluster = Cluster([local], settings=settings, listed=listed, strangers=peers)
    return cluster, peers


@dataclass
class Seen:
    """One lookup, by the clock of its client."""

    cluster: Cluster
    peers: Scripted
    began: float

    @property
    def asked(self):
        """When which peer was asked: the first is p1."""
        return [round(at - self.began, 6) for at, _, _ in self.cluster[0].remote]

    @property
    def local(self):
        """When the local nameservers were."""
        return [round(at - self.began, 6) for at, _ in self.cluster[0].asked if at >= self.began]

    @property
    def answers(self):
        """(who answered, rcode, when) for each client."""
        got = self.cluster[0].got
        return [(self.source, g.rcode, round(g.at - self.began, 6)) for g in got]

    @property
    def answer(self):
        (only,) = self.answers
        return only

    @property
    def source(self):
        counted = self.cluster[0].node.stats.answers
        (source,) = [source for source, count in counted.items() if count]
        if source != "peer":
            return source
        (race,) = self.cluster[0].node.recent_races(self.cluster.now)
        (order,) = self.peers.asked.values()
        return f"p{order.index(race['winner']) + 1}"

    @property
    def got(self):
        (only,) = self.cluster[0].got
        return only


MET_S = 5.0  # by then the node has met its peers
SICK_S = 12.0  # and two probes of an idle nameserver that is silent have been judged


def sick(local, *peers, **more):
    """The same while the local path is judged failing: two probes went unanswered."""
    settings = {"probe": True, **more.pop("settings", {})}
    return raced(local, *peers, settings=settings, began=SICK_S, **more)


def raced(local, *peers, delay=0.2, settings=None, began=MET_S, **options):
    """One lookup at a node that has met these peers, and all that comes of it."""
    cluster, scripted_ = scripted(
        local, peers, settings={**fixed(delay), **(settings or {})}, **options
    )
    cluster.run(began)
    cluster.ask(0, "www.name.example")
    cluster.run(began + 10)
    cluster.finish()
    return Seen(cluster, scripted_, began)
