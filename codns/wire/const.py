"""Numbers of the DNS, by the names of the IANA registries (RFC 1035, 6891, 8914)."""

from typing import Final

HEADER_SIZE: Final = 12
NAME_SIZE_MAX: Final = 255  # RFC 1035 2.3.4, in octets on the wire, root label included
LABEL_SIZE_MAX: Final = 63
MESSAGE_SIZE_MAX: Final = 65535  # RFC 1035 4.2.2, the TCP length field
UDP_SIZE_MIN: Final = 512  # RFC 1035 4.2.1, without EDNS
UDP_SIZE_MAX: Final = 1232  # no fragments on any path: DNS flag day 2020; RULES 2.3, 2.4
RECORDS_MAX: Final = 1024  # RULES 9.3: answers over this pass uncached

# Header flags, as masks of the 16-bit field (RFC 1035 4.1.1, RFC 4035 3)
QR: Final = 0x8000
OPCODE: Final = 0x7800
AA: Final = 0x0400
TC: Final = 0x0200
RD: Final = 0x0100
RA: Final = 0x0080
Z: Final = 0x0040
AD: Final = 0x0020
CD: Final = 0x0010
RCODE: Final = 0x000F

NOERROR: Final = 0
FORMERR: Final = 1
SERVFAIL: Final = 2
NXDOMAIN: Final = 3
NOTIMP: Final = 4
REFUSED: Final = 5
BADVERS: Final = 16

A: Final = 1
NS: Final = 2
CNAME: Final = 5
SOA: Final = 6
PTR: Final = 12
HINFO: Final = 13
AAAA: Final = 28
DNAME: Final = 39
OPT: Final = 41
RRSIG: Final = 46
NSEC: Final = 47
NSEC3: Final = 50
TKEY: Final = 249
TSIG: Final = 250
IXFR: Final = 251
AXFR: Final = 252
ANY: Final = 255

IN: Final = 1
CHAOS: Final = 3

DO_FLAG: Final = 0x8000  # in the OPT TTL's low half (RFC 3225)
EDNS_COOKIE: Final = 10
EDNS_ECS: Final = 8
EDNS_EDE: Final = 15

# Extended DNS errors (RFC 8914 5.2), only those codns says
EDE_OTHER: Final = 0
EDE_STALE: Final = 3
EDE_CACHED_ERROR: Final = 13
EDE_STALE_NXDOMAIN: Final = 19
EDE_NOT_AUTHORITATIVE: Final = 20
EDE_NO_REACHABLE_AUTHORITY: Final = 22
EDE_NETWORK_ERROR: Final = 23
