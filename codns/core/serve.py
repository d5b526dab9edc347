"""A client's query: refused, answered here, answered from the cache, or handed to the resolver.

The order is RULES 1's: what is no query, what is not ours, the fresh cache, names that never leave
this node, a stale entry that may be given at once, a failure that is remembered; and only then a
lookup.
"""

from codns.core.cache import Entry
from codns.core.keys import any_key
from codns.core.loopcheck import LoopCheck
from codns.core.model import Answer, Client
from codns.core.resolver import LIFE_S, Resolver
from codns.core.special import Special, special
from codns.core.stale import stale_answer, stale_body
from codns.core.state import State
from codns.wire import const
from codns.wire.ageing import aged
from codns.wire.build import answer, error_reply, plain_answer
from codns.wire.errors import WireError
from codns.wire.query import Query, parse_query

_REFUSALS = {
    const.FORMERR: "formerr",
    const.NOTIMP: "notimp",
    const.REFUSED: "refused",
    const.BADVERS: "badvers",
}
_TC = const.TC >> 8  # in the third octet
_UNUSUAL = frozenset((const.HINFO, const.ANY))
_new = tuple.__new__  # half of what calling the class costs


class Front:
    """Where clients' queries come in."""

    __slots__ = ("_loops", "_resolver", "_state")

    def __init__(self, state: State, resolver: Resolver, loops: LoopCheck) -> None:
        self._state = state
        self._resolver = resolver
        self._loops = loops

    def query(self, wire: bytes, client: Client, now: float) -> None:
        """Take one message from a client; effects go to `state.out`."""
        state, fleet = self._state, self._resolver.fleet
        try:
            query = parse_query(wire)
        except WireError as error:
            self._refuse(wire, client, error)
            return
        key = query.key
        if query.qtype in _UNUSUAL:
            if query.qtype == const.HINFO and self._looped(query, client):
                return
            if query.qtype == const.ANY and client.transport == "udp":
                key = any_key(key)
        found = special(query)
        if found is not None:
            self._special(query, client, found)
            return
        entry = state.cache.find(key, now) if query.ecs is None else None
        if entry is not None and now < entry.expires:
            self._fresh(wire, query, client, entry, now)
            return
        state.stats.missed[query.qtype if query.qtype <= 0xFF else 0] += 1
        if not query.rd:  # RULES 1.3: never upstream, never stale
            state.stats.refusals["rd0"] += 1
            state.reply(client, query, const.REFUSED, const.EDE_NOT_AUTHORITATIVE)
            return
        if entry is not None:
            if now >= entry.expires + state.cache.stale_s:
                entry = None
            elif now < entry.stale_until or (fleet is not None and fleet.helpless(key, now)):
                self._stale(query, client, entry, now)
                return
        failed = False
        if entry is None and len(state.failures) and query.ecs is None:
            rcode = state.failures.get(key, now)
            if rcode is not None:
                if fleet is None:
                    state.reply(client, query, rcode, const.EDE_CACHED_ERROR)
                    return
                failed = True  # peers may know better (RULES 3.5)
        self._resolver.ask(query, key, client, entry, now, failed=failed)

    def _refuse(self, wire: bytes, client: Client, error: WireError) -> None:
        state = self._state
        if error.rcode is None:
            state.stats.drops["malformed" if len(wire) < const.HEADER_SIZE else "response"] += 1
            return
        state.stats.refusals[_REFUSALS[error.rcode]] += 1
        state.stats.rcodes["error"][error.rcode] += 1
        state.out.append(Answer(client, error_reply(wire, error.rcode)))

    def _fresh(self, wire: bytes, query: Query, client: Client, entry: Entry, now: float) -> None:
        state, cache, transport = self._state, self._state.cache, client.transport
        rcode, ad, ancount, nscount, negative, _ = entry.meta
        age = int(now - entry.expires + entry.ttl)
        size_max = query.size if transport == "udp" else const.MESSAGE_SIZE_MAX
        body = entry.body
        if age and len(body) < size_max:  # else it leaves as TC, and 1,024 TTLs take 0.3 ms
            body = aged(body, entry.offsets, age)
        ad = ad and (query.do or query.ad)
        reply = plain_answer(query, rcode, ad, ancount, nscount, body, size_max)
        if entry.hits and query.rd and cache.wants_refresh(entry, now):
            state.stats.cache_prefetches += self._resolver.refresh(entry, now)
        if entry.recheck < 0.0 and query.rd:  # a peer's, of an outage that is over
            entry.recheck = 0.0
            self._resolver.refresh(entry, now)
        cache.touch(entry)
        counter = state.stats.hit_counter(transport, query.qtype, rcode, negative)
        counter.n += 1
        if query.plain and not reply[2] & _TC:  # what was cut holds no TTLs to age
            cache.remember(transport, wire, reply, entry, now, counter)
        state.out.append(_new(Answer, (client, reply)))

    def _special(self, query: Query, client: Client, found: Special) -> None:
        state = self._state
        state.stats.rcodes["special"][found.rcode & const.RCODE] += 1
        state.stats.missed[query.qtype if query.qtype <= 0xFF else 0] += 1
        reply = answer(
            query,
            rcode=found.rcode,
            ad=False,
            ancount=found.ancount,
            nscount=found.nscount,
            body=found.body,
            size_max=query.size if client.transport == "udp" else const.MESSAGE_SIZE_MAX,
        )
        state.out.append(Answer(client, reply))

    def _stale(self, query: Query, client: Client, entry: Entry, now: float) -> None:
        """Serve it at once; after the failed refresh's 30 s this hit starts the next one."""
        state = self._state
        if now >= entry.recheck and not entry.refreshing:
            entry.stale_until = max(entry.stale_until, now + LIFE_S)  # till that one has ended
            self._resolver.refresh(entry, now, raced=True)
        state.stats.rcodes["stale"][entry.meta.rcode & const.RCODE] += 1
        state.stats.duration["stale"].add(client.waited)
        wire = stale_answer(query, client, entry, stale_body(entry))
        state.out.append(Answer(client, wire))

    def _looped(self, query: Query, client: Client) -> bool:
        """Our own loop check came back to us (RULES 10.2): ends here."""
        if not self._loops.seen(query.name):
            return False
        self._state.stats.refusals["loop"] += 1
        self._state.reply(client, query, const.REFUSED, const.EDE_OTHER)
        return True
