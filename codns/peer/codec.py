"""Messages as bytes and back: MessagePack arrays, bounded before they are used.

msgspec checks types, lengths and ranges as it decodes, by the annotations in `core/messages.py`;
what an annotation cannot say (a name is a name) is checked here. What only the question can tell,
whether the records of a reply answer it, is `core.vetting`'s.
"""

from typing import Final, get_args

import msgspec

from codns.core.messages import Message, Query
from codns.wire.errors import WireError
from codns.wire.name import read_name

_FIXARRAY: Final = 0x90  # MessagePack: an array of up to 15, its size in the low half
_FIXINT_MAX: Final = 0x7F

_TAGS: Final = frozenset(kind.__struct_config__.tag for kind in get_args(Message))
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Message)


class PeerError(Exception):
    """Bytes that are not what a peer sends, or a message that cannot be sent.

    `reason` is one of `peer.link.DROPS` for what came in; "too large" or "unlisted" for what was
    to go out.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def encode(message: Message) -> bytes:
    """Return the payload of a message core made; its bounds are core's to keep."""
    return _encoder.encode(message)


def decode(payload: bytes) -> Message:
    """Return the message. PeerError "kind" for one this version does not know, else "malformed".

    RecursionError: a field that this version does not know may nest as deep as it likes.
    """
    try:
        message: Message = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise PeerError("kind" if _is_newer(payload) else "malformed") from None
    if isinstance(message, Query):
        _check_name(message.name)
    return message


def _is_newer(payload: bytes) -> bool:
    """Tell an array with a kind nobody had defined when this was written."""
    return (
        len(payload) > 1
        and payload[0] & 0xF0 == _FIXARRAY
        and payload[1] <= _FIXINT_MAX
        and payload[1] not in _TAGS
    )


def _check_name(name: bytes) -> None:
    try:
        plain = read_name(name, 0) == (name, len(name)) and name == name.lower()
    except WireError:
        plain = False
    if not plain:
        raise PeerError("malformed")
