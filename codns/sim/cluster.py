"""A few nodes, or a thousand, with nameservers and links that behave as told: the library.

    from codns.sim.behaviour import answers, silent
    from codns.sim.cluster import Cluster

    fleet = Cluster([silent, answers(0.020), answers(0.020)])
    fleet.run(5.0)                                  # they find each other
    ask = fleet.ask(0, "www.example.com", at=6.0)
    fleet.run(12.0)
    assert ask.answered_at == pytest.approx(6.272)  # 50 ms delay, 2 ms RTT, 20 ms there ...
    print(fleet.transcript.text(node=0))

Behaviours are in `behaviour`, links in `links`. `behaviours[i]` is what node i's nameserver does,
or a mapping of nameservers' addresses to it; nodes that name the same address share a nameserver
as peers see it. Every promise of `checks` is watched, and broken ones raise `ViolationError`.

Times are exact: nothing takes time but what the behaviours and links say.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from codns.core.messages import (
    HeartbeatReply,
    HeartbeatRequest,
    Message,
    Query,
    QueryReply,
    Report,
)
from codns.core.model import Note, Transport
from codns.core.settings import PeerSettings, Settings
from codns.sim import links
from codns.sim.behaviour import Behaviour
from codns.sim.book import Book, Name
from codns.sim.checks import Checks
from codns.sim.host import LOCALHOST, Ask, Brain, Host
from codns.sim.introductions import UNKNOWN, Greeting, Introductions
from codns.sim.kernel import Kernel
from codns.sim.stub import Stub
from codns.sim.transcript import Transcript, rcode_text

PEER_PORT: Final = 7353
SLOT_S: Final = 0.5  # for one node, which has 24 events a second
NODES_MAX: Final = 1 << 16  # as many as have an address below: more than anybody simulates
_HEARTBEATS: Final = (HeartbeatRequest, HeartbeatReply)
_Arriving = tuple[int, Message, int, int, Introductions | None, int]
_HEARTBEAT: Final = HeartbeatReply(0, False, Report(None, False, False, (), 0, 0, ""))


def node_address(index: int) -> str:
    """Return the listed address of node `index`."""
    number = index + 1
    return f"10.{number >> 16}.{number >> 8 & 0xFF}.{number & 0xFF}:{PEER_PORT}"


def server_address(index: int) -> str:
    """Return the address of a nameserver; of the benchmarking range, so private to nobody."""
    number = index + 1
    return f"198.{18 + (number >> 16)}.{number >> 8 & 0xFF}.{number & 0xFF}#53"


class Parcel(NamedTuple):
    """What arrives at a node at a time: a message, or a greeting, of a node's life.

    `order`: see `_next_order`. `echo`: the life of the target whose challenge it echoes, or
    `introductions.UNKNOWN`.
    """

    time: float
    order: int
    target: int
    source: int
    boot: int
    echo: int
    what: Message | Greeting


class Elsewhere(NamedTuple):
    """Nodes that another process simulates, and where what they are sent is left."""

    nodes: frozenset[int]
    post: Callable[[Parcel], None]


class Cluster:
    """Nodes 0 .. n-1 in virtual time.

    `settings` are those of all nodes, `each` of single ones, as keywords of `core.Settings`;
    `peers` of `PeerSettings`. `listed`: the list of peers, all nodes if None; `lists` has one
    for each node. `kept` bounds the
    transcript, `checked` turns the checks off. `looking`: nodes look for loops at their start.
    `introductions`: what the first message of a life costs is simulated (`introductions`).
    `brain` makes what stands in for a `core.Node`. Nodes that are `elsewhere` are simulated by
    another process (`parts`): what they are sent is posted, what they send comes by `deliver`.
    """

    def __init__(
        self,
        behaviours: Sequence[Behaviour | Mapping[str, Behaviour]],
        *,
        link: links.Link | None = None,
        seed: object = 1,
        settings: Mapping[str, Any] | None = None,
        each: Mapping[int, Mapping[str, Any]] | None = None,
        peers: Mapping[str, Any] | None = None,
        listed: Sequence[str] | None = None,
        lists: Sequence[Sequence[str]] | None = None,
        kept: int | None = None,
        checked: bool = True,
        looking: bool = False,
        introductions: bool = False,
        brain: Callable[[Settings], Brain] | None = None,
        began_hook: Callable[[Host], None] | None = None,
        elsewhere: "Elsewhere | None" = None,
    ) -> None:
        if len(behaviours) > NODES_MAX:
            raise ValueError(f"{len(behaviours)} nodes; at most {NODES_MAX} have addresses")
        self.kernel = Kernel(SLOT_S / max(len(behaviours), 1))
        self.book = Book()
        self.link = link or links.same()
        self.seed = seed
        self.transcript = Transcript(kept)
        self.checks = Checks(seed, self.transcript)
        self.checked = checked
        self.answered_hook: Callable[[Ask], None] | None = None
        self.hosts: list[Host] = []
        self._servers: list[Mapping[str, Behaviour]] = []
        self._settings: list[Settings] = []
        self._by_address: dict[str, int] = {}
        self.remote_hook: Callable[[int, int], None] | None = None
        self.elsewhere, self._post = elsewhere or Elsewhere(frozenset(), _lost)
        self.advance = self.kernel.run
        self._looking, self._brain, self.began_hook = looking, brain, began_hook
        self._known: list[Introductions] = []
        self._arrives = self._arrive  # made once, not for each message
        self._idents = self._clients = 0
        self._sent = [0] * len(behaviours)  # messages, by node
        common = dict(settings or {})
        for index, behaviour in enumerate(behaviours):
            servers = behaviour
            if not isinstance(servers, Mapping):
                servers = {server_address(index): servers}
            own = {**common, **(each or {}).get(index, {})}
            me = PeerSettings(node_address(index), **(peers or {}))
            chosen: dict[str, Any] = {"nameservers": tuple(servers), "peers": me, **own}
            self._settings.append(Settings(**chosen))
            self._servers.append(servers)
            self._by_address[me.me] = index
        self._listed = list(self._by_address) if listed is None else list(listed)
        self._lists = lists
        for index in range(len(behaviours)):
            self.hosts.append(self._boot(index, 0))
        if introductions:
            self._known = [Introductions(self, index) for index in range(len(behaviours))]
        for host in self.hosts:
            self._begin(host)

    def __getitem__(self, index: int) -> Host:
        return self.hosts[index]

    def __len__(self) -> int:
        return len(self.hosts)

    @property
    def now(self) -> float:
        """Return the time."""
        return self.kernel.now

    # -- what a test or a scenario does ---------------------------------------------------------

    def at(self, time: float, do: Callable[[Any], object], what: object = None) -> None:
        """Call `do(what)` at a time."""
        self.kernel.at(time, do, what)

    def run(self, until: float) -> "Cluster":
        """Let time pass up to and including `until`."""
        self.advance(until)
        if self.checked:
            self.checks.overdue(self.kernel.now)
        return self

    def ask(
        self,
        index: int,
        name: str | Name,
        rdtype: str = "A",
        *,
        at: float | None = None,
        client: object = "c",
        transport: Transport = "udp",
        address: bytes = LOCALHOST,
        do: bool = False,
        cd: bool = False,
    ) -> Ask:
        """Let a client of node `index` ask, now or at a time; what it gets is in the `Ask`."""
        asked = name if isinstance(name, Name) else self.book.name(name, rdtype)
        query = asked.query(do=do, cd=cd)
        self._idents = ident = self._idents + 1 & 0xFFFF
        time = self.kernel.now if at is None else at
        ask = Ask(self.hosts[index], asked, ident, client, time)

        def arrive(_: object) -> None:
            ask.host = self.hosts[index]  # it may have been started anew meanwhile
            self.submit(ask, query, transport, address)

        self.kernel.at(time, arrive)
        return ask

    def next_client(self) -> int:
        """Return a number no client had before."""
        self._clients += 1
        return self._clients

    def submit(
        self, ask: Ask, query: bytes, transport: Transport = "udp", address: bytes = LOCALHOST
    ) -> None:
        """Let a client's query arrive now; the same `Ask` again is the client's repetition."""
        host, now = ask.host, self.kernel.now
        if not host.alive:
            return
        self.transcript.add((now, host.index, "query", ask.client, ask.name, ""))
        if self.checked:
            self.checks.query(ask, now)
        host.ask(ask, query, transport=transport, address=address)

    def stop(self, index: int) -> None:
        """The node hears and says nothing any more."""
        host = self.hosts[index]
        host.stop()
        self.checks.gone(host)
        self.transcript.add((self.kernel.now, index, "fault", "", None, "stopped"))

    def start(self, index: int) -> None:
        """It starts anew, with nothing remembered."""
        old = self.hosts[index]
        if old.alive:
            self.stop(index)
        host = self.hosts[index] = self._boot(index, old.boot + 1)
        if self._known:
            self._known[index] = Introductions(self, index)
        self.transcript.add((self.kernel.now, index, "fault", "", None, "started"))
        self._begin(host)

    def notes(self, index: int) -> list[tuple[float, str]]:
        """Return what a node told its operator: when, and the event with its values."""
        return [(line.at, line.said) for line in self.transcript.lines(index, "note")]

    # -- the nodes' surroundings ----------------------------------------------------------------

    def answered(self, ask: Ask, wire: bytes) -> None:
        """A client gets its answer."""
        now = self.kernel.now
        said = rcode_text(wire[3] & 0xF)
        self.transcript.add((now, ask.host.index, "answer", ask.client, ask.name, said))
        if self.checked:
            self.checks.answer(ask, wire, now)
        ask.answered_at, ask.wire = now, wire
        if self.answered_hook is not None:
            self.answered_hook(ask)

    def asks_nameserver(self, host: Host, server: str, name: Name, now: float) -> None:
        """A job leaves."""
        self.transcript.add((now, host.index, "local", server, name, ""))

    def send(self, host: Host, peer: str, message: Message) -> None:
        """A message leaves for a peer."""
        now = self.kernel.now
        target = self._by_address.get(peer)
        heartbeat = isinstance(message, _HEARTBEATS)
        if not heartbeat:  # one in ten
            self._watch(host, peer, target, message, now)
        if target is None:
            return
        index = host.index
        delay = self.link(index, target, message, now)
        if delay is None:
            return
        boot, known, echo, order = host.boot, None, UNKNOWN, self._next_order(index)
        if self._known:
            known = self._known[target]
            if not known.knows(index, boot):
                known = None
                life = self.hosts[target].boot
                if heartbeat and self._known[index].echoes(target, life):
                    echo = life
        if target in self.elsewhere:
            self._post(Parcel(now + delay, order, target, index, boot, echo, message))
        else:
            arriving = target, message, index, boot, known, echo
            self.kernel.at(now + delay, self._arrives, arriving, order)

    def _watch(
        self, host: Host, peer: str, target: int | None, message: Message, now: float
    ) -> None:
        """Note and check a query to a peer, or what became of one."""
        if isinstance(message, Query):
            name = self.book.question(message.name, message.qtype)
            self.transcript.add((now, host.index, "remote", peer, name, ""))
            if self.checked:
                self.checks.remote_query(host, peer, message, name, now)
            if self.remote_hook is not None and target is not None:
                self.remote_hook(host.index, target)
        elif isinstance(message, QueryReply):
            self.transcript.add((now, host.index, "reply", peer, None, message.status.name))

    def note(self, host: Host, note: Note) -> None:
        """The node tells its operator something."""
        values = " ".join(f"{key}={value}" for key, value in note.fields.items())
        said = f"{note.event} {values}".strip()
        self.transcript.add((self.kernel.now, host.index, "note", note.level, None, said))

    def _arrive(self, arriving: _Arriving) -> None:
        target, message, index, boot, known, echo = arriving
        hosts = self.hosts
        host, sender = hosts[target], hosts[index]
        if not host.alive:
            return
        if self._known:
            introductions = self._known[target]
            # Known when it left, as nearly always, and both are who they were: known still
            if known is not introductions or sender.boot != boot:
                now = self.kernel.now
                echoed = echo == host.boot
                if not introductions.accepts(index, boot, message, now, echo=echoed):
                    return
        host.hear(message, sender.me)

    def deliver(self, parcel: "Parcel") -> None:
        """A message comes from a node that is elsewhere; its time is not past."""
        time, order, target, source, boot, echo, what = parcel
        if isinstance(what, Greeting):
            self.kernel.at(time, self._greeted, (target, source, boot, what), order)
        else:
            arriving = target, what, source, boot, None, echo
            self.kernel.at(time, self._arrives, arriving, order)

    def _next_order(self, source: int) -> int:
        """Return the place of a node's next message among what happens when it arrives.

        Behind all else, then by sender: so it is the same whoever simulates the sender.
        """
        self._sent[source] = sent = self._sent[source] + 1
        return (source + 1) << 40 | sent

    def greet(self, source: int, target: int, greeting: Greeting) -> None:
        """A greeting leaves (`introductions`)."""
        now = self.kernel.now
        delay = self.link(source, target, _HEARTBEAT, now)
        if delay is None:
            return
        boot, order = self.hosts[source].boot, self._next_order(source)
        if target in self.elsewhere:
            self._post(Parcel(now + delay, order, target, source, boot, UNKNOWN, greeting))
        else:
            self.kernel.at(now + delay, self._greeted, (target, source, boot, greeting), order)

    def introduced(self, node: int, peer: int) -> None:
        """A node knows another's present life."""
        host = self.hosts[node]
        host.call(host.node.peer_learned, self.hosts[peer].me)

    def _greeted(self, arriving: tuple[int, int, int, Greeting]) -> None:
        target, index, boot, greeting = arriving
        if self.hosts[target].alive:
            self._known[target].greeted(index, boot, greeting)

    # -- lives ----------------------------------------------------------------------------------

    def _boot(self, index: int, boot: int) -> Host:
        rng = random.Random(f"{self.seed}/node/{index}/{boot}")
        settings, servers = self._settings[index], self._servers[index]
        brain = self._brain(settings) if self._brain is not None else None
        if index in self.elsewhere:
            brain = Stub(settings)  # nobody drives it
        return Host(self.kernel, self.book, self, index, settings, servers, rng, boot, brain)

    def _begin(self, host: Host) -> None:
        listed = self._listed if self._lists is None else self._lists[host.index]
        host.call(host.node.set_peers, listed)
        if self._looking:
            host.call(host.node.start)
        if self.began_hook is not None:
            self.began_hook(host)


def _lost(_parcel: Parcel) -> None: ...
