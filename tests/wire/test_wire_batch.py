"""Frames between master and slaves: what goes in comes out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codns.wire.batch import (
    EVENT,
    FLAG_FIRST_RRSET,
    FLAG_TCP,
    FRAME_SIZE_MAX,
    JOB,
    PING,
    PONG,
    RESULT,
    SERVER,
    Result,
    frames,
    pack_event,
    pack_job,
    pack_result,
    pack_server,
    pack_token,
    unpack_event,
    unpack_job,
    unpack_result,
    unpack_server,
    unpack_token,
)
from codns.wire.derived import Derived, pack_derived, unpack_derived
from codns.wire.outcome import Outcome

BOOL = st.booleans()
U16 = st.integers(0, 65535)
RESULTS = st.builds(
    Result,
    job=st.integers(0, 2**32 - 1),
    outcome=st.sampled_from(Outcome),
    rcode=st.integers(0, 4095),  # extended rcodes have 12 bits
    ad=BOOL,
    cacheable=BOOL,
    soa=BOOL,
    ancount=U16,
    nscount=U16,
    ttl=st.integers(0, 2**31 - 1),
    elapsed=st.integers(0, 2**32 - 1).map(lambda us: us / 1e6),
    body=st.binary(max_size=300),
    offsets=st.binary(max_size=20).map(lambda data: data[: len(data) & ~1]),
    derived=st.binary(max_size=300),
)


@given(RESULTS)
def test_results(result):
    buffer = b"tail of another" + pack_result(result)
    seen = unpack_result(buffer, 15)
    assert seen._replace(elapsed=0) == result._replace(elapsed=0)
    assert seen.elapsed == pytest.approx(result.elapsed, abs=2e-6)
    assert type(seen.outcome) is Outcome


def test_the_largest_result_has_a_frame():
    derived = pack_derived(Derived(bytes(255), 3, 1, 9, bytes(65535), bytes(2 * 5958)))
    result = Result(
        1,
        Outcome.NXDOMAIN,
        3,
        False,
        True,
        True,
        1,
        1,
        9,
        1e9,
        bytes(65535),
        bytes(11916),
        derived,
    )
    packed = pack_result(result)
    assert list(frames(packed)) == [(RESULT, 0, len(packed))]
    assert unpack_result(packed, 0).derived == derived
    assert unpack_result(packed, 0).elapsed == pytest.approx(4294.967295)


@given(
    st.integers(0, 2**32 - 1),
    U16,
    st.sampled_from([0, FLAG_TCP, FLAG_FIRST_RRSET, 3]),
    st.integers(0, 100000),
    st.binary(max_size=300),
)
def test_jobs(job, server, flags, timeout_ms, query):
    buffer = pack_job(job, server, flags, timeout_ms / 1000, query)
    ((kind, start, end),) = frames(buffer)
    assert kind == JOB
    seen = unpack_job(buffer, start, end)
    assert seen[:3] + seen[4:] == (job, server, flags, query)
    assert seen[3] == pytest.approx(timeout_ms / 1000, abs=0.0011)


def test_a_job_whose_time_is_over_has_no_time():
    buffer = pack_job(1, 2, 0, -0.5, b"query")
    assert unpack_job(buffer, 0, len(buffer))[3] == 0


@pytest.mark.parametrize("address", ["192.0.2.1#53", "2001:db8::1#5300"])
def test_servers(address):
    buffer = pack_server(65535, address)
    ((kind, start, end),) = frames(buffer)
    assert (kind, unpack_server(buffer, start, end)) == (SERVER, (65535, address))


@given(st.integers(0, 255), U16, st.integers(0, 2**40))
def test_events(event, server, count):
    buffer = pack_event(event, server, count)
    ((kind, start, _),) = frames(buffer)
    assert (kind, unpack_event(buffer, start)) == (EVENT, (event, server, min(count, 2**32 - 1)))


@pytest.mark.parametrize("kind", [PING, PONG])
def test_tokens(kind):
    buffer = pack_token(kind, 0xFFFFFFFF)
    ((seen, start, _),) = frames(buffer)
    assert (seen, unpack_token(buffer, start)) == (kind, 0xFFFFFFFF)


def test_an_incomplete_tail_is_left():
    whole = pack_token(PING, 1) + pack_job(1, 2, 0, 1.0, b"query") + pack_server(3, "x#1")
    ends = [9, 30, 40]
    for cut in range(len(whole) + 1):
        assert [end for _, _, end in frames(whole[:cut])] == [end for end in ends if end <= cut]


@pytest.mark.parametrize("size", [0, FRAME_SIZE_MAX + 1, 2**32 - 1])
def test_a_size_no_frame_has_is_an_error(size):
    with pytest.raises(ValueError, match="between master and slave"):
        list(frames(size.to_bytes(4, "little") + b"\1"))


@given(
    st.builds(
        Derived,
        name=st.binary(min_size=1, max_size=255),
        rcode=st.integers(0, 4095),
        ttl=st.integers(0, 2**31 - 1),
        nscount=U16,
        body=st.binary(max_size=300),
        offsets=st.binary(max_size=20),
    )
)
def test_derived_answers(derived):
    assert unpack_derived(pack_derived(derived)) == derived
