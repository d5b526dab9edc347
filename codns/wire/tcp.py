"""DNS over TCP: two bytes of length before each message (RFC 1035 4.2.2, RFC 7766 8)."""

from codns.wire.const import MESSAGE_SIZE_MAX
from codns.wire.errors import WireError


def frame(message: bytes) -> bytes:
    """Return `message` behind its length, to be sent in one write (RFC 7766 8)."""
    return len(message).to_bytes(2, "big") + message


class Framer:
    """Cuts what arrives on a connection into messages; does no I/O itself.

    `size_max` bounds a message and with it what is buffered. `pending` is the number of bytes
    that wait for the rest of their message.
    """

    __slots__ = ("_buffer", "size_max")

    def __init__(self, size_max: int = MESSAGE_SIZE_MAX) -> None:
        self.size_max = size_max
        self._buffer = b""

    @property
    def pending(self) -> int:
        """Bytes of a message that is not complete yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that `data` completes, in order.

        Raises `WireError` without an rcode when a message is announced that is over `size_max`:
        there is no way to find the next one, the connection can only be closed.
        """
        buffer = self._buffer + data if self._buffer else data
        messages = []
        position, total = 0, len(buffer)
        while position + 2 <= total:
            size = buffer[position] << 8 | buffer[position + 1]
            if size > self.size_max:
                raise WireError(f"message of {size} bytes on a connection", None)
            end = position + 2 + size
            if end > total:
                break
            messages.append(buffer[position + 2 : end])
            position = end
        self._buffer = buffer[position:]
        return messages
