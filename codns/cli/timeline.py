"""A race as a picture in text: one line for each who was asked, time from left to right.

local          |------------------------------------------->  timeout
192.0.2.7:7353 |........|=====>                               answered, 34 ms
"""

from typing import Any, Final

from codns.cli.screen import Row
from codns.cli.words import took

WIDTH: Final = 44  # columns: with names and words it fits 100
WON: Final = "answered"

Told = dict[str, Any]


def header(race: Told, type_name: str) -> str:
    """Return the line above it."""
    winner = race["winner"] or "nobody"
    began = f"{race['ago_s']:.0f} s ago"
    delay = f"initial delay {took(race['delay_s'])}"
    return f"{began}: {race['name']} {type_name}, {race['route']}, {delay}, won by {winner}"


def rows(race: Told) -> list[Row]:
    """Return one row for each who was asked: name, bar, what came of it."""
    lanes: dict[str, list[Told]] = {}
    for event in race["events"]:
        lanes.setdefault(event["who"], []).append(event)
    whole = max((event["at_s"] for event in race["events"]), default=0.0) or 0.001
    found: list[Row] = []
    for who, events in lanes.items():
        begun, ended = events[0]["at_s"], events[-1]["at_s"]
        open_end = len(events) == 1
        won = who == race["winner"]
        bar = _bar(begun, whole if open_end else ended, whole, won=won)
        said = ", ".join(f"{e['what']} at {took(e['at_s'])}" for e in events)
        style = "good" if won else "weak"
        found.append(((who, "strong" if won else ""), (bar, style), said))
    return found


def _bar(begun: float, ended: float, whole: float, *, won: bool) -> str:
    start = min(WIDTH - 1, round(WIDTH * begun / whole))
    end = max(start + 1, min(WIDTH, round(WIDTH * ended / whole)))
    return "." * start + ("=" if won else "-") * (end - start - 1) + (">" if won else "|")
