"""Corners where rules meet: each was wrong once."""

from dataclasses import replace

import dns.edns
import dns.message
import dns.rdatatype
import pytest
from node_world import World, answers, failing, negative, records, silent, unreachable, until

from codns.core import state
from codns.core.settings import ZoneSettings
from codns.wire.name import from_text
from codns.wire.outcome import Outcome

ONE, TWO = "192.0.2.1#53", "192.0.2.2#53"
SOA = "example. 900 IN SOA ns.example. host.example. 1 3600 600 86400 600"


def by_type(**behaviours):
    def behave(query, now):
        kind = dns.rdatatype.to_text(query.question[0].rdtype)
        return behaviours.get(kind, behaviours["other"])(query, now)

    return behave


def test_type_0_says_nothing_of_other_types():
    world = World({ONE: by_type(TYPE0=negative(0.01, rcode="NOERROR"), other=answers(0.01))})
    world.ask("www.example", "TYPE0")
    world.ask("www.example", "A", at=1)
    world.run(2)
    assert [len(got.data) for got in world.got] == [0, 1]


def test_a_foreign_cname_cannot_deny_localhost():
    lines = ["evil.example. 300 IN CNAME localhost."]
    world = World({ONE: records(0.0, *lines, rcode="NXDOMAIN", authority=[SOA])})
    world.ask("evil.example")
    world.ask("localhost", at=1)
    world.run(2)
    assert world.got[-1].data == ["127.0.0.1"]


def test_a_cname_into_a_zone_with_its_own_nameserver_says_nothing_of_it():
    lines = ["evil.test. 300 IN CNAME wiki.corp.example."]
    zones = {from_text("corp.example"): ZoneSettings((TWO,))}
    world = World({ONE: records(0.0, *lines, rcode="NXDOMAIN", authority=[SOA]),
                   TWO: answers(0.01)}, {"zones": zones})  # fmt: skip
    world.node.configure(replace(world.configured, nameservers=(ONE,)), 0.0)
    world.ask("evil.test")
    world.ask("wiki.corp.example", at=1)
    world.run(2)
    assert world.got[-1].rcode == "NOERROR"


def test_a_reload_reaches_names_that_are_asked_all_the_time():
    world = World({ONE: silent, TWO: answers(0.01)})
    world.node.configure(replace(world.configured, nameservers=(ONE,)), 0.0)
    for n in range(40):
        world.ask("www.example", at=n / 2)
    world.run(1)
    world.node.configure(replace(world.configured, nameservers=(TWO,)), 1.0)
    world.run(30)
    assert {got.rcode for got in world.got if got.at > 4.5} == {"NOERROR"}


@pytest.mark.parametrize("later", [answers(0.0, ttl=0), negative(0.0, soa=False)])
def test_an_answer_that_is_not_kept_ends_a_stale_one_all_the_same(later):
    world = World({ONE: until(10, answers(0.0, ttl=5), until(60, silent, later))},
                  {"cache_prefetch": False})  # fmt: skip
    world.ask("www.example", at=0)
    for second in range(20, 200):
        world.ask("www.example", at=second, use_edns=0)
    world.run(300)
    assert {got.ede for got in world.got if got.at > 91} == {None}


def test_a_prefetch_that_brings_nothing_is_not_repeated_at_once():
    world = World({ONE: until(50, answers(0.0, ttl=100), failing(0.0))})
    world.ask("www.example", at=0)
    for n in range(200):
        cookie = dns.edns.GenericOption(10, n.to_bytes(8, "big"))
        world.ask("www.example", at=91 + n / 50, use_edns=0, options=[cookie])
    world.run(96)
    assert sum(at > 50 for at, _ in world.asked) == 1


def test_an_entry_too_old_to_serve_does_not_hide_a_remembered_failure():
    world = World({ONE: until(10, answers(0.0, ttl=5), failing(0.0))},
                  {"cache_stale_s": 0, "cache_prefetch": False})  # fmt: skip
    world.ask("www.example", at=0)
    for second in range(20, 70):
        world.ask("www.example", at=second)
    world.run(70)
    assert [at for at, _ in world.asked] == [0.0, 20.0, 25.0, 35.0, 55.0]


def test_slow_names_do_not_take_a_quick_server_down():
    slow = [f"slow{n}.example" for n in range(3)]

    def behave(query, now):
        name = query.question[0].name.to_text(omit_final_dot=True)
        return None if name in slow else answers(0.002)(query, now)

    world = World({ONE: behave, TWO: silent})
    for n in range(300):
        world.ask(f"n{n}.example", at=n / 100)
    for n, name in enumerate(slow):
        world.ask(name, at=0.5 + n / 10)
    world.run(4)
    assert [fields["nameserver"] for _, _, fields in world.notes] == [TWO]


def test_reloads_do_not_multiply_loop_checks():
    world = World({ONE: silent})
    (job,) = [e for e in world.node.start(0.0) if hasattr(e, "server")]
    client = type("C", (), {"transport": "udp", "address": b"", "key": 1, "reply": None})()
    world.node.client_query(job.wire, client, 0.0)
    for n in range(20):
        world.run(n + 1)
        world.node.configure(world.configured, world.now)
    world.run(1000)
    checks = [at for at, _, name in world.jobs if name.endswith("HINFO")]
    assert len(checks) <= 1000 / 60 + 1


def test_a_loop_check_that_timed_out_proves_nothing():
    world = World({ONE: silent})
    (job,) = [e for e in world.node.start(0.0) if hasattr(e, "server")]
    client = type("C", (), {"transport": "udp", "address": b"", "key": 1, "reply": None})()
    world.node.client_query(job.wire, client, 0.0)
    world.run(300)
    assert not world.node.can_answer(world.now)


def test_a_duplicate_is_no_new_query_when_limits_are_reached(monkeypatch):
    monkeypatch.setattr(state, "CLIENTS_MAX_ADDRESS", 1)
    world = World({ONE: answers(2)})
    world.ask("www.example", ident=7)
    world.ask("www.example", ident=7, at=1)
    world.run(3)
    assert world.times == [(2.0, "NOERROR")]


def test_two_refusing_servers_are_not_tried_out_at_once():
    world = World({ONE: until(0.5, unreachable(0.001), answers(0.01)), TWO: unreachable(0.001)})
    world.ask("www.example")
    world.run(5)
    assert world.asked == [(0.0, ONE), (0.001, TWO), (0.801, ONE)]
    assert world.times == [(0.811, "NOERROR")]


def test_new_nameservers_start_with_a_clean_slate():
    world = World({ONE: failing(0.0), TWO: answers(0.01)})
    world.node.configure(replace(world.configured, nameservers=(ONE,)), 0.0)
    world.ask("www.example", at=0)
    world.run(1)
    world.node.configure(replace(world.configured, nameservers=(TWO,)), 1.0)
    world.ask("www.example", at=2)
    world.run(3)
    assert world.got[-1].rcode == "NOERROR"


def test_nodata_behind_a_cname_is_negative():
    lines = ["www.example. 86400 IN CNAME a.example."]
    soa = "example. 86400 IN SOA ns.example. host.example. 1 3600 600 86400 86400"
    world = World({ONE: records(0.0, *lines, authority=[soa])},
                  {"cache_stale_s": 0, "cache_prefetch": False})  # fmt: skip
    world.ask("www.example", "AAAA", at=0)
    world.ask("www.example", "AAAA", at=3601)
    world.run(4000)
    assert len(world.jobs) == 2


def test_no_negative_ttl_means_no_negative_entry():
    world = World({ONE: until(1, negative(0.0), silent)}, {"cache_max_negative_ttl_s": 0})
    world.ask("www.example", at=0)
    world.ask("www.example", at=2)
    world.run(10)
    assert world.times == [(0.0, "NXDOMAIN"), (6.5, "SERVFAIL")]


def test_finished_answers_count_against_the_byte_limit_and_big_ones_are_not_kept():
    big = " ".join(['"' + "x" * 200 + '"'] * 40)
    world = World({ONE: lambda q, now: records(0.0, f"{q.question[0].name} 300 IN TXT {big}")(
        q, now)}, {"cache_entries": 20})  # fmt: skip
    for n in range(8):
        name = "".join(c.upper() if n >> i & 1 else c for i, c in enumerate("abc"))
        world.ask(f"{name}.example", "TXT", at=n, transport="tcp")
    world.run(10)
    assert world.node.cache_bytes <= 20 * 1024


def test_tries_before_the_deadline_do_not_hold_back_the_next_round():
    world = World({ONE: until(4.8, silent, failing(0.01))})
    world.ask("www.example", at=0)
    world.ask("www.example", at=5)
    world.run(12)
    assert world.times == [(4.5, "SERVFAIL"), (5.01, "SERVFAIL")]


def test_an_answer_after_the_lookups_end_starts_nothing():
    world = World({ONE: lambda q, now: (9.999, Outcome.SERVFAIL), TWO: silent})
    world.ask("www.example")
    world.run(30)
    assert world.times == [(4.5, "SERVFAIL")]


def test_a_fresh_nxdomain_beats_an_expired_answer():
    world = World({ONE: by_type(A=answers(0.0, ttl=5), other=negative(0.0))},
                  {"cache_prefetch": False})  # fmt: skip
    world.ask("www.example", "A", at=0)
    world.ask("www.example", "MX", at=10)
    world.ask("www.example", "A", at=11)
    world.run(12)
    assert [got.rcode for got in world.got] == ["NOERROR", "NXDOMAIN", "NXDOMAIN"]


def test_extended_rcodes_are_between_the_nameserver_and_us():
    def badvers(query, now):
        response = dns.message.make_response(query)
        response.use_edns(0)
        response.set_rcode(16)
        return 0.01, response

    world = World({ONE: badvers})
    world.ask("www.example", use_edns=0)
    world.run(1)
    assert world.got[0].rcode == "SERVFAIL"


def test_a_query_without_rd_starts_no_prefetch():
    world = World({ONE: answers(0.0, ttl=100)})
    world.ask("www.example", at=0)
    for at in (50, 95, 96):
        world.ask("www.example", at=at, flags=0)
    world.run(99)
    assert len(world.jobs) == 1


def test_an_ecs_query_sent_again_is_one_lookup():
    world = World({ONE: answers(0.5)})
    for at in (0, 0.1, 0.2):
        world.ask("www.example", at=at, ident=7, use_edns=0,
                  options=[dns.edns.ECSOption("203.0.113.0", 24)])  # fmt: skip
    world.run(1)
    assert len([at for at, _ in world.asked if at < 0.4]) == 1
    assert len(world.got) == 1


def test_localhost_is_of_the_internet():
    world = World({ONE: silent})
    query = dns.message.make_query("localhost", "A", rdclass="HS")
    world.ask(wire=query.to_wire())
    world.run(1)
    assert world.got[0].data == []


def test_at_the_deadline_the_reason_is_the_silence_whatever_others_said():
    world = World({ONE: failing(0.01), TWO: silent})
    world.ask("www.example", use_edns=0)
    world.run(5)
    assert [(got.at, got.ede) for got in world.got] == [(4.5, 22)]
