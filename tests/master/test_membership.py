"""Which listed address is ours: one configuration file for a whole fleet."""

import pytest

from codns.config.problems import ConfigError
from codns.config.schema import PeersSettings
from codns.master import membership
from codns.master.membership import Host, load_keys, others_of_ours, own_address

FLEET = ["192.0.2.1:7353", "192.0.2.2:7353", "[2001:db8::2]:7353", "192.0.2.3:7000"]


def find(listen, listed, *, ours=(), routes=None, advertise=None):
    return own_address(
        PeersSettings(listen=listen, advertise=advertise),
        listed,
        Host(lambda host: host in ours, (routes or {}).get),
    )


@pytest.mark.parametrize(
    ("listen", "ours", "me"),
    [
        ("0.0.0.0:7353", ["192.0.2.2", "10.0.0.1"], "192.0.2.2:7353"),
        ("0.0.0.0:7000", ["192.0.2.3"], "192.0.2.3:7000"),
        ("[::]:7353", ["2001:db8::2"], "[2001:db8::2]:7353"),
        ("[::]:7353", ["2001:db8::2", "192.0.2.2"], "192.0.2.2:7353"),  # the list's order
        ("192.0.2.9:7353", ["192.0.2.2"], "192.0.2.9:7353"),  # said: not for us to know better
    ],
)
def test_a_listed_address_of_this_host(listen, ours, me):
    assert find(listen, FLEET, ours=ours) == me


@pytest.mark.parametrize(
    ("listen", "listed", "routes", "me"),
    [
        # another port is another daemon; a socket of one family has no address of the other
        ("0.0.0.0:7000", FLEET, {"192.0.2.1": "192.0.2.2"}, "192.0.2.2:7000"),
        ("0.0.0.0:7353", FLEET[2:3], {"2001:db8::2": "2001:db8::9"}, "0.0.0.0:7353"),
        # towards the first listed one that there is a way to
        ("0.0.0.0:7353", FLEET, {"192.0.2.2": "10.0.0.7"}, "10.0.0.7:7353"),
        ("[::]:7353", FLEET, {"2001:db8::2": "2001:db8::9"}, "[2001:db8::9]:7353"),
        # nobody listed yet: where the Internet is
        ("0.0.0.0:7353", [], {"192.0.2.1": "10.0.0.7"}, "10.0.0.7:7353"),
        ("[::]:7353", [], {"2001:db8::1": "2001:db8::9"}, "[2001:db8::9]:7353"),
        # no network at all yet
        ("0.0.0.0:7353", FLEET, {}, "0.0.0.0:7353"),
    ],
)
def test_a_guess_where_the_list_does_not_tell(listen, listed, routes, me):
    assert find(listen, listed, routes=routes) == me


def test_advertise_is_the_last_word():
    said = "203.0.113.7:7000"
    assert find("0.0.0.0:7353", FLEET, ours=["192.0.2.1"], advertise=said) == said


@pytest.mark.parametrize(
    ("listen", "advertise", "guess"),
    [
        ("0.0.0.0:7353", None, True),
        ("[::]:7353", None, True),
        ("0.0.0.0:7353", "192.0.2.1:7353", False),
        ("192.0.2.1:7353", None, False),
    ],
)
def test_what_is_a_guess(listen, advertise, guess):
    assert membership.is_guess(PeersSettings(listen=listen, advertise=advertise)) is guess


def test_a_host_listed_twice():
    peers, ours = PeersSettings(listen="[::]:7353"), ["192.0.2.1", "192.0.2.2", "192.0.2.3"]

    def others(peers):
        host = Host(ours.__contains__)
        return list(others_of_ours(peers, "192.0.2.1:7353", FLEET, host))

    assert others(peers) == ["192.0.2.2:7353"]  # another port is another daemon
    assert others(PeersSettings(listen="192.0.2.1:7353")) == []  # so may be another address


def test_on_this_host():
    assert own_address(PeersSettings(listen="0.0.0.0:7353"), ["127.0.0.9:7353"]) == (
        "127.0.0.9:7353"
    )
    assert membership.route("127.0.0.9") == "127.0.0.1"
    assert membership.route("255.255.255.255") is None


def test_families():
    assert membership.same_family("192.0.2.1:7353", "127.0.0.1:1")
    assert not membership.same_family("192.0.2.1:7353", "[::1]:7353")
    peers = PeersSettings(nodes=("192.0.2.1:7353", "srv:x.example.", "n.example.:7353"))
    assert membership.literals(peers) == ["192.0.2.1:7353"]


def test_a_key_file_that_is_none_is_a_problem_of_its_key(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load_keys(PeersSettings(key_file=str(tmp_path / "none")))
    (problem,) = caught.value.problems
    assert problem.path == "peers.key_file"
    assert "codns keygen" in problem.text
