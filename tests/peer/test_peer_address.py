import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codns.peer.address import parse


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("192.0.2.7:7353", ("192.0.2.7:7353", "192.0.2.7", 7353)),
        ("192.0.2.7:007353", ("192.0.2.7:7353", "192.0.2.7", 7353)),
        ("[2001:DB8:0:0::7]:53", ("[2001:db8::7]:53", "2001:db8::7", 53)),
        ("[::1]:65535", ("[::1]:65535", "::1", 65535)),
        ("[::ffff:192.0.2.7]:1", ("192.0.2.7:1", "192.0.2.7", 1)),
    ],
)
def test_one_text_for_one_address(listed, expected):
    assert parse(listed) == expected


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("", "no port"),
        ("192.0.2.7", "no port"),
        ("192.0.2.7:", "no port"),
        ("192.0.2.7:0", "no port"),
        ("192.0.2.7:65536", "no port"),
        ("192.0.2.7:-1", "no port"),
        ("192.0.2.7:\u0667", "no port"),
        ("192.0.2.7:" + "9" * 5000, "no port"),
        ("node7.example:7353", "no IP address"),
        ("192.0.2.256:7353", "no IP address"),
        ("2001:db8::7:7353", r"goes in \[ \]"),
        ("[192.0.2.7]:7353", r"goes in \[ \]"),
        ("[fe80::1%eth0]:7353", "scope"),
    ],
)
def test_what_is_none(listed, message):
    with pytest.raises(ValueError, match=message):
        parse(listed)


@given(
    st.lists(st.integers(0, 300) | st.sampled_from(("", "01", "1a", "+1", "\u0661")), max_size=5)
)
def test_the_short_way_to_an_ipv4_address_finds_what_the_long_one_does(octets):
    host = ".".join(str(octet) for octet in octets)
    try:
        expected = str(ipaddress.ip_address(host))
    except ValueError:
        with pytest.raises(ValueError, match="no peer address"):
            parse(f"{host}:7353")
    else:
        assert parse(f"{host}:7353") == (f"{expected}:7353", expected, 7353)
