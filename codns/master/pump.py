"""The hot loop: UDP sockets, peers' too, slaves' channels and the node's timer, in one trio task.

trio's scheduler costs 30 us a wake-up. At 50,000 queries a second, two or three datagrams would
wait at each, and most of the time would go to the scheduler. So these descriptors sit in an epoll
of their own. trio waits for *that* one; once woken, the pump goes on by itself as long as there is
plenty to do, and returns to trio after `TURN_S` at the latest, so that TCP, signals and everything
else wait no longer than that. In return it has a round after each `TURN_S` of theirs
(`interlude`).

An exception of the node is a mistake of ours that some message brought to light. It costs that
message and an error in the log, not the service: whoever can send one such message could else
stop all nodes, one after the other.
"""

import select
import traceback
from collections.abc import Callable, Sequence
from math import inf
from typing import Final

import trio

from codns.core.model import Answer, Client, Effect, Note, SendJob, SendPeer
from codns.core.node import Node
from codns.master.backlog import Backlog
from codns.master.interlude import Interlude
from codns.master.peerlink import PeerLink
from codns.master.pool import Pool
from codns.master.udp import UdpListener
from codns.wire.batch import Result

TURN_S: Final = 0.002  # trio's other tasks wait this long at most, and make us wait so long
BUSY: Final = 4  # so many datagrams in one round: more are likely within the next moment
LAST_ROUNDS: Final = 256  # at the end: 16,384 datagrams, more than a socket's buffer holds
LINGER_S: Final = 0.001  # the shortest wait epoll has
CALLS_MAX: Final = 8  # shown of an internal error: from the message's arrival to the mistake

Log = Callable[[str, str, dict[str, object]], None]


class Pump:
    """Moves messages between sockets, slaves and the node."""

    def __init__(self, node: Node, pool: Pool, log: Log) -> None:
        self._node = node
        self._pool = pool
        self._log = log
        self.backlog = Backlog()  # of all listeners
        self._jobs: list[SendJob] = []
        self._listeners: dict[int, UdpListener] = {}
        self._peers: PeerLink | None = None
        self._local_waiting = False  # as the node was told last
        self._channels: list[int] = []
        self._epoll = select.epoll()
        self._scope = trio.CancelScope()
        self._in_turn = False
        self._served_at = -inf
        pool.on_change = self.channels_changed

    def listen(self, listeners: Sequence[UdpListener]) -> None:
        """Serve these from now on."""
        for listener in listeners:
            self._listeners[listener.fileno] = listener
            self._epoll.register(listener.fileno, select.EPOLLIN)

    def join(self, peers: PeerLink) -> None:
        """Serve the peer link from now on."""
        self._peers = peers
        self._epoll.register(peers.fileno, select.EPOLLIN)

    def mute(self) -> None:
        """Take no more queries than have arrived; answers to those in flight still leave.

        Peers are served to the end: their answers may be what those in flight wait for.
        """
        for fileno, listener in self._listeners.items():
            self._epoll.unregister(fileno)
            self._in_turn = True
            for _ in range(LAST_ROUNDS):
                if not listener.serve(trio.current_time()):
                    break
                listener.flush()
            while self._take_waiting(trio.current_time()):
                pass
            self._in_turn = False
        self.flush()

    def query(self, wire: bytes, client: Client, now: float) -> None:
        """Take a client's query that the exact cache does not know."""
        try:
            effects = self._node.client_query(wire, client, now)
        except Exception as error:  # noqa: BLE001 - see above
            self._fault("a client's query", error)
            return
        if effects:
            self.apply(effects)

    def channels_changed(self) -> None:
        """The pool's descriptors are others now."""
        for fileno in self._channels:
            try:
                self._epoll.unregister(fileno)
            except (OSError, ValueError):
                continue  # closed: it left the epoll by itself
        self._channels = self._pool.filenos()
        for fileno in self._channels:
            self._epoll.register(fileno, select.EPOLLIN)

    def results(self, results: list[Result]) -> None:
        """Take what slaves report."""
        now = trio.current_time()
        job_done, apply = self._node.job_done, self.apply
        for result in results:
            try:
                effects = job_done(result, now)
            except Exception as error:  # noqa: BLE001 - see above
                self._fault("a slave's report", error)
                continue
            if effects:
                apply(effects)

    def apply(self, effects: list[Effect]) -> None:
        """Carry out effects, in or outside a turn (TCP, a reload)."""
        self._carry_out(effects)
        if not self._in_turn:
            self.flush()

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            kind = type(effect)
            if kind is Answer:
                effect.client.reply(effect.wire)  # type: ignore[union-attr]
            elif kind is SendJob:
                self._jobs.append(effect)  # type: ignore[arg-type]
            elif isinstance(effect, SendPeer):
                if self._peers is not None:
                    self._peers.send(effect.message, effect.peer, trio.current_time())
            elif isinstance(effect, Note):
                self._log(effect.level, effect.event, effect.fields)

    def flush(self) -> None:
        """Send what has gathered: jobs to a slave, answers to clients; set the timer."""
        if self._jobs:
            jobs, self._jobs = self._jobs, []
            self._pool.submit(jobs)
        if self._peers is not None:
            self._tell_waiting()
            self._peers.flush()
        for listener in self._listeners.values():
            listener.flush()
        due = self._node.next_timeout()
        if due is not None and due < self._scope.deadline:
            self._scope.deadline = due

    def _tell_waiting(self) -> None:
        """Tell the node when clients' jobs begin or cease to wait: peers have to stand back."""
        waiting = self._pool.waiting
        if waiting is not self._local_waiting:
            self._local_waiting = waiting
            self._carry_out(self._node.local_waiting(waiting, trio.current_time()))
            jobs, self._jobs = self._jobs, []
            self._pool.submit(jobs)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        interlude = Interlude(self.breathe, TURN_S)
        trio.lowlevel.add_instrument(interlude)
        task_status.started()
        try:
            await self._serve()
        finally:
            trio.lowlevel.remove_instrument(interlude)

    async def _serve(self) -> None:
        fileno = self._epoll.fileno()
        while True:
            due = self._node.next_timeout()
            with trio.CancelScope(deadline=inf if due is None else due) as self._scope:
                if self.backlog:
                    await trio.lowlevel.checkpoint()
                else:
                    await trio.lowlevel.wait_readable(fileno)
            self._in_turn = True
            try:
                self._turn()
            finally:
                self._in_turn = False

    def breathe(self) -> None:
        """Serve a round if there was none for `TURN_S`: for what takes long at a stretch.

        Nobody may be in the middle of a change when this is called.
        """
        if self._in_turn or trio.current_time() - self._served_at < TURN_S:
            return
        self._in_turn = True
        try:
            self._round(0.0)
        except Exception as error:  # noqa: BLE001 - trio would call us no more
            self._fault("a round between steps", error)
        finally:
            self._in_turn = False

    def _turn(self) -> None:
        """Handle what is ready, and what becomes ready while there is plenty."""
        until = trio.current_time() + TURN_S
        wait = 0.0
        while True:
            handled = self._round(wait)
            if self._served_at >= until or not handled:
                return
            wait = LINGER_S if handled >= BUSY and not self.backlog else 0.0

    def _round(self, wait: float) -> int:
        """Handle what is ready now, or within `wait`; returns how much there was."""
        clock, node = trio.current_time, self._node
        listeners, pool, peers = self._listeners, self._pool, self._peers
        handled = 0
        for fileno, _ in self._epoll.poll(wait):
            listener = listeners.get(fileno)
            if listener is not None:
                handled += listener.drain(clock())
            elif peers is not None and fileno == peers.fileno:
                handled += self._serve_peers(peers, clock())
            else:
                pool.on_readable(fileno)
                handled += 1
        now = clock()
        due = node.next_timeout()
        if due is not None and due <= now:
            self._time_out(now)
        handled += self._take_waiting(now)
        self.flush()
        self._served_at = clock()
        return handled

    def _take_waiting(self, now: float) -> int:
        """Take the next queries that wait; returns how many."""
        taken = self.backlog.take(now)
        for wire, client, at in taken:
            client.waited = now - at
            self.query(wire, client, now)
        return len(taken)

    def _serve_peers(self, peers: PeerLink, now: float) -> int:
        try:
            return peers.serve(now)
        except Exception as error:  # noqa: BLE001 - see above
            self._fault("a peer's message", error)
            return 1

    def _time_out(self, now: float) -> None:
        try:
            effects = self._node.handle_timeout(now)
        except Exception as error:  # noqa: BLE001 - see above
            self._fault("a deadline", error)
            return
        self.apply(effects)

    def _fault(self, what: str, error: Exception) -> None:
        """Tell where it happened. Not the exception's text: it may hold a client's question."""
        calls = traceback.extract_tb(error.__traceback__)[-CALLS_MAX:]
        at = " ".join(f"{call.filename.rpartition('/')[2]}:{call.lineno}" for call in calls)
        fields: dict[str, object] = {"in": what, "error": type(error).__name__, "at": at}
        self._log("error", "internal error, please report it", fields)
        self._node.mistaken(trio.current_time())
