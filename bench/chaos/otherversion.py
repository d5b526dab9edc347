"""codns as another version would be on the peer link: `... otherversion newer|alien run -c FILE`.

newer   its messages have a field that nobody knows yet, behind the known ones: it is understood
alien   its datagrams carry another version number: it is not understood, nor understands
"""

import sys
from typing import Final

from codns.cli import main
from codns.core.messages import Message
from codns.peer import link, seal
from codns.peer.codec import encode

FIELD: Final = b"\xa3new"  # MessagePack: a string of 3
VERSION: Final = 2


def encode_more(message: Message) -> bytes:
    """A message with one field more at its end."""
    whole = encode(message)
    assert whole[0] & 0xF0 == 0x90, "an array of up to 15"
    return bytes((whole[0] + 1,)) + whole[1:] + FIELD


if __name__ == "__main__":
    if sys.argv.pop(1) == "newer":
        link.encode = encode_more  # type: ignore[assignment]
    else:
        seal._START = seal._MAGIC + bytes((VERSION,))  # type: ignore[misc]
    main()
