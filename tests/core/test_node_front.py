"""Who is heard, what an answer looks like, what is answered here, the limits (RULES 1, 2, 4)."""

import struct
from dataclasses import replace

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import pytest
from node_world import World, answers, failing, negative, records, silent

from codns.core import resolver, state
from codns.core.model import Answer, Client, SendJob
from codns.wire.name import from_text
from codns.wire.outcome import Outcome

ONE, TWO = "192.0.2.1#53", "192.0.2.2#53"


def respond(world, wire, transport="udp"):
    """Hand raw bytes to the node; return its answer's bytes, None for silence."""
    client = Client(transport, b"\x7f\0\0\1", "raw", lambda _: None)
    effects = world.node.client_query(wire, client, world.now)
    found = [effect.wire for effect in effects if isinstance(effect, Answer)]
    assert len(found) <= 1
    return found[0] if found else None


def query(name="www.example", rdtype="A", **options):
    return dns.message.make_query(name, rdtype, **options)


def header(flags=0x0100, qd=1, an=0, ns=0, ar=0):
    return struct.pack(">HHHHHH", 0x1234, flags, qd, an, ns, ar)


QUESTION = b"\x03www\x07example\x00\x00\x01\x00\x01"
OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"
TSIG = b"\1k\0\0\xfa\0\xff\0\0\0\0\0\0"


@pytest.mark.parametrize(
    "wire", [b"", b"\0" * 11, header(0x8100) + QUESTION, header()[:11]], ids=repr
)
def test_what_is_no_query_gets_silence(wire):
    assert respond(World({ONE: silent}), wire) is None


@pytest.mark.parametrize(
    ("wire", "rcode", "counter"),
    [
        (header(qd=0), "FORMERR", "formerr"),
        (header(qd=2) + QUESTION * 2, "FORMERR", "formerr"),
        (header() + QUESTION + b"x", "FORMERR", "formerr"),
        (header() + QUESTION[:-1], "FORMERR", "formerr"),
        (header(ar=2) + QUESTION + OPT * 2, "FORMERR", "formerr"),
        (header(0x0100 | 4 << 11) + QUESTION, "NOTIMP", "notimp"),
        (header(0x0100 | 5 << 11), "NOTIMP", "notimp"),
        (header() + QUESTION[:-4] + b"\0\xfc\0\1", "REFUSED", "refused"),  # AXFR
        (header() + QUESTION[:-4] + b"\0\xfb\0\1", "REFUSED", "refused"),  # IXFR
        (header() + QUESTION[:-4] + b"\0\x10\0\3", "REFUSED", "refused"),  # CHAOS
        (header(ar=1) + QUESTION + TSIG, "REFUSED", "refused"),
        (header(ar=1) + QUESTION + b"\0\0\x29\x04\xd0\0\1\0\0\0\0", "BADVERS", "badvers"),
    ],
)
def test_what_is_not_ours_is_refused(wire, rcode, counter):
    world = World({ONE: silent})
    reply = dns.message.from_wire(respond(world, wire))
    assert dns.rcode.to_text(reply.rcode()) == rcode
    assert reply.id == 0x1234
    assert world.jobs == []
    assert world.node.stats.refusals[counter] == 1


def test_a_query_without_rd_is_answered_from_the_fresh_cache_only():
    world = World({ONE: answers(0.0, ttl=5)})
    for at, flags in ((0, 0), (1, dns.flags.RD), (2, 0), (60, 0)):
        world.ask("www.example", at=at, flags=flags, use_edns=0)
    world.run(70)
    assert [got.rcode for got in world.got] == ["REFUSED", "NOERROR", "NOERROR", "REFUSED"]
    assert [got.ede for got in world.got] == [20, None, None, 20]
    assert len(world.jobs) == 1
    assert not world.got[2].message.flags & dns.flags.RD


# -- what an answer looks like ------------------------------------------------------------------


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(
    ("upstream_ad", "options", "ad"),
    [
        (True, {"want_dnssec": True}, True),
        (True, {"flags": dns.flags.RD | dns.flags.AD}, True),
        (True, {"flags": dns.flags.RD}, False),
        (False, {"want_dnssec": True}, False),
    ],
)
def test_flags_of_an_answer(upstream_ad, options, ad, cached):
    flags = dns.flags.AA | (dns.flags.AD if upstream_ad else 0)
    world = World({ONE: answers(0.01, flags=flags)})
    world.ask("www.example", **options)
    world.run(1)
    if cached:
        world.ask("www.example", **options)
        world.run(2)
    message = world.got[-1].message
    assert bool(message.flags & dns.flags.AD) == ad
    assert message.flags & dns.flags.RA
    assert not message.flags & dns.flags.AA


@pytest.mark.parametrize(
    ("options", "edns", "do"),
    [({}, -1, False), ({"use_edns": 0}, 0, False), ({"want_dnssec": True}, 0, True)],
)
def test_the_client_gets_our_opt_if_it_sent_one(options, edns, do):
    nsid = dns.edns.GenericOption(3, b"")
    extra = {"options": [nsid]} if options else {}
    world = World({ONE: answers(0.01)})
    world.ask("www.example", **options, **extra)
    world.run(1)
    message = world.got[0].message
    assert (message.edns, bool(message.ednsflags & 0x8000)) == (edns, do)
    assert message.options == ()  # RULES 2.3: nothing is echoed
    if edns == 0:
        assert message.payload == 1232


@pytest.mark.parametrize(
    ("options", "transport", "records_", "tc"),
    [
        ({}, "udp", 20, False),  # 12 + 17 + 20 * 16 = 349
        ({}, "udp", 31, True),
        ({"use_edns": 0, "payload": 4096}, "udp", 60, False),
        ({"use_edns": 0, "payload": 4096}, "udp", 100, True),  # our own limit: 1232
        ({"use_edns": 0, "payload": 600}, "udp", 40, True),
        ({"use_edns": 0, "payload": 100}, "udp", 20, False),  # under 512 counts as 512
        ({}, "tcp", 1000, False),
    ],
)
def test_what_does_not_fit_leaves_as_tc_without_records(options, transport, records_, tc):
    lines = [f"www.example. 300 IN A 192.0.{n // 250}.{n % 250}" for n in range(records_)]
    world = World({ONE: records(0.01, *lines)})
    world.ask("www.example", transport=transport, **options)
    world.ask("www.example", at=1, transport=transport, **options)
    world.ask("www.example", at=3, transport=transport, **options)
    world.run(4)
    assert len(world.jobs) == 1
    for got in world.got:
        assert bool(got.message.flags & dns.flags.TC) == tc
        assert len(got.data) == (0 if tc else records_)
        assert got.message.edns == (0 if options else -1)


def test_answers_of_more_than_1024_records_pass_uncached():
    lines = [f"www.example. 300 IN A 192.0.{n // 250}.{n % 250}" for n in range(1025)]
    world = World({ONE: records(0.01, *lines)})
    world.ask("www.example", transport="tcp")
    world.ask("www.example", at=1, transport="tcp")
    world.run(2)
    assert [len(got.data) for got in world.got] == [1025, 1025]
    assert len(world.jobs) == 2


def test_unknown_types_pass_byte_for_byte():
    rdata = r"\# 6 c00c00ff8001"
    world = World({ONE: records(0.01, f"www.example. 300 IN TYPE65400 {rdata}")})
    world.ask("www.example", "TYPE65400")
    world.ask("www.example", "TYPE65400", at=1)
    world.run(2)
    assert [got.data for got in world.got] == [[rdata]] * 2


def test_ecs_goes_up_and_is_neither_kept_nor_joined():
    world = World({ONE: answers(0.01)})
    ecs = dns.edns.ECSOption("203.0.113.0", 24)
    for at in (0, 0.005, 1):
        world.ask("www.example", at=at, use_edns=0, options=[ecs])
    world.ask("www.example", at=2)
    world.run(3)
    assert len(world.jobs) == 4
    sent = [q.options for q in world.queries]
    assert [o[0].to_text() if o else None for o in sent] == [ecs.to_text()] * 3 + [None]


def test_any_over_udp_is_the_first_rrset_over_tcp_the_whole():
    lines = [
        "www.example. 300 IN A 192.0.2.1",
        "www.example. 300 IN A 192.0.2.2",
        "www.example. 300 IN TXT x",
        "www.example. 300 IN MX 1 m.example.",
    ]
    world = World({ONE: records(0.01, *lines)})
    world.ask("www.example", "ANY")
    world.ask("www.example", "ANY", at=1, transport="tcp")
    world.ask("www.example", "ANY", at=2)
    world.run(3)
    assert [len(got.data) for got in world.got] == [2, 4, 2]


# -- names answered here ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rdtype", "rcode", "data"),
    [
        ("localhost", "A", "NOERROR", ["127.0.0.1"]),
        ("LOCALHOST", "AAAA", "NOERROR", ["::1"]),
        ("a.b.localhost", "A", "NOERROR", ["127.0.0.1"]),
        ("localhost", "MX", "NOERROR", []),
        ("x.invalid", "A", "NXDOMAIN", []),
        ("abc.onion", "A", "NXDOMAIN", []),
        ("x.alt", "AAAA", "NXDOMAIN", []),
        ("1.0.0.127.in-addr.arpa", "PTR", "NOERROR", ["localhost."]),
        ("1." + "0." * 31 + "ip6.arpa", "PTR", "NOERROR", ["localhost."]),
        ("1.0.0.127.in-addr.arpa", "A", "NOERROR", []),
        ("_dns.resolver.arpa", "SVCB", "NOERROR", []),
    ],
)
def test_special_names(name, rdtype, rcode, data):
    world = World({ONE: silent})
    world.ask(name, rdtype)
    world.run(1)
    (got,) = world.got
    assert (got.at, got.rcode, got.data) == (0.0, rcode, data)
    assert world.jobs == []
    if not data:
        assert got.message.authority[0].rdtype == dns.rdatatype.SOA


@pytest.mark.parametrize(
    "name",
    [
        "example",
        "test",
        "x.local",
        "notlocalhost",
        "localhost.example",
        "a.home.arpa",
        "2.0.0.127.in-addr.arpa",
        "invalid.example",
        "resolver.arpa",
    ],
)
def test_all_other_names_are_ordinary(name):
    world = World({ONE: negative(0.01)})
    world.ask(name)
    world.run(1)
    assert len(world.jobs) == 1


# -- coalescing and limits ----------------------------------------------------------------------


def test_equal_questions_share_one_lookup_and_keep_their_own_deadlines():
    world = World({ONE: silent})
    for at in (0, 1, 3):
        world.ask("www.example", at=at, client=f"c{at}")
    world.run(20)
    assert [(got.client, got.at) for got in world.got] == [("c0", 4.5), ("c1", 5.5), ("c3", 7.5)]
    assert len(world.jobs) == 4  # the tries of one lookup


def test_each_waiter_gets_its_own_id_case_and_edns():
    world = World({ONE: answers(0.1)})
    world.ask("www.example", ident=7)
    world.ask("WWW.example", ident=8, client="d", use_edns=0, transport="tcp")
    world.run(1)
    assert len(world.jobs) == 1
    assert [
        (g.message.id, g.message.question[0].name.to_text(), g.message.edns) for g in world.got
    ] == [(7, "www.example.", -1), (8, "WWW.example.", 0)]


def test_the_same_query_again_is_the_same_waiter():
    world = World({ONE: answers(0.1)})
    for at in (0, 0.01, 0.02):
        world.ask("www.example", at=at, ident=7)
    world.ask("www.example", at=0.03, ident=8)
    world.run(1)
    assert [got.message.id for got in world.got] == [7, 8]
    assert world.node.stats.duplicates == 2


def test_waiters_of_a_lookup_are_bounded():
    world = World({ONE: silent})
    for n in range(resolver.WAITERS_MAX + 1):
        world.ask("www.example", at=0, ident=n + 1, use_edns=0)
    world.run(1)
    assert [(got.rcode, got.ede) for got in world.got] == [("SERVFAIL", 0)]
    assert world.node.stats.refusals["waiters"] == 1


@pytest.mark.parametrize(
    ("addresses", "limit", "counter"),
    [(1, state.CLIENTS_MAX_ADDRESS, "address"), (4, state.CLIENTS_MAX, "clients")],
)
def test_waiting_clients_are_bounded_in_all_and_by_address(addresses, limit, counter):
    world = World({ONE: silent}, many=True)
    for n in range(limit + 1):
        wire = header(ar=1) + b"\x05" + b"%05d" % n + QUESTION[4:] + OPT
        world.ask(wire=wire, at=0, client=bytes([10, 0, 0, n % addresses]))
    world.run(1)
    assert [(got.rcode, got.ede) for got in world.got] == [("SERVFAIL", 0)]
    assert world.node.stats.refusals[counter] == 1
    assert world.node.outstanding == limit
    world.run(20)
    assert world.node.outstanding == 0  # they surely decrease (facts/peers.md, complaint M)
    world.ask("after.example", client=bytes([10, 0, 0, 0]))
    world.run(21)
    assert world.node.stats.refusals[counter] == 1


@pytest.mark.parametrize(("transport", "told"), [("udp", 0), ("tcp", 1)])
@pytest.mark.parametrize("reason", ["clients", "address", "waiters"])
def test_one_too_many_is_dropped_if_so_configured(monkeypatch, reason, transport, told):
    """Over TCP it is told all the same: its connection would stand still."""
    limits = {
        "clients": (state, "CLIENTS_MAX"),
        "address": (state, "CLIENTS_MAX_ADDRESS"),
        "waiters": (resolver, "WAITERS_MAX"),
    }
    monkeypatch.setattr(*limits[reason], 1)
    node = World({ONE: silent}, {"overload": "drop"}).node
    for n in range(2):
        name = b"\1a" if reason == "waiters" else b"\1" + bytes((97 + n,))
        client = Client(transport, b"\x7f\0\0\1", n, lambda _: None)
        effects = node.client_query(header(ar=1) + name + QUESTION[4:] + OPT, client, 0.0)
    assert [type(effect) for effect in effects] == [Answer] * told
    assert node.stats.drops[reason] == 1 - told
    assert node.stats.refusals[reason] == told
    assert node.outstanding == 1


def test_lookups_are_bounded(monkeypatch):
    monkeypatch.setattr(resolver, "LOOKUPS_MAX", 10)
    world = World({ONE: silent})
    for n in range(12):
        world.ask(f"n{n}.example", at=0)
    world.run(20)
    assert world.node.stats.refusals["clients"] == 2
    assert sum(got.at == 0.0 for got in world.got) == 2


def test_our_own_overload_is_not_remembered_as_the_names_failure():
    """CoreDNS issue 4326."""
    world = World(
        {ONE: lambda q, now: (0.0, Outcome.OVERLOAD) if now < 1 else answers(0.01)(q, now)}
    )
    world.ask("www.example", use_edns=0)
    world.ask("www.example", at=1, use_edns=0)
    world.run(6)
    assert [(got.at, got.rcode, got.ede) for got in world.got] == [
        (0.0, "SERVFAIL", 0),
        (1.01, "NOERROR", None),
    ]


# -- loops --------------------------------------------------------------------------------------


def checks(effects):
    return [e for e in effects if isinstance(e, SendJob) and b"\x10" in e.wire]


def test_a_nameserver_that_leads_back_here_is_not_used():
    world = World({ONE: answers(0.01), TWO: answers(0.02)})
    sent = checks(world.node.start(0.0))
    assert [job.server for job in sent] == [ONE, TWO]
    names = [dns.message.from_wire(job.wire).question[0] for job in sent]
    assert all(len(q.name.labels) == 3 and q.rdtype == dns.rdatatype.HINFO for q in names)
    returned = respond(world, sent[0].wire)
    assert dns.message.from_wire(returned).rcode() == dns.rcode.REFUSED
    world.ask("www.example", at=1)
    world.run(2)
    assert world.asked == [(1.0, TWO)]
    assert world.node.stats.loops == 1


def test_a_loop_that_ended_is_noticed():
    world = World({ONE: answers(0.01)})
    (job,) = checks(world.node.start(0.0))
    respond(world, job.wire)
    assert not world.node.can_answer(world.now)
    world.run(70)  # a minute later the check goes out again, and is not seen here
    world.run(80)
    assert world.node.can_answer(world.now)
    assert any("no longer" in event for _, event, _ in world.notes)


def test_new_nameservers_and_a_doubled_load_are_checked():
    world = World({ONE: silent, TWO: silent})
    world.node.start(0.0)
    effects = world.node.configure(
        replace(world.configured, nameservers=(ONE, TWO, "192.0.2.3#53")), 1.0
    )
    assert [job.server for job in checks(effects)] == ["192.0.2.3#53"]
    world.servers["192.0.2.3#53"] = silent
    for n in range(130):
        world.ask(f"n{n}.example", at=2)
    world.run(4)
    found = [name for _, _, name in world.jobs if name.endswith("HINFO")]
    assert len(found) == 3


def test_a_foreign_hinfo_query_is_ordinary():
    world = World({ONE: answers(0.01)})
    world.node.start(0.0)
    world.ask("0123456789abcdef.0123456789abcdef", "HINFO")
    world.run(1)
    assert world.got[0].rcode == "NOERROR"


def test_private_zones_are_parsed_and_kept():
    zones = (from_text("lan"), from_text("corp.example"))
    world = World({ONE: failing(0.01)}, {"private_zones": zones})
    assert world.configured.private_zones == zones


@pytest.mark.parametrize(
    ("behaviour", "source", "took"), [(answers(0.02), "local", 0.32), (silent, "error", 4.8)]
)
def test_what_a_query_waited_before_it_was_taken_is_part_of_its_time(behaviour, source, took):
    world = World({ONE: behaviour})
    client = Client("udp", b"\x7f\0\0\1", "c", lambda _: None)
    client.waited = 0.3
    query = dns.message.make_query("www.example.", "A").to_wire()
    world.at(1.0, lambda: world.node.client_query(query, client, 1.0))
    world.run(10)
    histogram = world.node.stats.duration[source]
    assert sum(histogram.counts) == 1
    assert histogram.total == pytest.approx(took)
