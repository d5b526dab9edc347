"""What a client sees when the network under a node breaks. No peers: they would hide it."""

import dns.rcode
import pytest
from daemon_rig import running
from netns_rig import NODE, Site

pytestmark = [pytest.mark.root, pytest.mark.real("ip", "nft", "unshare", "nsenter", "setpriv")]

# A probe asks a name of late once more: rules that drop each fifth packet would hit others
CONFIG = "log: {format: json}\nprobe: off\nslaves: 1\n"


@pytest.fixture
def site():
    made = Site(nameservers=2)
    yield made
    made.close()


@pytest.fixture
def codns(site, tmp_path):
    path = tmp_path / "codns.yaml"
    addresses = [nameserver.text for nameserver in site.nameservers]
    path.write_text(f"{CONFIG}nameservers: {addresses}\n")
    with running(config=path, before=site.node.enter) as daemon:
        yield daemon


def rcodes(site, codns, label, count):
    return {site.ask(codns, f"{label}{number}.example").rcode() for number in range(count)}


def refused_then_fine(site, codns, breaks, mends):
    """What is known is answered, the rest fails with SERVFAIL; and all is well at once again."""
    assert rcodes(site, codns, "before", 5) == {dns.rcode.NOERROR}
    breaks()
    assert rcodes(site, codns, "before", 5) == {dns.rcode.NOERROR}
    assert rcodes(site, codns, "broken", 1) == {dns.rcode.SERVFAIL}
    mends()
    assert rcodes(site, codns, "after", 20) == {dns.rcode.NOERROR}


def test_the_interface_goes_down_and_comes_up(site, codns):
    link = lambda how: lambda: site.node.ip("link", "set", "e0", how)
    refused_then_fine(site, codns, link("down"), link("up"))


def test_another_address(site, codns):
    """Another lease: the slaves' sockets have the old address, and cannot send any more."""
    address = lambda verb, host: site.node.ip("address", verb, f"{host}/24", "dev", "e0")

    refused_then_fine(
        site,
        codns,
        lambda: address("delete", NODE),
        lambda: address("add", "198.18.0.2"),
    )


def test_prohibited_by_a_firewall(site, codns):
    rule = "udp dport != 1 reject with icmp type admin-prohibited"
    refused_then_fine(site, codns, lambda: site.hub.filter(rule), lambda: site.hub.filter(None))


def test_a_fifth_of_the_packets_is_lost(site, codns):
    """Each fifth in each direction; what is lost goes to the other nameserver."""
    site.node.filter('meta iifname != "lo" meta oifname != "lo" numgen inc mod 5 0 drop')
    assert rcodes(site, codns, "lost", 60) == {dns.rcode.NOERROR}
    assert sum(len(set(ns.asked)) for ns in site.nameservers) > 60  # there was somewhat to mend
