"""The UDP listener: what happens to each datagram, in the order of RULES 1.1.

ACL, rate limit, the exact-bytes cache, then everything else, which waits in `backlog`. The loop
of `serve` is the hottest code of codns: a cached answer costs one slice, one dictionary look-up,
one slice assignment over the query it answers (its id stays where it is) and a share of two system
calls. A rate limit that is not configured costs one test for a batch.
"""

import socket
import struct
from collections.abc import Callable
from functools import partial
from typing import Final

from codns.core.model import Client
from codns.core.node import Node
from codns.master.acl import VERDICTS_MAX, Acl
from codns.master.backlog import DRAINED, Backlog
from codns.master.mmsg import (
    FLAGS32,
    H32,
    LEN32,
    MSG_TRUNC,
    NAME32,
    SLOT_SIZE,
    SLOTS,
    Batch,
)
from codns.master.querylog import QueryLog
from codns.master.ratelimit import RateLimit
from codns.wire import const
from codns.wire.shed import shed_reply, shed_tail

_ADDRESS_V4: Final = slice(4, 8)  # of struct sockaddr_in
_ADDRESS_V6: Final = slice(8, 24)  # of struct sockaddr_in6
_SO_MEMINFO: Final = 55  # asm-generic/socket.h, nine 32-bit words; the socket module lacks it
_MEMINFO: Final = struct.Struct("=9I")
_DROPS: Final = 8  # SK_MEMINFO_DROPS
QUEUED_MAX: Final = 16_384  # answers waiting for `flush`: twice the clients that may wait

Query = Callable[[bytes, Client, float], None]


class UdpListener:
    """One UDP socket, its memory, and answers that wait to leave."""

    __slots__ = (
        "_acl",
        "_admitted",
        "_backlog",
        "_batch",
        "_ipv6",
        "_queue",
        "_sock",
        "fileno",
        "limit",
        "node",
        "queries",
        "query",
    )

    def __init__(
        self,
        sock: socket.socket,
        node: Node,
        query: Query,
        backlog: Backlog,
        acl: Acl,
        *,
        wildcard: bool,
    ) -> None:
        """`query` takes what the cache knows by meaning, `backlog` what it does not know."""
        self._ipv6 = sock.family == socket.AF_INET6
        self._sock = sock
        self.fileno = sock.fileno()
        self._batch = Batch(ipv6=self._ipv6, control=wildcard)
        self._queue: list[tuple[bytes, bytes]] = []
        self._backlog = backlog
        self.node = node
        self.query = query
        self._acl = acl
        self._admitted: set[int] = set()  # IPv4 addresses of those that were, as `words` has them
        self.limit: RateLimit | None = None
        self.queries: QueryLog | None = None

    @property
    def acl(self) -> Acl:
        """Who may ask."""
        return self._acl

    @acl.setter
    def acl(self, acl: Acl) -> None:
        self._acl = acl
        self._admitted.clear()

    def drain(self, now: float) -> int:
        """Take what has arrived, up to `DRAINED` datagrams; returns how many there were."""
        total = count = self.serve(now)
        while count == SLOTS and total < DRAINED:
            count = self.serve(now)
            total += count
        return total

    def serve(self, now: float) -> int:
        """Take what has arrived, at most `SLOTS` datagrams; returns how many there were."""
        batch = self._batch
        count = batch.receive(self.fileno)
        if not count:
            return 0
        fields, data, words, sizes = batch.fields, batch.data, batch.words, batch.sizes
        known, cached, ipv6 = self.node.exact_udp.get, self.node.cached, self._ipv6
        missed: list[int] = []
        tails: list[bytes] = []  # of those, in the same order
        admitted = self._admitted
        each = ipv6 or self.limit is not None
        for slot in range(count):
            word = words[slot * NAME32 + 1]
            if (each or word not in admitted) and not self._allows(slot, now):
                missed.append(slot)
                tails.append(b"")
                continue
            start = slot * SLOT_SIZE + 2
            size = fields[slot * H32 + LEN32]
            tail = bytes(data[start : start + size - 2])
            exact = known(tail)
            if exact is not None and now < exact.until:  # `Node.cached`, without the call
                exact.count.n += 1
                answer: bytes | None = exact.tail
            else:
                answer = cached(tail, "udp", now) if exact is not None else None
            if answer is None:
                missed.append(slot)
                tails.append(tail)
                continue
            size = len(answer)
            data[start : start + size] = answer
            sizes[slot * 2 + 1] = size + 2
        if missed and self._backlog.sheds(now):
            missed, tails = self._shed(missed, tails, now)
        stats = self.node.stats
        stats.queries["udp"] += count
        if ipv6:
            stats.queries_ipv6["udp"] += count
        if self.queries is not None:
            self._log_hits(self.queries, set(range(count)) - set(missed))
        if not missed:
            self._sent(batch.send(self.fileno, count))
            return count
        if len(missed) < count:
            self._sent(batch.send_but(self.fileno, count, missed))
        self._missed(missed, tails, now)
        return count

    def _allows(self, slot: int, now: float) -> bool:
        address, limit = self._address(slot), self.limit
        if not self._acl.allows(address):
            self.node.stats.drops["acl"] += 1
            return False
        if limit is not None:
            if limit.allows(address, "udp", now):
                return True
            self._limited(slot, limit)
            return False
        if not self._ipv6:
            if len(self._admitted) >= VERDICTS_MAX:
                self._admitted.clear()
            self._admitted.add(self._batch.words[slot * NAME32 + 1])
        return True

    def _limited(self, slot: int, limit: RateLimit) -> None:
        batch, stats = self._batch, self.node.stats
        at = slot * SLOT_SIZE
        wire = bytes(batch.data[at : at + batch.fields[slot * H32 + LEN32]])
        answer = limit.over_udp(wire)
        if answer is None:
            stats.drops["rate"] += 1
            return
        stats.refused("rate", const.NOERROR)
        self._reply(batch.origin(slot), answer)

    def _address(self, slot: int) -> bytes:
        """The sender's address, out of its sockaddr_in or sockaddr_in6."""
        at = slot * NAME32
        return bytes(
            self._batch.words[at + 2 : at + 6]
            if self._ipv6
            else self._batch.words[at + 1 : at + 2]
        )

    def _shed(
        self, missed: list[int], tails: list[bytes], now: float
    ) -> tuple[list[int], list[bytes]]:
        """There is no time for these, but for what the cache knows by meaning.

        Returns those slots in which there is no answer now, and what is still to be done of them:
        the query's bytes as before, or none.
        """
        node, backlog, data = self.node, self._backlog, self._batch.data
        known, sizes, stats = node.known, self._batch.sizes, node.stats
        room = backlog.room_to_tell if node.tells else 0
        kept: list[int] = []
        rest: list[bytes] = []
        told = dropped = 0
        for slot, tail in zip(missed, tails, strict=True):
            if len(tail) < const.HEADER_SIZE or known(tail, now):
                kept.append(slot)
                rest.append(tail)
                continue
            if told < room:
                start = slot * SLOT_SIZE + 2
                answer = shed_tail(tail) or shed_reply(tail)
                if answer:
                    size = len(answer)
                    data[start : start + size] = answer
                    sizes[slot * 2 + 1] = size + 2
                    told += 1
                    continue
            kept.append(slot)
            rest.append(b"")
            dropped += 1
        backlog.room_to_tell -= told
        stats.refusals["backlog"] += told
        stats.rcodes["error"][const.SERVFAIL] += told
        stats.drops["backlog"] += dropped
        return kept, rest

    def _missed(self, missed: list[int], tails: list[bytes], now: float) -> None:
        """Let what the exact level did not know wait for the node; not what it will know."""
        batch, fileno, reply = self._batch, self.fileno, self._reply
        backlog, known = self._backlog, self.node.known
        behind = len(backlog) > 0
        fields, data, origin_of = batch.fields, batch.data, batch.origin
        address = _ADDRESS_V6 if self._ipv6 else _ADDRESS_V4
        for slot, tail in zip(missed, tails, strict=True):
            if not tail:
                continue  # not allowed, too many, or shed
            if fields[slot * H32 + FLAGS32] & MSG_TRUNC:
                self.node.stats.drops["oversize"] += 1
                continue
            at = slot * SLOT_SIZE
            origin = origin_of(slot)
            client = Client("udp", origin[address], (fileno, origin), partial(reply, origin))
            if self.queries is not None:
                client = self.queries.watched(client, now)
            wire = bytes(data[at : at + 2]) + tail
            if behind and known(tail, now):
                self.query(wire, client, now)
            else:
                backlog.add(wire, client, now)

    def kernel_drops(self) -> int:
        """Return how many datagrams the kernel had no room for, as this socket's buffer was full.

        It counts in 32 bits: a counter that wraps, as if codns had been started anew.
        """
        told = self._sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        return int(_MEMINFO.unpack(told)[_DROPS])

    def _log_hits(self, queries: QueryLog, hits: set[int]) -> None:
        data, sizes = self._batch.data, self._batch.sizes
        for slot in sorted(hits):
            if queries.wanted():
                at = slot * SLOT_SIZE
                answer = bytes(data[at : at + sizes[slot * 2 + 1]])
                queries.answered(answer, "udp", self._address(slot), 0.0)

    def _reply(self, origin: bytes, message: bytes) -> None:
        if len(self._queue) >= QUEUED_MAX:
            self.node.stats.drops["send"] += 1
            return
        self._queue.append((origin, message))

    def flush(self) -> None:
        """Send the answers that wait."""
        queue = self._queue
        if not queue:
            return
        self._queue = []
        batch = self._batch
        stage = batch.stage
        slot = 0
        for origin, message in queue:
            if slot == SLOTS:
                self._sent(batch.send(self.fileno, SLOTS))
                slot = 0
            stage(slot, origin, message)
            slot += 1
        self._sent(batch.send(self.fileno, slot))

    def _sent(self, lost: int) -> None:
        if lost:
            self.node.stats.drops["send"] += lost
