"""Numbers of DNS as words: types (RFC 3597 for the others) and rcodes (IANA)."""

from typing import Final

QTYPES: Final = {
    1: "A",
    2: "NS",
    5: "CNAME",
    6: "SOA",
    12: "PTR",
    13: "HINFO",
    15: "MX",
    16: "TXT",
    28: "AAAA",
    33: "SRV",
    35: "NAPTR",
    39: "DNAME",
    43: "DS",
    44: "SSHFP",
    46: "RRSIG",
    47: "NSEC",
    48: "DNSKEY",
    50: "NSEC3",
    52: "TLSA",
    64: "SVCB",
    65: "HTTPS",
    99: "SPF",
    255: "ANY",
    257: "CAA",
}
RCODES: Final = {
    0: "NOERROR",
    1: "FORMERR",
    2: "SERVFAIL",
    3: "NXDOMAIN",
    4: "NOTIMP",
    5: "REFUSED",
    6: "YXDOMAIN",
    7: "YXRRSET",
    8: "NXRRSET",
    9: "NOTAUTH",
    10: "NOTZONE",
    16: "BADVERS",
}


def qtype_text(number: int) -> str:
    """Return "A", or "TYPE65280" for what has no name here."""
    return QTYPES.get(number) or f"TYPE{number}"


def rcode_text(number: int) -> str:
    """Return "NOERROR", or "RCODE11" for what has no name here."""
    return RCODES.get(number) or f"RCODE{number}"
