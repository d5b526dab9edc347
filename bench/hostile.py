"""The dearest answers a nameserver can send: for each thing a reader does, bytes full of it.

What is dear is many small things: records of 11 octets, labels of one, pointers to pointers, names
at every place of another name's octets, aliases, records to be left out of the middle (the rest is
then written anew), signatures and proofs that belong to everything. Each is made for any size:
4 KiB (what a slave reads as one datagram) and 64 KiB (over TCP).
"""

import struct
from collections.abc import Callable
from itertools import pairwise
from typing import Final

from codns.wire.name import from_text

NAME: Final = from_text("www.example.")
START: Final = 12 + len(NAME) + 4  # where the records begin
HERE: Final = b"\xc0\x0c"  # a pointer to the question's name
POINTERS_END: Final = 0x4000  # what a pointer can reach
A, NS, CNAME, SOA, MINFO, TXT, NAPTR, DNAME, RRSIG, NSEC3 = 1, 2, 5, 6, 14, 16, 35, 39, 46, 50
SOA_DATA: Final = b"\0\0" + struct.pack(">5I", 1, 2, 3, 4, 300)


def rr(owner: bytes, rtype: int, rdata: bytes = b"") -> bytes:
    return owner + struct.pack(">HHIH", rtype, 1, 300, len(rdata)) + rdata


def pointer(to: int) -> bytes:
    return struct.pack(">H", 0xC000 | to)


def message(
    answers: list[bytes],
    authority: list[bytes] | None = None,
    additional: list[bytes] | None = None,
    *,
    qtype: int = A,
    rcode: int = 0,
) -> bytes:
    sections = [answers, authority or [], additional or []]
    counts = struct.pack(">HHHHHH", 7, 0x8180 | rcode, 1, *map(len, sections))
    question = NAME + struct.pack(">HH", qtype, 1)
    return counts + question + b"".join(record for section in sections for record in section)


def fill(size: int, record: bytes) -> list[bytes]:
    """As many of it as fit, with room for a few others."""
    return [record] * ((size - START - 64) // len(record))


def kept(size: int) -> bytes:
    return message(fill(size, rr(HERE, TXT)), qtype=TXT)


def dropped(size: int) -> bytes:
    return message(fill(size, rr(b"\0", TXT)))


def every_second(size: int) -> bytes:
    pair = rr(HERE, A, b"1234") + rr(b"\0", TXT)
    records = fill(size, pair)
    return message([rr(HERE, A, b"1234"), rr(b"\0", TXT)] * len(records))


def expanded(size: int) -> bytes:
    """Records with two names in their RDATA, written anew as the first is dropped."""
    record = rr(HERE, MINFO, b"\0\0")
    return message([rr(b"\0", TXT), *fill(size, record)], qtype=MINFO)


def strings(size: int) -> bytes:
    record = rr(HERE, NAPTR, bytes(4) + b"\0\0\0" + b"\0")
    return message([rr(b"\0", TXT), *fill(size, record)], qtype=NAPTR)


def deep_owners(size: int) -> bytes:
    """Owners of 127 labels, each in full."""
    return message(fill(size, rr(b"\1a" * 126 + b"\0", TXT)))


def short_owners(size: int) -> bytes:
    """Owners of one label, each in full: they are read one by one."""
    return message(fill(size, rr(b"\1A\0", TXT)))


def deep_behind(size: int) -> bytes:
    """The same where nobody looks, in the additional section."""
    return message([rr(HERE, A, b"1234")], [], fill(size, rr(b"\1a" * 126 + b"\0", TXT)))


def pointers_behind(size: int) -> bytes:
    return message([rr(HERE, A, b"1234")], [], fill(size, rr(HERE, TXT)))


def pointer_chain(size: int) -> bytes:
    """Pointers to the pointer before, 8,000 of them in one RDATA; then owners at all of them."""
    room = min(size // 2, POINTERS_END - START - 16)
    links, at = [pointer(12)], START + 11
    while 2 * len(links) < room:
        links.append(pointer(at + 2 * (len(links) - 1)))
    first = rr(b"\0", TXT, b"".join(links))
    owners = fill(size - len(first), rr(pointer(at), TXT))
    last = len(links) - 1
    return message(
        [first, *(rr(pointer(at + 2 * (last - i % last)), TXT) for i in range(len(owners)))]
    )


def labels_everywhere(size: int) -> bytes:
    """Owners at every place of names of one-octet labels: none is another, all are long."""
    room = min(size // 2, POINTERS_END - START - 16)
    rdata = (b"\1\1" * 125 + b"\1\1\0") * (room // 253)
    first, at = rr(b"\0", TXT, rdata), START + 11
    count = len(fill(size - len(first), rr(HERE, TXT)))
    places = [253 * (i // 126 % (room // 253)) + 2 * (i % 126) for i in range(count)]
    return message([first, *(rr(pointer(at + place), TXT) for place in places)])


def two_names_each(size: int) -> bytes:
    """1,000 records to be written anew, each with two names that nobody else has."""
    room = min(size // 2, POINTERS_END - START - 16)
    rdata = (b"\1\1" * 126 + b"\0") * (room // 253)
    first, at = rr(b"\0", TXT, rdata), START + 11
    ends = [
        at + 253 * name + 252 - 2 * label for label in range(40) for name in range(room // 253)
    ]
    count = min(len(fill(size - len(first), rr(HERE, MINFO, bytes(4)))), 1000, len(ends) // 2)
    pairs = zip(ends[:count], ends[count : 2 * count], strict=True)
    return message(
        [first, *(rr(HERE, MINFO, pointer(a) + pointer(b)) for a, b in pairs)], qtype=MINFO
    )


def aliases(size: int) -> bytes:
    """A chain of 32 names; thousands of records of the last one."""
    names = [NAME, *(from_text(f"n{i:02}.example.") for i in range(30))]
    chain = [rr(a, CNAME, b) for a, b in pairwise(names)]
    at = START + sum(map(len, chain[:-1])) + len(names[-2]) + 10
    used = sum(map(len, chain))
    return message(chain + fill(size - used, rr(pointer(at), A, b"1234")))


def redirects(size: int) -> bytes:
    """DNAMEs above the chain and their signatures, which belong to it wherever they stand."""
    pair = rr(b"\xc0\x10", DNAME, b"\0") + rr(b"\xc0\x10", RRSIG, b"\0\x27")
    count = len(fill(size, pair))
    return message([rr(b"\0", TXT), *[pair[:13], pair[13:]] * count])


def proofs(size: int) -> bytes:
    """NXDOMAIN behind an alias: its proofs are written twice, for the name and for the target."""
    chain = [rr(HERE, CNAME, from_text("gone.example."))]
    soa = rr(b"\xc0\x10", SOA, SOA_DATA)
    record = rr(b"\0", NSEC3, b"\0")
    count = len(fill(size - 64, record))
    return message(chain, [rr(b"\0", TXT), *[record] * count, soa], rcode=3)


def late_soa(size: int) -> bytes:
    """A denial with thousands of SOAs and none where it is looked for first."""
    soa = rr(HERE, SOA, SOA_DATA)
    return message([], fill(size, soa), rcode=3)


def any_rrset(size: int) -> bytes:
    pair = rr(HERE, A, b"1234") + rr(HERE, RRSIG, b"\0\1")
    count = len(fill(size, pair))
    return message([rr(HERE, A, b"1234"), rr(HERE, RRSIG, b"\0\1")] * count, qtype=255)


ANSWERS: Final[dict[str, Callable[[int], bytes]]] = {
    "records that are all kept": kept,
    "records that are all dropped": dropped,
    "every second record dropped": every_second,
    "names in RDATA, written anew": expanded,
    "strings before the name, written anew": strings,
    "owners of 127 labels": deep_owners,
    "owners of one label": short_owners,
    "127 labels in the additional section": deep_behind,
    "pointers in the additional section": pointers_behind,
    "a chain of pointers, owners at each": pointer_chain,
    "owners at every place of long names": labels_everywhere,
    "1,000 written anew, two names each": two_names_each,
    "32 aliases, records of the last": aliases,
    "DNAMEs and their signatures": redirects,
    "NXDOMAIN behind an alias, proofs": proofs,
    "a denial with thousands of SOAs": late_soa,
    "ANY, half signatures": any_rrset,
}
