"""The SOA of a negative answer: from which zone is it?"""

from codns.wire.const import HEADER_SIZE, SOA
from codns.wire.errors import WireError
from codns.wire.name import Names
from codns.wire.sections import walk


def soa_owner(question: bytes, body: bytes, count: int) -> bytes | None:
    """Return the owner, in lower case, of the SOA among the `count` records of `body`.

    `question` is name, type and class, which the body stood behind. None if there is no SOA, or
    if the records cannot be read: a peer made them, and nothing depends on it.
    """
    wire = bytes(HEADER_SIZE) + question + body
    try:
        records, _ = walk(Names(wire), HEADER_SIZE + len(question), count)
    except WireError:
        return None
    return next((record.owner for record in records if record.rtype == SOA), None)
