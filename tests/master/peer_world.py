"""Peer links on real loopback sockets, with a node that writes down what it is told."""

import random
import socket
import time
from contextlib import suppress
from pathlib import Path
from random import Random

from codns.core.messages import HeartbeatReply, HeartbeatRequest, Query, Report
from codns.master.peerlink import PeerLink
from codns.master.sockets import bind_udp
from codns.peer.link import Link
from codns.wire.name import from_text

KEY, OTHER_KEY = bytes(range(32)), bytes(range(100, 132))
REPORT = Report(0.004, False, True, (b"nameserv",), 3, 32, "0.1.0")
WAIT_S = 10.0
NAME = "secret-project.example.com"


def free_port(host="0.0.0.0"):
    """Return a UDP port that is free now and that the kernel gives to nobody who asks for any.

    Slaves take thousands of those: one of them would be there first.
    """
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        port = random.randrange(lowest // 2, lowest)
        with socket.socket(family, socket.SOCK_DGRAM) as probe, suppress(OSError):
            probe.bind((host.strip("[]"), port))
            return port


def query(serial):
    return Query(serial, from_text(NAME), 1, 1, False, False)


class RecordingNode:
    """Takes what a link learns; answers heartbeats as a node does, by way of `link`."""

    def __init__(self):
        self.messages = []
        self.learned = []
        self.end = None

    def peer_message(self, message, peer, now):
        self.messages.append((peer, message))
        if isinstance(message, HeartbeatRequest):
            self.end.link.send(HeartbeatReply(message.token, False, REPORT), peer, now)
        return []

    def peer_learned(self, peer, now):
        self.learned.append(peer)
        return []

    def kinds(self):
        return [type(message).__name__ for _, message in self.messages]


class End:
    """One node's end: socket, link, recording node. A new one is a new life."""

    def __init__(self, listen, me=None, *, key=KEY, cluster="default", seed=0, source=None):
        self.sock = bind_udp(listen, "peers.listen")
        host, port = self.sock.getsockname()[:2]
        self.me = me or (f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        random = Random(f"{self.me} {seed}").randbytes
        self.link_of = Link(
            self.me, [], keys=[key], cluster=cluster, boot=random(8), random=random
        )
        self.node = RecordingNode()
        self.link = PeerLink(self.sock, self.link_of, self.node, lambda effects: None, source)
        self.node.end = self

    def set_peers(self, *ends):
        self.link.set_peers([end if isinstance(end, str) else end.me for end in ends])

    @property
    def counts(self):
        return self.link.counts

    @property
    def drops(self):
        """The reasons for which something was dropped."""
        return {reason: count for reason, count in self.link.link.drops.items() if count}

    def beat(self, to, token=1, now=0.0):
        self.send(HeartbeatRequest(token, True, REPORT), to, now)

    def send(self, message, to, now=0.0):
        self.link.send(message, to if isinstance(to, str) else to.me, now)
        self.link.flush()

    def wait(self):
        """Return once a datagram is there."""
        self.sock.settimeout(WAIT_S)
        self.sock.recv(1, socket.MSG_PEEK)
        self.sock.setblocking(False)

    def take(self, now=0.0):
        """Serve what arrives, at least one datagram, and send what comes of it."""
        self.wait()
        count = self.link.serve(now)
        self.link.flush()
        return count

    def close(self):
        self.link.close()


def acquaint(one, other, now=0.0):
    """Let two ends learn each other's lives: heartbeat, greeting, greeting, heartbeats."""
    apart = in_flight(one, other)
    one.beat(other, now=now)
    known = lambda: one.link_of.knows(other.me) and other.link_of.knows(one.me)
    until(lambda: known() and in_flight(one, other) == apart, one, other, now=now)


def in_flight(*ends):
    """Datagrams sent between ends and not yet taken, if they talk to nobody else."""
    return sum(end.counts["out"] - end.counts["in"] for end in ends)


def until(done, *ends, now=0.0):
    """Serve what arrives until `done()`."""
    limit = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < limit, [(end.me, end.counts, end.drops) for end in ends]
        for end in ends:
            end.link.serve(now)
            end.link.flush()
