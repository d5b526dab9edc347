"""What a peer's answer really holds: its records are read, what it says of them is not believed.

Whoever has the cluster's key can send any reply to a question it was asked. A slave has read what
a nameserver said before the master sees it (RULES 9.1); nobody has read this. So the reply becomes
the message it claims to be, behind our own question, and goes through the slave's own digest:

  1. how many records there are, where their TTLs stand, how long they hold and whether there is a
     SOA is found, not taken from the reply. Ageing writes at the offsets: a wrong one would have
     it change other bytes
  2. records off the question's chain are dropped, with a SOA of other than an ancestor; bytes
     behind the last record too
  3. `ttl` is the lesser of what it says and what its records say: it may be modest
  4. "malformed": the records cannot be read. "outcome": they, or the rcode, say another thing than
     the reply does (an answer without what was asked for, a denial with it). "soa": it denies, and
     the SOA it says it has is not there. Each is an attempt that failed, and one more query that
     this peer left unanswered (`core.peer_state`)

It is the same digest that made the reply at an honest peer, and what passed it once passes it
again, unchanged (a test holds it to that). So nobody who makes records - a domain's owner, say -
can make honest peers look like liars. RDATA passes byte for byte, as a nameserver's does.

Cost: 2 to 4 us for one to three records of the question's name, 13 for a denial, 0.3 ms for 4 KiB
and 1.5 ms for 12 parts at the worst (`python -m bench.parse_time`).
"""

import struct
from typing import Final

from codns.core.messages import QueryReply
from codns.wire import const
from codns.wire.digest import digest
from codns.wire.errors import WireError
from codns.wire.outcome import Outcome

_HEADER: Final = struct.Struct(">HHHHHH").pack
_FLAGS: Final = const.QR | const.RD | const.RA
_ANSWER: Final = Outcome.ANSWER
_NXDOMAIN: Final = Outcome.NXDOMAIN


def vetted(reply: QueryReply, key: bytes) -> QueryReply | str:
    """Return what `reply`, a usable one, says in truth to the question of `key` (a semantic key).

    If it is not fit to be used, return why not (of `stats.REJECTED`).
    """
    claimed, rcode = reply.outcome, reply.rcode
    if rcode != (const.NXDOMAIN if claimed is _NXDOMAIN else const.NOERROR):
        return "outcome"
    header = _HEADER(0, _FLAGS | rcode, 1, reply.ancount, reply.nscount, 0)
    message = header + key[:-1] + reply.body
    try:
        found = digest(message, message)
    except WireError:
        return "malformed"
    if found.outcome is not claimed and (found.outcome is _ANSWER or claimed is _ANSWER):
        return "outcome"
    if claimed is not _ANSWER and not found.soa:
        return "soa"
    return QueryReply(
        reply.id,
        reply.status,
        claimed,
        rcode,
        reply.ad,
        found.soa,
        min(reply.ttl, found.ttl),
        found.ancount,
        found.nscount,
        found.body,
        found.offsets,
    )
