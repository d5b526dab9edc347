"""A limit on what one client may ask (RULES 1.1), a token bucket each; off unless configured.

Asked after the ACL and before all else, cached answers included: what it protects is this process
(a program in a loop) and, over UDP, whoever owns an address of `allow` that somebody forges.

  client     an IPv4 address, an IPv6 /64 (what one subscriber has; RRL and unbound count so),
             or shorter prefixes. UDP and TCP have a bucket each: a source that is forged over UDP
             must not use up what its owner may ask over TCP.
  bucket     full at first, `burst` tokens; a query takes one, `queries` a second come back. Kept
             as one number, the time at which it will be full (the generic cell rate algorithm of
             ATM): a bucket that is full is the same as none.
  over it    UDP: every second one is answered TC=1 without records, the others are dropped. TC=1
             sends a client to TCP, which nobody can ask in its name, and is never larger than the
             query (BIND's RRL calls this slip, 2 by default). A client that repeats its query
             once has it; a forger's traffic comes out halved. All of it dropped would be a way to
             silence a client by forging it; all of it answered would reflect as much as comes in.
             TCP: REFUSED. The address is the client's own, so it is told, and a silent drop would
             only hold its connection. REFUSED lets a stub go on to its next nameserver.
             Both are answered without being parsed, and responses (QR=1) are not answered.
  the table  two halves of 8,192 buckets. Who asks is in the young half; is that full, it becomes
             the old one, and what was in the old one and did not ask meanwhile is forgotten: its
             bucket is full again. So a newcomer is never locked out, however many there are, and
             a client over its limit that goes on asking stays in the table and over its limit.
             Who wants to free it has to ask from 8,192 other addresses of `allow` between two of
             its queries, and gains it one burst.
"""

from ipaddress import ip_network
from typing import Final

from codns.config.rules import burst_of
from codns.config.schema import RateSettings
from codns.core.model import Transport
from codns.master.acl import Acl
from codns.wire import const
from codns.wire.build import error_reply

BUCKETS_MAX: Final = 8192  # of a half: to free one half takes 0.3 ms, and all take some 3 MB
TELLS: Final = 2  # every second one over the limit is answered; see above
_UNPARSED: Final = (const.QR | const.OPCODE) >> 8  # in the third octet: neither may be set
_TC: Final = const.TC >> 8


class _Buckets:
    """The buckets of one transport: by client, when it will be full."""

    __slots__ = ("forgotten", "old", "young")

    def __init__(self) -> None:
        self.young: dict[bytes, float] = {}
        self.old: dict[bytes, float] = {}
        self.forgotten = 0

    def full_at(self, key: bytes) -> float:
        """Return when it will be full, and make it one of the young."""
        full_at = self.young.get(key)
        if full_at is not None:
            return full_at
        if len(self.young) >= BUCKETS_MAX:
            self.forgotten += len(self.old)
            self.old, self.young = self.young, {}
        return self.old.pop(key, 0.0)


class RateLimit:
    """`queries` a second and `burst` at once for a client; `exempt` ones are not limited.

    `now` is in seconds on any clock that does not go backwards from 0.
    """

    __slots__ = ("_buckets", "_cost_s", "_exempt", "_prefixes", "_room_s", "_turn")

    def __init__(
        self,
        queries: int,
        burst: int,
        *,
        ipv4_prefix: int = 32,
        ipv6_prefix: int = 64,
        exempt: Acl | None = None,
    ) -> None:
        self._cost_s = 1 / queries
        self._room_s = (burst - 0.9) / queries  # not 1, as sums of fractions are not exact
        self._prefixes = {4: ipv4_prefix, 16: ipv6_prefix}
        self._exempt = exempt
        self._buckets: dict[Transport, _Buckets] = {"udp": _Buckets(), "tcp": _Buckets()}
        self._turn = 0

    @property
    def clients(self) -> int:
        """How many buckets there are."""
        return sum(len(b.young) + len(b.old) for b in self._buckets.values())

    @property
    def forgotten(self) -> int:
        """How many were forgotten for lack of room."""
        return sum(b.forgotten for b in self._buckets.values())

    def allows(self, address: bytes, transport: Transport, now: float) -> bool:
        """Take a token for a query of this address (4 or 16 bytes); False if there is none."""
        if self._exempt is not None and self._exempt.allows(address):
            return True
        key = prefix(address, self._prefixes[len(address)])
        buckets = self._buckets[transport]
        full_at = max(buckets.full_at(key), now)
        allowed = full_at - now < self._room_s
        buckets.young[key] = full_at + self._cost_s if allowed else full_at
        return allowed

    def over_udp(self, wire: bytes) -> bytes | None:
        """Return the answer to a datagram that is over the limit: TC=1, or None for silence."""
        self._turn = (self._turn + 1) % TELLS
        return None if self._turn else truncated(wire)


def limit_of(settings: RateSettings) -> RateLimit | None:
    """Return the limit that is configured, with full buckets; None for none."""
    if settings.queries is None:
        return None
    return RateLimit(
        settings.queries,
        burst_of(settings),
        ipv4_prefix=settings.ipv4_prefix,
        ipv6_prefix=settings.ipv6_prefix,
        exempt=Acl(map(ip_network, settings.exempt)) if settings.exempt else None,
    )


def prefix(address: bytes, bits: int) -> bytes:
    """Return the first bits of an address, as few bytes as they need."""
    whole, more = divmod(bits, 8)
    if not more:
        return address[:whole]
    return address[:whole] + bytes((address[whole] >> (8 - more),))


def truncated(wire: bytes) -> bytes | None:
    """Return "ask over TCP" to a query, not larger than it; None if there is no question in it.

    Nothing is answered that is a response: two servers could keep each other busy for ever.
    """
    if len(wire) < const.HEADER_SIZE or wire[2] & _UNPARSED:
        return None
    reply = error_reply(wire, const.NOERROR)
    if reply[5] == 0:  # QDCOUNT: it could not be read
        return None
    return reply[:2] + bytes((reply[2] | _TC,)) + reply[3:]
