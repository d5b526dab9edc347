"""Semantic keys: lower-case name, type, class and one octet of flags (DO 1, CD 2, see below)."""

from typing import Final

from codns.core.cache import KEY_NXDOMAIN
from codns.wire import const

KEY_ANY_UDP: Final = 4  # only the first RRset of an ANY answer is kept (RULES 2.5)


def split_key(key: bytes) -> tuple[bytes, int, int]:
    """Return (name, qtype, qclass) of a semantic key."""
    return key[:-5], int.from_bytes(key[-5:-3], "big"), int.from_bytes(key[-3:-1], "big")


def any_key(key: bytes) -> bytes:
    """Return the key of ANY over UDP, whose answer is cut to one RRset (RULES 2.5)."""
    return key[:-1] + bytes((key[-1] | KEY_ANY_UDP,))


def question_key(key: bytes) -> bytes:
    """Return the key to ask an entry's key anew by: any type asks for what is kept by name."""
    if not key[-1] & KEY_NXDOMAIN:
        return key
    flags = bytes((key[-1] & ~(KEY_NXDOMAIN | KEY_ANY_UDP),))
    return key[:-5] + const.A.to_bytes(2, "big") + key[-3:-1] + flags
