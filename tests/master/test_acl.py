"""Who may ask."""

from ipaddress import ip_network

import pytest

from codns.master.acl import VERDICTS_MAX, Acl, packed_address


def acl(*networks: str) -> Acl:
    return Acl(ip_network(n) for n in networks)


@pytest.mark.parametrize(
    ("host", "packed"),
    [
        ("127.0.0.1", b"\x7f\0\0\1"),
        ("::1", bytes(15) + b"\1"),
        ("::ffff:192.0.2.1", b"\xc0\x00\x02\x01"),
        ("::192.0.2.1", bytes(12) + b"\xc0\x00\x02\x01"),  # compatible, not mapped
        ("fe80::1%eth0", b"\xfe\x80" + bytes(13) + b"\1"),
    ],
)
def test_packed_address(host, packed):
    assert packed_address(host) == packed


@pytest.mark.parametrize(
    ("networks", "host", "allowed"),
    [
        (["127.0.0.0/8"], "127.255.255.255", True),
        (["127.0.0.0/8"], "128.0.0.0", False),
        (["127.0.0.0/8"], "126.255.255.255", False),
        (["127.0.0.0/8"], "::ffff:127.0.0.1", True),
        (["127.0.0.0/8"], "::1", False),
        (["::1/128"], "::1", True),
        (["::1/128"], "::2", False),
        (["::1/128"], "0.0.0.1", False),  # the same number, another family
        (["0.0.0.1/32"], "::1", False),
        (["192.0.2.0/25", "192.0.2.128/25"], "192.0.2.200", True),
        (["10.0.0.0/8", "2001:db8::/32"], "2001:db8:ffff::1", True),
        (["10.0.0.0/8", "2001:db8::/32"], "2001:db9::", False),
        (["0.0.0.0/0"], "203.0.113.9", True),
        (["0.0.0.0/0"], "2001:db8::1", False),
        (["::/0"], "2001:db8::1", True),
        (["::/0"], "203.0.113.9", False),
        (["::ffff:192.0.2.0/120"], "192.0.2.77", True),  # mapped networks mean IPv4
        (["::ffff:192.0.2.0/120"], "192.0.3.77", False),
        ([], "127.0.0.1", False),
    ],
)
def test_allows(networks, host, allowed):
    checked = acl(*networks)
    packed = packed_address(host)
    assert [checked.allows(packed) for _ in range(3)] == [allowed] * 3


def test_bytes_that_are_no_address():
    checked = acl("0.0.0.0/0", "::/0")
    assert not checked.allows(b"")
    assert not checked.allows(b"\x7f\0\0")


def test_the_table_of_verdicts_is_bounded_and_right_after_it_was_full():
    checked = acl("10.0.0.0/20")
    addresses = [(10 << 24 | n).to_bytes(4, "big") for n in range(2 * VERDICTS_MAX + 7)]
    for _ in range(2):
        verdicts = []
        for address in addresses:
            verdicts.append(checked.allows(address))
            assert len(checked._verdicts) <= VERDICTS_MAX
        assert verdicts == [n < 4096 for n in range(len(addresses))]
