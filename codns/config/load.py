"""A configuration file, and what the command line says on top of it, to a `Config`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from codns.config import document
from codns.config.convert import convert
from codns.config.paths import DEFAULT_PATH
from codns.config.problems import ConfigError, Problem
from codns.config.rules import contradictions
from codns.config.schema import Config

FILE_SIZE_MAX: Final = 1 << 20  # far over any real one; YAML is slow to read
COMMAND_LINE: Final = "command line"
NULL: Final = object()  # an override that sets a key to null


def find(path: Path | None, default: Path = DEFAULT_PATH) -> Path | None:
    """Return the file to read: the one asked for, else the default one if it is there."""
    if path is not None:
        return path
    return default if default.exists() else None


def load(
    path: Path | None = None,
    overrides: Mapping[str, object] | None = None,
    *,
    default: Path = DEFAULT_PATH,
) -> Config:
    """Return the configuration in effect; ConfigError with every problem at once.

    `path` is the file asked for (it must exist); without it `default` is read if it is there.
    `overrides` come from the command line, by path: {"listen": [...], "log.level": "debug"};
    those that are None are not set, NULL sets null.
    """
    source = find(path, default)
    text = read_file(source) if source else ""
    return parse(text, overrides or {}, str(source or ""))


def parse(text: str, overrides: Mapping[str, object] | None = None, source: str = "") -> Config:
    """Return the configuration of a YAML text; see `load`."""
    try:
        read = document.parse(text)
    except ConfigError as error:
        raise ConfigError([p._replace(source=source) for p in error.problems]) from None
    values = read.values if read.values is not None else {}
    said = {path: value for path, value in (overrides or {}).items() if value is not None}
    if isinstance(values, dict):
        for path, value in said.items():
            _put(values, path, value)
    config, problems = convert(values)
    wrong = {problem.path.partition("[")[0] for problem in problems}
    problems += contradictions(config, wrong)
    problems = read.problems + problems
    if problems:
        raise ConfigError([_placed(p, read.lines, said, source) for p in problems])
    return config


def read_file(path: Path) -> str:
    """Return a configuration file's text; ConfigError when it cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_SIZE_MAX + 1)
        if len(data) > FILE_SIZE_MAX:
            text = f"larger than {FILE_SIZE_MAX >> 20} MiB: that is no configuration"
            raise ConfigError([Problem("", text, source=str(path))])
        return data.decode("utf-8")
    except FileNotFoundError:
        text = "no such file; leave out -c to run with defaults"
    except UnicodeDecodeError as error:
        text = f"not UTF-8 at byte {error.start}"
    except OSError as error:
        text = f"cannot be read: {error.strerror}"
    raise ConfigError([Problem("", text, source=str(path))])


def _put(values: dict[str, object], path: str, value: object) -> None:
    *sections, key = path.split(".")
    for section in sections:
        if values.get(section) is None:
            values[section] = {}
        inner = values[section]
        if not isinstance(inner, dict):
            return  # the file has nonsense there, which is reported
        values = inner
    values[key] = list(value) if isinstance(value, tuple) else None if value is NULL else value


def _placed(
    problem: Problem, lines: Mapping[str, int], overrides: Mapping[str, object], source: str
) -> Problem:
    """Say where a problem is: on the line of the nearest path that has one."""
    path = problem.path
    if any(path == own or path.startswith((f"{own}[", f"{own}.")) for own in overrides):
        return problem._replace(source=COMMAND_LINE)
    line = problem.line
    while line is None and path:
        line = lines.get(path)
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return problem._replace(line=line or lines.get(""), source=source)
