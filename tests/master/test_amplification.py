"""What a forged source in `allow` gets for each byte sent in its name: the table, and its bounds.

Over UDP only: over TCP nobody's address is forged. One client asks a node whose nameserver gives
as much as it can; sizes are of DNS messages. A row is (sent, received at most); the ratio of the
worst is 44, that of any open resolver with 1,232 bytes, which is why `allow` and `rate_limit` are
what limits it. All that is not an answer out of DNS is no larger than its query and an OPT with a
reason.
"""

import random

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codns.core.model import Answer, Client, SendJob
from codns.core.node import Node
from codns.core.settings import Settings
from codns.slave.results import result
from codns.wire.batch import unpack_result

LARGEST = 1232  # RULES 2.4
OPT_SIZE = 11  # of the nameserver's answer; who sent none gets none
EDE_SIZE = 6  # an extended error without text: RFC 8914 2


class World:
    """A node, its nameserver's answer to everything, and a forger who counts bytes."""

    def __init__(self, behave):
        self.node = Node(
            Settings(nameservers=("192.0.2.53#53",), probe=False), random.Random(1), 0
        )
        self.behave = behave

    def ask(self, wire, *, twice=True):
        """All answers to a datagram, the second time from the cache if there is one."""
        answers = self._carry(self.node.client_query(wire, self._client(), 1.0))
        if twice:
            answers += self._carry(self.node.client_query(wire, self._client(), 2.0))
        return answers

    def _client(self):
        return Client("udp", b"\x7f\0\0\1", object(), lambda _: None)

    def _carry(self, effects):
        answers = []
        for effect in effects:
            if isinstance(effect, Answer):
                answers.append(effect.wire)
            elif isinstance(effect, SendJob):
                response = self.behave(dns.message.from_wire(effect.wire)).to_wire(max_size=65535)
                frame = result(effect.job, effect.wire, response, effect.flags, 1000)
                answers += self._carry(self.node.job_done(unpack_result(frame, 0), 1.0))
        return answers


def large(query):
    """RRsets that fill 64 kB, of a type each; for ANY there are several."""
    response = dns.message.make_response(query, recursion_available=True)
    name = query.question[0].name
    texts = [f'"{number:03} {"x" * 200}"' for number in range(250)]
    response.answer.append(dns.rrset.from_text(name, 300, "IN", "TXT", *texts))
    if query.question[0].rdtype == 255:
        response.answer[:0] = [
            dns.rrset.from_text(name, 300, "IN", "A", "192.0.2.1"),
            dns.rrset.from_text(name, 300, "IN", "AAAA", "2001:db8::1"),
        ]
    return response


def fits(size):
    """As large as may leave over UDP."""

    def behave(query):
        response = dns.message.make_response(query, recursion_available=True)
        name, rtype = query.question[0].name, query.question[0].rdtype
        owner = 1 if name == dns.name.root else 2  # a pointer
        room = size - len(response.to_wire()) - owner - 10
        rdata = dns.rdata.GenericRdata(1, rtype, bytes(room))
        response.answer.append(dns.rrset.from_rdata(name, 300, rdata))
        return response

    return behave


def denied(query):
    response = dns.message.make_response(query, recursion_available=True)
    response.set_rcode(dns.rcode.NXDOMAIN)
    soa = "ns.example. host.example. 1 3600 600 86400 60"
    response.authority.append(dns.rrset.from_text("a.", 60, "IN", "SOA", soa))
    return response


def asked(name="a.", rtype="TYPE65400", *, payload=None, rd=True):
    query = dns.message.make_query(name, rtype, id=7)
    if payload is not None:
        query.use_edns(0, payload=payload)
    if not rd:
        query.flags &= ~dns.flags.RD
    return query.to_wire()


# What leaves at most, for the shortest query of its kind: the table in SECURITY.md
@pytest.mark.parametrize(
    ("kind", "behave", "wire", "most"),
    [
        ("larger than allowed, without EDNS", large, asked("a.", "TXT"), 19),
        ("larger than allowed, EDNS 65535", large, asked("a.", "TXT", payload=65535), 30),
        ("512 without EDNS", fits(512 + OPT_SIZE), asked(), 512),
        ("513 without EDNS", fits(513 + OPT_SIZE), asked(), 19),
        ("EDNS 4096", fits(LARGEST), asked(payload=4096), LARGEST),
        ("EDNS 4096, one byte more", fits(LARGEST + 1), asked(payload=4096), 30),
        ("EDNS 512", fits(LARGEST), asked(payload=512), 30),
        ("ANY: an RRset of many", large, asked(rtype="ANY", payload=4096), 46),
        ("no such name", denied, asked(), 70),
        ("RD=0, not cached", denied, asked(payload=1232, rd=False), 30 + EDE_SIZE),
    ],
)
def test_what_leaves_at_most(kind, behave, wire, most):
    answers = World(behave).ask(wire)
    assert answers, kind
    assert max(map(len, answers)) == most, kind
    assert most <= max(LARGEST, len(wire) + EDE_SIZE)


def test_the_worst_ratio():
    """The shortest question with an OPT, and the largest answer there is."""
    wire = asked(".", payload=4096)
    (first, second) = World(fits(LARGEST)).ask(wire)
    assert (len(wire), len(first), len(second)) == (28, LARGEST, LARGEST)
    assert LARGEST / len(wire) == 44


REFUSED = [
    ("AXFR", asked("www.example.", "AXFR"), dns.rcode.REFUSED),
    ("IXFR", asked("www.example.", "IXFR", payload=4096), dns.rcode.REFUSED),
    (
        "CHAOS",
        dns.message.make_query("version.bind.", "TXT", "CH", id=7).to_wire(),
        dns.rcode.REFUSED,
    ),
    ("NOTIFY", b"\0\1\x20\0\0\1\0\0\0\0\0\0\0\0\6\0\1", dns.rcode.NOTIMP),
    ("UPDATE", b"\0\1\x28\0\0\1\0\0\0\0\0\0\0\0\6\0\1", dns.rcode.NOTIMP),
    ("no question", b"\0\1\1\0\0\0\0\0\0\0\0\0", dns.rcode.FORMERR),
    ("two questions", b"\0\1\1\0\0\2" + bytes(6) + b"\0\0\1\0\1" * 2, dns.rcode.FORMERR),
    ("trailing bytes", asked() + bytes(500), dns.rcode.FORMERR),
    ("two OPTs", asked(payload=4096) + asked(payload=4096)[-11:], dns.rcode.FORMERR),
    ("RD=0", asked("www.example.", rd=False), dns.rcode.REFUSED),
    ("localhost denied", asked("x.localhost.", "TXT"), dns.rcode.NOERROR),
]


@pytest.mark.parametrize(("kind", "wire", "rcode"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_is_refused_is_not_larger(kind, wire, rcode):
    if kind == "two OPTs":
        wire = wire[:11] + b"\2" + wire[12:]
    answers = World(large).ask(wire)
    assert [message[3] & 15 for message in answers] == [rcode] * 2
    # NODATA has the SOA that RFC 2308 wants; all else is the question and a reason
    bound = 100 if kind.startswith("localhost") else EDE_SIZE
    assert max(map(len, answers)) <= len(wire) + bound


def test_badvers_has_an_opt():
    wire = asked(payload=4096)
    wire = wire[:-5] + b"\1" + wire[-4:]  # EDNS version 1
    (answer, _) = World(large).ask(wire)
    assert dns.message.from_wire(answer).rcode() == dns.rcode.BADVERS
    assert len(answer) == len(wire)


OCTETS = st.one_of(
    st.binary(max_size=120),
    st.builds(
        lambda head, tail: head + tail,
        st.sampled_from(
            [asked(), asked(payload=4096), asked("x.localhost.", "ANY"), REFUSED[2][1]]
        ),
        st.binary(max_size=40),
    ),
    st.builds(
        lambda wire, at, octet: wire[:at] + bytes((octet,)) + wire[at + 1 :],
        st.sampled_from([row[1] for row in REFUSED]),
        st.integers(0, 11),
        st.integers(0, 255),
    ),
)


@given(OCTETS)
def test_a_response_is_never_answered_whatever_is_in_it(wire):
    """So two servers, each believing the other's errors to be queries, fall silent at once."""
    wire = wire[:2] + bytes((wire[2] | 0x80,)) + wire[3:] if len(wire) > 2 else wire
    assert World(large).ask(wire) == []


@given(OCTETS)
def test_what_we_answer_is_a_response(wire):
    """The other half of it: whatever leaves has QR=1, so no codns answers it."""
    for answer in World(denied).ask(wire, twice=False):
        assert answer[2] & 0x80
        assert len(answer) <= LARGEST
        assert World(denied).ask(answer) == []
