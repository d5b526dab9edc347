"""The query log: a share of the queries, a line each, for whoever asked for it (`log.queries`).

A query's line is written when its answer leaves, from the answer: it has the question in it. Off,
it costs the hot loop one test for each batch of datagrams. On, every line costs 30 us of the event
loop and the reader of standard error may be slow, so at most 100 a second are written, whatever
the share; the next line says how many were left out.
"""

import random
import socket
from collections.abc import Callable
from typing import Final

from codns.core.model import Client
from codns.wire.const import HEADER_SIZE
from codns.wire.errors import WireError
from codns.wire.name import read_name, to_text
from codns.wire.text import qtype_text, rcode_text

LINES_MAX: Final = 100  # a second: 3 ms of the loop in all
_SECOND: Final = 1.0

Log = Callable[[str, str, dict[str, object]], None]


class QueryLog:
    """Decides which queries get a line, and writes it. `clock` as the node's."""

    def __init__(
        self, log: Log, share: float, rng: random.Random, clock: Callable[[], float]
    ) -> None:
        self.share = share
        self.omitted = 0  # of those that were to be written
        self._log = log
        self._rng = rng
        self._clock = clock
        self._second = clock()
        self._written = 0
        self._told = 0  # of `omitted`

    def wanted(self) -> bool:
        """Say whether the next query gets a line."""
        return self._rng.random() < self.share

    def watched(self, client: Client, now: float) -> Client:
        """Return the client, or one like it whose answer gets a line when it leaves."""
        if not self.wanted():
            return client

        def reply(message: bytes) -> None:
            self.answered(message, client.transport, client.address, self._clock() - now)
            client.reply(message)

        return Client(client.transport, client.address, client.key, reply)

    def answered(self, message: bytes, transport: str, address: bytes, took_s: float) -> None:
        """An answer leaves, `took_s` after its query came."""
        if not self._may_write():
            self.omitted += 1
            return
        try:
            name, end = read_name(message, HEADER_SIZE)
        except WireError:  # the answer to what was no question
            name, end = b"\0", len(message)
        fields: dict[str, object] = {
            "name": to_text(name),
            "type": qtype_text(int.from_bytes(message[end : end + 2], "big")),
            "client": _address_text(address),
            "transport": transport,
            "rcode": rcode_text(message[3] & 0xF),
            "ms": round(1000 * took_s, 3),
        }
        if self.omitted > self._told:
            fields["omitted"] = self.omitted - self._told
            self._told = self.omitted
        self._log("info", "query", fields)

    def _may_write(self) -> bool:
        now = self._clock()
        if now - self._second >= _SECOND:
            self._second, self._written = now, 0
        self._written += 1
        return self._written <= LINES_MAX


def _address_text(packed: bytes) -> str:
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, packed)
