"""Log lines, to the byte."""

import fcntl
import io
import json
import os

import pytest

from codns.obs.logs import EVENTS_MAX, Log

START = 1_772_357_400.0  # 2026-03-01T09:30:00Z


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def made(level: str = "info", layout: str = "text") -> tuple[Log, io.StringIO, Clock]:
    stream, clock = io.StringIO(), Clock()
    return Log(level, layout, stream, clock), stream, clock


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("192.0.2.1#53", "192.0.2.1#53"),
        ("/etc/resolv.conf", "/etc/resolv.conf"),
        ("", '""'),
        ("timed out", '"timed out"'),
        ("a=b", '"a=b"'),
        ('say "hi"', r'"say \"hi\""'),
        ("back\\slash", r'"back\\slash"'),
        ("two\nlines", r'"two\nlines"'),
        ("\x1b[31mred", r'"\u001b[31mred"'),
        ("\x7f", '"\x7f"'.replace("\x7f", r"\u007f")),
        ("m\u00fcller", r'"m\u00fcller"'),
        ("\u202e", r'"\u202e"'),
        (3, "3"),
        (0.1234567, "0.123457"),
        (2.0, "2"),
        (True, "yes"),
        (False, "no"),
        (None, "-"),
        ([], '""'),
        (["127.0.0.1:53", "[::1]:53"], "127.0.0.1:53,[::1]:53"),
        ((1, 2.5, None), "1,2.5,-"),
        (["a b", "c"], '"a b,c"'),
    ],
)
def test_values_in_text(value, written):
    log, stream, _ = made()
    log("info", "value seen", {"v": value})
    assert stream.getvalue() == f"2026-03-01T09:30:00.000Z info value seen v={written}\n"


def test_text_line():
    log, stream, clock = made()
    clock.now += 0.0456
    log("warning", "nameserver is down", {"server": "192.0.2.1#53", "reason": "timed out"})
    assert stream.getvalue() == (
        "2026-03-01T09:30:00.045Z warning nameserver is down"
        ' server=192.0.2.1#53 reason="timed out"\n'
    )


def test_json_line():
    log, stream, _ = made(layout="json")
    log("info", "listening", {"udp": ["127.0.0.1:53"], "name": "\u00fc\n", "age": 1.5, "b": b"x"})
    line = stream.getvalue()
    assert line.isascii()
    assert line.count("\n") == 1
    assert json.loads(line) == {
        "time": "2026-03-01T09:30:00.000Z",
        "level": "info",
        "event": "listening",
        "udp": ["127.0.0.1:53"],
        "name": "\u00fc\n",
        "age": 1.5,
        "b": "b'x'",
    }


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_levels(level, written):
    log, stream, _ = made(level)
    for each in ("debug", "info", "warning", "error"):
        log(each, f"{each} event", {})
    assert [line.split()[1] for line in stream.getvalue().splitlines()] == written


def test_level_and_format_may_change():
    log, stream, _ = made("error")
    log("info", "first", {})
    log.level, log.format = "info", "json"
    log("info", "second", {})
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["second"]


@pytest.fixture
def as_journal(tmp_path, monkeypatch):
    """A stream of which systemd says that it is the journal's."""
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        yield stream


@pytest.mark.parametrize(
    ("layout", "lines"),
    [
        ("text", ["<7>a n=1", "<6>b n=1", "<4>c n=1", "<3>d n=1"]),
        ("json", [
            f'<{p}>{{"time":"2026-03-01T09:30:00.000Z","level":"{level}","event":"{e}","n":1}}'
            for p, level, e in ((7, "debug", "a"), (6, "info", "b"), (4, "warning", "c"),
                                (3, "error", "d"))
        ]),
    ],
)  # fmt: skip
def test_journal(as_journal, layout, lines):
    log = Log("debug", layout, as_journal, Clock())
    for level, event in (("debug", "a"), ("info", "b"), ("warning", "c"), ("error", "d")):
        log(level, event, {"n": 1})
    as_journal.seek(0)
    assert as_journal.read().splitlines() == lines


def test_another_stream_than_the_journals(as_journal, tmp_path):
    with (tmp_path / "other").open("w+") as other:
        Log("info", "text", other, Clock())("info", "a", {})
        other.seek(0)
        assert other.read() == "2026-03-01T09:30:00.000Z info a\n"


# What is logged: (seconds, level, event, n); what is written: (seconds, event, n, suppressed)
@pytest.mark.parametrize(
    ("logged", "written"),
    [
        # one window after the other; the next line says how many were held back
        ([(0, "warning", "a", 1), (1, "warning", "a", 2), (9.5, "warning", "a", 3),
          (10, "warning", "a", 4)],
         [(0, "a", 1, 0), (10, "a", 4, 2)]),
        # nothing held back, nothing said
        ([(0, "warning", "a", 1), (10, "warning", "a", 2), (20, "warning", "a", 3)],
         [(0, "a", 1, 0), (10, "a", 2, 0), (20, "a", 3, 0)]),
        # events do not know each other
        ([(0, "warning", "a", 1), (0, "error", "b", 2), (1, "warning", "a", 3)],
         [(0, "a", 1, 0), (0, "b", 2, 0)]),
        # news is never held back
        ([(0, "info", "a", 1), (0, "info", "a", 2)],
         [(0, "a", 1, 0), (0, "a", 2, 0)]),
        # the last of a burst is written by the next line of any kind
        ([(0, "warning", "a", 1), (1, "warning", "a", 2), (2, "warning", "a", 3),
          (3, "info", "b", 4), (11, "info", "b", 5)],
         [(0, "a", 1, 0), (3, "b", 4, 0), (11, "a", 3, 1), (11, "b", 5, 0)]),
        # and that begins 10 s of its own
        ([(0, "warning", "a", 1), (1, "warning", "a", 2), (11, "info", "b", 3),
          (20.5, "warning", "a", 4), (21, "warning", "a", 5)],
         [(0, "a", 1, 0), (11, "a", 2, 0), (11, "b", 3, 0), (21, "a", 5, 1)]),
        # the clock was set back by a day
        ([(0, "warning", "a", 1), (-86400, "warning", "a", 2), (-86399, "warning", "a", 3)],
         [(0, "a", 1, 0), (-86400, "a", 2, 0)]),
    ],
)  # fmt: skip
def test_repeated_warnings(logged, written):
    log, stream, clock = made(layout="json")
    for seconds, level, event, n in logged:
        clock.now = START + seconds
        log(level, event, {"n": n})
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(r["event"], r["n"], r.get("suppressed", 0)) for r in lines] == [
        expected[1:] for expected in written
    ]


def test_flush_writes_what_a_burst_left():
    log, stream, clock = made()
    log("warning", "a", {"n": 1})
    log("warning", "a", {"n": 2})
    clock.now += 9
    log.flush()
    assert stream.getvalue().count("\n") == 1
    log.flush(everything=True)
    log.flush(everything=True)
    assert stream.getvalue().splitlines()[1:] == ["2026-03-01T09:30:09.000Z warning a n=2"]


def test_the_table_of_events_is_bounded():
    log, stream, _ = made()
    for n in range(3 * EVENTS_MAX):
        log("warning", f"event {n}", {})
    assert stream.getvalue().count("\n") == 3 * EVENTS_MAX
    assert len(log._repeats) <= EVENTS_MAX


def test_a_stream_that_fails_is_counted_and_nothing_more():
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    log = Log("info", "text", Broken(), Clock())
    log("info", "a", {})
    closed = io.StringIO()
    closed.close()
    other = Log("info", "text", closed, Clock())
    other("info", "a", {})
    assert (log.lost, other.lost) == (1, 1)


def test_a_reader_that_does_not_read_is_not_waited_for():
    """A pipe that is full would hold up the whole daemon: the line is lost, and counted."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with os.fdopen(writer, "w") as stream, os.fdopen(reader) as read:
        log = Log("info", "json", stream, lambda: 0.0)
        for number in range(100):
            log("info", "event", {"number": number, "text": "x" * 100})
        assert 0 < log.lost < 100
        written = 100 - log.lost
        lines = [json.loads(read.readline()) for _ in range(written)]
        assert [line["number"] for line in lines] == list(range(written))  # whole ones
        log("info", "event", {"number": 100})
        assert json.loads(read.readline())["number"] == 100
