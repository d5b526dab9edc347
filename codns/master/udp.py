"""The UDP listener: what happens to each datagram, in the order of RULES 1.1.

ACL, rate limit, the exact-bytes cache, then everything else. The loop of `serve` is the hottest
code of codns: a cached answer costs one slice, one dictionary look-up, one slice assignment over
the query it answers (its id stays where it is) and a share of two system calls. A rate limit that
is not configured costs one test for a batch.
"""

import socket
from collections.abc import Callable
from functools import partial
from typing import Final

from codns.core.model import Client
from codns.core.node import Node
from codns.master.acl import Acl
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
from codns.wire.const import NOERROR

_ADDRESS_V4: Final = slice(4, 8)  # of struct sockaddr_in
_ADDRESS_V6: Final = slice(8, 24)  # of struct sockaddr_in6
QUEUED_MAX: Final = 16_384  # answers waiting for `flush`: twice the clients that may wait

Query = Callable[[bytes, Client, float], None]


class UdpListener:
    """One UDP socket, its memory, and answers that wait to leave."""

    __slots__ = (
        "_batch",
        "_ipv6",
        "_queue",
        "_sock",
        "acl",
        "fileno",
        "limit",
        "node",
        "queries",
        "query",
    )

    def __init__(
        self, sock: socket.socket, node: Node, query: Query, acl: Acl, *, wildcard: bool
    ) -> None:
        self._ipv6 = sock.family == socket.AF_INET6
        self._sock = sock
        self.fileno = sock.fileno()
        self._batch = Batch(ipv6=self._ipv6, control=wildcard)
        self._queue: list[tuple[bytes, bytes]] = []
        self.node = node
        self.query = query
        self.acl = acl
        self.limit: RateLimit | None = None
        self.queries: QueryLog | None = None

    def serve(self, now: float) -> int:
        """Take what has arrived, at most `SLOTS` datagrams; returns how many there were."""
        batch = self._batch
        count = batch.receive(self.fileno)
        if not count:
            return 0
        fields, data, words, sizes = batch.fields, batch.data, batch.words, batch.sizes
        known, cached, ipv6 = self.node.exact_udp.get, self.node.cached, self._ipv6
        missed: list[int] = []
        allowed = -1  # the last IPv4 address that was: one client's queries come in a row
        each = ipv6 or self.limit is not None
        for slot in range(count):
            word = words[slot * NAME32 + 1]
            if (word != allowed or each) and not self._allows(slot, now):
                missed.append(slot)
                sizes[slot * 2 + 1] = 0
                continue
            allowed = word
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
                sizes[slot * 2 + 1] = size
                continue
            size = len(answer)
            data[start : start + size] = answer
            sizes[slot * 2 + 1] = size + 2
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
        self._missed(missed, now)
        return count

    def _allows(self, slot: int, now: float) -> bool:
        address, limit = self._address(slot), self.limit
        if not self.acl.allows(address):
            self.node.stats.drops["acl"] += 1
            return False
        if limit is None or limit.allows(address, "udp", now):
            return True
        self._limited(slot, limit)
        return False

    def _limited(self, slot: int, limit: RateLimit) -> None:
        batch, stats = self._batch, self.node.stats
        at = slot * SLOT_SIZE
        wire = bytes(batch.data[at : at + batch.fields[slot * H32 + LEN32]])
        answer = limit.over_udp(wire)
        if answer is None:
            stats.drops["rate"] += 1
            return
        stats.refused("rate", NOERROR)
        self._reply(batch.origin(slot), answer)

    def _address(self, slot: int) -> bytes:
        """The sender's address, out of its sockaddr_in or sockaddr_in6."""
        at = slot * NAME32
        return bytes(
            self._batch.words[at + 2 : at + 6]
            if self._ipv6
            else self._batch.words[at + 1 : at + 2]
        )

    def _missed(self, missed: list[int], now: float) -> None:
        """Hand what the exact level did not know to the node."""
        batch, query, fileno, reply = self._batch, self.query, self.fileno, self._reply
        sizes, fields, data, origin_of = batch.sizes, batch.fields, batch.data, batch.origin
        address = _ADDRESS_V6 if self._ipv6 else _ADDRESS_V4
        for slot in missed:
            size = sizes[slot * 2 + 1]
            if not size:
                continue  # not allowed, or too many
            if fields[slot * H32 + FLAGS32] & MSG_TRUNC:
                self.node.stats.drops["oversize"] += 1
                continue
            at = slot * SLOT_SIZE
            origin = origin_of(slot)
            client = Client("udp", origin[address], (fileno, origin), partial(reply, origin))
            if self.queries is not None:
                client = self.queries.watched(client, now)
            query(bytes(data[at : at + size]), client, now)

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
