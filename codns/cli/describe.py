"""A DNS message in words: for people, close to dig's manner, and as JSON."""

from collections.abc import Iterator
from typing import Any, Final

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

# RFC 8914 5.2 and IANA's registry since
EDE_NAMES: Final = {
    0: "Other Error",
    1: "Unsupported DNSKEY Algorithm",
    2: "Unsupported DS Digest Type",
    3: "Stale Answer",
    4: "Forged Answer",
    5: "DNSSEC Indeterminate",
    6: "DNSSEC Bogus",
    7: "Signature Expired",
    8: "Signature Not Yet Valid",
    9: "DNSKEY Missing",
    10: "RRSIGs Missing",
    11: "No Zone Key Bit Set",
    12: "NSEC Missing",
    13: "Cached Error",
    14: "Not Ready",
    15: "Blocked",
    16: "Censored",
    17: "Filtered",
    18: "Prohibited",
    19: "Stale NXDOMAIN Answer",
    20: "Not Authoritative",
    21: "Not Supported",
    22: "No Reachable Authority",
    23: "Network Error",
    24: "Invalid Data",
    25: "Signature Expired before Valid",
    26: "Too Early",
    27: "Unsupported NSEC3 Iterations Value",
    28: "Unable to conform to policy",
    29: "Synthesized",
    30: "Invalid Query Type",
}

SECTIONS: Final = ("answer", "authority", "additional")


def ede(message: dns.message.Message) -> list[dict[str, Any]]:
    """Return the extended errors of a message: code, name, text."""
    return [
        {
            "code": int(option.code),
            "name": EDE_NAMES.get(int(option.code), f"EDE{int(option.code)}"),
            "text": option.text or "",
        }
        for option in message.options
        if isinstance(option, dns.edns.EDEOption)
    ]


def records(rrsets: list[dns.rrset.RRset]) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield (name, TTL, class, type, data) of each record."""
    for rrset in rrsets:
        rdclass = dns.rdataclass.to_text(rrset.rdclass)
        rdtype = dns.rdatatype.to_text(rrset.rdtype)
        for rdata in rrset:
            yield rrset.name.to_text(), str(rrset.ttl), rdclass, rdtype, rdata.to_text()


def section(message: dns.message.Message, which: str) -> list[dns.rrset.RRset]:
    """Return a section by its name."""
    found: list[dns.rrset.RRset] = getattr(message, which)
    return found


def flags(message: dns.message.Message) -> str:
    """Return the header's flags: "qr rd ra"."""
    return dns.flags.to_text(message.flags).lower()


def header(message: dns.message.Message) -> list[str]:
    """Return the lines above the sections."""
    rcode = dns.rcode.to_text(message.rcode())
    lines = [f";; {rcode}, id {message.id}, flags {flags(message)}"]
    if message.edns >= 0:
        do = ", do" if message.ednsflags & dns.flags.DO else ""
        lines.append(f";; EDNS {message.edns}, {message.payload} bytes{do}")
    for error in ede(message):
        text = f": {error['text']}" if error["text"] else ""
        lines.append(f";; EDE {error['code']} ({error['name']}){text}")
    return lines


def question(message: dns.message.Message) -> tuple[str, str, str] | None:
    """Return (name, class, type) of the question, if there is one."""
    if not message.question:
        return None
    asked = message.question[0]
    return (
        asked.name.to_text(),
        dns.rdataclass.to_text(asked.rdclass),
        dns.rdatatype.to_text(asked.rdtype),
    )


def as_json(message: dns.message.Message) -> dict[str, Any]:
    """Return all of a message as plain values."""
    asked = question(message)
    edns = None
    if message.edns >= 0:
        edns = {
            "version": message.edns,
            "size": message.payload,
            "do": bool(message.ednsflags & dns.flags.DO),
        }
    return {
        "id": message.id,
        "rcode": dns.rcode.to_text(message.rcode()),
        "flags": flags(message).split(),
        "edns": edns,
        "ede": ede(message),
        "question": dict(zip(("name", "class", "type"), asked, strict=True)) if asked else None,
        **{
            which: [
                {"name": name, "ttl": int(ttl), "class": rdclass, "type": rdtype, "data": data}
                for name, ttl, rdclass, rdtype, data in records(section(message, which))
            ]
            for which in SECTIONS
        },
    }
