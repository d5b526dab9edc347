"""The questions of a simulation, and what is said to them, in the form `core.Node` takes them.

A name is asked thousands of times, so its query is built once: `Name.tail` behind two bytes of id
is what a client sends. Answers too are made without any parsing, already digested as a slave
would (`wire.digest`): a `Reply` is a `wire.batch.Result` but for the job and the time it took.

    lookups = Book()
    www = lookups.name("www.example.com")        # an A query
    www.address(300)                             # a Reply: one A record, TTL 300
"""

import struct
from typing import Final, NamedTuple

from codns.wire import const
from codns.wire.batch import Result
from codns.wire.build import record, soa_rdata, upstream_query
from codns.wire.name import from_text, last_labels, to_text
from codns.wire.outcome import Outcome

TYPES: Final = {
    "A": 1,
    "NS": 2,
    "CNAME": 5,
    "SOA": 6,
    "PTR": 12,
    "HINFO": 13,
    "MX": 15,
    "TXT": 16,
    "AAAA": 28,
    "SVCB": 64,
    "HTTPS": 65,
    "ANY": 255,
}
_TEXTS: Final = {number: text for text, number in TYPES.items()}

_IN: Final = const.IN.to_bytes(2, "big")
_PLAIN: Final = struct.pack(">HHHHH", const.RD, 1, 0, 0, 0)  # a stub's query behind its id
_OPT_SIZE: Final = 11
_POINTER: Final = b"\xc0\x0c"  # to the question's name
_RECORD: Final = struct.Struct(">2sHHIH").pack
_TTL_AT: Final = struct.pack("<H", 6)  # behind pointer, type and class
_ADDRESS: Final = b"\xc6\x33\x64\x01"  # 198.51.100.1, documentation: no private address
_new: Final = tuple.__new__


class Reply(NamedTuple):
    """What a nameserver said: the fields of `wire.batch.Result` that do not depend on the job."""

    outcome: Outcome
    rcode: int
    ad: bool
    cacheable: bool
    soa: bool
    ancount: int
    nscount: int
    ttl: int
    body: bytes
    offsets: bytes
    derived: bytes


def _failure(outcome: Outcome, rcode: int = 0) -> Reply:
    return Reply(outcome, rcode, False, False, False, 0, 0, 0, b"", b"", b"")


SERVFAIL: Final = _failure(Outcome.SERVFAIL, const.SERVFAIL)
REFUSED: Final = _failure(Outcome.REFUSED, const.REFUSED)
TIMEOUT: Final = _failure(Outcome.TIMEOUT)
UNREACHABLE: Final = _failure(Outcome.UNREACHABLE)
OVERLOAD: Final = _failure(Outcome.OVERLOAD)


def result(job: int, reply: Reply, elapsed: float) -> Result:
    """Return what a slave reports of job number `job`."""
    made: Result = _new(Result, (job, *reply[:8], elapsed, *reply[8:]))
    return made


class Name:
    """A question: name and type, class IN.

    `question` as in a message, `name` in wire form and lower case, `tail` a stub's whole query
    behind its id, `number` its place in the book, `zone` its last two labels.
    """

    __slots__ = ("facts", "name", "number", "qtype", "question", "tail", "zone")

    def __init__(self, number: int, name: bytes, qtype: int) -> None:
        self.number = number
        self.name = name
        self.qtype = qtype
        self.question = name + qtype.to_bytes(2, "big") + _IN
        self.tail = _PLAIN + self.question
        self.zone = last_labels(name, 2)
        self.facts: object = None  # what a scenario knows of it

    @property
    def text(self) -> str:
        """The question for people: "www.example.com. A"."""
        return f"{to_text(self.name)} {_TEXTS.get(self.qtype, f'TYPE{self.qtype}')}"

    def query(self, *, do: bool = False, cd: bool = False) -> bytes:
        """Return a client's query behind its id; with DO or CD it has an OPT."""
        if do or cd:
            return upstream_query(self.name, self.qtype, const.IN, do=do, cd=cd)[2:]
        return self.tail

    def address(self, ttl: int, data: bytes = _ADDRESS, *, ad: bool = False) -> Reply:
        """Return an answer of one record of the type that was asked for."""
        body = _RECORD(_POINTER, self.qtype, const.IN, ttl, len(data)) + data
        made: Reply = _new(
            Reply,
            (Outcome.ANSWER, 0, ad, ttl > 0, False, 1, 0, ttl, body, _TTL_AT, b""),
        )
        return made

    def denial(self, ttl: int, *, nxdomain: bool = True, soa: bool = True) -> Reply:
        """Return NXDOMAIN or NODATA, with the zone's SOA (RFC 2308) or without."""
        outcome = Outcome.NXDOMAIN if nxdomain else Outcome.NODATA
        rcode = const.NXDOMAIN if nxdomain else const.NOERROR
        if not soa:
            return Reply(outcome, rcode, False, False, False, 0, 0, 0, b"", b"", b"")
        data = soa_rdata(b"\x02ns" + self.zone, b"\x04host" + self.zone, 1, 3600, 600, 86400, ttl)
        body = record(self.zone, const.SOA, ttl, data)
        offset = struct.pack("<H", len(self.zone) + 4)
        return Reply(outcome, rcode, False, ttl > 0, True, 0, 1, ttl, body, offset, b"")

    def __repr__(self) -> str:
        return self.text


class Book:
    """All names that were asked so far, by what they look like on the wire."""

    __slots__ = ("_names",)

    def __init__(self) -> None:
        self._names: dict[bytes, Name] = {}

    def __len__(self) -> int:
        return len(self._names)

    def name(self, text: str, rdtype: str = "A") -> Name:
        """Return the question for a name as people write it. ValueError: it is none."""
        return self.question(from_text(text).lower(), TYPES[rdtype])

    def question(self, name: bytes, qtype: int) -> Name:
        """Return the question for a wire name."""
        key = name + qtype.to_bytes(2, "big") + _IN
        known = self._names.get(key)
        if known is None:
            known = self._names[key] = Name(len(self._names), name, qtype)
        return known

    def asked(self, wire: bytes) -> Name:
        """Return what a node asks a nameserver: a message that `wire.build` made."""
        known = self._names.get(wire[const.HEADER_SIZE : -_OPT_SIZE])
        if known is not None:
            return known
        end = const.HEADER_SIZE
        while wire[end]:
            end += wire[end] + 1
        qtype = int.from_bytes(wire[end + 1 : end + 3], "big")
        name = wire[const.HEADER_SIZE : end + 1]
        if qtype == TYPES["HINFO"]:  # a loop check: a new random name each, never asked again
            return Name(-1, name, qtype)
        return self.question(name.lower(), qtype)

    def forget(self, name: Name) -> None:
        """It will not be asked again: unique names would fill the book otherwise."""
        self._names.pop(name.question, None)
