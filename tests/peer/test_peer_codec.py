"""Messages as bytes: what goes through, what does not, and versions that mix."""

from typing import Annotated

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta, Struct
from peerwire import REPORT, answer, heartbeat, query

from codns.core import messages
from codns.core.messages import (
    HeartbeatReply,
    HeartbeatRequest,
    Query,
    QueryReply,
    Report,
    Status,
    too_large,
)
from codns.peer.codec import PeerError, decode, encode
from codns.wire.outcome import Outcome

pack = msgspec.msgpack.encode
REPORT_FIELDS = [0.004, False, True, [b"nameserv"], 3, 32, "0.1.0"]


@pytest.mark.parametrize(
    "message",
    [
        heartbeat(0),
        heartbeat(2**63 - 1),
        HeartbeatReply(5, True, REPORT),
        HeartbeatReply(5, False, Report(None, True, False, (), 0, 0, "")),
        query(1),
        query(2, "."),
        Query(3, b"\x02\x00\xff\x00", 65535, 65535, True, True),
        answer(4),
        QueryReply(5, Status.BUSY),
        QueryReply(6, Status.FULL),
        too_large(answer(7)),
    ],
)
def test_there_and_back(message):
    assert decode(encode(message)) == message


def test_the_encoding_is_fixed():
    """What nodes of all versions agree on: a change here is a change of the link's version."""
    assert pack([1, 9, True, REPORT_FIELDS]) == encode(heartbeat(9))
    assert pack([2, 9, False, REPORT_FIELDS]) == encode(HeartbeatReply(9, False, REPORT))
    assert pack([3, 1, b"\x03www\x07example\x03com\0", 1, 1, False, False]) == encode(query(1))
    assert encode(answer(4)) == pack(
        [4, 4, 0, 0, 0, False, False, 300, 1, 0, answer(4).body, b"\6\0"]
    )


NAME = b"\x01a\0"
BAD = {
    "empty": b"",
    "no array": pack(1),
    "a map": pack({"id": 1}),
    "no kind": pack([]),
    "a kind that is no number": pack(["query", 1]),
    "trailing bytes": encode(query(1)) + b"\0",
    "a negative id": pack([3, -1, NAME, 1, 1, False, False]),
    "an id of 64 bits": pack([3, 2**63, NAME, 1, 1, False, False]),
    "a type of 17 bits": pack([3, 1, NAME, 65536, 1, False, False]),
    "an empty name": pack([3, 1, b"", 1, 1, False, False]),
    "a name of 256": pack([3, 1, (b"\x3f" + b"a" * 63) * 4 + b"\0", 1, 1, False, False]),
    "a name without its root": pack([3, 1, b"\x01a", 1, 1, False, False]),
    "a name and more": pack([3, 1, b"\x01a\0\0", 1, 1, False, False]),
    "a pointer": pack([3, 1, b"\x01a\xc0\0", 1, 1, False, False]),
    "a pointer to itself": pack([3, 1, b"\xc0\0", 1, 1, False, False]),
    "a label of 64": pack([3, 1, b"\x40" + b"a" * 64 + b"\0", 1, 1, False, False]),
    "upper case": pack([3, 1, b"\x01A\0", 1, 1, False, False]),
    "text for bytes": pack([3, 1, "www", 1, 1, False, False]),
    "a number for a flag": pack([3, 1, NAME, 1, 1, 0, False]),
    "a field too few": pack([3, 1, NAME, 1, 1, False]),
    "an endless time": pack([1, 9, True, [float("inf"), *REPORT_FIELDS[1:]]]),
    "no number for a time": pack([1, 9, True, [float("nan"), *REPORT_FIELDS[1:]]]),
    "a negative time": pack([1, 9, True, [-0.1, *REPORT_FIELDS[1:]]]),
    "17 nameservers": pack([1, 9, True, [*REPORT_FIELDS[:3], [bytes(8)] * 17, 3, 32, ""]]),
    "an identity of 7": pack([1, 9, True, [*REPORT_FIELDS[:3], [bytes(7)], 3, 32, ""]]),
    "a long version": pack([1, 9, True, [*REPORT_FIELDS[:6], "v" * 33]]),
    "a version that is no text": pack([1, 9, True, REPORT_FIELDS])[:-5] + b"\xff" * 5,
    "a body of 16,385": pack([4, 1, 0, 0, 0, False, False, 1, 1, 0, bytes(16_385), b""]),
    "a TTL of 2^31": pack([4, 1, 0, 0, 0, False, False, 2**31, 1, 0, b"", b""]),
    "1,025 offsets": pack([4, 1, 0, 0, 0, False, False, 1, 1, 0, bytes(16), bytes(2050)]),
}


@pytest.mark.parametrize("case", BAD)
def test_malformed(case):
    with pytest.raises(PeerError) as error:
        decode(BAD[case])
    assert error.value.reason == "malformed"


@given(st.binary(max_size=600))
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes_raise_only_peer_error(payload):
    try:
        decode(payload)
    except PeerError as error:
        assert error.reason in {"malformed", "kind"}  # noqa: PT017 - or no error at all


_LEAVES = st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=20) | st.text(max_size=9)
_VALUES = st.recursive(
    _LEAVES | st.booleans() | st.none() | st.floats(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(_LEAVES, inner, max_size=3),
    max_leaves=5,
)


@given(st.integers(0, 5), st.lists(_VALUES, max_size=12))
@settings(max_examples=100, deadline=None)
def test_arbitrary_fields_raise_only_peer_error(kind, fields):
    try:
        decode(pack([kind, *fields]))
    except PeerError as error:
        assert error.reason in {"malformed", "kind"}  # noqa: PT017 - or no error at all


# --- versions that mix: structs as an earlier and a later version might have them ---------------


class LaterReport(Struct, array_like=True):
    nameserver_s: float | None
    failing: bool
    validates: bool
    nameservers: tuple[bytes, ...]
    load: int
    window: int
    version: str
    draining: bool = False
    sites: dict[str, int] = {}


class LaterRequest(Struct, array_like=True, tag=1):
    token: int
    neighbour: bool
    report: LaterReport
    gossip: list[list[int]] = []


class EarlierReport(Struct, array_like=True):
    nameserver_s: float | None
    failing: bool


class EarlierRequest(Struct, array_like=True, tag=1):
    token: int
    neighbour: bool
    report: EarlierReport


class EarlierReply(Struct, array_like=True, tag=4):
    id: int
    status: Annotated[int, Meta(ge=0, le=3)]


def test_this_version_reads_a_later_message():
    later = LaterRequest(
        9, True, LaterReport(*REPORT_FIELDS, draining=True, sites={"b": 1}), [[1], [2, 3]]
    )
    assert decode(pack(later)) == heartbeat(9)


def test_a_later_version_reads_this_message():
    read = msgspec.msgpack.decode(encode(heartbeat(9)), type=LaterRequest)
    assert read == LaterRequest(
        9, True, LaterReport(*REPORT_FIELDS[:3], (b"nameserv",), 3, 32, "0.1.0")
    )


def test_an_earlier_version_reads_this_message():
    read = msgspec.msgpack.decode(encode(heartbeat(9)), type=EarlierRequest)
    assert read == EarlierRequest(9, True, EarlierReport(0.004, False))


def test_this_version_reads_an_earlier_message():
    """Fields added since have defaults."""
    assert decode(pack(EarlierReply(4, 2))) == QueryReply(4, Status.BUSY)


def test_a_later_kind_is_told_from_a_broken_message():
    for payload in (pack([5, 1, 2]), pack([99]), pack([127, *range(14)])):
        with pytest.raises(PeerError) as error:
            decode(payload)
        assert error.value.reason == "kind"


def test_a_later_status_is_a_failure():
    assert decode(pack([4, 1, 77])) == QueryReply(1, Status.FAILURE)
    assert decode(pack([4, 1, -1])) == QueryReply(1, Status.FAILURE)


def test_kinds_and_statuses_keep_their_numbers():
    kinds = (HeartbeatRequest, HeartbeatReply, Query, QueryReply)
    assert [kind.__struct_config__.tag for kind in kinds] == [1, 2, 3, 4]
    assert [status.value for status in Status] == [0, 1, 2, 3]
    assert [outcome.value for outcome in Outcome] == list(range(13))
    assert messages.IDENTITY_SIZE == 8
