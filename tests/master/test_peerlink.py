"""The socket of the peer link: real datagrams between links on loopback."""

import socket
from contextlib import ExitStack, closing

import pytest
from peer_world import KEY, NAME, OTHER_KEY, End, acquaint, free_port, query, until

from codns.core.messages import QueryReply, Status
from codns.master.mmsg import SLOTS
from codns.master.peerlink import COUNTS, QUEUED_MAX
from codns.wire.outcome import Outcome


@pytest.fixture
def end():
    """Ends that are closed with the test."""
    with ExitStack() as stack:

        def make(listen="127.0.0.1:0", *args, **kwargs):
            made = End(listen_on(listen), *args, **kwargs)
            stack.callback(made.close)
            return made

        yield make


def listen_on(text):
    """Port 0 becomes a free one: others have to know it before."""
    host, _, port = text.rpartition(":")
    return text if port != "0" else f"{host}:{free_port(host)}"


def pair(end, *args, **kwargs):
    one, other = end("127.0.0.11:0", *args, **kwargs), end("127.0.0.12:0")
    one.set_peers(one, other)
    other.set_peers(one, other)
    return one, other


def test_messages_go_and_come_and_are_counted(end):
    one, other = pair(end)
    acquaint(one, other)
    assert one.node.learned == [other.me]
    before = other.counts["in"]
    one.send(query(7), other)
    other.take()
    assert other.node.messages[-1] == (one.me, query(7))
    assert other.counts["in"] == before + 1
    assert set(one.counts) == set(COUNTS)
    for counts in (one.counts, other.counts):
        assert counts["in_bytes"] > 100 * counts["in"] > 0
        assert counts["out_bytes"] > 100 * counts["out"] > 0
    assert one.drops == {}
    assert other.drops == {"boot": 1}  # the first heartbeat: nobody knew anybody


def test_many_at_once_and_in_parts(end):
    one, other = pair(end)
    acquaint(one, other)
    body = bytes(10_000)
    reply = QueryReply(1, Status.ANSWER, Outcome.ANSWER, body=body)
    for serial in range(2 * SLOTS):
        one.link.send(query(serial), other.me, 0.0)
    one.link.send(reply, other.me, 0.0)
    one.link.flush()
    other.node.messages.clear()
    assert other.take() <= SLOTS
    until(lambda: len(other.node.messages) == 2 * SLOTS + 1, other)
    assert [m.id for _, m in other.node.messages[:-1]] == list(range(2 * SLOTS))
    assert other.node.messages[-1] == (one.me, reply)


def test_a_reply_that_is_too_large_becomes_a_short_one(end):
    one, other = pair(end)
    acquaint(one, other)
    one.send(QueryReply(5, Status.ANSWER, Outcome.ANSWER, body=bytes(14_000)), other)
    other.take()
    said = other.node.messages[-1][1]
    assert (said.id, said.status, said.outcome) == (5, Status.FAILURE, Outcome.TRUNCATED)
    assert one.counts["too_large"] == 1


def test_who_is_not_listed_gets_nothing(end):
    one, other = pair(end)
    one.set_peers(one)
    one.send(query(1), other)
    assert one.counts["unlisted"] == 1
    assert one.counts["out"] == 0


def test_the_queue_has_an_end(end):
    one, other = pair(end)
    for serial in range(QUEUED_MAX):
        one.link.send(query(serial), other.me, 0.0)
    one.link.send(query(1), other.me, 0.0)
    assert one.counts["queue"] == 1
    reply = QueryReply(5, Status.ANSWER, Outcome.ANSWER, body=bytes(2_000))
    one.link.send(reply, other.me, 0.0)  # in parts: all or none
    assert one.counts["queue"] == 3
    one.link.flush()
    assert one.counts["out"] == QUEUED_MAX
    one.send(query(1), other)
    assert one.counts["out"] == QUEUED_MAX + 1


def test_what_the_kernel_refuses_is_counted(end):
    """A broadcast address needs a permission that this socket has not; no way there; no port."""
    one = end()
    one.set_peers("255.255.255.255:7353", "127.0.0.1:1")
    one.send(query(1), "255.255.255.255:7353")
    assert (one.counts["out"], one.counts["refused"]) == (1, 1)
    for serial in range(3):
        one.send(query(serial), "127.0.0.1:1")  # an ICMP error comes back each time
    assert (one.counts["out"], one.counts["refused"]) == (4, 1)
    assert one.link.serve(0.0) == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"key": OTHER_KEY}, "key"), ({"cluster": "staging"}, "cluster")],
)
def test_another_key_and_another_cluster(end, changes, reason):
    one, other = pair(end, **changes)
    one.beat(other)
    other.take()
    assert other.drops == {reason: 1}
    assert other.node.messages == []
    assert other.counts["out"] == 0


def test_strangers_get_silence(end):
    one, other = pair(end)
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as stranger:
        for datagram in (b"", b"x", bytes(5000), b"CoDN\1" + bytes(60), b"CoDN\2" + bytes(60)):
            stranger.sendto(datagram, other.sock.getsockname())
        while other.counts["in"] < 5:
            other.take()
        assert other.counts["out"] == 0
        assert sum(other.drops.values()) == 5
        assert other.drops["oversized"] == 1
        stranger.setblocking(False)
        with pytest.raises(BlockingIOError):
            stranger.recv(100)
    assert one.drops == {}


# -- captures -----------------------------------------------------------------------------------


class Tap:
    """A socket in between: what one end sends to the other is read off and passed on by hand."""

    def __init__(self, end):
        self.one, self.other = end("127.0.0.11:0"), end("127.0.0.12:0")
        self.one.set_peers(self.one, self.other)
        self.other.set_peers(self.one, self.other)
        acquaint(self.one, self.other)

    def capture(self):
        """Return datagrams from one to the other, sound ones, that have not arrived."""
        self.one.beat(self.other, token=77)
        self.one.send(query(77), self.other)
        self.other.wait()
        return [self.other.sock.recv(4096) for _ in range(2)]


def replay(sock, datagrams, end):
    for datagram in datagrams:
        sock.sendto(datagram, end.sock.getsockname())
    seen = end.counts["in"]
    while end.counts["in"] < seen + len(datagrams):
        end.take()


def test_a_capture_is_worth_nothing_after_the_receivers_restart(end):
    tap = Tap(end)
    captured = tap.capture()
    me = tap.other.me
    tap.other.close()
    again = End(me, seed=1)
    again.set_peers(tap.one, again)
    with closing(again):
        replay(tap.one.sock, captured, again)
        assert again.node.messages == []
        assert again.node.learned == []
        assert again.drops == {"boot": 2}
        # It greets the listed node, once; and comes to know its present life by that
        assert again.counts["out"] == 1
        until(lambda: again.link_of.knows(tap.one.me), tap.one, again)
        tap.one.send(query(78), again)
        until(lambda: (tap.one.me, query(78)) in again.node.messages, again)
        # The capture is older than what is known now
        replay(tap.one.sock, captured, again)
        assert again.drops["replay"] == 2
        assert (tap.one.me, query(77)) not in again.node.messages


def test_a_capture_says_nothing_to_another_node(end):
    tap = Tap(end)
    captured = tap.capture()
    third = end("127.0.0.13:0")
    third.set_peers(tap.one, tap.other, third)
    replay(tap.one.sock, captured, third)
    assert third.drops == {"receiver": 2}
    assert (third.node.messages, third.counts["out"]) == ([], 0)


def test_a_capture_from_another_address_is_dropped(end):
    tap = Tap(end)
    captured = tap.capture()
    tap.other.node.messages.clear()
    sent = tap.other.counts["out"]
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as elsewhere:
        replay(elsewhere, captured, tap.other)
    assert tap.other.drops == {"boot": 1, "source": 2}
    assert (tap.other.node.messages, tap.other.counts["out"]) == ([], sent)
    replay(tap.one.sock, captured, tap.other)  # from where they belong: once, and no more
    assert tap.other.node.kinds() == ["HeartbeatRequest", "Query"]
    replay(tap.one.sock, captured, tap.other)
    assert tap.other.node.kinds() == ["HeartbeatRequest", "Query"]
    assert tap.other.drops["replay"] == 2


def test_a_capture_shows_no_name(end):
    captured = b"".join(Tap(end).capture())
    for word in (*NAME.encode().split(b"."), b"nameserv", b"0.1.0", KEY):
        assert word not in captured


# -- sources ------------------------------------------------------------------------------------


def test_a_wildcard_socket_sends_from_the_address_it_is_listed_by(end):
    """The routing table would choose 127.0.0.1 for every one of these."""
    other = end("127.0.0.12:0")
    listen = listen_on("0.0.0.0:0")
    me = f"127.0.0.77:{listen.rpartition(':')[2]}"
    one = end(listen, me, source="127.0.0.77")
    one.set_peers(other)
    other.set_peers(me)
    acquaint(one, other)
    assert "source" not in other.drops
    assert other.node.learned == [me]


def test_a_dual_stack_wildcard_talks_ipv4_and_ipv6(end):
    listen = listen_on("[::]:0")
    port = listen.rpartition(":")[2]
    other = end("127.0.0.12:0")
    one = end(listen, f"127.0.0.77:{port}", source="127.0.0.77")
    one.set_peers(other)
    other.set_peers(one)
    acquaint(one, other)
    assert "source" not in other.drops
    one.close()
    other = end("[::1]:0")
    one = End(listen, f"[::1]:{port}", source="::1")
    with closing(one):
        one.set_peers(other)
        other.set_peers(one)
        acquaint(one, other)
        assert other.node.learned == [one.me]


def test_another_name_keeps_the_counts(end):
    one, other = pair(end)
    replay(other.sock, [b"x"], one)
    assert one.drops == {"truncated": 1} or one.drops == {"magic": 1}
    fresh = End(listen_on("127.0.0.11:0"), "127.0.0.99:7353")
    with closing(fresh):
        one.link.rename(fresh.link_of, None)
    assert sum(one.drops.values()) == 1
    one.send(query(1), other)
    assert one.counts["unlisted"] == 1  # until the list is given again
