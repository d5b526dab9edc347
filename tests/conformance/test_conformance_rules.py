"""Rules of the RFCs that no other test shows by itself: see `rules.py` for the table."""

import dns.edns
import dns.flags
import dns.message
import pytest
from node_world import World, answers, negative, records

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
    """RFC 2181 5.2."""
    w = world(
        records(0.01, f"{NAME}. 300 IN CNAME a.example.", "a.example. 20 IN A 192.0.2.1"),
        cache_stale_s=0,
    )
    for at in (0.0, 19.0, 21.0):
        w.ask(NAME, at=at)
    w.run(22.0)
    assert len(w.got) == 3
    assert [at for at, _ in w.asked if at in (0.0, 21.0)] == [0.0, 21.0]


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
    assert w.got[1].message.authority[0].ttl <= w.got[0].message.authority[0].ttl - 39
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
