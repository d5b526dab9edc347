"""Who may read over TCP, as a table."""

import pytest

from codns.master import http_guard
from codns.master.http_message import HttpError

HOSTS = ("node7.example.net", "*.nodes.example")


def status(headers, local="127.0.0.1", hosts=HOSTS):
    try:
        http_guard.check(
            [(b"host", h) if isinstance(h, bytes) else h for h in headers], local, hosts
        )
    except HttpError as error:
        return error.status
    return 200


@pytest.mark.parametrize(
    ("host", "local", "said"),
    [
        (b"127.0.0.1:9853", "127.0.0.1", 200),
        (b"127.0.0.1", "127.0.0.1", 200),
        (b"127.0.0.1:1", "127.0.0.1", 200),  # a forwarded port
        (b"127.0.0.2:9853", "127.0.0.1", 421),  # not the address it came in on
        (b"localhost:9853", "127.0.0.1", 200),
        (b"LocalHost.", "127.0.0.1", 200),
        (b"localhost", "192.0.2.7", 421),
        (b"[::1]:9853", "::1", 200),
        (b"[::1]", "::1", 200),
        (b"[0:0::1]:9853", "::1", 200),
        (b"localhost", "::1", 200),
        (b"[fe80::1]:9853", "fe80::1%eth0", 200),
        (b"127.0.0.1:9853", "::ffff:127.0.0.1", 200),  # [::] hears IPv4 too
        (b"192.0.2.7:9853", "192.0.2.7", 200),
        (b"node7.example.net:9853", "192.0.2.7", 200),
        (b"NODE7.example.net", "192.0.2.7", 200),
        (b"a.nodes.example", "192.0.2.7", 200),
        (b"nodes.example", "192.0.2.7", 421),
        (b"evilnodes.example", "192.0.2.7", 421),
        (b"evil.example:9853", "127.0.0.1", 421),  # DNS rebinding
        (b"127.0.0.1.evil.example", "127.0.0.1", 421),
        (b"", "127.0.0.1", 421),
        (b"\xff\xfe", "127.0.0.1", 421),
        (b"2130706433", "127.0.0.1", 421),  # 127.0.0.1 as a number: no browser sends it
    ],
)
def test_hosts(host, local, said):
    assert status([host], local) == said


def test_without_a_host_there_is_no_browser():
    assert status([]) == 200


@pytest.mark.parametrize("header", [b"via", b"forwarded", b"x-forwarded-for"])
def test_what_came_through_a_proxy_needs_a_listed_name(header):
    proxied = (header, b"1.1 squid")
    assert status([b"127.0.0.1:9853", proxied]) == 403
    assert status([b"localhost:9853", proxied]) == 403
    assert status([proxied]) == 403
    assert status([b"node7.example.net", proxied]) == 200


def test_the_first_host_counts():
    assert status([b"evil.example", b"127.0.0.1"]) == 421
