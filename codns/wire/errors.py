"""The one exception that arbitrary bytes can raise."""

from codns.wire.const import FORMERR


class WireError(Exception):
    """Bytes that are not the DNS message they should be.

    `rcode` is what a server answers to a client that sent them (FORMERR, NOTIMP, BADVERS,
    REFUSED), or None where silence is right (RULES 1.1: no header, or a response).
    """

    def __init__(self, reason: str, rcode: int | None = FORMERR) -> None:
        super().__init__(reason)
        self.rcode = rcode
