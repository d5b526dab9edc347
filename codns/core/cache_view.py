"""Looking into the cache, and taking things out of it, a little at a time.

A cache of 200,000 entries cannot be listed or searched in one go: that would be a tenth of a
second in which nobody is answered. So everything here is a generator that looks at a few entries
between two `yield`s, while queries go on and the cache changes.

Entries are walked by the minute in which they expire. A minute's list grows and shrinks at its end
or is replaced as a whole, so a position in the list at hand stays good. What is there from the
first step to the last is seen once; what comes or goes meanwhile may be seen or not.

Flushing takes each minute's list out of the cache, puts back what stays and drops what goes:
removing half of a large list entry by entry would make the cache compact it in one go.
"""

from collections.abc import Callable, Iterator
from typing import Final

from codns.core.cache import Bucket, Cache, Entry, nxdomain_key
from codns.core.failures import Failures
from codns.wire import const
from codns.wire.ageing import aged
from codns.wire.name import is_under, to_text

SLICE: Final = 256  # entries looked at in one go: 0.1 ms; taken out: 0.5 ms
ROWS: Final = 64  # rows made in one go: 0.5 ms

Row = dict[str, object]
Clock = Callable[[], float]

_DO: Final = 1
_CD: Final = 2


def walk(cache: Cache) -> Iterator[list[Entry]]:
    """Yield every entry, at most `ROWS` at a time and often none."""
    for minute in sorted(cache._minutes):
        bucket = cache._buckets.get(minute)
        entries = bucket.entries if bucket is not None else []
        position = 0
        while position < len(entries):
            part = entries[position : position + ROWS]
            position += len(part)
            yield [entry for entry in part if cache._entries.get(entry.key) is entry]


def dump(cache: Cache, clock: Clock) -> Iterator[list[Row]]:
    """Yield a row for every entry, some at a time. `clock` is the node's time."""
    for entries in walk(cache):
        now = clock()
        yield [row(cache, entry, now) for entry in entries]


def lookup(cache: Cache, name: bytes, clock: Clock) -> Iterator[list[Row]]:
    """Yield rows for what is kept of a lower-case wire name, of whatever type."""
    entries, size = cache._entries, len(name) + 5
    for minute in sorted(cache._minutes):
        bucket = cache._buckets.get(minute)
        listed = bucket.entries if bucket is not None else []
        position = 0
        while position < len(listed):
            part = listed[position : position + SLICE]
            position += len(part)
            found = [e for e in part if len(e.key) == size and e.key.startswith(name)]
            now = clock()
            yield [row(cache, e, now) for e in found if entries.get(e.key) is e]


def flush(cache: Cache, goes: Callable[[bytes], bool] | None) -> Iterator[int]:
    """Remove entries whose name `goes`, None for all; yields how many went in each step."""
    for minute in sorted(cache._minutes):
        old = cache._buckets.get(minute)
        if old is None:
            continue
        cache._buckets[minute] = Bucket()
        entries = old.entries
        try:
            while entries:
                part = entries[-SLICE:]
                del entries[-SLICE:]  # else all of them would be freed at once, with the list
                yield _flushed(cache, part, minute, goes)
        finally:  # nobody listens any more: what was not looked at stays
            _flushed(cache, entries, minute, _nothing)


def flush_failures(failures: Failures, goes: Callable[[bytes], bool] | None) -> Iterator[int]:
    """Forget failures of names that `go`; yields how many went in each step."""
    keys = list(failures._failures)  # 10,000 at most
    for start in range(0, len(keys), SLICE):
        part = [key for key in keys[start : start + SLICE] if goes is None or goes(key[:-5])]
        for key in part:
            failures.forget(key)
        yield len(part)


def _flushed(
    cache: Cache, part: list[Entry], minute: int, goes: Callable[[bytes], bool] | None
) -> int:
    """Drop what goes, put the rest back into its minute; returns how many went."""
    entries, removed = cache._entries, 0
    bucket = cache._buckets.get(minute)
    for entry in part:
        if entries.get(entry.key) is not entry:
            continue
        if goes is None or goes(entry.key[:-5]):
            cache.drop(entry)
            removed += 1
        elif bucket is not None:
            bucket.entries.append(entry)
        else:  # the minute became too old meanwhile: so did this
            cache.drop(entry)
    return removed


def is_name(name: bytes) -> Callable[[bytes], bool]:
    """Return what tells whether a name is this one."""
    return name.__eq__


def is_in_zone(zone: bytes) -> Callable[[bytes], bool]:
    """Return what tells whether a name is this zone or below it."""
    return lambda name: is_under(name, zone)


def _nothing(_name: bytes) -> bool:
    return False


def row(cache: Cache, entry: Entry, now: float) -> Row:
    """Return one entry as JSON can carry it.

    "wire" is the whole answer in hexadecimal, TTLs as they are now: readable with any DNS library.
    """
    key, meta = entry.key, entry.meta
    flags, left = key[-1], entry.expires - now
    every_type = key == nxdomain_key(key)
    state = "fresh" if left > 0 else "stale" if left > -cache.stale_s else "too old"
    return {
        "name": to_text(key[:-5]),
        "type": None if every_type else int.from_bytes(key[-5:-3], "big"),
        "do": bool(flags & _DO),
        "cd": bool(flags & _CD),
        "state": state,
        "rcode": meta.rcode,
        "negative": meta.negative,
        "origin": meta.origin,
        "ttl_s": entry.ttl,
        "left_s": round(left, 3),
        "hits": entry.hits,
        "size": entry.size,
        "wire": _message(entry, now).hex(),
    }


def _message(entry: Entry, now: float) -> bytes:
    key, meta = entry.key, entry.meta
    flags = const.QR | const.RD | const.RA | (const.AD if meta.ad else 0) | meta.rcode & 0xF
    age = min(entry.ttl, max(0, int(now - entry.expires + entry.ttl)))
    counts = (0, flags, 1, meta.ancount, meta.nscount, 0)
    header = b"".join(number.to_bytes(2, "big") for number in counts)
    return header + key[:-1] + aged(entry.body, entry.offsets, age)
