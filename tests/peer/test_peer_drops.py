"""Every reason to drop a datagram: counted once, never answered."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peerwire import (
    ALL,
    KEY,
    OTHER_KEY,
    A,
    B,
    C,
    acquainted,
    answer,
    heartbeat,
    link,
    query,
    sealed,
    source,
)

from codns.peer import frame
from codns.peer.frame import Frame
from codns.peer.link import DROPS, Received
from codns.peer.seal import DATAGRAM_SIZE_MAX, Keyring

D = "192.0.2.4:7353"  # in nobody's list
BOOT = b"\x11" * 8


@pytest.fixture
def pair():
    a, b = link(A), link(B)
    acquainted(a, b)
    b.drops.update(dict.fromkeys(DROPS, 0))
    return a, b


def good(a):
    return a.seal(query(7), B, 1.0)[0]


def flipped(datagram, at):
    return datagram[:at] + bytes((datagram[at] ^ 1,)) + datagram[at + 1 :]


def from_a(a, payload=b"", **fields):
    """A body by hand, from A's known life."""
    a._peers[B].counter += 1
    return sealed(a, B, frame.pack(Frame(a._boot, a._peers[B].counter, payload=payload, **fields)))


CASES = {
    "empty": ("truncated", lambda _: b""),
    "a byte": ("truncated", lambda a: good(a)[:1]),
    "half a header": ("truncated", lambda a: good(a)[:10]),
    "no tag": ("truncated", lambda a: good(a)[:60]),
    "oversized": ("oversized", lambda a: good(a) + bytes(DATAGRAM_SIZE_MAX)),
    "a DNS query": ("magic", lambda _: b"\0\1\1\0\0\1\0\0\0\0\0\0\3www\0\0\1\0\1" * 4),
    "version 2": ("version", lambda a: good(a)[:4] + b"\2" + good(a)[5:]),
    "another key": ("key", lambda _: good(link(A, keys=[OTHER_KEY]))),
    "another label": ("cluster", lambda _: good(link(A, cluster="staging"))),
    "a longer label": ("cluster", lambda _: good(link(A, cluster="default2"))),
    "a shorter label": ("cluster", lambda _: good(link(A, cluster="def"))),
    "key id flipped": ("key", lambda a: flipped(good(a), 5)),
    "label flipped": ("cluster", lambda a: flipped(good(a), 15)),
    "nonce flipped": ("forged", lambda a: flipped(good(a), 30)),
    "body flipped": ("forged", lambda a: flipped(good(a), 60)),
    "tag flipped": ("forged", lambda a: flipped(good(a), len(good(a)) - 1)),
    "cut": ("forged", lambda a: good(a)[:-1]),
    "lengthened": ("forged", lambda a: good(a) + b"\0"),
    "to another": ("receiver", lambda a: a.seal(query(7), C, 1.0)[0]),
    "reflected": ("receiver", lambda _: link(B).seal(query(7), A, 1.0)[0]),
    "from me to me": (
        "sender",
        lambda a: a._keyring.seal(frame.names(B, B) + bytes(40), bytes(24)),
    ),
    "unlisted": ("sender", lambda _: link(D, peers=ALL).seal(query(7), B, 1.0)[0]),
    "no names": ("malformed", lambda a: a._keyring.seal(b"", bytes(24))),
    "half a name": ("malformed", lambda a: a._keyring.seal(b"\x0e192", bytes(24))),
    "a long name": ("malformed", lambda a: a._keyring.seal(b"\x41" * 200, bytes(24))),
    "empty names": ("malformed", lambda a: a._keyring.seal(b"\0\0" * 9, bytes(24))),
    "nothing behind the names": ("malformed", lambda a: sealed(a, B, b"")),
    "half a counter": ("malformed", lambda a: sealed(a, B, bytes(15))),
    "unknown flags": ("malformed", lambda a: sealed(a, B, bytes(16) + b"\x80")),
    "challenge cut": ("malformed", lambda a: sealed(a, B, bytes(16) + b"\1" + bytes(15))),
    "echo cut": ("malformed", lambda a: sealed(a, B, bytes(16) + b"\3" + bytes(31))),
    "part cut": ("malformed", lambda a: sealed(a, B, bytes(16) + b"\4\0")),
    "part of none": ("malformed", lambda a: sealed(a, B, bytes(16) + b"\4\0\0xx")),
    "no message": ("malformed", lambda a: from_a(a, b"\xc1")),
    "a message cut": ("malformed", lambda a: from_a(a, b"\x94\x01")),
    "a later kind": ("kind", lambda a: from_a(a, b"\x92\x63\x01")),
    "part of one": ("parts", lambda a: from_a(a, b"x", part=0, parts=1)),
    "part of 13": ("parts", lambda a: from_a(a, b"x", part=0, parts=13)),
    "part behind the last": ("parts", lambda a: from_a(a, b"x", part=2, parts=2)),
    "an empty part": ("parts", lambda a: from_a(a, b"", part=0, parts=2)),
    "a part before the first": (
        "parts",
        lambda a: from_a(a, b"x", part=11, parts=12),  # with counter 5: the first would be -6
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_dropped_and_counted(pair, case):
    a, b = pair
    reason, make = CASES[case]
    assert b.receive(make(a), source(A), 1.0) is None
    assert {name: count for name, count in b.drops.items() if count} == {reason: 1}
    assert b.receive(good(a), source(A), 1.0) == Received(A, query(7), [], False)


@pytest.mark.parametrize(
    "where",
    [("192.0.2.1", 7354), ("192.0.2.9", 7353), ("2001:db8::3", 7353), ("::ffff:192.0.2.9", 7353)],
)
def test_from_elsewhere(pair, where):
    a, b = pair
    datagram = good(a)
    assert b.receive(datagram, where, 1.0) is None
    assert b.drops["source"] == 1
    assert b.receive(datagram, source(A), 1.0).message == query(7)  # it was not remembered


def test_a_dual_stack_socket_says_it_another_way(pair):
    a, b = pair
    assert b.receive(good(a), ("::ffff:192.0.2.1", 7353), 1.0).message == query(7)
    ipv6 = link(C)
    acquainted(a, b, ipv6, now=2.0)
    asked = ipv6.seal(query(8), B, 3.0)[0]
    assert b.receive(asked, ("2001:db8::3", 7353, 0, 0), 3.0).message == query(8)


def test_replays_and_what_is_too_old(pair):
    a, b = pair
    first, *rest = [a.seal(query(n), B, 1.0)[0] for n in range(1026)]
    assert b.receive(rest[-1], source(A), 1.0).message == query(1025)
    assert b.receive(rest[-1], source(A), 1.0) is None  # seen
    assert b.receive(first, source(A), 1.0) is None  # 1,025 behind
    assert b.receive(rest[0], source(A), 1.0) is None  # 1,024 behind
    assert b.drops["replay"] == 3
    assert b.receive(rest[1], source(A), 1.0).message == query(2)  # the last one inside
    assert sum(b.drops.values()) == 3


def test_an_unknown_boot_is_dropped_but_challenged():
    a, b = link(A), link(B)
    received = b.receive(good(a), source(A), 1.0)
    assert (received.message, len(received.datagrams), received.learned) == (None, 1, False)
    assert b.drops["boot"] == 1


def test_no_reply_of_an_unknown_boot(pair):
    _a, b = pair
    other = link(A, "other")
    assert b.receive(other.seal(answer(1), B, 1.0)[0], source(A), 1.0).message is None
    assert b.drops["boot"] == 1


def test_all_reasons_are_there_from_the_start():
    assert link(A).drops == dict.fromkeys(DROPS, 0)
    covered = {reason for reason, _ in CASES.values()} | {"source", "replay", "boot"}
    assert covered == set(DROPS)


ENDS = link(A), link(B)
acquainted(*ENDS)


@given(st.binary(max_size=1400))
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes_raise_nothing(data):
    before = sum(ENDS[1].drops.values())
    assert ENDS[1].receive(data, source(A), 1.0) is None
    assert sum(ENDS[1].drops.values()) == before + 1


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes_behind_our_header_raise_nothing(data):
    assert ENDS[1].receive(ENDS[0]._keyring._header + data, source(A), 1.0) is None


@given(st.binary(max_size=1100))
@settings(max_examples=300, deadline=None)
def test_arbitrary_sealed_plaintext_raises_nothing(data):
    assert ENDS[1].receive(Keyring([KEY], "default").seal(data, bytes(24)), source(A), 1.0) is None


@given(data=st.binary(max_size=1000), flags=st.integers(0, 15))
@settings(max_examples=500, deadline=None)
def test_arbitrary_bodies_of_a_peer_raise_nothing(data, flags):
    """From a known life with a good counter, so that everything behind it is reached."""
    a, b = ENDS
    a._peers[B].counter += 1
    head = a._boot + a._peers[B].counter.to_bytes(8, "big") + bytes((flags,))
    b.receive(sealed(a, B, head + data), source(A), 1.0)
    assert b.receive(a.seal(query(7), B, 1.0)[0], source(A), 1.0).message == query(7)


@given(st.binary(max_size=1000))
@settings(max_examples=500, deadline=None)
def test_arbitrary_payloads_raise_nothing(payload):
    a, b = ENDS
    b.receive(from_a(a, b"\x94" + payload), source(A), 1.0)
    b.receive(from_a(a, payload), source(A), 1.0)


def test_a_field_that_nests_too_deep_is_malformed(pair):
    """msgspec passes over unknown fields by recursion: its RecursionError must not escape."""
    a, b = pair
    deep = b"\x94" + b"\x91" * 1000
    later = b"\x97\x03\x01\xc4\x01\0\x01\x01\xc2\xc2"
    assert b.receive(from_a(a, later), source(A), 1.0).message.name == b"\0"
    assert b.receive(from_a(a, b"\x98" + later[1:] + b"\x91" * 1000), source(A), 1.0) is None
    assert b.receive(from_a(a, deep), source(A), 1.0) is None
    assert b.drops["malformed"] == 2


def test_a_boot_by_another_sender_means_nothing(pair):
    """C takes A's boot for its own: boots are known per sender."""
    a, b = pair
    c = link(C, boot=a._boot)
    received = b.receive(c.seal(query(1), B, 1.0)[0], source(C), 1.0)
    assert received.message is None
    assert b.drops["boot"] == 1


def test_a_counter_at_its_end_costs_nothing(pair):
    """64 bits are the sender's choice; the window must not grow by them."""
    a, b = pair
    a._peers[B].counter = 2**64 - 2
    assert b.receive(good(a), source(A), 1.0).message == query(7)
    assert b._peers[A].handshake._window._seen.bit_length() == 1


def test_heartbeats_of_strangers_get_silence():
    b = link(B)
    for stranger in (link(A, keys=[OTHER_KEY]), link(A, cluster="staging"), link(D, peers=ALL)):
        assert b.receive(stranger.seal(heartbeat(1), B, 0.0)[0], source(A), 0.0) is None


def test_a_boot_has_eight_bytes():
    with pytest.raises(ValueError, match="8 bytes"):
        link(A, boot=BOOT[:7])
