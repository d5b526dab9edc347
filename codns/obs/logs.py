"""The log: one line an event on stderr, for a person, a collector or the journal.

A line is a sentence that never varies plus its values, so that it can be searched for:

    2026-03-01T09:30:00.000Z warning nameserver is down server=192.0.2.1#53 reason="timed out"
    {"time":"2026-03-01T09:30:00.000Z","level":"warning","event":"nameserver is down",...}

Under systemd (JOURNAL_STREAM names the very file that stderr is) each line starts with its
priority as `<4>`, and text lines leave the time to the journal.

Values come from the network too: everything that is not printable ASCII is escaped, so no name in
a query can start a line of its own or speak to a terminal.

A fault that repeats must not fill a disk. A warning or error is written at most once per 10 s and
event; the next one to be written says how many were held back. When none follows, the last one
held back is written by the next line of any kind, or by `flush`, so that the end of a burst is
not lost.

A log that takes nothing holds up nobody. What a full disk does not take is lost, and so is what a
pipe has no room for: its reader may be stopped, and waiting for it would end all answers.
"""

import json
import os
import re
import select
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TextIO

REPEAT_S: Final = 10.0  # as often as a person wants to be told the same
EVENTS_MAX: Final = 256  # kinds remembered; the code has fewer, but a table has a bound

# sd-daemon(3): the syslog priorities
_PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3}
LEVELS: Final = tuple(_PRIORITIES)
FORMATS: Final = ("text", "json")

_BARE: Final = re.compile(r"[!#-<>-\[\]-~]+")  # printable ASCII but for space, ", = and \


class _Repeats:
    """What was held back of one event since it was last written."""

    __slots__ = ("count", "fields", "level", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.count = 0
        self.level = ""
        self.fields: dict[str, object] = {}

    def over(self, now: float) -> bool:
        """Has the event's 10 s passed? A clock set back counts as passed."""
        return not 0 <= now - self.since < REPEAT_S


class Log:
    """Write events. `level` and `format` may be changed at any time (a reload does).

    `clock` is wall time in seconds (time.time). A stream that fails, or would have to be waited
    for, takes nothing else down: its lines are lost and counted in `lost`.
    """

    def __init__(
        self,
        level: str,
        format: str,  # noqa: A002 - the key's name in the configuration
        stream: TextIO,
        clock: Callable[[], float],
    ) -> None:
        self.level = level
        self.format = format
        self.lost = 0
        self._stream = stream
        self._clock = clock
        self._journal = _is_journal(stream)
        self._room = _poll(stream)
        self._repeats: dict[str, _Repeats] = {}

    def __call__(self, level: str, event: str, fields: dict[str, object]) -> None:
        """Log `event` with its values. `level` is one of LEVELS."""
        if _PRIORITIES[level] > _PRIORITIES[self.level]:
            return
        now = self._clock()
        suppressed = 0
        if _PRIORITIES[level] <= _PRIORITIES["warning"]:
            known = self._repeats.get(event)
            if known is not None and not known.over(now):
                known.count, known.level, known.fields = known.count + 1, level, fields
                return
            if known is not None:
                suppressed = known.count
                del self._repeats[event]
        self._flush(now)
        if _PRIORITIES[level] <= _PRIORITIES["warning"]:
            self._remember(event, now)
        self._write(now, level, event, fields, suppressed)

    def flush(self, *, everything: bool = False) -> None:
        """Write what was held back for 10 s, or `everything` (before the end)."""
        self._flush(self._clock(), everything=everything)

    def _flush(self, now: float, *, everything: bool = False) -> None:
        ended = [e for e, r in self._repeats.items() if everything or r.over(now)]
        for event in ended:
            held = self._repeats.pop(event)
            if held.count:
                # It starts its own 10 s: a steady fault stays at one line per 10 s
                self._remember(event, now)
                self._write(now, held.level, event, held.fields, held.count - 1)

    def _remember(self, event: str, now: float) -> None:
        if len(self._repeats) >= EVENTS_MAX:
            self._repeats.clear()
        self._repeats[event] = _Repeats(now)

    def _write(
        self, now: float, level: str, event: str, fields: dict[str, object], suppressed: int
    ) -> None:
        if suppressed:
            fields = {**fields, "suppressed": suppressed}
        time = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
        if self.format == "json":
            line = _json({"time": time, "level": level, "event": event, **fields})
        else:
            values = "".join(f" {key}={_text(value)}" for key, value in fields.items())
            line = event + values if self._journal else f"{time} {level} {event}{values}"
        prefix = f"<{_PRIORITIES[level]}>" if self._journal else ""
        if self._room is not None and not self._room.poll(0):
            self.lost += 1  # its reader does not read
            return
        try:
            self._stream.write(f"{prefix}{line}\n")
            self._stream.flush()
        except (OSError, ValueError):  # the reader is gone, the disk full, the stream closed
            self.lost += 1


def _json(fields: dict[str, object]) -> str:
    return json.dumps(fields, separators=(",", ":"), default=str)


def _text(value: object) -> str:
    """Return a value for a text line: bare where that is unmistakable, else a JSON string."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        # Items are quoted together: the comma separates items, the space fields
        value = ",".join(v if isinstance(v, str) else _text(v) for v in value)
    text = str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text)


def _poll(stream: TextIO) -> "select.poll | None":
    """Return what tells of room for a line: in a pipe for 4,096 bytes (pipe(7)), ours are less."""
    try:
        fileno = stream.fileno()
    except (OSError, ValueError):  # in memory, or closed
        return None
    poll = select.poll()
    poll.register(fileno, select.POLLOUT)
    return poll


def _is_journal(stream: TextIO) -> bool:
    """Is the stream what systemd connected to the journal? (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # in memory, or closed
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
