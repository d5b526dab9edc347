"""Batches of datagrams on real sockets: what comes in, what goes out, what cannot go."""

import socket
import struct

import pytest

from codns.master.mmsg import FLAGS32, H32, LEN32, MSG_TRUNC, SLOT_SIZE, SLOTS, Batch


@pytest.fixture
def pair():
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        server.bind(("127.0.0.1", 0))
        client.bind(("127.0.0.1", 0))
        client.settimeout(5)
        client.connect(server.getsockname())
        yield server, client


def size_of(batch, slot):
    return batch.fields[slot * H32 + LEN32]


def test_what_came_and_from_where(pair):
    server, client = pair
    batch = Batch(ipv6=False, control=False)
    for n in range(3):
        client.send(b"query%d" % n)
    assert batch.receive(server.fileno()) == 3
    assert [bytes(batch.data[n * SLOT_SIZE :][: size_of(batch, n)]) for n in range(3)] == [
        b"query0",
        b"query1",
        b"query2",
    ]
    family, port = struct.unpack_from("=H2s", batch.origin(1))
    assert family == socket.AF_INET
    assert int.from_bytes(port, "big") == client.getsockname()[1]
    assert batch.receive(server.fileno()) == 0


def test_no_more_than_the_slots_at_a_time(pair):
    server, client = pair
    batch = Batch(ipv6=False, control=False)
    for _ in range(SLOTS + 2):
        client.send(b"x")
    assert batch.receive(server.fileno()) == SLOTS
    assert batch.receive(server.fileno()) == 2


def test_what_is_larger_than_a_slot_says_so(pair):
    server, client = pair
    batch = Batch(ipv6=False, control=False)
    client.send(b"x" * SLOT_SIZE)
    client.send(b"x" * (SLOT_SIZE + 1))
    assert batch.receive(server.fileno()) == 2
    flags = [batch.fields[slot * H32 + FLAGS32] & MSG_TRUNC for slot in range(2)]
    assert flags == [0, MSG_TRUNC]


@pytest.mark.parametrize("left_out", [[0], [1], [2], [0, 2], [1, 2], [0, 1, 2]])
def test_answers_in_place_but_for_those_left_out(pair, left_out):
    server, client = pair
    batch = Batch(ipv6=False, control=False)
    for n in range(3):
        client.send(b"%d?" % n)
    batch.receive(server.fileno())
    for slot in range(3):
        batch.data[slot * SLOT_SIZE + 1] = ord("!")
        batch.sizes[slot * 2 + 1] = 2
    assert batch.send_but(server.fileno(), 3, left_out) == 0
    server.sendto(b"end", client.getsockname())
    got = []
    while (data := client.recv(100)) != b"end":
        got.append(data)
    assert got == [b"%d!" % n for n in range(3) if n not in left_out]


def test_one_that_cannot_go_does_not_keep_the_others(pair):
    server, client = pair
    batch = Batch(ipv6=False, control=False)
    host, port = client.getsockname()
    good = struct.pack("=H", socket.AF_INET) + struct.pack(">H", port)
    good += socket.inet_aton(host) + bytes(8)
    bad = good[:2] + b"\0\0" + good[4:]  # nobody has port 0
    for slot, origin in enumerate((good, bad, good)):
        batch.stage(slot, origin, b"answer%d" % slot)
    assert batch.send(server.fileno(), 3) == 1
    assert [client.recv(100), client.recv(100)] == [b"answer0", b"answer2"]


@pytest.mark.parametrize("asked", ["127.0.0.1", "127.1.2.3"])
def test_a_wildcard_socket_answers_from_the_address_asked(asked):
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        server.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO
        server.bind(("0.0.0.0", 0))
        client.settimeout(5)
        client.connect((asked, server.getsockname()[1]))
        batch = Batch(ipv6=False, control=True)
        client.send(b"query")
        assert batch.receive(server.fileno()) == 1
        origin = batch.origin(0)
        batch.sizes[1] = 5
        assert batch.send(server.fileno(), 1) == 0
        batch.stage(0, origin, b"later")
        assert batch.send(server.fileno(), 1) == 0
        assert [client.recv(100), client.recv(100)] == [b"query", b"later"]


def test_nothing_leaves_to_port_0(pair):
    """A forged source port of 0 is nobody: the kernel takes no such answer, the others go."""
    server, client = pair
    batch = Batch(ipv6=False, control=False)
    client.send(b"query")
    assert batch.receive(server.fileno()) == 1
    origin = batch.origin(0)
    nobody = origin[:2] + b"\0\0" + origin[4:]
    batch.stage(0, nobody, b"lost")
    batch.stage(1, origin, b"sent")
    assert batch.send(server.fileno(), 2) == 1
    assert client.recv(100) == b"sent"
