"""One host of the fleet: a `core.Node` and the shell around it, in virtual time.

What the daemon's tasks do is here one call a thing: a client's query, a slave's report, a peer's
message, the timer. A host is one life of a node: started again, it is another one, so that what
was on its way to the old one is lost, as it should be.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Final, Protocol

from codns.core.fleet import Fleet
from codns.core.messages import Message
from codns.core.model import Answer, Client, Effect, Note, SendJob, SendPeer, Transport
from codns.core.node import Node
from codns.core.settings import Settings
from codns.sim.behaviour import Behaviour
from codns.sim.book import TIMEOUT, Book, Name, Reply, result
from codns.sim.kernel import Kernel
from codns.wire.batch import FLAG_TCP, Result

LOCALHOST: Final = b"\x7f\0\0\1"
TCP_TRIES_S: Final = (
    0.0,
    1.0,
    3.0,
)  # RFC 6298 2.1, 5.5: 1 s, doubling; later ones end with the job


class Ask:
    """One client's query. `answered_at` is inf until it was answered."""

    __slots__ = ("answered_at", "at", "client", "host", "ident", "name", "wire")

    def __init__(self, host: "Host", name: Name, ident: int, client: object, at: float) -> None:
        self.host = host
        self.name = name
        self.ident = ident
        self.client = client
        self.at = at
        self.answered_at = inf
        self.wire = b""

    def answer(self, wire: bytes) -> None:
        """The node's answer; who watches may say that it must not be."""
        self.host.surroundings.answered(self, wire)

    @property
    def rcode(self) -> int:
        """The answer's."""
        return self.wire[3] & 0xF


class Surroundings(Protocol):
    """What a host reaches and who watches it."""

    def answered(self, ask: Ask, wire: bytes) -> None:
        """A client gets its answer."""

    def asks_nameserver(self, host: "Host", server: str, name: Name, now: float) -> None:
        """A job leaves."""

    def send(self, host: "Host", peer: str, message: Message) -> None:
        """A message leaves for a peer."""

    def note(self, host: "Host", note: Note) -> None:
        """The node tells its operator something."""


class Brain(Protocol):
    """What a host drives: a `core.Node`, or what there was before (`stub.Stub`)."""

    @property
    def _fleet(self) -> Fleet | None:
        """What it knows of its peers."""

    def cached(self, tail: bytes, transport: Transport, now: float, /) -> bytes | None:
        """See `core.Node`, as for all others."""

    def client_query(self, wire: bytes, client: Client, now: float, /) -> list[Effect]:
        """A client asks."""

    def job_done(self, done: Result, now: float, /) -> list[Effect]:
        """A slave reports."""

    def peer_message(self, message: Message, peer: str, now: float, /) -> list[Effect]:
        """A peer says something."""

    def peer_learned(self, peer: str, now: float, /) -> list[Effect]:
        """A peer's life is known."""

    def set_peers(self, addresses: Sequence[str], now: float, /) -> list[Effect]:
        """The list of peers."""

    def start(self, now: float, /) -> list[Effect]:
        """Look for loops."""

    def handle_timeout(self, now: float, /) -> list[Effect]:
        """Time has passed."""

    def next_timeout(self) -> float | None:
        """When it wants to be called."""

    def status(self, now: float, /) -> dict[str, object]:
        """What it tells of itself."""


class Host:
    """A node that runs from `now` on.

    `servers` are its nameservers, by the address that `settings` has. `index` is its place in
    the fleet, `me` its listed address. `brain` stands in for its `core.Node`.
    """

    __slots__ = (
        "_alarms", "_book", "_wake", "alive", "boot", "index", "kernel", "me", "node", "servers",
        "settings", "surroundings",
    )  # fmt: skip

    def __init__(
        self,
        kernel: Kernel,
        book: Book,
        surroundings: Surroundings,
        index: int,
        settings: Settings,
        servers: Mapping[str, Behaviour],
        rng: random.Random,
        boot: int = 0,
        brain: Brain | None = None,
    ) -> None:
        self.kernel = kernel
        self._book = book
        self.surroundings = surroundings
        self.index = index
        self.me = settings.peers.me if settings.peers is not None else ""
        self.settings = settings
        self.servers = dict(servers)
        self.alive = True
        self.boot = boot
        self._wake = inf
        self._alarms = self._alarm  # made once, not for each deadline
        self.node: Brain = brain or Node(settings, rng, kernel.now)

    # -- what comes in --------------------------------------------------------------------------

    def call(self, method: Callable[..., list[Effect]], *arguments: object) -> None:
        """Call one of the node's methods (`now` is added) and carry out what comes of it."""
        self._carry_out(method(*arguments, self.kernel.now))

    def ask(
        self, ask: Ask, query: bytes, *, transport: Transport = "udp", address: bytes = LOCALHOST
    ) -> None:
        """A client asks; `query` is its message behind the id."""
        if not self.alive:
            return
        node, now = self.node, self.kernel.now
        ident = ask.ident.to_bytes(2, "big")
        tail = node.cached(query, transport, now)
        if tail is not None:
            ask.answer(ident + tail)
            return
        client = Client(transport, address, ask.client, ask.answer)
        self._carry_out(node.client_query(ident + query, client, now))

    def job_done(self, done: Result) -> None:
        """A slave reports."""
        if self.alive:
            self._carry_out(self.node.job_done(done, self.kernel.now))

    def hear(self, message: Message, peer: str) -> None:
        """A peer's message has passed the link."""
        if self.alive:
            self._carry_out(self.node.peer_message(message, peer, self.kernel.now))

    def stop(self) -> None:
        """It hears and says nothing any more."""
        self.alive = False

    # -- what goes out --------------------------------------------------------------------------

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, SendPeer):  # nine in ten
                self.surroundings.send(self, effect.peer, effect.message)
            elif isinstance(effect, Answer):
                effect.client.reply(effect.wire)
            elif isinstance(effect, SendJob):
                self._exchange(effect)
            else:
                self.surroundings.note(self, effect)
        due = self.node.next_timeout()
        if due is not None and due < self._wake:
            self._wake = max(due, self.kernel.now)
            self.kernel.at(due, self._alarms, self._wake)

    def _exchange(self, job: SendJob) -> None:
        kernel = self.kernel
        now = kernel.now
        name = self._book.asked(job.wire)
        self.surroundings.asks_nameserver(self, job.server, name, now)
        if job.flags & FLAG_TCP:
            TcpExchange(self, job, name)
            return
        reaction = self.servers[job.server](name, now)
        if reaction is None or reaction[0] > job.timeout_s:
            delay, reply = job.timeout_s, TIMEOUT
        else:
            delay, reply = reaction
        kernel.at(now + delay, self.job_done, result(job.job, reply, delay))

    def _alarm(self, wake: float) -> None:
        """The timer: of all that were set only the last counts."""
        if wake != self._wake or not self.alive:
            return
        self._wake = inf
        node, now = self.node, self.kernel.now
        due = node.next_timeout()
        if due is not None and due > now:  # what it was set for is over
            self._wake = due
            self.kernel.at(due, self._alarms, due)
            return
        self._carry_out(node.handle_timeout(now))


class TcpExchange:
    """A job over TCP: what is lost on the way is sent again by the kernel."""

    __slots__ = ("_answered", "_ended", "_host", "_job", "_name", "_sent")

    def __init__(self, host: Host, job: SendJob, name: Name) -> None:
        self._host = host
        self._job = job
        self._name = name
        self._sent = now = host.kernel.now
        self._answered = self._ended = False
        for after in TCP_TRIES_S:
            if after < job.timeout_s:
                host.kernel.at(now + after, self._try)
        host.kernel.at(now + job.timeout_s, self._end, TIMEOUT)

    def _try(self, _: object) -> None:
        host = self._host
        if self._answered or not host.alive:
            return
        reaction = host.servers[self._job.server](self._name, host.kernel.now)
        if reaction is not None:
            self._answered = True
            host.kernel.at(host.kernel.now + reaction[0], self._end, reaction[1])

    def _end(self, reply: Reply) -> None:
        if not self._ended:
            self._ended = True
            host = self._host
            host.job_done(result(self._job.job, reply, host.kernel.now - self._sent))
