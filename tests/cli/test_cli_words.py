"""Numbers as people read them, tables off a terminal, timelines, rates."""

import pytest
from rich.console import Console

from codns.cli import rates, timeline, words
from codns.cli.screen import Section, plain, render


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"), (0.0, "0.0 ms"), (0.00031, "0.3 ms"), (0.0094, "9.4 ms"), (0.0245, "24 ms"),
        (0.999, "999 ms"), (1.25, "1.25 s"),
    ],
)  # fmt: skip
def test_took(seconds, text):
    assert words.took(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"), (0.9, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"),
        (7500, "2 h 5 min"), (86400, "1 d"), (86400 * 3 + 4 * 3600 + 59, "3 d 4 h"),
    ],
)  # fmt: skip
def test_lasted(seconds, text):
    assert words.lasted(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (9999, "9999"),
        (10_000, "10 k"),
        (12_345, "12.3 k"),
        (15e5, "1.5 M"),
        (2e9, "2 G"),
    ],
)
def test_count(number, text):
    assert words.count(number) == text


@pytest.mark.parametrize(
    ("octets", "text"),
    [(0, "0 B"), (999, "999 B"), (2048, "2 KiB"), (71 << 20, "71 MiB"), (3 << 30, "3 GiB")],
)
def test_size(octets, text):
    assert words.size(octets) == text


def test_share():
    assert words.share(1, 8) == "12.5 %"
    assert words.share(0, 0) == "-"


def buckets(**counts):
    return [counts.get(f"b{index}", 0) for index in range(17)]


@pytest.mark.parametrize(
    ("counts", "q", "seconds"),
    [
        ({}, 0.5, None),
        ({"b0": 10}, 0.5, 0.000125),
        ({"b1": 10}, 1.0, 0.0005),
        ({"b1": 10}, 0.0, 0.00025),
        ({"b0": 99, "b3": 1}, 0.5, 0.00025 * 50 / 99),
        ({"b0": 99, "b3": 1}, 1.0, 0.002),
        ({"b16": 5}, 0.5, 8.192),  # beyond the last bound: at least that
    ],
)
def test_quantiles(counts, q, seconds):
    assert words.quantile(buckets(**counts), q) == pytest.approx(seconds)


def test_a_table_off_a_terminal_is_plain():
    rows = [("a", ("12.5", "good"), "x"), ("long name", "3", "")]
    assert plain(Section("title", rows, ("", "number", ""), (1,))) == [
        "title",
        "             number",
        "  a            12.5  x",
        "  long name       3",
    ]


def test_on_a_terminal_text_is_text_whatever_is_in_it():
    """Names come from the network: nothing in them is markup, nor speaks to the terminal."""
    console = Console(width=60, force_terminal=True, color_system="truecolor", record=True)
    with console.capture() as captured:
        console.print(render([Section("t", [("[red]x[/red]", ("\\[b]", "strong"))])]))
    assert "[red]x[/red]" in captured.get()


RACE = {
    "ago_s": 3.2, "name": "www.example.", "type": 1, "route": "race", "delay_s": 0.02,
    "winner": "10.0.0.2:7353",
    "events": [
        {"at_s": 0.0, "who": "local", "what": "asked"},
        {"at_s": 0.02, "who": "10.0.0.2:7353", "what": "asked"},
        {"at_s": 0.04, "who": "10.0.0.2:7353", "what": "answered"},
        {"at_s": 0.08, "who": "local", "what": "answered"},
    ],
}  # fmt: skip


def test_a_timeline():
    assert timeline.header(RACE, "A") == (
        "3 s ago: www.example. A, race, initial delay 20 ms, won by 10.0.0.2:7353"
    )
    local, peer = timeline.rows(RACE)
    assert local[0] == ("local", "")
    assert local[1] == ("-" * (timeline.WIDTH - 1) + "|", "weak")
    assert peer[1] == ("." * 11 + "=" * 10 + ">", "good")
    assert peer[2] == "asked at 20 ms, answered at 40 ms"


def test_a_timeline_of_nothing_and_of_one_instant():
    assert timeline.rows({**RACE, "events": [], "winner": None}) == []
    (row,) = timeline.rows({**RACE, "events": RACE["events"][:1]})
    assert row[1] == ("-" * (timeline.WIDTH - 1) + "|", "weak")
    assert timeline.header({**RACE, "winner": None}, "A").endswith("won by nobody")


def summary(uptime, *, cache=0, local=0, slow=0, sent=0, won=0, refused=0):
    return {
        "uptime_s": uptime,
        "answers": {"cache": cache, "local": local},
        "durations": {"local": {"buckets": buckets(b4=local - slow, b9=slow)}},
        "refusals": {"formerr": refused},
        "cooperation": {"remote": {"sent": sent, "won": won}},
    }


def test_rates_between_two_looks():
    seen = rates.between(
        summary(10, cache=100, local=50, sent=3),
        summary(12, cache=180, local=70, slow=1, sent=7, won=2, refused=4),
    )
    assert seen.seconds == 2
    assert seen.answers == {"cache": 40, "local": 10}
    assert (seen.queries, seen.remote, seen.remote_won, seen.refused) == (50, 2, 1, 2)
    assert seen.p50_s < 0.00025  # most come from the cache
    assert 0.002 < seen.p99_s <= 0.004


@pytest.mark.parametrize("before", [{"uptime_s": 1e18}, summary(99, cache=1000, local=7)])
def test_the_first_look_and_a_restart_count_from_nothing(before):
    seen = rates.between(before, summary(10, cache=100))
    assert (seen.seconds, seen.answers["cache"]) == (10, 10)


def test_without_peers_nothing_is_asked_of_them():
    alone = {**summary(1), "cooperation": None}
    assert rates.between(alone, {**alone, "uptime_s": 2}).remote == 0
