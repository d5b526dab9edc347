"""Keys are changed node by node, and no message is lost at any step (RULES 8.4)."""

import pytest
from peerwire import ALL, KEY, OTHER_KEY, A, B, acquainted, link, query, source

from codns.peer import address
from codns.peer.codec import PeerError
from codns.peer.seal import KEYS_MAX, Keyring, key_id

STEPS = [[KEY, OTHER_KEY], [OTHER_KEY, KEY], [OTHER_KEY]]  # append, move, delete


def talk(nodes, serial):
    for me in nodes:
        for other in nodes:
            if me != other:
                (datagram,) = nodes[me].seal(query(serial), other, 1.0)
                received = nodes[other].receive(datagram, source(me), 1.0)
                assert received is not None, (me, other, nodes[other].drops)
                assert received.message == query(serial)


def test_three_steps_three_nodes_nothing_lost():
    nodes = {name: link(name) for name in ALL}
    acquainted(*nodes.values())
    serial = 0
    for keys in STEPS:
        for name in ALL:
            # What is under way when a node reloads was sealed before and opens after.
            under_way = [(me, nodes[me].seal(query(99), name, 1.0)[0]) for me in ALL if me != name]
            nodes[name].set_keys(keys)
            for me, datagram in under_way:
                assert nodes[name].receive(datagram, source(me), 1.0).message == query(99)
            serial += 1
            talk(nodes, serial)
    # Nobody had to be introduced again, and the old key is dead.
    assert all(node.drops["key"] == 0 for node in nodes.values())
    assert nodes[B].receive(link(A).seal(query(1), B, 2.0)[0], source(A), 2.0) is None
    assert nodes[B].drops["key"] == 1


def test_a_step_left_out_is_seen_in_the_counters():
    """A new key in first place before all have it: what the second step guards against."""
    a, b = link(A), link(B)
    acquainted(a, b)
    a.set_keys([OTHER_KEY, KEY])
    assert b.receive(a.seal(query(1), B, 1.0)[0], source(A), 1.0) is None
    assert b.drops["key"] == 1


def test_the_first_key_seals():
    first, second = Keyring([KEY], "x"), Keyring([OTHER_KEY], "x")
    both = Keyring([KEY, OTHER_KEY], "x")
    assert first.open(both.seal(b"body", bytes(24))) == b"body"
    assert both.open(second.seal(b"body", bytes(24))) == b"body"
    with pytest.raises(PeerError, match="key"):
        second.open(both.seal(b"body", bytes(24)))


def test_bad_keys_leave_the_old_ones():
    a, b = link(A), link(B)
    acquainted(a, b)
    for keys in ([], [b"short"], [bytes(32)] * (KEYS_MAX + 1)):
        with pytest.raises(ValueError, match="1 to 8 keys of 32 bytes"):
            a.set_keys(keys)
    talk({A: a, B: b}, 1)


@pytest.mark.parametrize("label", ["", "x" * 33, "\u00e9" * 17])
def test_labels_are_bounded(label):
    with pytest.raises(ValueError, match="cluster label of"):
        Keyring([KEY], label)


def test_the_key_id_says_nothing_of_the_key():
    assert key_id(KEY) == bytes.fromhex("6eefa82617bf245d")  # the same on every version
    assert len({key_id(bytes((n,)) * 32) for n in range(256)}) == 256


def test_a_list_is_replaced_and_lives_are_kept():
    a, b = link(A), link(B)
    acquainted(a, b)
    for node in (a, b):
        node.set_peers([A, "192.0.2.9:7353", B])
    talk({A: a, B: b}, 1)


def test_a_peer_that_leaves_has_to_prove_itself_again():
    a, b = link(A), link(B)
    acquainted(a, b)
    captured = a.seal(query(1), B, 1.0)[0]
    b.set_peers([])
    assert b.receive(captured, source(A), 1.0) is None
    assert b.drops["sender"] == 1
    b.set_peers([A])
    assert not b.knows(A)
    assert b.receive(captured, source(A), 2.0).message is None
    acquainted(a, b, now=5.0)
    assert b.receive(captured, source(A), 6.0) is None
    assert b.drops["replay"] == 1


def test_counters_go_on_for_a_peer_that_comes_back():
    """It never forgot us: a counter begun anew would be a replay to it."""
    a, b = link(A), link(B)
    acquainted(a, b)
    for n in range(5):
        b.receive(a.seal(query(n), B, 1.0)[0], source(A), 1.0)
    a.set_peers([])
    a.set_peers([B])
    assert b.receive(a.seal(query(9), B, 2.0)[0], source(A), 2.0).message == query(9)


def test_addresses_are_compared_not_texts():
    a = link(A, peers=["[2001:DB8:0::3]:07353", "[::ffff:192.0.2.2]:7353", B, A])
    assert a.sockaddr("[2001:DB8:0::3]:07353") == ("2001:db8::3", 7353)
    b = link(B)
    acquainted(a, b)
    received = a.receive(b.seal(query(1), A, 1.0)[0], source(B), 1.0)
    assert received.peer == "[::ffff:192.0.2.2]:7353"  # as it was listed first
    with pytest.raises(PeerError, match="unlisted"):
        a.sockaddr(A)
    with pytest.raises(PeerError, match="unlisted"):
        a.seal(query(1), "192.0.2.77:7353", 0.0)


def test_a_bad_list_leaves_the_old_one():
    a, b = link(A), link(B)
    acquainted(a, b)
    with pytest.raises(ValueError, match="no port"):
        a.set_peers([B, "192.0.2.9"])
    talk({A: a, B: b}, 1)


def test_what_was_listed_before_is_not_read_again(monkeypatch):
    """4,096 addresses took 24 to 60 ms of the loop, at each change of one of them."""
    listed = [f"[2001:db8::{n:x}]:7353" for n in range(50)]
    a = link(A, peers=listed)
    read = []
    parse = address.parse
    monkeypatch.setattr(address, "parse", lambda text: read.append(text) or parse(text))
    a.set_peers([*listed[1:], B])
    assert read == [B]
    assert a.sockaddr(listed[7]) == ("2001:db8::7", 7353)
    with pytest.raises(PeerError, match="unlisted"):
        a.sockaddr(listed[0])
