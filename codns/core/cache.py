"""The cache: answers by meaning, and finished answers by the exact bytes of the query.

*Semantic level*: (lower-case qname, qtype, qclass, DO, CD) -> `Entry`: answer and authority
section as the nameserver sent them, with the positions of the TTL fields. NXDOMAIN is keyed by
name alone (RFC 2308 5), told from every question by a flag of its own.

*Exact level*: per transport, the query's bytes after the id -> `Exact`: the finished answer after
the id. A hit costs one dictionary look-up. Its TTLs are right until the next whole second of the
entry's age, then it is aged anew (`renew`): at most once a second an entry, not once a query.
Only plain queries come here (no OPT, or one without options): a random COOKIE must not fill it.
At most 8 an entry, and they die with it.

A TTL is served as original - floor(age), gone when age >= original (RULES 3.3); after that the
entry is *stale* for `stale_s` (RFC 8767). Who may see it then is `core.serve`'s business.

Eviction (RULES 3.8): what is stale first, oldest expiry first by the minute, then what was used
least recently; use is noted when an answer is built or aged, so at most once a second.
"""

from collections import OrderedDict
from heapq import heappop, heappush
from typing import Final, Literal, NamedTuple

from codns.core.model import Transport
from codns.core.stats import Counter, Stats
from codns.wire.ageing import aged

EXACT_MAX: Final = 8  # forms an entry: OPT or not, cases, transports; more is a game
EXACT_SIZE_MAX: Final = 1_300  # what UDP may carry; greater ones are rare, and dear to keep
EXACT_BYTES: Final = 250  # what a finished answer costs beside its bytes
ENTRY_BYTES: Final = 320  # what an entry costs beside its bytes, measured with 100,000 A answers
BYTES_PER_ENTRY: Final = 1024  # the byte limit is this times the entry limit: answers are ~100
BUCKET_S: Final = 60  # expiry is sorted by the minute: exact enough to evict by

KEY_NXDOMAIN: Final = 8  # flag of a key beside DO, CD and ANY over UDP: for every type

# Whose word it is: our own nameserver's; the same, its TTL raised by `min_ttl`; a peer's.
Origin = Literal["local", "raised", "peer"]


class Meta(NamedTuple):
    """What an answer is, but for its records. Few differ: entries share them."""

    rcode: int
    ad: bool
    ancount: int
    nscount: int
    negative: bool  # NXDOMAIN or NODATA, behind a CNAME too
    origin: Origin


class Entry:
    """One cached answer. Times in seconds on the node's clock; `ttl` as given by its records."""

    __slots__ = (
        "body",
        "exact",
        "expires",
        "hits",
        "key",
        "meta",
        "offsets",
        "recheck",
        "refreshing",
        "stale_until",
        "ttl",
    )

    def __init__(
        self, key: bytes, meta: Meta, body: bytes, offsets: bytes, ttl: int, now: float
    ) -> None:
        self.key = key
        self.meta = meta
        self.body = body
        self.offsets = offsets
        self.ttl = ttl
        self.expires = now + ttl
        self.exact: list[Exact] | None = None
        self.hits = 0
        self.refreshing = False
        self.stale_until = 0.0  # while now < this, it is served stale at once (RULES 3.6)
        self.recheck = 0.0  # no refresh of a stale entry before this

    @property
    def size(self) -> int:
        """What it counts for against the byte limit."""
        return len(self.body) + len(self.key) + ENTRY_BYTES


class Exact:
    """A finished answer (without its id) for the exact bytes of a query (without its id)."""

    __slots__ = ("count", "entry", "query", "tail", "transport", "until")

    def __init__(
        self,
        transport: Transport,
        query: bytes,
        tail: bytes,
        until: float,
        entry: Entry,
        count: Counter,
    ) -> None:
        self.transport = transport
        self.query = query
        self.tail = tail
        self.until = until
        self.entry = entry
        self.count = count

    @property
    def size(self) -> int:
        """What it counts for against the byte limit."""
        return len(self.query) + len(self.tail) + EXACT_BYTES


class Bucket:
    """The entries that expire in one minute; `dead` of them were removed and await compaction."""

    __slots__ = ("dead", "entries")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.dead = 0


def nxdomain_key(key: bytes) -> bytes:
    """Return the key under which NXDOMAIN for this key's name is kept."""
    return key[:-5] + b"\0\0" + key[-3:-1] + bytes((key[-1] | KEY_NXDOMAIN,))


class Cache:
    """Both levels, their limits and what leaves when one is reached."""

    __slots__ = (
        "_buckets",
        "_entries",
        "_minutes",
        "_named",
        "_stats",
        "bytes",
        "bytes_max",
        "entries_max",
        "exact",
        "prefetch",
        "stale_s",
    )

    def __init__(self, stats: Stats) -> None:
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._buckets: dict[int, Bucket] = {}
        self._minutes: list[int] = []  # heap of the keys of _buckets
        self._named = 0  # entries of NXDOMAIN: without any there is none to look for
        self._stats = stats
        self.exact: dict[Transport, dict[bytes, Exact]] = {"udp": {}, "tcp": {}}
        self.bytes = 0
        self.configure(entries=200_000, stale_s=86_400, prefetch=True)

    def configure(self, *, entries: int, stale_s: int, prefetch: bool) -> None:
        """Set the limits; what is over them leaves with the next store."""
        self.entries_max = entries
        self.bytes_max = entries * BYTES_PER_ENTRY
        self.stale_s = stale_s
        self.prefetch = prefetch

    def __len__(self) -> int:
        return len(self._entries)

    # -- the exact level ------------------------------------------------------------------------

    def renew(self, exact: Exact, now: float) -> bytes | None:
        """Age a finished answer whose second is over. None: the semantic level has to decide."""
        entry = exact.entry
        if now >= entry.expires or self.wants_refresh(entry, now):
            return None
        stored = entry.expires - entry.ttl
        age = int(now - stored)
        start = 10 + len(entry.key) - 1  # flags and counts, then the question: key less its flags
        end = start + len(entry.body)
        tail = exact.tail
        exact.tail = tail[:start] + aged(entry.body, entry.offsets, age) + tail[end:]
        exact.until = min(stored + age + 1, entry.expires)
        self._entries.move_to_end(entry.key)
        entry.hits += 1
        return exact.tail

    def remember(
        self,
        transport: Transport,
        query: bytes,
        answer: bytes,
        entry: Entry,
        now: float,
        count: Counter,
    ) -> None:
        """Put a finished answer into the exact level (both with their ids)."""
        tail = query[2:]
        table = self.exact[transport]
        stored = entry.expires - entry.ttl
        until = min(stored + int(now - stored) + 1, entry.expires)
        known = table.get(tail)
        if known is not None and known.entry is entry:
            known.tail, known.until = answer[2:], until
            return
        if len(answer) > EXACT_SIZE_MAX or self.bytes >= self.bytes_max:
            return
        if entry.exact is None:
            entry.exact = []
        elif len(entry.exact) >= EXACT_MAX:
            oldest = entry.exact.pop(0)
            self._forget_exact(oldest)
        exact = Exact(transport, tail, answer[2:], until, entry, count)
        entry.exact.append(exact)
        table[tail] = exact
        self.bytes += exact.size

    def _forget_exact(self, exact: Exact) -> None:
        table = self.exact[exact.transport]
        if table.get(exact.query) is exact:
            del table[exact.query]
        self.bytes -= exact.size

    # -- the semantic level ---------------------------------------------------------------------

    def find(self, key: bytes, now: float) -> Entry | None:
        """Return the entry that answers `key`, fresh or stale, or None."""
        entry = self._entries.get(key)
        if entry is not None and now < entry.expires:
            return entry
        named = self._entries.get(nxdomain_key(key)) if self._named else None
        if named is not None and (entry is None or now < named.expires):
            return named
        return entry

    def wants_refresh(self, entry: Entry, now: float) -> bool:
        """Say whether a hit now should start a prefetch (RULES 3.7)."""
        return (
            entry.hits >= 1  # this hit is the second
            and self.prefetch
            and not entry.refreshing
            and now >= entry.recheck
            and now >= entry.expires - entry.ttl / 10
        )

    def touch(self, entry: Entry) -> None:
        """Note that it was used."""
        entry.hits += 1
        self._entries.move_to_end(entry.key)

    def store(self, entry: Entry, now: float) -> None:
        """Keep an entry; it replaces what was known of the same question or name."""
        key, entries = entry.key, self._entries
        old = entries.get(key)
        if old is not None:
            self._remove(old)
        if self._named and entry.meta.rcode == 0:
            old = entries.get(nxdomain_key(key))
            if old is not None:  # the name exists now
                self._remove(old)
        entries[key] = entry
        if key[-1] & KEY_NXDOMAIN:
            self._named += 1
        self.bytes += len(entry.body) + len(key) + ENTRY_BYTES
        minute = int(entry.expires) // BUCKET_S
        bucket = self._buckets.get(minute)
        if bucket is None:
            bucket = self._buckets[minute] = Bucket()
            heappush(self._minutes, minute)
        bucket.entries.append(entry)
        if len(entries) > self.entries_max or self.bytes > self.bytes_max:
            self._evict(now, keep=entry)

    def drop_exact(self, entry: Entry) -> None:
        """Forget its finished answers: the next hit is to be seen by the semantic level."""
        for exact in entry.exact or ():
            self._forget_exact(exact)
        entry.exact = None

    def drop_other(self, key: bytes) -> None:
        """An NXDOMAIN came for the name: what was kept for the very question goes."""
        old = self._entries.get(key)
        if old is not None:
            self._remove(old)

    def drop(self, entry: Entry) -> None:
        """Remove it if it is still there."""
        if self._entries.get(entry.key) is entry:
            self._remove(entry)

    def _remove(self, entry: Entry) -> None:
        del self._entries[entry.key]
        if entry.key[-1] & KEY_NXDOMAIN:
            self._named -= 1
        self.bytes -= entry.size
        if entry.exact is not None:
            for exact in entry.exact:
                self._forget_exact(exact)
            entry.exact = None
        bucket = self._buckets.get(int(entry.expires) // BUCKET_S)
        if bucket is not None:
            bucket.dead += 1
            if bucket.dead > 64 and 2 * bucket.dead > len(bucket.entries):
                get = self._entries.get
                bucket.entries = [e for e in bucket.entries if get(e.key) is e]
                bucket.dead = 0

    def _evict(self, now: float, keep: Entry) -> None:
        while len(self._entries) > self.entries_max or self.bytes > self.bytes_max:
            entry = self._oldest_expired(now)
            if entry is None:
                entry = next(iter(self._entries.values()))
                if entry is keep:  # alone over the byte limit
                    return
            self._remove(entry)
            self._stats.cache_evictions += 1

    def _oldest_expired(self, now: float) -> Entry | None:
        while self._minutes and self._minutes[0] < int(now) // BUCKET_S:
            bucket = self._buckets[self._minutes[0]]
            while bucket.entries:
                entry = bucket.entries.pop()
                if self._entries.get(entry.key) is entry:
                    return entry
            del self._buckets[heappop(self._minutes)]
        return None

    def purge(self, now: float) -> int:
        """Remove what is too old to be served even stale; returns how many entries."""
        removed = 0
        limit = int(now - self.stale_s) // BUCKET_S
        while self._minutes and self._minutes[0] < limit:
            for entry in self._buckets.pop(heappop(self._minutes)).entries:
                if self._entries.get(entry.key) is entry:
                    self._remove(entry)
                    removed += 1
        return removed

    def flush(self) -> int:
        """Forget everything; returns how many entries there were."""
        count = len(self._entries)
        for entry in self._entries.values():
            entry.exact = None  # they name each other: nobody collects cycles here
        self._entries.clear()
        self._buckets.clear()
        self._minutes.clear()
        self._named = 0
        for table in self.exact.values():
            table.clear()
        self.bytes = 0
        return count
