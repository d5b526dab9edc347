"""What other forwarders' public tests state of a forwarder, and no test here showed by itself.

`behaviours.py` has the list, and where each is stated.
"""

import dns.edns
import dns.flags
import pytest
from node_world import World, answers, failing, negative, silent, until

SERVER = "192.0.2.53#53"
NAME = "www.name.example"


def world(behaviour, **settings):
    return World({SERVER: behaviour}, settings)


def test_an_answer_of_ttl_0_ends_a_remembered_failure():
    """The next failure is the first again: 5 s, not 10."""
    w = world(until(4, failing(0.0), until(6, answers(0.0, ttl=0), failing(0.0))))
    for at in (0.0, 1.0, 5.0, 7.0, 11.0, 12.0):
        w.ask(NAME, at=at)
    w.run(13.0)
    assert [got.rcode for got in w.got] == ["SERVFAIL"] * 2 + ["NOERROR"] + ["SERVFAIL"] * 3
    assert [at for at, _ in w.asked] == [0.0, 5.0, 7.0, 12.0]


@pytest.mark.parametrize("rcode", ["NOERROR", "NXDOMAIN"])
def test_an_answer_of_ttl_0_ends_an_expired_denial(rcode):
    """It is given, and the old denial is not served stale behind its back."""
    behaviour = until(
        5, negative(0.0, rcode=rcode, minimum=10), until(30, answers(0.0, ttl=0), silent)
    )
    w = world(behaviour, cache_prefetch=False)
    for at in (0.0, 20.0, 40.0):
        w.ask(NAME, at=at)
    w.run(50.0)
    assert [(got.rcode, got.ttl) for got in w.got] == [
        (rcode, None),
        ("NOERROR", 0),
        ("SERVFAIL", None),
    ]


def test_an_expired_answer_does_not_come_back_as_a_denial_and_the_other_way_round():
    """NXDOMAIN takes an expired answer's place, and is itself given stale, with EDE 19."""
    w = world(until(5, answers(0.0, ttl=10), until(30, negative(0.0, minimum=10), silent)),
              cache_prefetch=False)  # fmt: skip
    for at in (0.0, 20.0, 60.0):
        w.ask(NAME, at=at, use_edns=0)
    w.run(70.0)
    assert [(got.at, got.rcode, got.ede) for got in w.got] == [
        (0.0, "NOERROR", None),
        (20.0, "NXDOMAIN", None),
        (61.8, "NXDOMAIN", 19),
    ]


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED", "FORMERR", "NOTIMP"])
def test_a_prefetch_that_fails_harms_no_answer_that_is_fresh(rcode):
    w = world(until(50, answers(0.0, ttl=100), failing(0.0, rcode)))
    for at in (0.0, 10.0, 92.0, 94.0, 99.0):
        w.ask(NAME, at=at)
    w.run(99.5)
    assert [got.rcode for got in w.got] == ["NOERROR"] * 5
    assert [got.ttl for got in w.got] == [100, 90, 8, 6, 1]
    assert len(w.jobs) > 1  # it was tried


@pytest.mark.parametrize(
    "rcode", ["FORMERR", "NOTIMP", "REFUSED", "SERVFAIL", "BADVERS", "YXDOMAIN"]
)
def test_no_other_rcode_is_kept_as_an_answer(rcode):
    w = world(until(5, failing(0.0, rcode), answers(0.0)))
    w.ask(NAME)
    w.ask(NAME, at=6.0)
    w.run(7.0)
    assert w.got[0].rcode != "NOERROR"
    assert w.got[1].data == ["192.0.2.1"]


def test_who_wants_ad_and_who_does_not_share_an_answer():
    w = world(answers(0.0, flags=dns.flags.AD))
    for at, flags in (
        (0.0, dns.flags.RD),
        (1.0, dns.flags.RD | dns.flags.AD),
        (2.0, dns.flags.RD),
    ):
        w.ask(NAME, at=at, flags=flags)
    w.run(3.0)
    assert [bool(got.message.flags & dns.flags.AD) for got in w.got] == [False, True, False]
    assert len(w.jobs) == 1


def test_a_query_with_a_cookie_is_answered_without_one():
    w = world(answers(0.0))
    for size in (8, 24):
        w.ask(NAME, use_edns=0, options=[dns.edns.GenericOption(10, bytes(size))], client=size)
    w.run(1.0)
    assert [(got.rcode, got.message.options) for got in w.got] == [("NOERROR", ())] * 2


def test_a_hundred_equal_questions_are_one_query():
    w = world(answers(0.05))
    for number in range(100):
        w.ask(NAME, at=number / 10_000, client=f"c{number}", transport=("udp", "tcp")[number % 2])
    w.run(1.0)
    assert len(w.got) == 100
    assert {got.at for got in w.got} == {0.05}
    assert len(w.jobs) == 1
