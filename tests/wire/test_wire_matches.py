"""Whether a response is the answer to our query."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_samples import header, option, question

from codns.wire.build import upstream_query
from codns.wire.digest import matches
from codns.wire.name import from_text

QUERY = upstream_query(from_text("www.example."), 1, 1, do=False, cd=False)
ECS = upstream_query(
    from_text("www.example."), 1, 1, do=True, cd=False, ecs=option(8, b"\0\1\x18\0\xc0\0\2")
)
GOOD = header(0, 0x8180) + question()


@pytest.mark.parametrize("query", [QUERY, ECS, header(0) + question()])
@pytest.mark.parametrize(
    ("response", "match"),
    [
        (GOOD, True),
        (GOOD + b"whatever follows", True),
        (header(0, 0x8180) + question("wWW.exAMple."), True),
        (header(0, 0x8783) + question(), True),  # any flags but opcode, any rcode
        (header(1, 0x8180) + question(), False),
        (header(256, 0x8180) + question(), False),
        (header(0, 0x0180) + question(), False),
        (header(0, 0x8980) + question(), False),
        (header(0, 0x8180, (0, 0, 0, 0)), False),
        (header(0, 0x8180, (0, 0, 0, 0)) + question(), False),
        (header(0, 0x8180, (2, 0, 0, 0)) + question(), False),
        (header(0, 0x8180, (257, 0, 0, 0)) + question(), False),
        (header(0, 0x8180) + question("wwx.example."), False),
        (header(0, 0x8180) + question("example."), False),
        (header(0, 0x8180) + question("www.example.org."), False),
        (header(0, 0x8180) + question(qtype=28), False),
        (header(0, 0x8180) + question(qclass=3), False),
        *[(GOOD[:size], False) for size in range(len(GOOD))],
    ],
)
def test_matching(query, response, match):
    assert matches(query, response) is match


def test_letters_among_type_and_class_have_a_case():
    query = header(0) + question(qtype=0x4141, qclass=0x4142)
    assert matches(query, header(0, 0x8180) + question(qtype=0x4141, qclass=0x4142))
    assert not matches(query, header(0, 0x8180) + question(qtype=0x6141, qclass=0x4142))
    assert not matches(query, header(0, 0x8180) + question(qtype=0x4141, qclass=0x4162))


def test_a_label_with_zero_bytes():
    query = upstream_query(b"\3a\0b\1c\0", 1, 1, do=False, cd=False)
    assert matches(query, header(0, 0x8180) + b"\3A\0b\1c\0\0\1\0\1")
    assert not matches(query, header(0, 0x8180) + b"\3a\0x\1c\0\0\1\0\1")


@given(st.binary(max_size=60))
def test_any_bytes(data):
    assert matches(QUERY, data) is False
    matches(QUERY, GOOD[:12] + data)
    matches(data, GOOD)
    matches(data, data)


@given(st.integers(0, 28), st.integers(0, 255))
def test_one_byte_changed(position, byte):
    changed = bytearray(GOOD)
    changed[position] = byte
    end = 12 + len(question()) - 4
    same_name = changed[12:end].lower() == GOOD[12:end]
    same_rest = changed[:2] + changed[4:6] + changed[end:] == GOOD[:2] + GOOD[4:6] + GOOD[end:]
    same_kind = changed[2] & 0xF8 == 0x80
    assert matches(QUERY, bytes(changed)) is (same_name and same_rest and same_kind)
