"""Stale answers (RFC 8767): what may be served after it expired, and what it looks like then.

With a stale entry at hand the first client waits at most 1.8 s for its refresh (`core.resolver`).
A refresh that failed or took longer marks the entry: for 30 s it is served at once without asking
again; in the 30 s after that a hit is still served at once and starts the next refresh. So a name
in use costs one client 1.8 s an outage, not one every 30 s.
"""

from typing import Final

from codns.core.cache import Entry
from codns.core.model import Client
from codns.wire import const
from codns.wire.ageing import capped
from codns.wire.build import answer
from codns.wire.query import Query

WAIT_S: Final = 1.8  # RFC 8767 5: the client response timer
RECHECK_S: Final = 30.0  # RFC 8767 5: the failure recheck timer
WINDOW_S: Final = 60.0  # two of them: see above
TTL_S: Final = 30  # RFC 8767 4: recommended TTL of a stale answer


def mark(entry: Entry, now: float) -> None:
    """A refresh failed or took too long."""
    entry.refreshing = False
    entry.recheck = now + RECHECK_S
    entry.stale_until = now + WINDOW_S


def stale_body(entry: Entry) -> bytes:
    """Return the records of an expired entry, with the TTLs they have now (RFC 8767 4)."""
    return capped(entry.body, entry.offsets, TTL_S)


def stale_answer(query: Query, client: Client, entry: Entry, body: bytes) -> bytes:
    """Build an answer from an expired entry and its `stale_body`."""
    rcode, ad, ancount, nscount, _, _ = entry.meta
    negative = rcode == const.NXDOMAIN
    return answer(
        query,
        rcode=rcode,
        ad=ad and (query.do or query.ad),
        ancount=ancount,
        nscount=nscount,
        body=body,
        size_max=query.size if client.transport == "udp" else const.MESSAGE_SIZE_MAX,
        ede=const.EDE_STALE_NXDOMAIN if negative else const.EDE_STALE,
    )
