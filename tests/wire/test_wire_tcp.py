"""Length-framed messages out of a stream cut anywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codns.wire.errors import WireError
from codns.wire.tcp import Framer, frame


def test_frames_have_their_length_in_front():
    assert frame(b"abc") == b"\0\3abc"
    assert frame(bytes(65535))[:2] == b"\xff\xff"


def test_pieces():
    framer = Framer()
    assert framer.feed(b"") == []
    assert framer.feed(b"\0") == []
    assert framer.pending == 1
    assert framer.feed(b"\3ab") == []
    assert framer.pending == 4
    assert framer.feed(b"c\0\1d\0\0\0\2e") == [b"abc", b"d", b""]
    assert framer.pending == 3
    assert framer.feed(b"f") == [b"ef"]
    assert framer.pending == 0


def test_a_message_over_the_limit_is_an_error_at_its_length():
    framer = Framer(size_max=4)
    assert framer.feed(b"\0\4abcd\0") == [b"abcd"]
    with pytest.raises(WireError) as caught:
        framer.feed(b"\5")
    assert caught.value.rcode is None


@given(st.lists(st.binary(max_size=40), max_size=6), st.lists(st.integers(0, 60), max_size=12))
def test_any_cut_gives_the_same_messages(messages, cuts):
    stream = b"".join(map(frame, messages))
    framer, seen, position = Framer(), [], 0
    for cut in [*cuts, len(stream)]:
        seen += framer.feed(stream[position : position + cut])
        position += cut
        assert framer.pending <= 42
    assert seen == messages
    assert framer.pending == 0
