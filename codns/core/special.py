"""Names answered here and nowhere else (RULES 1.4; RFC 6761, 7686, 9476, 9462).

`localhost` and below are this host (RFC 6761 6.3), `invalid`, `onion` and `alt` do not exist in
the DNS, the loopback addresses are called localhost, and `_dns.resolver.arpa` says that we offer
no encrypted transport. Nothing else: `example` or `test` are ordinary names for a forwarder.
"""

from typing import Final, NamedTuple

from codns.wire import const
from codns.wire.build import record, soa_rdata
from codns.wire.name import from_text, is_under
from codns.wire.query import Query

TTL_S: Final = 10_800  # RFC 6761 asks for nothing; three hours, as other resolvers give

_LOCALHOST: Final = from_text("localhost.")
_REVERSE: Final = frozenset(
    (from_text("1.0.0.127.in-addr.arpa."), from_text("1." + "0." * 31 + "ip6.arpa."))
)
_RESOLVER: Final = from_text("_dns.resolver.arpa.")
_ABSENT: Final = tuple(from_text(name) for name in ("invalid.", "onion.", "alt."))
_TAILS: Final = frozenset(
    name[-4:] for name in (_LOCALHOST, _RESOLVER, *_ABSENT, *sorted(_REVERSE))
)
_QNAME: Final = b"\xc0\x0c"  # a pointer to the question's name


class Special(NamedTuple):
    """What to answer: fields of `wire.build.answer`."""

    rcode: int
    ancount: int
    nscount: int
    body: bytes


def is_special(name: bytes) -> bool:
    """Say whether a lower-case name never leaves this node, and no peer is told of it."""
    if name[-4:] not in _TAILS:
        return False
    zones = (_LOCALHOST, _RESOLVER, *_ABSENT)
    return name in _REVERSE or any(is_under(name, zone) for zone in zones)


def special(query: Query) -> Special | None:
    """Return the answer to a name that never leaves this node, or None for an ordinary one."""
    name = query.name
    if name[-4:] not in _TAILS:  # the usual case, in one look-up
        return None
    if query.qclass != const.IN and is_under(name, _LOCALHOST):
        return _none(const.NOERROR, _LOCALHOST)
    if is_under(name, _LOCALHOST):
        if query.qtype in (const.A, const.ANY):
            return _one(const.A, b"\x7f\0\0\1")
        if query.qtype == const.AAAA:
            return _one(const.AAAA, bytes(15) + b"\1")
        return _none(const.NOERROR, _LOCALHOST)
    if name in _REVERSE:
        if query.qtype in (const.PTR, const.ANY):
            return _one(const.PTR, _LOCALHOST)
        return _none(const.NOERROR, name)
    if is_under(name, _RESOLVER):
        return _none(const.NOERROR, _RESOLVER)
    for zone in _ABSENT:
        if is_under(name, zone):
            return _none(const.NXDOMAIN, zone)
    return None


def _one(rtype: int, rdata: bytes) -> Special:
    return Special(const.NOERROR, 1, 0, record(_QNAME, rtype, TTL_S, rdata))


def _none(rcode: int, zone: bytes) -> Special:
    """A negative answer with a synthetic SOA, so that stubs may keep it (RFC 2308 5)."""
    rdata = soa_rdata(_LOCALHOST, from_text("nobody.invalid."), 1, 3600, 1200, 604_800, TTL_S)
    return Special(rcode, 0, 1, record(zone, const.SOA, TTL_S, rdata))
