"""Durations, counts, addresses: how they are written and kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codns.config import document, load
from codns.config.problems import ConfigError
from codns.config.units import (
    Count,
    format_duration,
    format_endpoint,
    parse_duration,
    parse_endpoint,
    parse_name,
    split_server,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (0, 0.0),
        ("0", 0.0),
        ("0s", 0.0),
        ("250us", 0.00025),
        ("200ms", 0.2),
        ("4ms", 0.004),
        ("1.5s", 1.5),
        ("5 s", 5.0),
        ("10m", 600.0),
        ("1h", 3600.0),
        ("1d", 86400.0),
        ("1w", 604800.0),
    ],
)
def test_duration(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "bad", [1, 1.5, True, None, "", "5", "s", "-1s", "1 y", "1s ", "\u0661s", []]
)
def test_no_duration(bad):
    with pytest.raises(ValueError):
        parse_duration(bad)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0001, "100us"),
        (0.2, "200ms"),
        (1.5, "1500ms"),
        (90, "90s"),
        (3600, "1h"),
        (90000, "25h"),
        (86400, "1d"),
    ],
)
def test_format_duration(seconds, text):
    assert format_duration(seconds) == text
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("127.0.0.1", ("127.0.0.1", 53)),
        ("127.0.0.1:5300", ("127.0.0.1", 5300)),
        ("127.0.0.1#5300", ("127.0.0.1", 5300)),
        ("::1", ("::1", 53)),
        ("[::1]", ("::1", 53)),
        ("[::1]:5300", ("::1", 5300)),
        ("::1#5300", ("::1", 5300)),
        ("[2001:DB8:0:0::1]:0", ("2001:db8::1", 0)),
        ("fe80::1%eth0", ("fe80::1%eth0", 53)),
        ("[::ffff:192.0.2.1]:53", ("192.0.2.1", 53)),
    ],
)
def test_endpoint(text, kept):
    assert parse_endpoint(text) == kept
    assert parse_endpoint(format_endpoint(*kept)) == kept


@pytest.mark.parametrize(
    "bad",
    [53, None, "", ":53", "a:53", "1.2.3", "1.2.3.4:", "1.2.3.4:x", "1.2.3.4:-1", "1.2.3.4:99999",
     "[::1", "[::1]53", "[]", "1.2.3.4:53:53", "1.2.3.4#", "127.1", "1.2.3.4:\u0663"],
)  # fmt: skip
def test_no_endpoint(bad):
    with pytest.raises(ValueError):
        parse_endpoint(bad)


def test_split_server():
    assert split_server("2001:db8::1#5353") == ("2001:db8::1", 5353)


@pytest.mark.parametrize(("text", "kept"), [(5, 5), ("5", 5), ("5k", 5000), ("2M", 2_000_000)])
def test_count(text, kept):
    assert Count(0, 10_000_000).read(text) == kept


@pytest.mark.parametrize("bad", [True, 1.5, -1, "-1", "1K", "k", "", None, [], 11])
def test_no_count(bad):
    with pytest.raises(ValueError):
        Count(0, 10).read(bad)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Example", "example."),
        ("example.", "example."),
        (".", "."),
        ("bücher.example", "xn--bcher-kva.example."),
    ],
)
def test_name(text, kept):
    assert parse_name(text) == kept


@pytest.mark.parametrize(
    "bad", ["", "a..b", ".a", "a" * 64, ".".join(["a" * 63] * 5), 5, None, "ü" * 70]
)
def test_no_name(bad):
    with pytest.raises(ValueError):
        parse_name(bad)


@given(
    st.sampled_from(["", "listen: ", "cache: {max_ttl: ", "zones:\n  ", "? "]),
    st.text(alphabet=st.characters(codec="utf-8"), max_size=40),
)
def test_any_text_is_values_or_a_config_error(start, text):
    problems = []
    try:
        load.parse(start + text)
    except ConfigError as error:
        problems = error.problems
    assert all(str(problem).isprintable() for problem in problems)


def test_words_that_yaml_1_1_changes_are_text():
    read = document.parse(
        "{a: yes, b: no, c: on, d: 1:30, e: 010, f: 2024-01-01, g: 1e3, h: 0x1f}"
    )
    assert all(isinstance(value, str) for value in read.values.values())
    read = document.parse("{a: true, b: 1_000, c: ~, d: 1.5, e: , f: -3}")
    assert list(read.values.values()) == [True, 1000, None, 1.5, None, -3]
