"""codns' answers beside those of its nameserver, over 2,000 questions, field by field.

What a forwarder with a cache may change, and nothing else: the id, AA (cleared), RA (set), TTLs
(lowered), the additional section (dropped but for our own OPT, RULES 3.2), AD (only if asked
for, RULES 2.2), and over UDP a TC instead of records that do not fit (RULES 2.4). Each question
is asked over UDP and over TCP, first as a miss (half of them over either) and then as a hit.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import dns.name
import pytest
import real_ask
import real_zone
from conftest import SEED, Zones
from real_ask import Parsed, Record, Seen
from real_zone import Question

from bench import servers
from bench.servers import Server

pytestmark = pytest.mark.real(
    "nsd", "unbound", "dnsmasq", "setpriv", "dnssec-signzone", "dnssec-keygen"
)

AD, CD, TC = 0x20, 0x10, 0x200
EDE = 15
SOA = 6
TTL_KEPT = 3600  # max_negative_ttl: above it codns may cap, under it must not lower but by age
AGE_MAX = 60  # of an answer in this test, seconds


class Site(NamedTuple):
    """A nameserver, and codns in front of it."""

    nameserver: Server
    codns: Server
    nsd: Server


@pytest.fixture(scope="module", params=["nsd", "unbound", "dnsmasq"])
def site(
    request: pytest.FixtureRequest, zones: Zones, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """codns before nsd, an unbound that validates, or a dnsmasq that keeps nothing.

    The latter two ask nsd.
    """
    folder = tmp_path_factory.mktemp(f"before-{request.param}")
    with servers.nsd(folder, zones.files) as nsd:
        nsd.wait_ready(real_zone.PLAIN)
        nameserver = nsd
        if request.param == "unbound":
            nameserver = validator(folder, nsd, zones, zones.anchors)
        elif request.param == "dnsmasq":
            nameserver = servers.dnsmasq(folder, nsd.address, cache=0)
        with nameserver:
            nameserver.wait_ready(real_zone.PLAIN)
            with servers.codns(folder, [nameserver.address]) as codns:
                yield Site(nameserver, codns.wait_ready(real_zone.PLAIN), nsd)


def validator(folder: Path, nsd: Server, zones: Zones, anchors: list[str]) -> Server:
    """unbound, with these keys; answers in a constant order."""
    options = [
        'module-config: "validator iterator"',
        "qname-minimisation: no",
        "minimal-responses: yes",  # else authority depends on what it has cached meanwhile
        "rrset-roundrobin: no",
        *(f'trust-anchor: "{anchor}"' for anchor in anchors),
    ]
    return servers.unbound(folder, nsd.address, zones=list(zones.files), options=options)


@pytest.fixture(scope="module")
def questions(site: Site) -> list[Question]:
    """All before nsd and unbound; a few before dnsmasq, which only hands on what nsd says."""
    every = real_zone.questions(SEED)
    return every[::5] if site.nameserver.name == "dnsmasq" else every


@pytest.fixture(scope="module")
def expected(site: Site, questions: list[Question]) -> list[Parsed]:
    """What the nameserver itself says to a forwarder. unbound's second word, from its cache."""
    wires = [question.upstream() for question in questions]
    if site.nameserver.name == "unbound":
        both_ways(site.nameserver, wires)
    return [real_ask.parse(wire) for wire in both_ways(site.nameserver, wires)]


def both_ways(server: Server, wires: list[bytes]) -> list[bytes]:
    """Over UDP, and what is truncated over TCP."""
    answers = real_ask.exchange(server.address, wires, "udp")
    large = [i for i, answer in enumerate(answers) if answer[2] & 2]
    again = real_ask.exchange(server.address, [wires[i] for i in large], "tcp")
    for i, answer in zip(large, again, strict=True):
        answers[i] = answer
    return answers


def asked(codns: Server, questions: list[Question]) -> dict[str, list[bytes]]:
    """Four rounds: as misses, half of them over UDP, and then all over both."""
    wires = [question.wire() for question in questions]
    first: list[bytes] = []
    half = len(wires) // 2
    first += real_ask.exchange(codns.address, wires[:half], "udp")
    first += real_ask.exchange(codns.address, wires[half:], "tcp")
    return {
        "miss": first,
        "udp": real_ask.exchange(codns.address, wires, "udp"),
        "tcp": real_ask.exchange(codns.address, wires, "tcp"),
    }


def test_equal_but_for_what_a_cache_may_change(
    site: Site, questions: list[Question], expected: list[Parsed]
) -> None:
    answers = asked(site.codns, questions)
    half = len(questions) // 2
    problems = []
    for i, question in enumerate(questions):
        full = answers["tcp"][i]
        for round_, transport in (
            ("miss", "udp" if i < half else "tcp"), ("udp", "udp"), ("tcp", "tcp"),
        ):  # fmt: skip
            found = list(compared(question, expected[i], answers[round_][i], transport, full))
            if site.nameserver is site.nsd:  # whose TTLs stand still
                found += ttl_differences(expected[i], answers[round_][i])
            problems += [f"{question.text} ({round_}): {problem}" for problem in found]
    problems += ad_differences(site, questions, expected, answers["tcp"])
    shown = "\n".join(problems[:40])
    assert not problems, f"{len(problems)} differences before {site.nameserver.name}:\n{shown}"


def compared(
    question: Question, expected: Parsed, wire: bytes, transport: str, full: bytes
) -> Iterator[str]:
    """Everything wrong with one answer, in words. `full` is the same answer over TCP."""
    message = real_ask.parse(wire)
    got, want = message.seen, expected.seen
    yield from header_differences(question, wire)
    yield from opt_differences(question, message)
    if transport == "udp" and len(full) > question.size_max:
        if got != Seen(want.rcode, got.flags, [], []) or not got.flags & TC:
            yield f"{len(wire)} octets, but {len(full)} do not fit {question.size_max}: {got}"
        return
    if got.flags & ~AD != (CD if question.cd else 0):
        yield f"flags {got.flags:#06x}"
    if got.rcode != want.rcode:
        yield f"rcode {got.rcode}, not {want.rcode}"
    if got.answer != want.answer:
        yield f"answer {short(got.answer)}, not {short(want.answer)}"
    if sorted(got.authority) != sorted(want.authority):  # whose order unbound changes
        yield f"authority {short(got.authority)}, not {short(want.authority)}"


def ad_differences(
    site: Site, questions: list[Question], expected: list[Parsed], answers: list[bytes]
) -> Iterator[str]:
    """AD that upstream did not set or nobody asked for, or the reverse (RULES 2.2).

    unbound itself changes its mind while it is asked with and without CD, so where it seems
    wrong unbound is asked again.
    """
    for question, before, wire in zip(questions, expected, answers, strict=True):
        wanted = question.ad or question.do
        got = bool(real_ask.parse(wire).seen.flags & AD)
        if got != (wanted and bool(before.seen.flags & AD)):
            after = real_ask.parse(both_ways(site.nameserver, [question.upstream()])[0])
            if got != (wanted and bool(after.seen.flags & AD)):
                yield f"{question.text}: AD={got:d}"


def short(records: list[Record]) -> str:
    """For messages."""
    return f"{len(records)} records {[(r.owner, r.rtype, r.rdata[:40]) for r in records[:6]]}"


def ttl_differences(expected: Parsed, wire: bytes) -> Iterator[str]:
    """TTLs that were raised, or lowered by more than age and caps explain."""
    got = real_ask.parse(wire)
    if (got.seen.answer, got.seen.authority) != (expected.seen.answer, expected.seen.authority):
        return
    negative = got.seen.rcode == 3 or any(r.rtype == SOA for r in got.seen.authority)
    kept = min(expected.ttls, default=0) if negative else TTL_KEPT  # a CNAME ends with its SOA
    for ttl, original in zip(got.ttls, expected.ttls, strict=True):
        if not min(original, kept) - AGE_MAX <= ttl <= original:
            yield f"TTL {ttl} of {original}"


def header_differences(question: Question, wire: bytes) -> Iterator[str]:
    """QR, opcode 0, no AA, RD as asked, RA; the question's own octets (RULES 2.1)."""
    flags = int.from_bytes(wire[2:4], "big")
    if flags & 0xFDC0 != 0x8180:  # all but TC, AD, CD and rcode
        yield f"header flags {flags:#06x}"
    tail = question.name + question.qtype.to_bytes(2, "big") + b"\0\1"
    if wire[12 : 12 + len(tail)] != tail or wire[4:6] != b"\0\1":
        yield "question not as asked"


def opt_differences(question: Question, message: Parsed) -> Iterator[str]:
    """Our OPT iff the query had one, with its DO; nothing else additional (RULES 2.3, 3.2).

    Only a failure may come with a reason (RULES 3.5).
    """
    reply = message.message
    if reply.additional:
        yield f"additional {reply.additional}"
    if (reply.edns >= 0) != (question.payload is not None):
        yield f"EDNS {reply.edns} for a query of payload {question.payload}"
        return
    options = [option for option in reply.options if option.otype != EDE or reply.rcode() != 2]
    if reply.edns >= 0 and (bool(reply.ednsflags & 0x8000) != question.do or options):
        yield f"OPT {reply.ednsflags:#x} {options}"


def test_hits_do_not_reach_the_nameserver(
    site: Site, questions: list[Question], expected: list[Parsed]
) -> None:
    """Answers good for 5 minutes and more, asked again and again: nsd hears of none."""
    pairs = zip(questions, expected, strict=True)
    known = [
        question
        for question, seen in pairs
        if len(seen.ttls) <= 1024 and min(seen.ttls, default=0) >= 300
        if not question.text.lower().startswith("self.")  # a loop: NODATA without SOA, not kept
    ]
    wires = [question.wire() for question in known[:200]]
    assert len(wires) == 200
    real_ask.exchange(site.codns.address, wires, "udp")
    before = servers.nsd_queries(site.nsd)
    for transport in ("udp", "tcp") * 3:
        real_ask.exchange(site.codns.address, wires, transport)
    moved = servers.nsd_queries(site.nsd) - before
    assert moved <= 20, "of 1,200; a few may be probes and prefetches"


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_bogus_is_servfail_unless_checking_is_disabled(
    zones: Zones, tmp_path: Path, transport: str
) -> None:
    """With the wrong key unbound believes nothing of the zone; CD=1 gets it all the same."""
    wrong = zones.anchors[0].replace(real_zone.SIGNED, real_zone.HASHED)
    name = dns.name.from_text(f"h1.{real_zone.HASHED}").to_wire()
    with servers.nsd(tmp_path, zones.files) as nsd:
        nsd.wait_ready(real_zone.PLAIN)
        with validator(tmp_path, nsd, zones, [wrong]) as unbound:
            unbound.wait_ready(real_zone.PLAIN)
            with servers.codns(tmp_path, [unbound.address]) as codns:
                codns.wait_ready(real_zone.PLAIN)
                rcodes = []
                for cd in (False, True, False, True):
                    question = Question(name, 1, True, cd, False, 1232, ())
                    answer = real_ask.exchange(codns.address, [question.wire()], transport)[0]
                    rcodes.append(real_ask.parse(answer).seen.rcode)
    assert rcodes == [2, 0, 2, 0]
