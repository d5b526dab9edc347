"""The sealed body: who says it to whom, in which life, as which datagram, and what.

sender, receiver   size 1, text: the listed addresses
boot 8             random, one a process: this life of the sender
counter 8          of this boot's datagrams to this receiver
flags 1            which of the next three are there
challenge 16       "echo this if you live"
echo 16            the receiver's challenge
part 2             index and count of a message in parts
payload            the message or its part; none in a greeting, the link's own datagram
"""

import struct
from typing import Final, NamedTuple

from codns.peer.address import ADDRESS_SIZE_MAX
from codns.peer.codec import PeerError

BOOT_SIZE: Final = 8
CHALLENGE_SIZE: Final = 16
COUNTER_MAX: Final = 2**64 - 1

_FLAG_CHALLENGE: Final = 1
_FLAG_ECHO: Final = 2
_FLAG_PART: Final = 4
_FLAGS: Final = 7

_FIXED: Final = struct.Struct(">8sQB")
_PART: Final = struct.Struct("BB")
FIXED_SIZE: Final = _FIXED.size
PART_SIZE: Final = _PART.size


class Frame(NamedTuple):
    """A body behind its names. `part` of `parts`, from 0; `parts` is 0 for a whole message."""

    boot: bytes
    counter: int
    challenge: bytes = b""
    echo: bytes = b""
    part: int = 0
    parts: int = 0
    payload: bytes = b""


def names(sender: str, receiver: str) -> bytes:
    """Return the start of every body from one to the other."""
    return name(sender) + name(receiver)


def name(address: str) -> bytes:
    """Return a listed address as a body holds it."""
    text = address.encode("ascii")
    return bytes((len(text),)) + text


def read_names(body: bytes) -> tuple[bytes, bytes]:
    """Return sender and receiver as `name` writes them. PeerError: there are none."""
    fields, position = [], 0
    for _ in range(2):
        size = body[position] if position < len(body) else 0
        end = position + 1 + size
        if not 0 < size <= ADDRESS_SIZE_MAX or end > len(body):
            raise PeerError("malformed")
        fields.append(body[position:end])
        position = end
    return fields[0], fields[1]


def pack(frame: Frame) -> bytes:
    """Return the body behind its names."""
    boot, counter, challenge, echo, part, parts, payload = frame
    flags = (
        (_FLAG_CHALLENGE if challenge else 0)
        | (_FLAG_ECHO if echo else 0)
        | (_FLAG_PART if parts else 0)
    )
    head = _FIXED.pack(boot, counter, flags) + challenge + echo
    return head + (_PART.pack(part, parts) if parts else b"") + payload


def unpack(body: bytes, position: int) -> Frame:
    """Return what stands behind the names, which end at `position`. PeerError: cut or unknown."""
    end = position + FIXED_SIZE
    if end > len(body):
        raise PeerError("malformed")
    boot, counter, flags = _FIXED.unpack_from(body, position)
    if flags == 0:
        return Frame(boot, counter, b"", b"", 0, 0, body[end:])
    challenge = echo = b""
    part = parts = 0
    if flags & _FLAG_CHALLENGE:
        challenge, end = body[end : end + CHALLENGE_SIZE], end + CHALLENGE_SIZE
    if flags & _FLAG_ECHO:
        echo, end = body[end : end + CHALLENGE_SIZE], end + CHALLENGE_SIZE
    if flags & _FLAG_PART and end + PART_SIZE <= len(body):
        part, parts = _PART.unpack_from(body, end)
    if flags & _FLAG_PART:
        end += PART_SIZE
    # One look at the end does for all: a cut field pushes `end` behind the body.
    if end > len(body) or flags & ~_FLAGS or (flags & _FLAG_PART and not parts):
        raise PeerError("malformed")
    return Frame(boot, counter, challenge, echo, part, parts, body[end:])
