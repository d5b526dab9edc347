"""Zones with something of everything, and 2,000 questions about them.

All of it comes from one seed. Names are ordinary public-looking ones: nothing that a forwarder
may answer by itself (RULES 1.4). No delegations: a nameserver that only has the zone answers
those with a referral, which a forwarder must not take for an answer.
"""

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import dns.name
import dns.rdatatype

from bench.servers import program

PLAIN: Final = "plain.example."
SIGNED: Final = "signed.example."  # NSEC
HASHED: Final = "hashed.example."  # NSEC3
REVERSE: Final = "78.56.in-addr.arpa."
QUESTIONS: Final = 2_000

HOSTS: Final = 150
CHAIN_MAX: Final = 8
TXT_SIZES: Final = (1, 200, 255, 256, 400, 480, 700, 1000, 1100, 1150, 1200, 1300, 1500, 2000)
TXT_SIZES_TCP: Final = (4000, 8000, 16_000, 32_000, 48_000, 60_000, 64_000)
A_COUNTS: Final = (2, 10, 28, 29, 30, 31, 60, 70, 75, 100, 500, 1024, 1025, 3900)
TTLS: Final = (1, 30, 60, 300, 900, 3600, 3600, 7200, 86_400)

TYPED: Final = {
    "A": ["192.0.2.1", "192.0.2.2"],
    "AAAA": ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:1"],
    "MX": ["10 h1", "20 mail.elsewhere.example.", "0 ."],
    "TXT": ['"v=spf1 -all" "second string"', '""', r'"quo\"te \000\255 \\"'],
    "SRV": ["0 5 5060 h2", "10 0 443 elsewhere.example."],
    "CAA": ['0 issue "ca.example.net"', '128 iodef "mailto:x@example.net"'],
    "TLSA": ["3 1 1 " + "ab" * 32],
    "HTTPS": ["1 . alpn=h2,h3 ipv4hint=192.0.2.9", "2 h3 port=8443"],
    "SVCB": ["0 h4", "1 h5 mandatory=alpn alpn=dot key65333=abc"],
    "NAPTR": ['100 10 "u" "E2U+sip" "!^.*$!sip:x@example.net!" .', '102 10 "s" "SIP" "" h6'],
    "PTR": ["h7", "host.elsewhere.example."],
    "LOC": ["52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m"],
    "SSHFP": ["4 2 " + "cd" * 32],
    "HINFO": ['"CPU" "OS"'],
    "RP": ["who h8"],
    "AFSDB": ["1 h9"],
    "DS": ["12345 13 2 " + "ef" * 32],
    "DNSKEY": ["257 3 13 " + "A" * 86 + "=="],
    "TYPE65400": [r"\# 4 00ff10ab", r"\# 0"],
    "TYPE65280": [r"\# 600 " + "5a" * 600],
    "SPF": ['"v=spf1 ~all"'],
    "KX": ["10 h10"],
    "CERT": ["1 0 0 " + "QUJD" * 8],
    "DNAME": ["elsewhere.example."],
}

FORMS: Final = (  # labels that need care, as zone files write them
    r"a\.b", r"\000nul", r"sp\032ace", r"\255\254\200", r"back\\slash", r"semi\;colon",
    r"quo\"te", r"par\(en\)", r"at\@", r"dol\$lar", "UPPER", "MiXeD", "_under", "a.*.b", "-dash-",
    "xn--bcher-kva", "0", "123", r"\009tab", "x" * 63, "y" * 63 + "." + "z" * 63,
)  # fmt: skip


ODDS: Final = (  # below each zone's origin
    "", "dname.", "h2.dname.", "h3.dname.", "a.b.dname.", "x.wildc.", "wild.", "*.wild.",
    "a.b.wild.", "b.c.", "c.", "ent.b.c.", "x.dnamenx.", "x.wildx.", "ttl0.", "ttlbig.", "week.",
    "c1.", "c2.", "c3.", "cx.", "co.", "self.", "sub.", "txts.", "txt-900.", "txt-1100.",
    "txt-1500.", "txt-4000.",
)  # fmt: skip


class Question(NamedTuple):
    """One question, with the way its client puts it."""

    name: bytes  # on the wire, in the client's case
    qtype: int
    do: bool
    cd: bool
    ad: bool
    payload: int | None  # OPT's size; None is no OPT
    options: tuple[tuple[int, bytes], ...]

    @property
    def text(self) -> str:
        """For messages."""
        name = dns.name.from_wire(self.name, 0)[0]
        flags = "".join(f" {flag}" for flag in ("do", "cd", "ad") if getattr(self, flag))
        return f"{name} {dns.rdatatype.to_text(self.qtype)}{flags} payload={self.payload}"

    @property
    def size_max(self) -> int:
        """What its answer may have over UDP (RULES 2.4)."""
        return 512 if self.payload is None else min(max(self.payload, 512), 1232)

    def wire(self) -> bytes:
        """The client's query; id 0."""
        flags = 0x0100 | (0x0010 if self.cd else 0) | (0x0020 if self.ad else 0)
        has_opt = self.payload is not None
        head = b"\0\0" + flags.to_bytes(2, "big") + b"\0\1\0\0\0\0" + bytes((0, has_opt))
        wire = head + self.name + self.qtype.to_bytes(2, "big") + b"\0\1"
        if self.payload is not None:
            pieces = [
                code.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data
                for code, data in self.options
            ]
            wire += opt(self.payload, do=self.do, options=b"".join(pieces))
        return wire

    def upstream(self) -> bytes:
        """The same question as a forwarder passes it on (RULES 2.3)."""
        flags = 0x0120 | (0x0010 if self.cd else 0)
        head = b"\0\0" + flags.to_bytes(2, "big") + b"\0\1\0\0\0\0\0\1"
        return head + self.name + self.qtype.to_bytes(2, "big") + b"\0\1" + opt(1232, do=self.do)


def opt(payload: int, *, do: bool, options: bytes = b"") -> bytes:
    """An OPT record."""
    ttl = b"\0\0\x80\0" if do else b"\0\0\0\0"
    return (
        b"\0\0\x29" + payload.to_bytes(2, "big") + ttl + len(options).to_bytes(2, "big") + options
    )


def head(origin: str) -> list[str]:
    """SOA and NS."""
    return [
        f"$ORIGIN {origin}",
        "$TTL 3600",
        f"@ SOA ns.{PLAIN} hostmaster.{PLAIN} 2024010101 3600 600 1209600 900",
        f"@ NS ns.{PLAIN}",
        "@ NS ns2.elsewhere.example.",
    ]


def quoted(size: int) -> str:
    """TXT rdata of `size` octets of text."""
    text = "".join(chr(97 + i % 26) for i in range(size))
    return " ".join(f'"{text[i : i + 255]}"' for i in range(0, size, 255))


def hosts(chance: random.Random) -> Iterator[str]:
    """Ordinary hosts, every third with IPv6."""
    yield "ns A 192.0.2.53"
    for i in range(HOSTS):
        ttl = chance.choice(TTLS)
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            yield f"h{i} {ttl} A 198.51.100.{chance.randrange(256)}"
        if i % 3 == 0:
            yield f"h{i} {ttl} AAAA 2001:db8::{i:x}"
        if i % 10 == 0:
            yield f"h{i} {chance.choice(TTLS)} MX 10 h{i + 1}"


def chains() -> Iterator[str]:
    """CNAME chains of 1 to 8 links to an address, a big set, nowhere, a wildcard, a DNAME."""
    ends = {
        "a": "h1",
        "big": "count-100",
        "tc": "txt-1500",
        "nx": "gone.nowhere",
        "wild": "x.wild",
        "dname": "h2.dname",
        "out": f"h3.{SIGNED}",
    }
    for end, target in ends.items():
        for i in range(1, CHAIN_MAX + 1):
            yield f"chain-{end}-{i} CNAME {target if i == 1 else f'chain-{end}-{i - 1}'}"


def long_names() -> tuple[str, str, str]:
    """255 octets each: one that exists, one below a wildcard, one that does not exist."""
    labels = ".".join(letter * 63 for letter in "pqr")
    return f"{'s' * 47}.{labels}", f"{'t' * 42}.{labels}.wild", f"{'u' * 47}.{labels}"


def plain_zone(seed: int) -> str:
    """The unsigned zone."""
    chance = random.Random(seed)
    lines = [*head(PLAIN), *hosts(chance), *chains()]
    lines += [
        f"t-{rtype.lower()} {chance.choice(TTLS)} {rtype} {value}"
        for rtype, values in TYPED.items()
        for value in values
        if rtype not in ("DS", "DNSKEY")  # those stand in the signed zones
    ]
    lines += [f"txt-{size} TXT {quoted(size)}" for size in TXT_SIZES + TXT_SIZES_TCP]
    lines += [f"txts TXT {quoted(100 + i)}" for i in range(50)]
    lines += [
        f"count-{count} A 10.{i >> 8}.{i & 255}.1" for count in A_COUNTS for i in range(count)
    ]
    lines += [f"{form} A 192.0.2.77\n{form} TXT form" for form in FORMS]
    lines += [f"{long_names()[0]} A 192.0.2.78", "ttl0 0 A 192.0.2.79", "ent.b.c A 192.0.2.80"]
    lines += ["ttlbig 2147483647 A 192.0.2.81", "week 604800 TXT week", "self CNAME self"]
    lines += ["*.wild A 192.0.2.90", "*.wild TXT wild", "*.wildc CNAME h4", "*.wildx CNAME gone"]
    lines += ["dname DNAME target", "h2.target A 192.0.2.91", "h3.target CNAME h4.target"]
    lines += ["h4.target TXT end", "dnamenx DNAME nowhere.else"]
    return "\n".join([*lines, ""])


def signable_zone(origin: str, seed: int) -> str:
    """What gets signed: fewer names, all the mechanisms."""
    chance = random.Random(seed)
    lines = [*head(origin), "@ MX 10 h1", f"@ TXT {quoted(300)}", '@ CAA 0 issue ";"']
    lines += [
        f"h{i} {chance.choice(TTLS)} A 198.51.100.{chance.randrange(256)}" for i in range(30)
    ]
    lines += ["*.wild A 192.0.2.90", "*.wild TXT wild", "*.wildc CNAME h4"]
    lines += ["c1 CNAME h1", "c2 CNAME c1", "c3 CNAME c2", "cx CNAME gone", f"co CNAME h1.{PLAIN}"]
    lines += ["dname DNAME target", "h2.target A 192.0.2.91", "ent.b.c TXT ent"]
    lines += [f"txt-{size} TXT {quoted(size)}" for size in (900, 1100, 1500, 4000)]
    lines += [f"sub NS ns.sub.{origin}", f"sub DS {TYPED['DS'][0]}", "ns.sub A 192.0.2.99"]
    return "\n".join([*lines, ""])


def signed_zone(folder: Path, origin: str, seed: int, *, nsec3: bool) -> tuple[Path, str]:
    """Sign a zone with BIND's tools. Gives the zone file and its key as a trust anchor."""
    file = folder / f"{origin}zone"
    file.write_text(signable_zone(origin, seed))

    def run(*command: str) -> str:
        return subprocess.run(
            [program(command[0]), *command[1:]],
            cwd=folder, capture_output=True, text=True, timeout=30, check=True,
        ).stdout  # fmt: skip

    key = run("dnssec-keygen", "-a", "ECDSAP256SHA256", "-f", "KSK", origin).strip()
    run("dnssec-keygen", "-a", "ECDSAP256SHA256", origin)
    salt = ("-3", "ab12") if nsec3 else ()
    run("dnssec-signzone", "-S", "-O", "full", "-o", origin, *salt, file.name)
    anchor = [
        line for line in (folder / f"{key}.key").read_text().splitlines() if "DNSKEY" in line
    ]
    return folder / f"{file.name}.signed", anchor[0]


def reverse_zone() -> str:
    """PTR records, two on one name among them."""
    lines = head(REVERSE)
    lines += [f"{i}.1 PTR h{i}.{PLAIN}" for i in range(40)]
    return "\n".join([*lines, f"7.1 PTR other.{PLAIN}", ""])


def pool() -> Iterator[tuple[str, str]]:
    """Every (name, type) worth asking; more than enough of them."""
    for rtype in TYPED:
        yield f"t-{rtype.lower()}.{PLAIN}", rtype
        yield PLAIN, rtype
        yield f"t-{rtype.lower()}.{PLAIN}", "TYPE65401"  # NODATA
        yield f"h1.{PLAIN}", rtype
        yield f"h1.{SIGNED}", rtype
        yield f"h1.{HASHED}", rtype
        yield f"x{rtype.lower()}.wild.{PLAIN}", rtype
        yield f"x{rtype.lower()}.wild.{SIGNED}", rtype
        yield f"x{rtype.lower()}.wild.{HASHED}", rtype
        yield f"x{rtype.lower()}.gone.{PLAIN}", rtype
        yield f"chain-a-3.{PLAIN}", rtype
    for size in TXT_SIZES + TXT_SIZES_TCP:
        yield f"txt-{size}.{PLAIN}", "TXT"
    for count in A_COUNTS:
        yield f"count-{count}.{PLAIN}", "A"
    for form in FORMS:
        yield from ((f"{form}.{PLAIN}", rtype) for rtype in ("A", "TXT", "AAAA"))
        yield f"{form}.wild.{PLAIN}", "A"
        yield f"{form}.gone.{PLAIN}", "A"
    for name in long_names():
        yield from ((f"{name}.{PLAIN}", rtype) for rtype in ("A", "TXT", "AAAA"))
    for end in ("a", "big", "tc", "nx", "wild", "dname", "out"):
        for i in range(1, CHAIN_MAX + 1):
            yield from ((f"chain-{end}-{i}.{PLAIN}", rtype) for rtype in ("A", "TXT", "CNAME"))
    yield from pool_of_odds()


def pool_of_odds() -> Iterator[tuple[str, str]]:
    """DNAMEs, wildcards, empty non-terminals, apexes, odd TTLs, DNSSEC's own types."""
    for origin in (PLAIN, SIGNED, HASHED):
        for name in ODDS:
            types = ["A", "AAAA", "TXT", "CNAME", "DNAME", "DS", "SOA", "NS", "MX"]
            if name == "sub.":
                types = ["DS"]  # all else is a referral there
            if ".dname" in name:
                types.remove("DNAME")  # where a validating unbound turns from NXDOMAIN to SERVFAIL
            yield from ((name + origin, rtype) for rtype in types)
        yield from ((origin, t) for t in ("DNSKEY", "NSEC3PARAM", "NSEC", "CDS", "CAA", "ZONEMD"))
    for i in range(30):
        yield f"h{i}.{SIGNED}", "A"
        yield f"h{i}.{HASHED}", "A"
        yield f"h{i}.{SIGNED}", "NSEC"
        yield f"gone{i}.{SIGNED}", "A"
        yield f"gone{i}.{HASHED}", "A"
    for i in range(60):
        yield f"{i}.1.{REVERSE}", "PTR"
    for i in range(HOSTS + 30):  # the last ones do not exist
        yield from ((f"h{i}.{PLAIN}", rtype) for rtype in ("A", "AAAA", "MX"))


def questions(seed: int) -> list[Question]:
    """2,000 different ones, in random order, put in the ways that clients have."""
    chance = random.Random(seed)
    asked: dict[tuple[str, str, bool], Question] = {}
    candidates = list(pool())
    chance.shuffle(candidates)
    for do in (None, True, False):  # first each in some way, then the rest of the ways
        for name, rtype in candidates:
            dnssec = name.endswith((SIGNED, HASHED))
            wants = chance.random() < (0.7 if dnssec else 0.15) if do is None else do
            key = (name.lower(), rtype, wants)
            if key not in asked and len(asked) < QUESTIONS:
                asked[key] = put(name, rtype, wants, chance)
    picked = list(asked.values())
    chance.shuffle(picked)
    return picked


def put(name: str, rtype: str, do: bool, chance: random.Random) -> Question:
    """In some client's manner: its case, its EDNS, its flags."""
    wire = dns.name.from_text(name).to_wire()
    if chance.random() < 0.4:  # 0x20
        wire = bytes(
            octet ^ 0x20
            if chr(octet).isalpha() and octet < 128 and chance.random() < 0.5
            else octet
            for octet in wire
        )  # a length octet is under 64 and so never a letter
    payload = chance.choice((None, None, 512, 1232, 1232, 1400, 4096, 65535, 0))
    if do and payload is None:
        payload = 1232
    options: tuple[tuple[int, bytes], ...] = ()
    if payload is not None and chance.random() < 0.3:
        options = chance.choice((
            ((10, chance.randbytes(8)),),  # COOKIE
            ((65001, b"unknown"), (65002, b"")),
            ((12, bytes(32)),),  # padding
            ((3, b""),),  # NSID
        ))  # fmt: skip
    cd, ad = chance.random() < 0.1, chance.random() < 0.4
    return Question(wire, dns.rdatatype.from_text(rtype), do, cd, ad, payload, options)
