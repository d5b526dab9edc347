"""The socket of the peer link: datagrams to `peer.Link` and messages to the node, and back.

It is served by the pump beside clients' sockets, many datagrams a system call, so that a peer's
query does not wait for trio's scheduler while this node is busy. What is to leave waits for the
end of the round, when everything leaves together.

Datagrams go to listed addresses only and leave from the address peers list us by. On a wildcard
socket that takes IP_PKTINFO: the routing table may prefer another of our addresses, and peers
would drop what comes from there.

Nothing here raises for what the network does. A datagram that the kernel does not take (buffer
full, no route, a firewall) is lost and counted: the race behind it makes up for lost ones.
"""

import socket
import struct
from collections.abc import Callable, Sequence
from typing import Final

from codns.core.messages import Message, QueryReply, too_large
from codns.core.model import Effect
from codns.core.node import Node
from codns.master.acl import packed_address
from codns.master.mmsg import CONTROL_V4, CONTROL_V6, H32, LEN32, SLOT_SIZE, SLOTS, Batch
from codns.peer.codec import PeerError
from codns.peer.link import Link

QUEUED_MAX: Final = 4096  # datagrams of one round: 64 queries with 12 parts each are 768

# What is counted, beside the reasons in `Link.drops`
COUNTS: Final = (
    "in",  # datagrams that arrived, sound or not
    "in_bytes",
    "out",  # datagrams handed to the kernel
    "out_bytes",
    "refused",  # of those, not taken by it
    "queue",  # over QUEUED_MAX
    "unlisted",  # messages to who is no peer any more
    "too_large",  # replies over 12 parts
)

_MAPPED: Final = bytes(10) + b"\xff\xff"
_V4: Final = struct.Struct("=H2s4s8x")  # struct sockaddr_in
_V6: Final = struct.Struct("=H2s4x16s4x")  # struct sockaddr_in6, without flow and scope
_CMSG: Final = struct.Struct("=Qii")  # struct cmsghdr
_IP_PKTINFO: Final = 8  # linux/in.h


class PeerLink:
    """One UDP socket, bound; `source`: the address to send from, where the socket has many.

    `apply` carries out effects. `counts` has the COUNTS from the start.
    """

    __slots__ = (
        "_apply",
        "_batch",
        "_control",
        "_ipv6",
        "_node",
        "_queue",
        "_sock",
        "_sources",
        "_targets",
        "counts",
        "fileno",
        "link",
    )

    def __init__(
        self,
        sock: socket.socket,
        link: Link,
        node: Node,
        apply: Callable[[list[Effect]], None],
        source: str | None = None,
    ) -> None:
        self._sock = sock
        self.fileno = sock.fileno()
        self.link = link
        self._node = node
        self._apply = apply
        self._ipv6 = sock.family == socket.AF_INET6
        self._control = b"" if source is None else _packet_info(source, ipv6=self._ipv6)
        self._batch = Batch(ipv6=self._ipv6, control=source is not None)
        self._queue: list[tuple[bytes, bytes]] = []
        self._sources: dict[bytes, tuple[str, int]] = {}  # of peers: their sockaddr -> host, port
        self._targets: dict[str, bytes] = {}  # listed address -> sockaddr and control data
        self.counts = dict.fromkeys(COUNTS, 0)

    def rename(self, link: Link, source: str | None) -> None:
        """Go on under another name of ours; the list has to be given again."""
        link.drops.update(self.link.drops)
        self.link = link
        self._control = b"" if source is None else _packet_info(source, ipv6=self._ipv6)
        self._batch = Batch(ipv6=self._ipv6, control=source is not None)
        self._sources, self._targets, self._queue = {}, {}, []

    def set_peers(self, addresses: Sequence[str]) -> None:
        """Use this list; ourselves may be in it. ValueError keeps the old one."""
        self.link.set_peers(addresses)
        before, self._sources, self._targets = self._targets, {}, {}
        for address in addresses:
            try:
                host, port = self.link.sockaddr(address)
            except PeerError:
                continue  # ourselves
            target = before.get(address) or _pack(host, port, ipv6=self._ipv6) + self._control
            self._sources[target[: self._batch.name_size]] = host, port
            self._targets[address] = target

    def serve(self, now: float) -> int:
        """Take what has arrived, at most `SLOTS` datagrams; returns how many there were."""
        batch = self._batch
        count = batch.receive(self.fileno)
        if not count:
            return 0
        fields, data, sources = batch.fields, batch.data, self._sources
        size_all = 0
        arrived = []
        for slot in range(count):
            size, at = fields[slot * H32 + LEN32], slot * SLOT_SIZE
            name = batch.origin(slot)[: batch.name_size]
            arrived.append((bytes(data[at : at + size]), sources.get(name) or _unpack(name)))
            size_all += size
        self.counts["in"] += count
        self.counts["in_bytes"] += size_all
        receive, queue, apply, node = self.link.receive, self._put, self._apply, self._node
        for datagram, source in arrived:
            received = receive(datagram, source, now)
            if received is None:
                continue
            peer = received.peer
            if received.datagrams:
                queue(peer, received.datagrams)
            if received.learned:
                apply(node.peer_learned(peer, now))
            if received.message is not None:
                apply(node.peer_message(received.message, peer, now))
        return count

    def send(self, message: Message, to: str, now: float) -> None:
        """Seal a message; it leaves with the next `flush`."""
        try:
            try:
                datagrams = self.link.seal(message, to, now)
            except PeerError as error:
                if error.reason != "too large" or not isinstance(message, QueryReply):
                    raise
                self.counts["too_large"] += 1
                datagrams = self.link.seal(too_large(message), to, now)
        except PeerError as error:
            self.counts["unlisted" if error.reason == "unlisted" else "too_large"] += 1
            return
        self._put(to, datagrams)

    def _put(self, to: str, datagrams: list[bytes]) -> None:
        target = self._targets.get(to)
        if target is None:
            self.counts["unlisted"] += 1
            return
        room = QUEUED_MAX - len(self._queue)
        if len(datagrams) > room:  # a message without all its parts is none
            self.counts["queue"] += len(datagrams)
            return
        self._queue += [(target, datagram) for datagram in datagrams]

    def flush(self) -> None:
        """Send what waits."""
        queue = self._queue
        if not queue:
            return
        self._queue = []
        batch = self._batch
        for start in range(0, len(queue), SLOTS):
            portion = queue[start : start + SLOTS]
            for slot, (target, datagram) in enumerate(portion):
                batch.stage(slot, target, datagram)
            self.counts["refused"] += batch.send(self.fileno, len(portion))
        self.counts["out"] += len(queue)
        self.counts["out_bytes"] += sum(len(datagram) for _, datagram in queue)

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()


def _pack(host: str, port: int, *, ipv6: bool) -> bytes:
    """Return the sockaddr of a peer, on an IPv6 socket of an IPv4 one too (RFC 4291 2.5.5.2)."""
    packed, big = packed_address(host), port.to_bytes(2, "big")
    if not ipv6:
        return _V4.pack(socket.AF_INET, big, packed)
    return _V6.pack(socket.AF_INET6, big, packed if len(packed) == 16 else _MAPPED + packed)


def _unpack(name: bytes) -> tuple[str, int]:
    """Return host and port of a sockaddr that is no peer's."""
    if len(name) == _V4.size:
        _, port, packed = _V4.unpack(name)
        return socket.inet_ntop(socket.AF_INET, packed), int.from_bytes(port, "big")
    _, port, packed = _V6.unpack(name)
    return socket.inet_ntop(socket.AF_INET6, packed), int.from_bytes(port, "big")


def _packet_info(source: str, *, ipv6: bool) -> bytes:
    """Return the control data that makes `source` a datagram's source: ip(7), ipv6(7)."""
    packed = packed_address(source)
    if ipv6:  # in6_pktinfo: address, interface
        packed = packed if len(packed) == 16 else _MAPPED + packed
        head = _CMSG.pack(_CMSG.size + 20, socket.IPPROTO_IPV6, socket.IPV6_PKTINFO)
        return (head + packed + bytes(4)).ljust(CONTROL_V6, b"\0")
    # in_pktinfo: interface, source, destination
    head = _CMSG.pack(_CMSG.size + 12, socket.IPPROTO_IP, _IP_PKTINFO)
    return (head + bytes(4) + packed + bytes(4)).ljust(CONTROL_V4, b"\0")
