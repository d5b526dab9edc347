"""Domain names as bytes: the wire form of RFC 1035 3.1, compression of 4.1.4, text of 5.1.

A name is `bytes` with a length before each label and the root's zero at the end. Comparing names
means comparing their lower-case forms; `bytes.lower` may be applied to a whole name because a
length is at most 63 and so never a letter (RFC 4343 3: ASCII only, as `bytes.lower` does).

Compression is where parsers loop or explode. One rule ends both: a pointer leads strictly before
the start of the labels it follows ("a prior occurrence of the same name", RFC 1035 4.1.4), and
every place a pointer led to, and each label passed from there, is remembered by `Names`, so that a
message costs work in proportion to its size however its pointers are chained.
"""

from collections.abc import Iterator
from typing import Final

from codns.wire.const import HEADER_SIZE, LABEL_SIZE_MAX, NAME_SIZE_MAX
from codns.wire.errors import WireError

_POINTER: Final = 0xC0
_NOT_BACK: Final = "compression pointer does not lead back"
_ENDS: Final = "message ends in a name"
_TOO_LONG: Final = "name over 255 octets"
_NO_LABEL: Final = "label type neither plain nor pointer"
_ESCAPED: Final = frozenset(b'"().;\\@$')
# A byte's text in a label: printable ASCII as it is, what master files give a meaning behind a
# backslash, the rest as \DDD.
_TEXT: Final = tuple(
    f"\\{chr(byte)}" if byte in _ESCAPED else chr(byte) if 0x20 < byte < 0x7F else f"\\{byte:03d}"
    for byte in range(256)
)


class Names:
    """The names of one message, uncompressed, their case kept.

    `at` remembers every place it read: names of an answer share their ends, and a chain of
    pointers is followed once, whoever points into it.
    """

    __slots__ = ("_ends", "known", "wire")

    def __init__(self, wire: bytes) -> None:
        self.wire = wire
        self.known: dict[int, bytes] = {}
        self._ends: dict[int, int] = {}  # where a pointer led: label -> behind the last one

    def at(self, position: int) -> tuple[bytes, int]:
        """Return the name that starts at `position` and the offset behind it in place."""
        wire = self.wire
        start = position
        try:
            while 0 < (size := wire[position]) <= LABEL_SIZE_MAX:
                position += size + 1
            name = wire[start:position]
            if size == 0:
                name += b"\0"
                behind = position + 1
            elif size >= _POINTER:
                target = (size & 0x3F) << 8 | wire[position + 1]
                name += self.led(target, start)
                behind = position + 2
            else:
                raise WireError(_NO_LABEL)
        except IndexError:
            raise WireError(_ENDS) from None
        if len(name) > NAME_SIZE_MAX:
            raise WireError(_TOO_LONG)
        self.known[start] = name
        return name, behind

    def led(self, target: int, position: int) -> bytes:
        """Return the name that a pointer at `position` leads to."""
        if not HEADER_SIZE <= target < position:
            raise WireError(_NOT_BACK)
        name = self.known.get(target)
        if name is None:
            try:
                name = self._follow(target)
            except IndexError:
                raise WireError(_ENDS) from None
        return name

    def _follow(self, start: int) -> bytes:
        """Return the name at `start`, which is not known; remember all it leads to."""
        wire, known, ends = self.wire, self.known, self._ends
        heads: list[tuple[int, int]] = []
        name: bytes | None = None
        while name is None:
            position = start
            size = wire[start]
            if 0 < size <= LABEL_SIZE_MAX:
                position = ends.get(start) or self._end(start)
                size = wire[position]
            heads.append((start, position))
            if size == 0:
                name = b"\0"
            elif size >= _POINTER:
                target = (size & 0x3F) << 8 | wire[position + 1]
                if not HEADER_SIZE <= target < start:
                    raise WireError(_NOT_BACK)
                start = target
                name = known.get(start)
            else:
                raise WireError(_NO_LABEL)
        for start, position in reversed(heads):
            if position > start:
                name = wire[start:position] + name
                if len(name) > NAME_SIZE_MAX:
                    raise WireError(_TOO_LONG)
            known[start] = name
        return name

    def _end(self, position: int) -> int:
        """Return where the labels from `position` on end; remember that for each of them."""
        wire, ends, passed = self.wire, self._ends, []
        while 0 < (size := wire[position]) <= LABEL_SIZE_MAX:
            passed.append(position)
            position = ends.get(position + size + 1) or position + size + 1
        for label in passed:
            ends[label] = position
        return position


def skip_name(wire: bytes, offset: int) -> int:
    """Return the offset behind the name at `offset`, in place: a pointer is two bytes."""
    start = offset
    try:
        while 0 < (size := wire[offset]) <= LABEL_SIZE_MAX:
            offset += size + 1
        if size == 0:
            offset += 1
        elif size >= _POINTER and offset + 1 < len(wire):
            offset += 2
        else:
            raise WireError("label type neither plain nor pointer, or message ends in a name")
    except IndexError:
        raise WireError("message ends in a name") from None
    # A pointer stands for at least the root's one octet.
    if offset - start > NAME_SIZE_MAX + (size != 0):
        raise WireError("name over 255 octets")
    return offset


def read_name(wire: bytes, offset: int) -> tuple[bytes, int]:
    """Return the name at `offset`, uncompressed with its case kept, and the offset behind it."""
    return Names(wire).at(offset)


def from_text(text: str) -> bytes:
    """Return the wire form of a name in text; absolute with or without its last dot.

    Raises ValueError on what is no name: empty labels, sizes, bad escapes, other than ASCII.
    """
    if text == ".":
        return b"\0"
    name, label, data = bytearray(), bytearray(), iter(text.encode("ascii"))
    for byte in data:
        if byte == 0x2E:
            name += _label(label, text)
            label.clear()
        else:
            label.append(_unescaped(data, text) if byte == 0x5C else byte)
    if label or not name:
        name += _label(label, text)
    name.append(0)
    if len(name) > NAME_SIZE_MAX:
        raise ValueError(f"{text!r} is over 255 octets")
    return bytes(name)


def _label(label: bytearray, text: str) -> bytes:
    if not 0 < len(label) <= LABEL_SIZE_MAX:
        raise ValueError(f"a label of {text!r} has {len(label)} octets, not 1 to 63")
    return bytes((len(label),)) + label


def _unescaped(data: Iterator[int], text: str) -> int:
    first = next(data, None)
    if first is None:
        raise ValueError(f"{text!r} ends in a backslash")
    if not 0x30 <= first <= 0x39:
        return first
    digits = bytes((first, next(data, 0), next(data, 0)))
    if not digits.isdigit() or int(digits) > 255:
        raise ValueError(f"bad escape in {text!r}: a backslash and digits need 000 to 255")
    return int(digits)


def to_text(name: bytes) -> str:
    r"""Return the text of an uncompressed name, with its last dot and escapes (`\.`, `\000`)."""
    if name == b"\0":
        return "."
    parts, position = [], 0
    while size := name[position]:
        parts += [_TEXT[byte] for byte in name[position + 1 : position + 1 + size]]
        parts.append(".")
        position += size + 1
    return "".join(parts)


def last_labels(name: bytes, count: int) -> bytes:
    """Return the last `count` labels of an uncompressed name, all of it if it has fewer."""
    starts, position = [], 0
    while size := name[position]:
        starts.append(position)
        position += size + 1
    starts.append(position)
    return name[starts[max(0, len(starts) - 1 - count)] :]


def is_under(name: bytes, zone: bytes) -> bool:
    """Tell whether `name` is `zone` or below it; both uncompressed and in lower case."""
    if not name.endswith(zone):
        return False
    position, start = 0, len(name) - len(zone)
    while position < start:
        position += name[position] + 1
    return position == start


def ancestors(name: bytes) -> Iterator[bytes]:
    """Yield `name` itself, then each parent, up to the root."""
    position = 0
    while size := name[position]:
        yield name[position:]
        position += size + 1
    yield b"\0"
