"""TTLs that change in place."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_samples import rr

from codns.wire.ageing import aged, capped, floored


def body_of(*ttls):
    return b"".join(rr(b"\xc0\x0c", 1, b"\1\2\3\4", ttl) for ttl in ttls)


def offsets_of(count):
    return struct.pack(f"<{count}H", *(16 * i + 6 for i in range(count)))


@pytest.mark.parametrize("change", [aged, capped, floored])
def test_nothing_to_change(change):
    assert change(b"", b"", 5) == b""
    assert change(body_of(7), b"", 5) == body_of(7)


def test_age_0_is_the_body_itself():
    body = body_of(300)
    assert aged(body, offsets_of(1), 0) is body


@pytest.mark.parametrize(
    ("before", "age", "after"),
    [
        ([300], 1, [299]),
        ([300], 300, [0]),
        ([300], 301, [0]),
        ([0], 1, [0]),
        ([2**31 - 1], 2**31 - 2, [1]),
        ([300, 200], 250, [50, 0]),
        ([300, 200, 100], 99, [201, 101, 1]),
        ([300] * 40, 7, [293] * 40),
    ],
)
def test_ageing(before, age, after):
    assert aged(body_of(*before), offsets_of(len(before)), age) == body_of(*after)


def test_cap_and_floor():
    body, offsets = body_of(10, 30, 31, 2**31), offsets_of(4)
    assert capped(body, offsets, 30) == body_of(10, 30, 30, 30)
    assert floored(body, offsets, 30) == body_of(30, 30, 31, 2**31)


def test_high_offsets_are_two_bytes():
    body = bytes(60000) + rr(b"", 1, b"", 9)
    assert aged(body, struct.pack("<H", 60004), 4) == bytes(60000) + rr(b"", 1, b"", 5)
    assert aged(body, struct.pack("<HH", 60004, 0), 4) == bytes(60000) + rr(b"", 1, b"", 5)


@given(st.lists(st.integers(0, 2**32 - 1), max_size=8), st.integers(0, 2**32 - 1))
def test_any_ttls(ttls, number):
    body, offsets = body_of(*ttls), offsets_of(len(ttls))
    assert aged(body, offsets, number) == body_of(*(max(0, ttl - number) for ttl in ttls))
    assert capped(body, offsets, number) == body_of(*(min(ttl, number) for ttl in ttls))
    assert floored(body, offsets, number) == body_of(*(max(ttl, number) for ttl in ttls))
