"""Highest random weight: the vectors are protocol, the rest is what it is chosen for."""

import os
import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codns.core import hrw

WWW = b"\x03www\x07example\x00"

# Every version of every node must compute these. A change here splits a fleet.
VECTORS = [
    ("192.0.2.7:7353", b"\x00", 0x09C627AB490649F6),
    ("192.0.2.7:7353", WWW, 0x9975A3037FC130DB),
    ("192.0.2.7:7353", b"\x01a\x01b\x00", 0x1AFF5900B62311C3),
    ("192.0.2.7:7353", b"\x04\xff\x00.\\\x00", 0x54A72CECA4455D7E),
    ("198.51.100.1:7353", b"\x00", 0x27DAE73B3D36A9A3),
    ("198.51.100.1:7353", WWW, 0xC4241CBD10902AE3),
    ("198.51.100.1:7353", b"\x01a\x01b\x00", 0x5F685C2EE88838BE),
    ("198.51.100.1:7353", b"\x04\xff\x00.\\\x00", 0x86717C17669BF283),
    ("[2001:db8::7]:7353", b"\x00", 0x30200BA3A3D01540),
    ("[2001:db8::7]:7353", WWW, 0xB92BCC123C9B5757),
    ("[2001:db8::7]:7353", b"\x01a\x01b\x00", 0xF8BCFA14E3BA1CD2),
    ("[2001:db8::7]:7353", b"\x04\xff\x00.\\\x00", 0x955A1D40270C3AC9),
]

FLEET = [f"192.0.2.{last}:7353" for last in range(1, 7)]

names = st.binary(min_size=1, max_size=60).map(lambda label: bytes([len(label)]) + label + b"\0")
addresses = st.builds(
    "192.0.{}.{}:{}".format,
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(1, 65535),
)
fleets = st.lists(addresses, min_size=2, max_size=12, unique=True)


@pytest.mark.parametrize(("address", "name", "weight"), VECTORS)
def test_vectors(address, name, weight):
    assert hrw.weight(address, name) == weight


@pytest.mark.parametrize(
    ("name", "lasts"),
    [(WWW, [3, 6, 1, 5, 2, 4]), (b"\x04mail\x07example\x00", [6, 4, 3, 5, 2, 1])],
)
def test_orders(name, lasts):
    assert hrw.order(FLEET, name) == [f"192.0.2.{last}:7353" for last in lasts]


def test_affinity_is_the_weight_with_the_own_address_as_name():
    assert hrw.affinity("192.0.2.1:7353", "192.0.2.7:7353") == 0x23FECFCFDDEFCC14
    assert hrw.affinity("a:1", "b:2") == hrw.weight("b:2", b"a:1")


def test_an_address_longer_than_the_key_is_refused():
    hrw.weight("x" * hrw.ADDRESS_SIZE_MAX, WWW)
    with pytest.raises(ValueError):
        hrw.weight("x" * (hrw.ADDRESS_SIZE_MAX + 1), WWW)


@given(fleets, names, st.randoms(use_true_random=False))
def test_same_order_on_every_node(fleet, name, rng):
    """Whatever order a node has its list in."""
    shuffled = fleet.copy()
    rng.shuffle(shuffled)
    assert hrw.order(shuffled, name) == hrw.order(fleet, name)


@given(fleets, names, st.data())
def test_removing_one_moves_only_its_names(fleet, name, data):
    gone = data.draw(st.sampled_from(fleet))
    before = hrw.order(fleet, name)
    after = hrw.order([address for address in fleet if address != gone], name)
    assert after == [address for address in before if address != gone]


@given(fleets, names)
def test_descending_by_weight(fleet, name):
    weights = [hrw.weight(address, name) for address in hrw.order(fleet, name)]
    assert all(first >= second for first, second in pairwise(weights))


def test_names_spread_evenly():
    """6,000 names over six peers: each within 10 % of its share (3.5 sigma)."""
    firsts = [hrw.order(FLEET, b"\x05" + b"%05d" % number + b"\0")[0] for number in range(6000)]
    for address in FLEET:
        assert 900 <= firsts.count(address) <= 1100


def test_no_hash_seed_matters():
    program = (
        "from codns.core import hrw; print(hrw.order([f'192.0.2.{n}:1' for n in range(50)], b'x'))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
