"""The peer link: messages in, datagrams out, and back. No socket, no clock.

What comes in passes these tests in this order, and what fails one is dropped and counted under
its name, never answered (RULES 8.2); the one exception is `boot`, see `handshake.py`:

    oversized, truncated, magic, version    no datagram of this protocol
    key, cluster                            the key or the label is none of ours
    forged                                  does not open under the key it names
    receiver, sender                        not to me; not from anybody listed (or from me)
    source                                  not from the sender's listed address
    replay                                  a counter seen before, or too old to tell
    boot                                    from a life of the sender that has not proved itself
    kind, malformed                         a message of a later version; no message at all
    parts                                   parts in contradiction, or never completed

Everything goes to the peer's listed address (`sockaddr`), never to a packet's source. Keys and
peers may be replaced at any time; what is known of peers that stay is kept. A peer that leaves is
forgotten and has to prove itself when it comes back: its window would be lost otherwise. My own
counters never go back in one boot, also for a peer that left: its window still has them.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final, NamedTuple

from codns.core.messages import HeartbeatReply, HeartbeatRequest, Message
from codns.peer import address, frame
from codns.peer.codec import PeerError, decode, encode
from codns.peer.frame import Frame
from codns.peer.handshake import Handshake, Verdict
from codns.peer.parts import Assembly, split
from codns.peer.seal import DATAGRAM_SIZE_MAX, NONCE_SIZE, Keyring

DROPS: Final = (
    "oversized",
    "truncated",
    "magic",
    "version",
    "key",
    "cluster",
    "forged",
    "receiver",
    "sender",
    "source",
    "replay",
    "boot",
    "kind",
    "malformed",
    "parts",
)


_HEARTBEATS: Final = (HeartbeatRequest, HeartbeatReply)


class Received(NamedTuple):
    """What came of a datagram.

    `peer` is the sender as it was listed. `message` is None for a greeting and for what was
    dropped. `datagrams` go to that peer at once. `learned`: this datagram introduced the peer's
    present life, so it has just started, or we have: a heartbeat now is worth while.
    """

    peer: str
    message: Message | None
    datagrams: list[bytes]
    learned: bool


class _Peer:
    __slots__ = ("address", "counter", "handshake", "incoming", "listed", "outgoing")

    def __init__(
        self, listed: str, there: address.Address, me: str, counter: int, handshake: Handshake
    ) -> None:
        self.listed = listed
        self.address = there
        self.incoming = frame.names(there.text, me)
        self.outgoing = frame.names(me, there.text)
        self.counter = counter
        self.handshake = handshake


class Link:
    """One node's end of the links to all its peers.

    `boot` is 8 random bytes, made anew for each process; `random` is `os.urandom` or, in virtual
    time, something seeded. `drops` has every reason from the start.
    """

    def __init__(
        self,
        self_address: str,
        peers: Collection[str],
        *,
        keys: Sequence[bytes],
        cluster: str,
        boot: bytes,
        random: Callable[[int], bytes],
    ) -> None:
        if len(boot) != frame.BOOT_SIZE:
            raise ValueError(f"a boot is {frame.BOOT_SIZE} bytes")
        self._me = address.parse(self_address).text
        self._boot = boot
        self._random = random
        self._cluster = cluster
        self._keyring = Keyring(keys, cluster)
        self._assembly = Assembly()
        self._peers: dict[str, _Peer] = {}  # as listed
        self._senders: dict[bytes, _Peer] = {}  # as they name themselves
        self._counter_high = 0  # of peers that left
        self.drops: dict[str, int] = dict.fromkeys(DROPS, 0)
        self.set_peers(peers)

    def set_keys(self, keys: Sequence[bytes]) -> None:
        """Replace the keys: the first seals, all open. ValueError keeps the old ones."""
        self._keyring = Keyring(keys, self._cluster)

    def set_peers(self, peers: Collection[str]) -> None:
        """Replace the list; this node's own entry is passed over. ValueError keeps the old one.

        Reading an address is most of the work: what was listed before is not read again.
        """
        known = self._peers
        parsed = [
            (listed, known[listed].address if listed in known else address.parse(listed))
            for listed in peers
        ]
        old, self._senders, self._peers = self._senders, {}, {}
        for listed, there in parsed:
            if there.text == self._me:
                continue
            name = frame.name(there.text)
            peer = self._senders.get(name) or old.pop(name, None)
            if peer is None:
                handshake = Handshake(self._random)
                peer = _Peer(listed, there, self._me, self._counter_high, handshake)
            if name not in self._senders:
                peer.listed = listed
            self._senders[name] = self._peers[listed] = peer
        for peer in old.values():
            self._counter_high = max(self._counter_high, peer.counter)
            self._assembly.forget(peer.address.text)
            self.drops["parts"] = self._assembly.dropped

    def sockaddr(self, peer: str) -> tuple[str, int]:
        """Return host and port of a listed peer: where its datagrams go."""
        there = self._peer(peer).address
        return there.host, there.port

    def knows(self, peer: str) -> bool:
        """Tell whether a life of this peer has proved itself."""
        return self._peer(peer).handshake.boot is not None

    def seal(self, message: Message, to: str, now: float) -> list[bytes]:
        """Return the datagrams of a message.

        PeerError "too large": it is more than 12 parts (a reply becomes `messages.too_large`);
        "unlisted": `to` is no peer (any more).
        """
        peer = self._peer(to)
        payload = encode(message)
        if isinstance(message, _HEARTBEATS):
            challenge, echo = peer.handshake.heartbeat(now)
            return [self._datagram(peer, challenge, echo, payload=payload)]
        room = DATAGRAM_SIZE_MAX - self._keyring.overhead - len(peer.outgoing) - frame.FIXED_SIZE
        if len(payload) <= room:
            return [self._datagram(peer, payload=payload)]
        pieces = split(payload, room - frame.PART_SIZE)
        return [
            self._datagram(peer, part=i, parts=len(pieces), payload=piece)
            for i, piece in enumerate(pieces)
        ]

    def receive(self, datagram: bytes, source: tuple[str, int], now: float) -> Received | None:
        """Return what came of a datagram, None if there is nothing to do. Raises nothing."""
        try:
            body = self._keyring.open(datagram)
            peer = self._sender(body, source)
            received = frame.unpack(body, len(peer.incoming))
        except PeerError as error:
            self.drops[error.reason] += 1
            return None
        verdict = peer.handshake.judge(received, now)
        if verdict is Verdict.REPLAY:
            self.drops["replay"] += 1
            return None
        message = None
        if verdict is Verdict.UNKNOWN:
            self.drops["boot"] += 1
        elif received.payload or received.parts:
            message = self._message(peer, received, now)
        datagrams = self._reaction(peer, received, verdict, now)
        learned = verdict is Verdict.LEARNED
        if message is None and not datagrams and not learned:
            return None
        return Received(peer.listed, message, datagrams, learned)

    def _peer(self, listed: str) -> _Peer:
        try:
            return self._peers[listed]
        except KeyError:
            raise PeerError("unlisted") from None

    def _sender(self, body: bytes, source: tuple[str, int]) -> _Peer:
        """Return who sent this body, to me and from where it is listed. PeerError otherwise."""
        peer = self._senders.get(body[: body[0] + 1]) if body else None
        if peer is None or not body.startswith(peer.incoming):
            _, receiver = frame.read_names(body)
            raise PeerError("sender" if receiver == frame.name(self._me) else "receiver")
        host, port = source[0], source[1]  # an IPv6 socket reports flow and scope behind them
        if port != peer.address.port or (
            host != peer.address.host and host.removeprefix(address.MAPPED) != peer.address.host
        ):
            raise PeerError("source")
        return peer

    def _message(self, peer: _Peer, received: Frame, now: float) -> Message | None:
        payload: bytes | None = received.payload
        if received.parts:
            payload = self._assembly.add(peer.address.text, received, now)
            self.drops["parts"] = self._assembly.dropped
            if payload is None:
                return None
        try:
            return decode(payload or b"")
        except PeerError as error:
            self.drops[error.reason] += 1
            return None

    def _reaction(self, peer: _Peer, received: Frame, verdict: Verdict, now: float) -> list[bytes]:
        """Return the greeting that is due, if any: none to nearly everything."""
        if verdict is Verdict.KNOWN and not received.challenge:
            return []
        greeting = peer.handshake.react(received, verdict, now)
        return [self._datagram(peer, *greeting)] if greeting is not None else []

    def _datagram(
        self,
        peer: _Peer,
        challenge: bytes = b"",
        echo: bytes = b"",
        *,
        part: int = 0,
        parts: int = 0,
        payload: bytes = b"",
    ) -> bytes:
        peer.counter += 1
        body = frame.pack(Frame(self._boot, peer.counter, challenge, echo, part, parts, payload))
        return self._keyring.seal(peer.outgoing + body, self._random(NONCE_SIZE))
