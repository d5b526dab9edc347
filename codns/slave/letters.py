"""Random letters: the case of a question as something more to guess (DNS 0x20).

A nameserver answers WwW.eXAmpLe.oRG as www.example.org, and repeats the question byte for byte.
So each letter of a name, sent in upper or lower case by chance, is a bit that a forger has to
guess beside id and port (draft-vixie-dnsext-dns0x20-00; unbound calls it `use-caps-for-id`): 14
more for www.bank.example, none for a name without letters. Only with FLAG_MIXED_CASE of a job:
some nameservers, and boxes in front of them, write the question anew in lower case. What then:

  1. An answer that is right in all but its letters ends nothing. It is counted as a mismatch of
     its name (`slave.guard`), its port is retired, and the same job goes on over TCP, where an
     outsider has no part. So whoever folds letters is slower and not unusable.
  2. What TCP says of the letters is the nameserver's own word. Does it repeat them, then the
     answer over UDP was forged, or folded on the way, which nobody can tell apart: the next such
     name goes over TCP too. Does it fold them itself, or not speak TCP, that counts against it;
     4 times within a minute, none of them repeated in between, and it is asked in lower case for
     10 minutes, its answers taken in whatever case. A forger would have to hit id and port four
     times running, each time while TCP fails.
  3. After the 10 minutes it gets random letters again, and the first failure is enough for the
     next 10. Letters repeated over TCP clear its record.

A header without a question has no letters to check; it can end an exchange in a failure or take
its OPT off, as without all this, and never bring records. Jobs over TCP are not checked. What
leaves the slave holds no random letters: an owner that a nameserver wrote out is lower case again.
"""

import os
import struct
from collections.abc import Callable
from math import inf
from typing import Final

from codns.wire.const import HEADER_SIZE

FOLDS: Final = 4  # one may be chance: a TCP connection that failed behind a forged answer
WINDOW_S: Final = 60.0
HOLD_S: Final = 600.0  # a nameserver is replaced seldom; until then it costs one TCP exchange
_BLOCK: Final = 16384  # bytes of randomness fetched at once

_u16: Final = struct.Struct(">H").unpack_from


class Letters:
    """What is known of how one nameserver treats the letters of a question."""

    __slots__ = ("_count", "_folds", "_since", "until")

    def __init__(self) -> None:
        self.until = -inf  # it is asked in lower case before
        self._count = 0
        self._since = -inf
        self._folds = False

    def kept(self) -> None:
        """It repeated them over TCP."""
        self._count, self._folds = 0, False

    def lost(self, now: float) -> bool:
        """It did not, or TCP failed; tell whether it is asked in lower case from here on."""
        if now < self.until:  # of an exchange from before
            return False
        if now - self._since > WINDOW_S:
            self._count, self._since = 0, now
        self._count += 1
        if self._count < FOLDS and not self._folds:
            return False
        self._count, self._folds = 0, True
        self.until = now + HOLD_S
        return True


class Mixer:
    """Throws a coin for each letter. `random` returns so many bytes, the kernel's by default."""

    def __init__(self, random: Callable[[int], bytes] = os.urandom) -> None:
        self._random = random
        self._block = b""
        self._at = 0

    def mix(self, query: bytes) -> bytes:
        """Return the query with each letter of its qname in random case.

        A name with a zero byte in a label is mixed as far as that: fewer letters, never wrong.
        """
        end = query.find(0, HEADER_SIZE)
        lower = query[HEADER_SIZE:end].lower()
        size, at = len(lower), self._at
        if at + size > len(self._block):
            self._block, at = self._random(_BLOCK), 0
        self._at = at + size
        coins = int.from_bytes(self._block[at : at + size], "big")
        low, high = int.from_bytes(lower, "big"), int.from_bytes(lower.upper(), "big")
        mixed = low ^ (low ^ high) & coins  # they differ in 0x20 of each letter
        return query[:HEADER_SIZE] + mixed.to_bytes(size, "big") + query[end:]


def repeats(query: bytes, response: bytes) -> bool:
    """Tell whether a response that matches a query has its letters, as far as they are mixed."""
    return response.startswith(query[HEADER_SIZE : query.find(0, HEADER_SIZE)], HEADER_SIZE)


def without_mixed(body: bytes, offsets: bytes, qname: bytes) -> bytes:
    """Return a body whose owners are lower case where they were copied out of `qname`.

    Nearly all nameservers point to the question instead, and then nothing is to be done.
    `offsets` are the TTL fields in `body`, one a record, as in `batch.Result`.
    """
    changed, start = None, 0
    for position in range(0, len(offsets), 2):
        ttl_at = offsets[position] | offsets[position + 1] << 8
        owner = body[start : ttl_at - 4]
        if qname.endswith(owner) and owner != owner.lower():
            if changed is None:
                changed = bytearray(body)
            changed[start : ttl_at - 4] = owner.lower()
        start = ttl_at + 6 + int(_u16(body, ttl_at + 4)[0])
    return body if changed is None else bytes(changed)
