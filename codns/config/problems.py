"""What is wrong with a configuration: all of it at once, each with its place and a remedy."""

import json
from typing import Final, NamedTuple

SHOWN_MAX: Final = 60  # characters of a wrong value that a message repeats


class Problem(NamedTuple):
    """One thing that is wrong.

    `path` as the user writes it ("cache.max_ttl", "listen[1]"; empty for the whole file), `text`
    says what is wrong and what would be right, `line` counts from 1, `source` is the file's name
    or "command line".
    """

    path: str
    text: str
    line: int | None = None
    source: str = ""

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}" if self.line and self.source else self.source
        return ": ".join(part for part in (place, self.path, self.text) if part)


class ConfigError(Exception):
    """A configuration that cannot be used. Its text has one line a problem."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def shown(value: object) -> str:
    """Return `value` as a message repeats it: quoted if text, on one line, not too long."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
    if not text.isprintable():
        text = ascii(value)
    return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 3] + "..."


def join(path: str, key: object) -> str:
    """Return the path of `key` under `path`: list positions in brackets."""
    if isinstance(key, int) and not isinstance(key, bool):
        return f"{path}[{key}]"
    text = str(key)
    if not text.isprintable() or not text or len(text) > SHOWN_MAX:
        text = shown(text)
    return f"{path}.{text}" if path else text
