"""Rules of the RFCs that no other test shows by itself: see `rules.py` for the table."""

from ipaddress import ip_network
from itertools import pairwise

import dns.edns
import dns.flags
import dns.message
import dns.name
import pytest
from node_world import World, answers, failing, negative, records, silent, until

from codns.config.schema import Config
from codns.config.units import parse_endpoint
from codns.core.failures import Failures
from codns.master.acl import Acl, packed_address
from codns.wire.digest import digest
from codns.wire.outcome import Outcome

SERVER = "192.0.2.53#53"
NAME = "www.name.example"


def world(behaviour, **settings):
    return World({SERVER: behaviour}, settings)


def test_ttl_0_is_given_and_not_kept():
    """RFC 1035 3.2.1, 7.4."""
    w = world(answers(0.01, ttl=0))
    w.ask(NAME)
    w.ask(NAME, at=1.0)
    w.run(2.0)
    assert [got.ttl for got in w.got] == [0, 0]
    assert len(w.jobs) == 2


def test_an_answer_is_kept_for_its_least_ttl():
    """All of it: the chain leads nowhere without its last link."""
    w = world(
        records(0.01, f"{NAME}. 300 IN CNAME a.example.", "a.example. 20 IN A 192.0.2.1"),
        cache_stale_s=0,
    )
    for at in (0.0, 19.0, 21.0):
        w.ask(NAME, at=at)
    w.run(22.0)
    assert len(w.got) == 3
    assert [at for at, _ in w.asked if at in (0.0, 21.0)] == [0.0, 21.0]


def test_a_set_with_different_ttls_counts_as_its_least():
    """RFC 2181 5.2. Its records pass as they came: who gets them treats them so as well."""
    lines = [f"{NAME}. 300 IN A 192.0.2.1", f"{NAME}. 20 IN A 192.0.2.2"]
    w = world(records(0.0, *lines), cache_stale_s=0, cache_prefetch=False)
    for at in (0.0, 19.0, 20.0):
        w.ask(NAME, at=at)
    w.run(21.0)
    assert [at for at, _ in w.asked] == [0.0, 20.0]
    assert [sorted(got.data) for got in w.got] == [["192.0.2.1", "192.0.2.2"]] * 3
    assert [got.ttl for got in w.got] == [20, 1, 20]


@pytest.mark.parametrize("section", ["answer", "authority"])
def test_what_was_not_asked_is_not_learned(section):
    """RFC 2181 5.4.1, RFC 5452 6: a lying nameserver writes no name but the one asked."""
    lie = "www.bank.example. 9999 IN A 203.0.113.66"
    true = f"{NAME}. 300 IN A 192.0.2.1"
    first = {
        "answer": records(0.01, true, lie),
        "authority": records(0.01, true, authority=[lie]),
    }[section]
    other = answers(0.01, address="192.0.2.7")

    def behave(query, now):
        asked = query.question[0].name.to_text(omit_final_dot=True)
        return (first if asked == NAME else other)(query, now)

    w = world(behave)
    w.ask(NAME)
    w.ask("www.bank.example", at=1.0)
    w.run(2.0)
    assert [got.data for got in w.got] == [["192.0.2.1"], ["192.0.2.7"]]
    assert [text for _, _, text in w.jobs] == [f"{NAME} A", "www.bank.example A"]


def test_a_cached_denial_has_its_soa_counted_down():
    """RFC 2308 6."""
    w = world(negative(0.01, ttl=900, minimum=100))
    w.ask(NAME)
    w.ask(NAME, at=40.0)
    w.run(41.0)
    assert [got.rcode for got in w.got] == ["NXDOMAIN", "NXDOMAIN"]
    assert [got.message.authority[0].ttl for got in w.got] == [100, 61]  # it came at 0.01
    assert len(w.jobs) == 1


def test_the_reserved_bit_is_ignored_and_not_echoed():
    """RFC 5625 4.1, RFC 1035 4.1.1: Z must be zero in an answer, and refuses nobody."""
    w = world(answers(0.01))
    wire = bytearray(dns.message.make_query(NAME, "A", id=7).to_wire())
    wire[3] |= 0x40
    w.ask(wire=bytes(wire))
    w.run(1.0)
    (got,) = w.got
    assert got.rcode == "NOERROR"
    assert not got.message.flags & 0x40


def test_cd_is_copied_to_the_answer_fresh_and_cached():
    """RFC 4035 3.2.2."""
    w = world(answers(0.01))
    for at in (0.0, 1.0):
        w.ask(NAME, at=at, flags=dns.flags.RD | dns.flags.CD)
        w.ask(NAME, at=at + 2)
    w.run(4.0)
    assert [bool(got.message.flags & dns.flags.CD) for got in w.got] == [True, True, False, False]
    assert [bool(q.flags & dns.flags.CD) for q in w.queries] == [True, False]


def test_flags_of_an_opt_that_are_unknown_are_ignored_and_not_set():
    """RFC 6891 6.1.4: Z is zero in what we send, whatever came."""
    w = world(answers(0.01))
    w.ask(NAME, use_edns=0, ednsflags=0x4001)
    w.run(1.0)
    assert (w.got[0].rcode, w.got[0].message.edns, w.got[0].message.ednsflags) == ("NOERROR", 0, 0)
    assert w.queries[0].ednsflags == 0


@pytest.mark.parametrize("edns", [False, True])
def test_our_own_refusals_have_an_opt_iff_the_query_had(edns):
    """RFC 6891 6.1.1."""
    w = world(silent)
    for rdtype in ("AXFR", "IXFR"):
        w.ask(NAME, rdtype, use_edns=0 if edns else None, transport="tcp")
    w.ask("x.invalid", use_edns=0 if edns else None)
    w.run(1.0)
    assert [got.rcode for got in w.got] == ["REFUSED", "REFUSED", "NXDOMAIN"]
    assert [got.message.edns for got in w.got] == [0 if edns else -1] * 3


def test_an_option_that_comes_twice_does_no_harm():
    """RFC 6891 6.1.2 leaves it to each option; of unknown ones there is nothing to know."""
    w = world(answers(0.01))
    w.ask(
        NAME,
        use_edns=0,
        options=[dns.edns.GenericOption(code, b"12345678") for code in (10, 3)] * 2,
    )
    w.run(1.0)
    assert (w.got[0].rcode, w.got[0].message.options) == ("NOERROR", ())


def test_names_are_any_octets_and_only_letters_are_folded():
    """RFC 2181 11, RFC 4343 3: \\xc9 and \\xe9 are no letters of the DNS."""
    w = world(answers(0.01))
    for at, label in enumerate((b"\xc9\0.a", b"\xe9\0.a", b"\xc9\0.A")):
        w.ask(dns.name.Name((label, b"example", b"")), at=float(at))
    w.run(4.0)
    assert [got.rcode for got in w.got] == ["NOERROR"] * 3
    assert [q.question[0].name.labels[0] for q in w.queries] == [b"\xc9\0.a", b"\xe9\0.a"]


def test_an_answer_without_compression_passes():
    """RFC 5625 4.2: whether names are compressed is nobody's concern."""
    name = b"\3www\4name\7example\0"
    query = b"\0\7\1\0\0\1\0\0\0\0\0\0" + name + b"\0\1\0\1"
    record = name + b"\0\1\0\1\0\0\1\x2c\0\4\xc0\0\2\1"
    head = b"\0\7\x81\x80\0\1\0\2\0\0\0\0"
    found = digest(query, head + query[12:] + record * 2)
    assert (found.outcome, found.ancount, found.ttl) == (Outcome.ANSWER, 2, 300)
    assert found.body == record * 2


def test_failures_are_kept_for_five_minutes_at_most():
    """RFC 2308 7.1, RFC 9520 3.2."""
    w = world(failing(0.0))
    for second in range(1500):
        w.ask("broken.example", at=float(second))
    w.run(1500.0)
    times = [at for at, _ in w.asked]
    gaps = [b - a for a, b in pairwise(times)]
    assert gaps == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0]


def test_failures_that_are_kept_are_bounded():
    """RFC 9520 3.2."""
    failures = Failures(entries_max=3)
    for number in range(5):
        failures.record(b"\1%d\0\0\1\0\1\0" % number, 2, 0.0)
    assert len(failures) == 3


def test_resolving_goes_on_after_a_stale_answer():
    """RFC 8767 5: what comes later than the client would wait is not lost."""
    late = answers(3.0, ttl=60, address="192.0.2.9")
    w = world(until(10, answers(0.0, ttl=5), late), cache_prefetch=False)
    w.ask(NAME)
    for at in (20.0, 24.0):
        w.ask(NAME, at=at, use_edns=0)
    w.run(30.0)
    assert [(got.at, got.ede, got.data) for got in w.got[1:]] == [
        (21.8, 3, ["192.0.2.1"]),
        (24.0, None, ["192.0.2.9"]),
    ]


def test_ttl_0_is_not_given_stale_either():
    """RFC 8767 4."""
    w = world(until(10, answers(0.0, ttl=0), silent))
    w.ask(NAME)
    w.ask(NAME, at=20.0)
    w.run(30.0)
    assert w.times == [(0.0, "NOERROR"), (24.5, "SERVFAIL")]


def test_without_edns_no_reason_is_given():
    """RFC 8914 2."""
    w = world(silent)
    w.ask(NAME)
    w.ask(NAME, use_edns=0, client="d")
    w.run(5.0)
    assert [(got.rcode, got.message.edns, got.ede) for got in w.got] == [
        ("SERVFAIL", -1, None),
        ("SERVFAIL", 0, 22),
    ]


def test_only_this_host_may_ask_unless_told_otherwise():
    """RFC 5625 6.2."""
    defaults = Config()
    acl = Acl(ip_network(network) for network in defaults.allow)
    for host, allowed in (("127.0.0.1", True), ("::1", True), ("192.0.2.1", False)):
        assert acl.allows(packed_address(host)) is allowed, host
    hosts = {parse_endpoint(listen)[0] for listen in defaults.listen}
    assert hosts == {"127.0.0.1", "::1"}


def test_unknown_options_are_ignored_and_stay_here():
    """RFC 6891 6.1.2, 6.2.6."""
    w = world(answers(0.01))
    w.ask(NAME, use_edns=0, options=[dns.edns.GenericOption(65_001, b"abc")])
    w.run(1.0)
    assert w.got[0].rcode == "NOERROR"
    assert not [o for o in w.got[0].message.options if o.otype == 65_001]
    assert not [o for q in w.queries for o in q.options if o.otype == 65_001]


def test_nxdomain_says_nothing_of_names_below():
    """RFC 8020 2 is a SHOULD for those who can tell: unsigned, it lets one forged denial of a
    name deny a whole zone. codns validates nothing, so it asks."""
    w = world(negative(0.01))
    w.ask("name.example")
    w.ask("www.name.example", at=1.0)
    w.run(2.0)
    assert [text for _, _, text in w.jobs] == ["name.example A", "www.name.example A"]


def test_an_ede_of_the_nameserver_changes_nothing():
    """RFC 8914 3: it is for people; it is not passed on as if it were ours either."""
    plain = answers(0.01)

    def behave(query, now):
        delay, response = plain(query, now)
        response.use_edns(0, options=[dns.edns.EDEOption(6, "DNSSEC Bogus")])
        return delay, response

    w = world(behave)
    w.ask(NAME, use_edns=0)
    w.ask(NAME, use_edns=0, at=1.0)
    w.run(2.0)
    assert [(got.rcode, got.ede) for got in w.got] == [("NOERROR", None)] * 2
    assert len(w.jobs) == 1
