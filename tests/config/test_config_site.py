"""What `auto` comes to: private zones and the site."""

import pytest

from codns.config import load, private, site
from codns.config.resolvconf import Places
from codns.wire import name


def contains(zones, text):
    """Is a name in one of the zones?"""
    return any(zone in zones for zone in name.ancestors(name.from_text(text)))


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("printer.local", True),
        ("x.internal", True),
        ("nas.home.arpa", True),
        ("lan", True),
        ("ipv4only.arpa", True),
        ("a.b.test", True),
        ("www.site.example", True),  # the search domain
        ("www.example", False),
        ("arpa", False),
        ("locals", False),
        ("1.2.3.10.in-addr.arpa", True),
        ("1.2.3.11.in-addr.arpa", False),
        ("1.2.15.172.in-addr.arpa", False),
        ("1.2.16.172.in-addr.arpa", True),
        ("1.2.31.172.in-addr.arpa", True),
        ("1.2.32.172.in-addr.arpa", False),
        ("1.2.168.192.in-addr.arpa", True),
        ("1.2.169.192.in-addr.arpa", False),
        ("1.2.254.169.in-addr.arpa", True),
        ("1.2.63.100.in-addr.arpa", False),
        ("1.2.64.100.in-addr.arpa", True),
        ("1.2.127.100.in-addr.arpa", True),
        ("255.255.255.255.in-addr.arpa", True),
        ("1.0.0.127.in-addr.arpa", True),
        ("1" + ".0" * 31 + ".ip6.arpa", True),  # ::1
        ("2" + ".0" * 31 + ".ip6.arpa", False),
        ("1.0.0.d.f.ip6.arpa", True),
        ("1.0.0.c.f.ip6.arpa", False),
        ("1.a.e.f.ip6.arpa", True),
        ("1.c.e.f.ip6.arpa", False),
        ("1.8.b.d.0.1.0.0.2.ip6.arpa", True),
    ],
)
def test_private_zones(text, inside):
    assert contains(private.automatic(["Site.Example."]), text) is inside


def test_private_zones_are_sorted_and_single():
    zones = private.automatic(["local.", "lan"])
    assert zones == tuple(sorted(set(zones))) == private.automatic([])
    assert all(zone == zone.lower() for zone in zones)


def places(tmp_path, text):
    """A host with only a resolv.conf."""
    (tmp_path / "resolv.conf").write_text(text)
    return Places(*(tmp_path / n for n in ("resolv.conf", "stub", "uplink", "original")))


def test_site_auto(tmp_path):
    here = places(tmp_path, "nameserver 127.0.0.1\nnameserver 192.0.2.1\nsearch site.example\n")
    found = site.resolve(load.parse(""), here)
    assert found.nameservers == ("192.0.2.1#53",)
    assert found.origin == str(tmp_path / "resolv.conf")
    assert contains(found.private_zones, "www.site.example")
    assert found.zones == {}
    assert found.warnings == ()
    before = site.fingerprints(found)
    assert len(before) == 3
    (tmp_path / "uplink").write_text("nameserver 192.0.2.2\n")  # any of the files counts
    assert site.fingerprints(found) != before


def test_site_explicit(tmp_path):
    here = places(tmp_path, "nameserver 192.0.2.1\nsearch site.example\n")
    config = load.parse(
        'nameservers: ["192.0.2.9"]\n'
        'zones: {Corp.Example: {nameservers: ["10.0.0.1"], peers: false}, x.example: {}}'
    )
    found = site.resolve(config, here)
    assert (found.nameservers, found.origin) == (("192.0.2.9#53",), "configuration")
    assert contains(found.private_zones, "www.site.example")  # auto still looks at search
    assert found.zones == {
        b"\x04corp\x07example\0": site.ZoneSite(("10.0.0.1#53",), False),
        b"\x01x\x07example\0": site.ZoneSite((), True),
    }
    config = load.parse('nameservers: ["192.0.2.9"]\nprivate_zones: [LAN]')
    found = site.resolve(config, here)
    assert found.private_zones == (b"\x03lan\0",)
    assert found.watched == ()


def test_site_without_nameservers_is_a_warning(tmp_path):
    found = site.resolve(load.parse(""), places(tmp_path, "nameserver 127.0.0.1\n"))
    assert found.nameservers == ()
    assert found.warnings[-1] == "no nameserver found: set nameservers in the configuration"
