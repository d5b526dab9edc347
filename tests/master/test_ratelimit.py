"""The rate limit as a policy: who is let through when, to the millisecond, and a full table."""

import socket

import dns.edns
import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codns.config.schema import RateSettings
from codns.master.acl import packed_address
from codns.master.ratelimit import BUCKETS_MAX, RateLimit, limit_of, prefix, truncated

A, B = packed_address("192.0.2.1"), packed_address("192.0.2.2")


def let_through(limit, times, address=A, transport="udp"):
    return [limit.allows(address, transport, now) for now in times]


# 10 a second, 3 at once
@pytest.mark.parametrize(
    ("times", "passed"),
    [
        ([5.0] * 5, [1, 1, 1, 0, 0]),
        ([5.0] * 4 + [5.089, 5.1, 5.1], [1, 1, 1, 0, 0, 1, 0]),  # one comes back every 100 ms
        ([5.0] * 3 + [5.2, 5.2, 5.2], [1, 1, 1, 1, 1, 0]),
        ([5.0] * 3 + [9.0] * 4, [1, 1, 1, 1, 1, 1, 0]),  # never more than the burst
        ([n / 10 for n in range(50, 100)], [1] * 50),  # at its rate for ever
        ([5.0] * 9 + [5.1] * 2, [1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 0]),  # refusals cost nothing
    ],
)
def test_times(times, passed):
    assert let_through(RateLimit(10, 3), times) == [bool(p) for p in passed]


@pytest.mark.parametrize(("queries", "burst"), [(1, 1), (3, 7), (1000, 2000), (999_983, 10)])
def test_the_burst_is_exact_late_on_the_clock(queries, burst):
    limit = RateLimit(queries, burst)
    assert let_through(limit, [3e7 + 0.123] * (burst + 3)) == [True] * burst + [False] * 3


def test_each_client_and_each_transport_has_a_bucket():
    limit = RateLimit(10, 1)
    for address in (A, B):
        for transport in ("udp", "tcp"):
            assert let_through(limit, [1.0, 1.0], address, transport) == [True, False]
    assert limit.clients == 4


@pytest.mark.parametrize(
    ("first", "second", "options", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", {}, True),
        ("2001:db8::1", "2001:db8:0:1::1", {}, False),
        ("2001:db8::1", "2001:db8:0:7f::1", {"ipv6_prefix": 56}, True),
        ("2001:db8::1", "2001:db8::2", {"ipv6_prefix": 128}, False),
        ("192.0.2.1", "192.0.2.2", {}, False),
        ("192.0.2.1", "192.0.2.255", {"ipv4_prefix": 24}, True),
        ("192.0.2.1", "192.0.2.63", {"ipv4_prefix": 26}, True),
        ("192.0.2.1", "192.0.2.64", {"ipv4_prefix": 26}, False),
    ],
)
def test_who_is_one_client(first, second, options, same):
    limit = RateLimit(10, 1, **options)
    assert limit.allows(packed_address(first), "udp", 1.0)
    assert limit.allows(packed_address(second), "udp", 1.0) is not same


@given(st.binary(min_size=4, max_size=4), st.binary(min_size=4, max_size=4), st.integers(16, 32))
def test_prefixes(one, other, bits):
    first, second = (int.from_bytes(address, "big") >> (32 - bits) for address in (one, other))
    assert (prefix(one, bits) == prefix(other, bits)) == (first == second)


def test_the_exempt_are_not_counted():
    limit = limit_of(RateSettings(queries=1, burst=1, exempt=("192.0.2.0/31",)))
    assert all(let_through(limit, [1.0] * 50))
    assert let_through(limit, [1.0, 1.0], B) == [True, False]
    assert limit.clients == 1


def test_what_is_configured():
    assert limit_of(RateSettings()) is None
    assert sum(let_through(limit_of(RateSettings(queries=50)), [1.0] * 200)) == 100  # auto
    assert sum(let_through(limit_of(RateSettings(queries=50, burst=7)), [1.0] * 200)) == 7


# -- a table that is full -----------------------------------------------------------------------


def stranger(number):
    return (0x0A000000 + number).to_bytes(4, "big")


def test_the_table_is_bounded_and_locks_nobody_out():
    limit, now = RateLimit(1, 2), 1.0
    for number in range(5 * BUCKETS_MAX):
        assert limit.allows(stranger(number), "udp", now)
    assert limit.clients == 2 * BUCKETS_MAX
    assert limit.forgotten == 3 * BUCKETS_MAX
    assert let_through(limit, [now] * 3) == [True, True, False]  # who comes now has a whole bucket


def test_others_do_not_free_who_goes_on_asking():
    """One query of the limited client for each 8,000 of as many addresses, all forged."""
    limit, now = RateLimit(1, 2), 1.0
    let_through(limit, [now] * 2)
    for number in range(6 * BUCKETS_MAX):
        if number % 8000 == 0:
            assert not limit.allows(A, "udp", now)
        limit.allows(stranger(number), "udp", now)
    assert limit.forgotten > 3 * BUCKETS_MAX
    assert not limit.allows(A, "udp", now)


def test_a_flood_over_udp_takes_nothing_from_tcp():
    limit = RateLimit(1, 2)
    for number in range(3 * BUCKETS_MAX):
        limit.allows(stranger(number), "udp", 1.0)
    let_through(limit, [1.0] * 100)
    assert let_through(limit, [1.0] * 3, transport="tcp") == [True, True, False]


# -- what the limited one sees ------------------------------------------------------------------


def test_every_second_one_is_told():
    limit = RateLimit(1, 1)
    wire = dns.message.make_query("www.example.", "A").to_wire()
    told = [limit.over_udp(wire) is not None for _ in range(6)]
    assert told == [False, True] * 3


@pytest.mark.parametrize("edns", [None, 0])
@pytest.mark.parametrize("name", [".", "www.example.", "A" * 63 + ".Example."])
def test_it_is_sent_to_tcp_with_no_more_than_it_sent(name, edns):
    options = [] if edns is None else [dns.edns.GenericOption(10, b"12345678")]
    query = dns.message.make_query(name, "ANY", use_edns=edns, options=options or None)
    wire = query.to_wire()
    reply = truncated(wire)
    assert len(reply) <= len(wire)
    response = dns.message.from_wire(reply)
    assert query.is_response(response)
    assert str(response.question[0].name) == name  # its letters, too
    assert response.flags & dns.flags.TC
    assert (response.rcode(), response.edns) == (0, -1 if edns is None else 0)
    assert len(response.answer) + len(response.authority) + len(response.additional) == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda wire: wire[:11],
        lambda wire: wire[:2] + bytes((wire[2] | 0x80,)) + wire[3:],  # a response
        lambda wire: wire[:2] + bytes((wire[2] | 0x28,)) + wire[3:],  # UPDATE
        lambda wire: wire[:5] + b"\0" + wire[6:],  # no question
        lambda wire: wire[:5] + b"\2" + wire[6:],
        lambda wire: wire[:16],  # ends in its question
        lambda wire: b"",
    ],
)
def test_what_gets_silence(change):
    assert truncated(change(dns.message.make_query("www.example.", "A").to_wire())) is None


@given(st.binary(max_size=300))
def test_whatever_comes_nothing_larger_leaves(wire):
    reply = truncated(wire)
    if reply is not None:
        assert len(reply) <= len(wire)
        assert not wire[2] & 0x80
        assert reply[2] & 0x82 == 0x82


def test_addresses_are_those_of_the_listeners():
    """IPv6 sockets of clients have IPv6 only: no IPv4 address comes as one of /64 for all."""
    from codns.master.sockets import _bound  # noqa: PLC0415

    sock = _bound("::", 0, socket.SOCK_DGRAM)
    with sock:
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
