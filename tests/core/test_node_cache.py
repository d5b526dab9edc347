"""What is kept, for how long, and what is served of it (RULES 3), in virtual time."""

from dataclasses import replace
from itertools import pairwise

import dns.edns
import dns.flags
import pytest
from node_world import World, answers, failing, negative, records, silent, until

ONE = "192.0.2.1#53"
MINUTE, HOUR, DAY = 60, 3600, 86_400


def world_of(behaviour, **settings):
    return World({ONE: behaviour}, settings)


@pytest.mark.parametrize(
    ("age", "ttl"), [(0.02, 300), (0.99, 300), (1.02, 299), (299.0, 2), (300.005, 1)]
)
def test_served_ttl_is_the_original_less_whole_seconds_of_age(age, ttl):
    world = world_of(answers(0.01), cache_prefetch=False)
    world.ask("www.example")
    world.ask("www.example", at=age)
    world.run(400)
    assert len(world.jobs) == 1
    assert (world.got[-1].at, world.got[-1].ttl) == (age, ttl)


def test_gone_when_its_age_reaches_the_ttl():
    world = world_of(answers(0.01), cache_prefetch=False, cache_stale_s=0)
    world.ask("www.example")
    world.ask("www.example", at=300.02)
    world.run(400)
    assert world.asked == [(0.0, ONE), (300.02, ONE)]


def test_both_levels_count_down_alike():
    """The exact level is aged at most once a second, and never serves a TTL of the past."""
    world = world_of(answers(0.0, ttl=100), cache_prefetch=False)
    for n in range(1, 400):
        world.ask("www.example", at=n / 4, ident=n)
    world.run(100)
    assert len(world.jobs) == 1
    for got in world.got[1:]:
        assert got.ttl == 100 - int(got.at - 0.25)


def test_udp_and_tcp_and_case_share_one_answer():
    world = world_of(answers(0.01))
    world.ask("www.example")
    world.ask("WWW.Example", at=1, transport="tcp")
    world.ask("wWw.eXample", at=2)
    world.run(3)
    assert len(world.jobs) == 1
    names = [got.message.question[0].name.to_text() for got in world.got]
    assert names == ["www.example.", "WWW.Example.", "wWw.eXample."]
    assert all(got.message.answer[0].name == got.message.question[0].name for got in world.got)


@pytest.mark.parametrize("option", ["want_dnssec", "cd", "type"])
def test_do_cd_and_type_are_different_questions(option):
    world = world_of(answers(0.01))
    world.ask("www.example")
    options = {
        "want_dnssec": {"want_dnssec": True},
        "cd": {"flags": dns.flags.RD | dns.flags.CD},
        "type": {"rdtype": "AAAA"},
    }[option]
    world.ask("www.example", at=1, **options)
    world.run(2)
    assert len(world.jobs) == 2


def test_random_cookies_do_not_fill_the_exact_level():
    world = world_of(answers(0.01))
    for n in range(50):
        cookie = dns.edns.GenericOption(10, n.to_bytes(8, "big"))
        world.ask("www.example", at=n / 100, use_edns=0, options=[cookie])
    world.run(1)
    assert len(world.jobs) == 1
    assert len(world.node.exact_udp) == 0


def test_at_most_eight_forms_an_entry_and_they_die_with_it():
    world = world_of(answers(0.01))
    world.ask("abcdefghij.example")
    for n in range(200):
        name = "".join(c.upper() if n >> i & 1 else c for i, c in enumerate("abcdefghij"))
        world.ask(f"{name}.example", at=0.1 + n / 1000)
    world.run(1)
    assert len(world.node.exact_udp) == 8
    world.node.flush()
    assert len(world.node.exact_udp) == 0


# -- which TTL ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "settings", "kept_s"),
    [
        (["www.example. 300 IN A 192.0.2.1"], {}, 300),
        (["www.example. 300 IN CNAME a.example.", "a.example. 20 IN A 192.0.2.1"], {}, 20),
        (["www.example. 5 IN A 192.0.2.1"], {"cache_min_ttl_s": 60}, 60),
        (["www.example. 500000 IN A 192.0.2.1"], {}, DAY),
        (["www.example. 500 IN A 192.0.2.1"], {"cache_max_ttl_s": 100}, 100),
        (["www.example. 2147483648 IN A 192.0.2.1"], {}, 0),
        (["www.example. 0 IN A 192.0.2.1"], {}, 0),
        (["www.example. 0 IN A 192.0.2.1"], {"cache_min_ttl_s": 60}, 0),
    ],
)
def test_how_long_a_positive_answer_is_kept(lines, settings, kept_s):
    world = world_of(records(0.0, *lines), cache_prefetch=False, cache_stale_s=0, **settings)
    world.ask("www.example", at=0)
    if kept_s:
        world.ask("www.example", at=kept_s - 0.5)
    world.ask("www.example", at=kept_s + 0.5)
    world.run(2 * DAY)
    assert [at for at, _ in world.asked] == [0.0, kept_s + 0.5]


@pytest.mark.parametrize(
    ("ttl", "minimum", "settings", "kept_s"),
    [
        (900, 600, {}, 600),
        (30, 600, {}, 30),
        (DAY, DAY, {}, HOUR),
        (900, 600, {"cache_max_negative_ttl_s": 10}, 10),
    ],
)
@pytest.mark.parametrize("rcode", ["NXDOMAIN", "NOERROR"])
def test_how_long_a_negative_answer_is_kept(rcode, ttl, minimum, settings, kept_s):
    behaviour = negative(0.0, rcode=rcode, ttl=ttl, minimum=minimum)
    world = world_of(behaviour, cache_prefetch=False, cache_stale_s=0, **settings)
    for at in (0, kept_s - 0.5, kept_s + 0.5):
        world.ask("www.example", at=at)
    world.run(2 * DAY)
    assert [at for at, _ in world.asked] == [0.0, kept_s + 0.5]
    assert [got.message.authority[0].ttl for got in world.got] == [min(ttl, kept_s), 1, kept_s]


@pytest.mark.parametrize("rcode", ["NXDOMAIN", "NOERROR"])
def test_a_negative_answer_without_soa_is_not_kept(rcode):
    """RFC 2308 5: two servers that forward to each other would keep it alive for ever."""
    world = world_of(negative(0.01, rcode=rcode, soa=False))
    world.ask("www.example")
    world.ask("www.example", at=1)
    world.run(2)
    assert world.times == [(0.01, rcode), (1.01, rcode)]


def test_nxdomain_is_for_the_name_nodata_for_the_type():
    for rcode, jobs in (("NXDOMAIN", 1), ("NOERROR", 2)):
        world = world_of(negative(0.01, rcode=rcode))
        world.ask("www.example")
        world.ask("www.example", "MX", at=1)
        world.run(2)
        assert len(world.jobs) == jobs


def test_an_answer_ends_the_names_nxdomain_and_the_other_way_round():
    world = world_of(
        until(1, negative(0.0, minimum=10), answers(0.0, ttl=20)), cache_prefetch=False
    )
    world.ask("www.example", at=0)
    world.ask("www.example", "A", at=11)  # expired: answered positively now
    world.ask("www.example", "AAAA", at=12)  # must not be answered from the old NXDOMAIN
    world.run(13)
    assert [got.rcode for got in world.got] == ["NXDOMAIN", "NOERROR", "NOERROR"]


def test_behind_a_cname_the_negative_answer_is_the_last_targets():
    lines = ["www.example. 300 IN CNAME gone.example."]
    soa = ["example. 900 IN SOA ns.example. host.example. 1 3600 600 86400 600"]
    world = world_of(records(0.0, *lines, rcode="NXDOMAIN", authority=soa))
    world.ask("www.example")
    world.ask("www.example", "MX", at=1)  # www exists: it is the target that does not
    world.ask("gone.example", "TXT", at=2)
    world.run(3)
    assert [name for _, _, name in world.jobs] == ["www.example A", "www.example MX"]
    last = world.got[-1]
    assert (last.rcode, last.message.answer) == ("NXDOMAIN", [])
    assert last.message.authority[0].to_text().startswith("example. 598 IN SOA")


def test_records_off_the_chain_are_dropped():
    lines = ["www.example. 300 IN A 192.0.2.1", "bank.example. 300 IN A 192.0.2.66"]
    world = world_of(records(0.01, *lines))
    world.ask("www.example")
    world.ask("www.example", at=1)
    world.run(2)
    assert [got.data for got in world.got] == [["192.0.2.1"]] * 2


# -- failures (RFC 9520) ------------------------------------------------------------------------


def test_a_failure_is_remembered_for_5_s_then_twice_as_long():
    world = world_of(failing(0.0))
    for second in range(200):
        world.ask("broken.example", at=float(second), use_edns=0)
    world.run(200)
    assert [at for at, _ in world.asked] == [0.0, 5.0, 15.0, 35.0, 75.0, 155.0]
    assert [got.ede for got in world.got[:7]] == [None, 13, 13, 13, 13, None, 13]
    assert {got.rcode for got in world.got} == {"SERVFAIL"}


def test_a_timeout_is_not_remembered():
    world = world_of(until(9, silent, answers(0.01)))
    world.ask("www.example")
    world.ask("www.example", at=11)
    world.run(12)
    assert world.times == [(4.5, "SERVFAIL"), (11.01, "NOERROR")]


# -- stale (RFC 8767) ---------------------------------------------------------------------------


def test_the_first_client_waits_1_8_s_for_stale_data_the_next_ones_not():
    world = world_of(until(10, answers(0.0, ttl=5), silent), cache_prefetch=False)
    world.ask("www.example", at=0)
    for at in (20, 22, 30):
        world.ask("www.example", at=at, use_edns=0)
    world.run(40)
    assert world.times == [
        (0.0, "NOERROR"),
        (21.8, "NOERROR"),
        (22.0, "NOERROR"),
        (30.0, "NOERROR"),
    ]
    assert [got.ede for got in world.got[1:]] == [3, 3, 3]
    assert [got.ttl for got in world.got[1:]] == [5, 5, 5]  # min(30, original)
    assert {at for at, _ in world.asked} == {0.0, 20.0, 20.05, 21.6}  # one refresh


def test_stale_ttl_is_30_s_at_most_and_nxdomain_says_so():
    behaviour = until(1000, negative(0.0), failing(0.0))
    world = world_of(behaviour, cache_prefetch=False)
    world.ask("www.example", at=0)
    world.ask("www.example", at=2000, use_edns=0)
    world.run(2001)
    last = world.got[-1]
    assert (last.at, last.rcode, last.ede) == (2000.0, "NXDOMAIN", 19)
    assert last.message.authority[0].ttl == 30


def test_a_failed_refresh_gives_stale_at_once():
    world = world_of(until(10, answers(0.0, ttl=5), failing(0.02)), cache_prefetch=False)
    world.ask("www.example", at=0)
    world.ask("www.example", at=20)
    world.ask("www.example", at=21)
    world.run(25)
    assert world.times[1:] == [(20.02, "NOERROR"), (21.0, "NOERROR")]
    assert len(world.jobs) == 2


def test_in_an_outage_a_name_in_use_is_refreshed_each_30_s_and_costs_one_wait():
    world = world_of(until(10, answers(0.0, ttl=5), silent), cache_prefetch=False)
    world.ask("www.example", at=0)
    for second in range(20, 140):
        world.ask("www.example", at=second)
    world.run(150)
    waits = {round(got.at % 1, 3) for got in world.got[1:]}
    assert waits == {0.0, 0.8}  # 20 -> 21.8 and its companion at 21; all others at once
    assert sum(got.at == 21.8 for got in world.got) == 2
    refreshes = [at for at, _ in world.asked if at == int(at)]
    assert all(b - a >= 30 for a, b in pairwise(refreshes[1:]))


def test_stale_data_ends_and_a_refresh_replaces_it():
    world = world_of(
        until(10, answers(0.0, ttl=5), answers(0.01, address="192.0.2.7")),
        cache_prefetch=False,
        cache_stale_s=100,
    )
    world.ask("www.example", at=0)
    world.ask("www.example", at=50)
    world.run(60)
    assert world.got[-1].data == ["192.0.2.7"]
    assert world.got[-1].at == 50.01


def test_too_old_is_not_served_stale():
    world = world_of(
        until(10, answers(0.0, ttl=5), silent), cache_prefetch=False, cache_stale_s=100
    )
    world.ask("www.example", at=0)
    world.ask("www.example", at=106)
    world.run(120)
    assert world.times[-1] == (110.5, "SERVFAIL")


# -- prefetch -----------------------------------------------------------------------------------


def test_a_hit_in_the_last_tenth_refreshes_in_the_background():
    world = world_of(answers(0.0, ttl=100))
    for at in (0, 50, 89.5, 90.5, 91.5, 150):
        world.ask("www.example", at=at)
    world.run(160)
    assert [at for at, _ in world.asked] == [0.0, 90.5]
    assert [got.ttl for got in world.got] == [100, 50, 11, 10, 99, 41]
    assert world.node.stats.cache_prefetches == 1


def test_what_was_asked_once_is_not_prefetched():
    world = world_of(answers(0.0, ttl=100))
    world.ask("www.example", at=0)
    world.ask("www.example", at=95)  # the first hit since it was stored
    world.run(99)
    assert len(world.jobs) == 1


# -- limits -------------------------------------------------------------------------------------


def test_the_least_recently_used_leave_first():
    world = world_of(answers(0.0), cache_entries=3)
    for n, name in enumerate("abca d"):
        if name != " ":
            world.ask(f"{name}.example", at=n)
    world.run(10)
    for name in "abcd":
        world.ask(f"{name}.example", at=20)
    world.run(30)
    again = sorted(name[0] for at, _, name in world.jobs if at == 20)
    assert again[0] == "b"
    assert world.node.stats.cache_evictions >= 1


def test_what_is_stale_leaves_before_what_is_fresh():
    ttls = {"a": 10_000, "b": 5, "c": 10_000, "d": 10_000}
    world = world_of(
        lambda q, now: answers(0.0, ttl=ttls[str(q.question[0].name)[0]])(q, now), cache_entries=3
    )
    for at, name in ((0, "a"), (1, "b"), (2, "c"), (200, "d")):
        world.ask(f"{name}.example", at=at)
    for name in "acd":
        world.ask(f"{name}.example", at=300)
    world.run(310)
    assert len(world.jobs) == 4  # b left, though a was used longest ago


def test_the_cache_is_bounded_in_bytes_too():
    big = '"' + "x" * 200 + '"'
    lines = " ".join([big] * 40)
    world = world_of(
        lambda q, now: records(0.0, f"{q.question[0].name} 300 IN TXT {lines}")(q, now),
        cache_entries=20,
    )
    for n in range(50):
        world.ask(f"n{n}.example", "TXT", at=n, transport="tcp")
    world.run(60)
    assert 1 <= world.node.cache_entries <= 3
    assert world.node.cache_bytes <= 20 * 1024


def test_reload_keeps_the_cache():
    world = world_of(answers(0.01))
    world.ask("www.example")
    world.run(1)
    world.node.configure(replace(world.configured, nameservers=("192.0.2.9#53",)), 1.0)
    world.ask("www.example", at=2)
    world.run(3)
    assert len(world.jobs) == 1


def test_old_entries_and_their_book_keeping_are_purged():
    world = world_of(answers(0.0, ttl=30), cache_stale_s=600, cache_prefetch=False)
    for n in range(1_000):
        world.ask(f"n{n % 100}.example", at=5 * n)  # each is refreshed ten times
    world.run(5_000)
    assert world.node.cache_entries <= 100
    world.run(8_000)
    assert world.node.cache_entries == 0
