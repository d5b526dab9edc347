"""Identities of nameservers: a table, whose first row is `printf 192.0.2.1 | b2sum -l 64`."""

import pytest

from codns.core.identity import IDENTITY_SIZE, identity

NODE = "192.0.2.7:7353"


@pytest.mark.parametrize(
    ("server", "node", "site", "expected"),
    [
        ("192.0.2.1", NODE, None, "c874face288b2811"),
        (
            "192.0.2.1#5353",
            "10.0.0.1:7353",
            "ams",
            "c874face288b2811",
        ),  # public: the same anywhere
        ("::ffff:192.0.2.1", NODE, None, "c874face288b2811"),
        ("2001:db8::53", NODE, None, "b59028a24f8a2d4a"),
        ("2001:0DB8:0::53#53", NODE, "ams", "b59028a24f8a2d4a"),
        ("10.0.0.2", NODE, None, "518cb0af4c9f9d3f"),
        ("10.0.0.2", NODE, "ams", "511264cdb08e3ee4"),  # printf '10.0.0.2\0ams' | b2sum -l 64
        ("10.0.0.2", NODE, "fra", "740bed988b06658b"),
        ("127.0.0.53", NODE, "ams", "cc3e3d5eace53dd7"),
        ("127.0.0.53", "192.0.2.8:7353", "ams", "4193e91fd274235c"),
        ("fe80::1%eth0#53", NODE, "ams", "ac0c1056bc0d9059"),
    ],
)
def test_identities(server, node, site, expected):
    assert identity(server, node=node, site=site).hex() == expected
    assert len(expected) == 2 * IDENTITY_SIZE


@pytest.mark.parametrize(
    ("server", "by_site", "by_node"),
    [
        ("192.0.2.1", False, False),
        ("8.8.8.8", False, False),
        ("2606:4700::1", False, False),
        ("9.255.255.255", False, False),
        ("10.0.0.0", True, False),
        ("10.255.255.255", True, False),
        ("11.0.0.0", False, False),
        ("172.15.255.255", False, False),
        ("172.16.0.0", True, False),
        ("172.31.255.255", True, False),
        ("172.32.0.0", False, False),
        ("192.168.0.1", True, False),
        ("192.167.255.255", False, False),
        ("100.63.255.255", False, False),
        ("100.64.0.1", True, False),
        ("100.127.255.255", True, False),
        ("100.128.0.0", False, False),
        ("169.254.169.253", True, False),  # a cloud's resolver
        ("fc00::1", True, False),
        ("fd00:ec2::253", True, False),
        ("fe80::1%eth0", True, False),
        ("::ffff:10.0.0.2", True, False),
        ("127.0.0.1", False, True),
        ("127.0.0.53#53", False, True),
        ("::1", False, True),
        ("0.0.0.0", False, True),
        ("::", False, True),
    ],
)
def test_which_addresses_depend_on_the_place(server, by_site, by_node):
    here = identity(server, node=NODE, site="ams")
    assert (identity(server, node=NODE, site="fra") != here) == by_site
    assert (identity(server, node="192.0.2.8:7353", site="ams") != here) == by_node
    without = identity(server, node=NODE)
    assert (without != here) == by_site
    assert without == identity(server, node=NODE, site=None)


def test_the_zone_is_not_told():
    """An interface's name means something on this machine only."""
    assert identity("fe80::1%eth0", node=NODE) == identity("fe80::1%ens3#53", node=NODE)


@pytest.mark.parametrize("server", ["", "example", "192.0.2.1:53", "[2001:db8::1]#53"])
def test_not_an_address(server):
    with pytest.raises(ValueError):
        identity(server, node=NODE)
