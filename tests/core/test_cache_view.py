"""Looking into the cache and flushing it, a little at a time, while it changes."""

import dns.message
import dns.rcode
import pytest
from node_world import World, answers, failing, negative, silent

from codns.core import cache_view
from codns.core.cache import Cache, Entry, Meta
from codns.core.slow_names import KEPT_MAX, SLOW_S
from codns.core.stats import Stats
from codns.wire import const
from codns.wire.name import from_text

ONE = "192.0.2.1#53"
META = Meta(0, False, 1, 0, False, "local")
BODY = b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4\xc0\0\2\1"


def entry(name, ttl=300, qtype=1, flags=0, now=0.0):
    key = from_text(name) + qtype.to_bytes(2, "big") + b"\0\1" + bytes((flags,))
    return Entry(key, META, BODY, b"\6\0", ttl, now)


def filled(count, *, ttl=lambda number: 300):
    """A cache of count entries n0.example, n1.example ..."""
    cache = Cache(Stats())
    for number in range(count):
        cache.store(entry(f"n{number}.example", ttl(number)), 0.0)
    return cache


def names(slices):
    return [row["name"] for rows in slices for row in rows]


def clock():
    return 10.0


# -- looking -------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, cache_view.ROWS, cache_view.ROWS + 1, 1000])
def test_everything_is_told_once_a_little_at_a_time(count):
    cache = filled(count, ttl=lambda number: 60 + 7 * number)
    slices = list(cache_view.dump(cache, clock))
    assert sorted(names(slices)) == sorted(f"n{n}.example." for n in range(count))
    assert all(len(rows) <= cache_view.ROWS for rows in slices)


def test_what_leaves_meanwhile_is_not_told_and_what_stays_is():
    cache = filled(1000)
    slices = cache_view.dump(cache, clock)
    told = names([next(slices)])
    gone = {f"n{n}.example." for n in range(500, 1000)}
    for number in range(500, 1000):  # more than half: the cache compacts the minute's list
        cache.drop(cache._entries[entry(f"n{number}.example").key])
    told += names(slices)
    assert sorted(told) == sorted({f"n{n}.example." for n in range(1000)} - gone)


def test_a_row_holds_the_answer_as_it_would_be_given_now():
    cache = Cache(Stats())
    cache.store(entry("www.example", flags=1), 0.0)
    ((row,),) = cache_view.dump(cache, clock)
    message = dns.message.from_wire(bytes.fromhex(row.pop("wire")))
    assert message.answer[0].to_text() == "www.example. 290 IN A 192.0.2.1"
    assert message.rcode() == dns.rcode.NOERROR
    assert row == {
        "name": "www.example.", "type": 1, "do": True, "cd": False, "state": "fresh", "rcode": 0,
        "negative": False, "origin": "local", "ttl_s": 300, "left_s": 290.0, "hits": 0,
        "size": row["size"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("now", "state", "ttl"), [(299.9, "fresh", 1), (300.0, "stale", 0), (90_000.0, "too old", 0)]
)
def test_what_has_expired_says_so(now, state, ttl):
    cache = Cache(Stats())
    cache.store(entry("www.example"), 0.0)
    ((row,),) = cache_view.dump(cache, lambda: now)
    assert row["state"] == state
    assert dns.message.from_wire(bytes.fromhex(row["wire"])).answer[0].ttl == ttl


def test_a_name_is_found_with_all_its_types_and_no_other():
    cache = filled(600)
    for made in (
        entry("n7.example", qtype=28),
        entry("n7.example", qtype=65280),
        entry("n7.example", flags=3),
        entry("x.n7.example"),
        entry("n77.example"),
    ):
        cache.store(made, 0.0)
    rows = [
        row for rows in cache_view.lookup(cache, from_text("n7.example"), clock) for row in rows
    ]
    found = sorted((row["type"], row["do"], row["cd"]) for row in rows)
    assert found == [(1, False, False), (1, True, True), (28, False, False), (65280, False, False)]
    assert {row["name"] for row in rows} == {"n7.example."}


def test_nxdomain_is_of_no_type():
    world = World({ONE: negative(0.01)})
    world.ask("none.example")
    world.run(1)
    slices = world.node.cache_lookup(from_text("none.example"), lambda: 1.0)
    rows = [row for rows in slices for row in rows]
    assert [(row["type"], row["rcode"]) for row in rows] == [(None, const.NXDOMAIN)]


# -- flushing ------------------------------------------------------------------------------------


def test_everything_goes_in_steps():
    cache = filled(3 * cache_view.SLICE, ttl=lambda number: 60 * (1 + number % 3))
    steps = list(cache_view.flush(cache, None))
    assert sum(steps) == 3 * cache_view.SLICE
    assert max(steps) <= cache_view.SLICE
    assert (len(cache), cache.bytes) == (0, 0)


@pytest.mark.parametrize(
    ("goes", "left"),
    [
        (cache_view.is_name(from_text("b.example")), ["a.example.", "example.", "x.b.example."]),
        (cache_view.is_in_zone(from_text("b.example")), ["a.example.", "example."]),
        (cache_view.is_in_zone(from_text("example")), []),
        (cache_view.is_name(from_text("c.example")), None),
    ],
)
def test_a_name_or_a_zone_goes_and_the_rest_stays(goes, left):
    cache = Cache(Stats())
    every = ["a.example.", "b.example.", "example.", "x.b.example."]
    for name in every:
        cache.store(entry(name), 0.0)
        cache.store(entry(name, qtype=28, ttl=900), 0.0)
    left = every if left is None else left
    assert sum(cache_view.flush(cache, goes)) == 2 * (4 - len(left))
    assert sorted(set(names(cache_view.dump(cache, clock)))) == left
    # What stays is where the cache looks for it when its time has come
    assert cache.purge(100_000.0) == 2 * len(left)
    assert len(cache) == 0


def test_a_flush_that_is_left_alone_loses_nothing():
    cache = filled(4 * cache_view.SLICE)
    steps = cache_view.flush(cache, None)
    next(steps)
    steps.close()
    left = 3 * cache_view.SLICE
    assert len(cache) == left
    assert len(names(cache_view.dump(cache, clock))) == left
    assert cache.purge(100_000.0) == left


def test_what_is_stored_during_a_flush_stays_findable():
    cache = filled(2 * cache_view.SLICE)
    steps = cache_view.flush(cache, cache_view.is_in_zone(from_text("other.example")))
    next(steps)
    cache.store(entry("new.example"), 0.0)
    assert sum(steps) == 0
    assert len(names(cache_view.dump(cache, clock))) == 2 * cache_view.SLICE + 1


def test_a_minute_that_becomes_too_old_meanwhile():
    cache = filled(2 * cache_view.SLICE)
    steps = cache_view.flush(cache, cache_view.is_name(b"\0"))
    next(steps)
    cache.purge(100_000.0)
    assert sum(steps) == 0
    assert len(cache) == len(names(cache_view.dump(cache, clock))) == 0


def test_a_flushed_name_is_asked_again_and_a_failure_forgotten():
    world = World({ONE: failing(0.01)})
    world.ask("www.example")
    world.ask("www.example", at=1)  # remembered for 5 s
    world.run(2)
    assert len(world.jobs) == 1
    assert sum(world.node.cache_flush(from_text("other.example"))) == 0
    world.ask("www.example", at=2)
    world.run(3)
    assert len(world.jobs) == 1
    assert sum(world.node.cache_flush(from_text("example"), zone=True)) == 0
    world.ask("www.example", at=3)
    world.run(4)
    assert len(world.jobs) == 2


def test_a_flushed_answer_is_gone_from_both_levels():
    world = World({ONE: answers(0.01)})
    for at in (0, 1, 2):
        world.ask("www.example", at=at)
    world.run(3)
    assert len(world.jobs) == 1
    assert sum(world.node.cache_flush(None)) == 1
    world.ask("www.example", at=3)
    world.run(4)
    assert len(world.jobs) == 2


# -- slow names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "source", "took"),
    [
        (answers(SLOW_S), "local", SLOW_S),
        (failing(0.2), "error", 0.2),
        (silent, "error", 4.5),
    ],
)
def test_what_took_long_is_told_once(behaviour, source, took):
    world = World({ONE: behaviour})
    world.ask("www.example")
    world.ask("www.example", client="b")
    world.run(9)
    (row,) = world.node.slow_names(9.0)
    assert (row["name"], row["type"], row["source"]) == ("www.example.", 1, source)
    assert row["took_s"] == pytest.approx(took)
    assert row["ago_s"] == pytest.approx(9 - took)


def test_what_was_quick_is_not_told():
    world = World({ONE: answers(SLOW_S - 0.001)})
    world.ask("www.example")
    world.run(1)
    assert world.node.slow_names(1.0) == []


def test_the_oldest_slow_names_leave():
    world = World({ONE: answers(0.2)})
    for number in range(KEPT_MAX + 1):
        world.ask(f"n{number}.example", at=number)
    world.run(KEPT_MAX + 2)
    rows = world.node.slow_names(100.0)
    assert [row["name"] for row in rows] == [f"n{n}.example." for n in range(1, KEPT_MAX + 1)]
