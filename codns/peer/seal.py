"""Sealing: XChaCha20-Poly1305 under the cluster's keys, with a clear, authenticated header.

    magic 4, version 1, key id 8, label size 1, cluster label  |  nonce 24  |  sealed body, tag 16

What stands before the nonce, the header, is the associated data of the seal: anybody may read it
and nobody change it. A stranger's datagram costs one dictionary look-up; only a header with a key
and a label of ours is worth the opening. The nonce is random: 192 bits do not repeat, however many
nodes share the key.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from nacl.exceptions import CryptoError
from nacl.secret import Aead

from codns.peer.codec import PeerError

DATAGRAM_SIZE_MAX: Final = 1232  # RULES 8.1; no fragments on any path
KEY_SIZE: Final = 32
KEYS_MAX: Final = 8  # a rotation has two; each more is one more that may leak
NONCE_SIZE: Final = 24
TAG_SIZE: Final = 16
CLUSTER_SIZE_MAX: Final = 32

_MAGIC: Final = b"CoDN"
_VERSION: Final = 1
_START: Final = _MAGIC + bytes((_VERSION,))
_KEY_ID_SIZE: Final = 8
_KEY_ID_END: Final = len(_START) + _KEY_ID_SIZE


def key_id(key: bytes) -> bytes:
    """Return what tells keys apart in the clear and says nothing of them."""
    return blake2b(key, digest_size=_KEY_ID_SIZE, person=b"codns key id").digest()


class Keyring:
    """The keys of a cluster: the first one seals, all open (RULES 8.4).

    Raises ValueError for no key, too many, one of a wrong size, or a label over 32 bytes.
    """

    __slots__ = ("_box", "_boxes", "_header", "_least", "_size", "overhead")

    def __init__(self, keys: Sequence[bytes], cluster: str) -> None:
        label = cluster.encode()
        if not 0 < len(label) <= CLUSTER_SIZE_MAX:
            raise ValueError(f"cluster label of {len(label)} bytes, not 1 to {CLUSTER_SIZE_MAX}")
        if not 0 < len(keys) <= KEYS_MAX or any(len(key) != KEY_SIZE for key in keys):
            raise ValueError(f"a cluster has 1 to {KEYS_MAX} keys of {KEY_SIZE} bytes")
        tail = bytes((len(label),)) + label
        self._boxes = {_START + key_id(key) + tail: Aead(key) for key in keys}
        self._header, self._box = next(iter(self._boxes.items()))
        self._size = len(self._header)
        self._least = self._size + NONCE_SIZE + TAG_SIZE
        self.overhead = self._least  # bytes of a datagram that are not its body

    def seal(self, body: bytes, nonce: bytes) -> bytes:
        """Return the datagram; its size is `overhead` more than the body's."""
        return self._header + self._box.encrypt(body, self._header, nonce)

    def open(self, datagram: bytes) -> bytes:
        """Return the body. PeerError says which test the datagram did not pass."""
        if len(datagram) > DATAGRAM_SIZE_MAX:
            raise PeerError("oversized")
        size = self._size
        header = datagram[:size]
        box = self._boxes.get(header)
        if box is None:
            raise PeerError(self._stranger(header))
        if len(datagram) < self._least:
            raise PeerError("truncated")
        try:
            return box.decrypt(datagram[size:], header)
        except CryptoError:
            raise PeerError("forged") from None

    def _stranger(self, header: bytes) -> str:
        """Name the first part of a header that is not ours."""
        if not header.startswith(_MAGIC[: len(header)]):
            return "magic"
        if len(header) < self._size:
            return "truncated"
        if not header.startswith(_START):
            return "version"
        if all(not header.startswith(ours[:_KEY_ID_END]) for ours in self._boxes):
            return "key"
        return "cluster"
