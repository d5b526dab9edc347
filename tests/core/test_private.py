"""Private names (RULES 7.5): configured, single labels, learned."""

import json
from ipaddress import ip_address

import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codns.core.private import LEARNED_MAX, SITE, SPLIT, PrivateNames, holds_private_address
from codns.wire import const
from codns.wire.build import record
from codns.wire.digest import digest
from codns.wire.name import from_text

DAY = 86_400.0


def names(*zones: str) -> PrivateNames:
    return PrivateNames(from_text(zone) for zone in zones)


@pytest.mark.parametrize(
    ("name", "private"),
    [
        ("intranet.corp.", True),
        ("corp.", True),
        ("a.b.corp.", True),
        ("xcorp.example.", False),
        ("corp.example.", False),
        ("1.0.168.192.in-addr.arpa.", True),
        ("1.0.169.192.in-addr.arpa.", False),
        ("www.example.", False),
        ("printer.", True),  # single label
        ("com.", True),
        (".", True),
        ("example.net.", False),
    ],
)
def test_configured_zones_and_single_labels(name, private):
    made = names("corp.", "168.192.in-addr.arpa.")
    assert made.is_private(from_text(name), 0.0) is private
    assert (made.explain(from_text(name), 0.0) is not None) is private


def test_a_reload_replaces_the_configured_zones():
    made = names("example.")
    made.configure([from_text("other.")])
    assert not made.is_private(from_text("a.example."), 0.0)
    assert made.is_private(from_text("a.other."), 0.0)


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("db.internal.example.com.", "example.com."),
        ("example.com.", "example.com."),
        ("a.b.c.d.example.com.", "example.com."),
    ],
)
def test_an_address_teaches_the_last_two_labels(name, zone):
    made = names()
    assert made.learn_address(from_text(name), 0.0) == from_text(zone)
    assert made.is_private(from_text("other." + zone), 1.0)
    assert made.explain(from_text(zone), 10.0) == (
        f"in zone {zone}, learned: {SITE}; for 86390 s more"
    )


@pytest.mark.parametrize(
    ("name", "soa", "zone"),
    [
        ("db.in.example.com.", None, "example.com."),
        ("db.in.example.com.", "example.com.", "example.com."),
        ("db.in.example.com.", "in.example.com.", "in.example.com."),  # longer
        ("db.in.example.com.", "db.in.example.com.", "db.in.example.com."),
        ("db.in.example.com.", "com.", "example.com."),
        ("db.in.example.com.", ".", "example.com."),
        ("db.in.example.com.", "long.unrelated.example.net.", "example.com."),  # a peer's word
        ("db.in.example.com.", "n.example.com.", "example.com."),  # no label boundary
    ],
)
def test_a_split_teaches_the_last_two_labels_or_the_soa_owner(name, soa, zone):
    made = names()
    owner = None if soa is None else from_text(soa)
    assert made.learn_split(from_text(name), owner, 0.0) == from_text(zone)
    assert made.is_private(from_text(name), 1.0)


def test_learned_for_24_hours():
    made = names()
    made.learn_address(from_text("a.example.com."), 0.0)
    assert made.is_private(from_text("a.example.com."), DAY - 1)
    assert not made.is_private(from_text("a.example.com."), DAY)
    assert made.explain(from_text("a.example.com."), DAY) is None
    assert len(made) == 0


def test_learning_again_renews_using_does_not():
    made = names()
    made.learn_address(from_text("a.example.com."), 0.0)
    made.is_private(from_text("a.example.com."), DAY - 1)
    assert not made.is_private(from_text("a.example.com."), DAY)
    made.learn_address(from_text("a.example.com."), 0.0)
    made.learn_address(from_text("a.example.com."), 1000.0)
    assert made.is_private(from_text("a.example.com."), DAY)


def test_256_zones_least_recently_used_out():
    made = names()
    learned = [from_text(f"a.d{number}.com.") for number in range(LEARNED_MAX + 1)]
    for name in learned[:-1]:
        made.learn_address(name, 0.0)
    assert made.is_private(learned[0], 1.0)
    made.learn_address(learned[-1], 2.0)
    assert len(made) == LEARNED_MAX
    private = [made.is_private(name, 3.0) for name in (learned[0], learned[1], learned[-1])]
    assert private == [True, False, True]


def test_the_state_file_holds_lifetimes_not_clocks():
    made = names()
    made.learn_address(from_text("a.example.com."), 100.0)
    made.learn_split(from_text("b.in.example.net."), from_text("in.example.net."), 200.0)
    saved = json.loads(json.dumps(made.export(1100.0)))
    assert saved == {
        "example.com.": {"seconds": 85_400, "why": SITE},
        "in.example.net.": {"seconds": 85_500, "why": SPLIT},
    }
    again = names()
    assert again.load(saved, 5.0) == 2  # another run, another clock
    assert again.export(5.0) == saved
    assert again.is_private(from_text("x.example.com."), 85_404.0)
    assert not again.is_private(from_text("x.example.com."), 85_405.0)


def test_what_is_over_is_not_saved():
    made = names()
    made.learn_address(from_text("a.example.com."), 0.0)
    assert made.export(DAY) == {}


@pytest.mark.parametrize(
    "entry",
    [
        {"example.com.": 5},
        {"example.com.": {"seconds": "5", "why": ""}},
        {"example.com.": {"seconds": 0, "why": ""}},
        {"example.com.": {"seconds": -5, "why": ""}},
        {"example.com.": {"seconds": 5}},
        {"bad..name": {"seconds": 5, "why": ""}},
        {"é.example.": {"seconds": 5, "why": ""}},
        {".": {"seconds": 5, "why": ""}},
    ],
)
def test_a_damaged_state_file_teaches_nothing(entry):
    made = names()
    assert made.load(entry, 0.0) == 0
    assert len(made) == 0


def test_a_state_file_teaches_for_24_hours_at_most_and_256_zones():
    made = names()
    saved = {f"d{number}.com.": {"seconds": 10**12, "why": SITE} for number in range(300)}
    made.load(saved, 0.0)
    assert len(made) == LEARNED_MAX
    assert not made.is_private(from_text("d299.com."), DAY)


@given(st.dictionaries(st.text(max_size=20), st.none() | st.integers() | st.text(), max_size=5))
def test_arbitrary_state_never_raises(saved):
    assert names().load(saved, 0.0) == 0


# -- addresses in answers -----------------------------------------------------------------------


def body(*records: tuple[str, int, bytes]) -> tuple[bytes, bytes]:
    """Records of (owner, type, rdata), and the positions of their TTLs."""
    wire, offsets = b"", b""
    for owner, rtype, rdata in records:
        made = record(from_text(owner), rtype, 60, rdata)
        position = len(wire) + len(from_text(owner)) + 4
        offsets += position.to_bytes(2, "little")
        wire += made
    return wire, offsets


def address(text: str) -> tuple[str, int, bytes]:
    packed = ip_address(text).packed
    return "www.example.com.", const.A if len(packed) == 4 else const.AAAA, packed


@pytest.mark.parametrize(
    ("text", "private"),
    [
        ("10.0.0.1", True),
        ("10.255.255.255", True),
        ("11.0.0.1", False),
        ("172.15.255.255", False),
        ("172.16.0.1", True),
        ("172.31.255.255", True),
        ("172.32.0.1", False),
        ("192.168.1.1", True),
        ("192.169.1.1", False),
        ("192.0.2.1", False),
        ("127.0.0.2", False),  # a block list's answer
        ("169.254.1.1", False),
        ("100.64.0.1", False),
        ("fd00::1", True),
        ("fc00::1", True),
        ("fe80::1", False),
        ("2001:db8::1", False),
        ("::1", False),
    ],
)
def test_rfc_1918_and_ula(text, private):
    assert holds_private_address(*body(address(text)), 1) is private
    chain = body(("a.example.", const.CNAME, from_text("b.example.")), address(text))
    assert holds_private_address(*chain, 2) is private


def test_only_answer_records_count():
    mixed = body(address("192.0.2.1"), address("10.0.0.1"))
    assert not holds_private_address(*mixed, 1)
    assert holds_private_address(*mixed, 2)


def test_no_record_no_address():
    assert not holds_private_address(b"", b"", 0)


def test_other_types_of_four_octets_are_no_address():
    assert not holds_private_address(*body(("a.example.", 99, b"\x0a\0\0\1")), 1)


@pytest.mark.parametrize(("text", "private"), [("10.1.2.3", True), ("192.0.2.1", False)])
def test_it_reads_what_a_slave_reports(text, private):
    query = dns.message.make_query("www.example.com.", "A", use_edns=0)
    response = dns.message.make_response(query)
    for owner, rtype, data in (
        ("x.example.com.", "A", text),  # before the CNAME: order does not matter
        ("www.example.com.", "CNAME", "x.example.com."),
    ):
        response.answer.append(dns.rrset.from_text(owner, 60, "IN", rtype, data))
    response.authority.append(dns.rrset.from_text("example.com.", 60, "IN", "A", "10.9.9.9"))
    said = digest(query.to_wire(), response.to_wire())
    assert said.ancount == 2
    assert holds_private_address(said.body, said.offsets, said.ancount) is private
