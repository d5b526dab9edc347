"""What the commands share: common options, parameter types, ways to print and to fail."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click

from codns.config.paths import DEFAULT_PATH
from codns.config.resolvconf import Places
from codns.config.units import parse_duration

NEGATIVE: Final = 1
USAGE: Final = 2


@dataclass
class Common:
    """The options that stand before or behind a command; it is `context.obj`.

    `default_config` and `places` are where this host keeps its files: others in tests.
    """

    config: Path | None = None
    json: bool = False
    default_config: Path = DEFAULT_PATH
    places: Places = field(default_factory=Places)


class Unreachable(click.ClickException):
    """Who was asked did not answer: one line, exit code 3."""

    exit_code = 3


def duration(_: click.Context, parameter: click.Parameter, value: str) -> float:
    """Return the seconds of an option such as 200ms or 5s (a click callback)."""
    try:
        return parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error), param=parameter) from None


def _set_config(context: click.Context, _: click.Parameter, value: Path | None) -> None:
    common = context.ensure_object(Common)
    common.config = value or common.config


def _set_json(context: click.Context, _: click.Parameter, value: bool) -> None:
    common = context.ensure_object(Common)
    common.json = value or common.json


def config_option() -> click.Option:
    """Return -c FILE, which sets `context.obj.config`."""
    return click.Option(
        ["-c", "--config"],
        type=click.Path(path_type=Path),
        metavar="FILE",
        expose_value=False,
        callback=_set_config,
        help="Configuration file [/etc/codns/codns.yaml if it is there].",
    )


def json_option() -> click.Option:
    """Return --json, which sets `context.obj.json`."""
    return click.Option(
        ["--json"],
        is_flag=True,
        expose_value=False,
        callback=_set_json,
        help="Print JSON.",
    )


def print_json(value: object) -> None:
    """Print a value for programs."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(rows: Sequence[Sequence[str]], style: str = "bold") -> None:
    """Print rows in columns, the first one styled on a terminal. The last column may be long."""
    if not rows:
        return
    if sys.stdout.isatty():
        from rich.console import Console  # noqa: PLC0415 - 50 ms, for terminals only
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        table = Table.grid(padding=(0, 2, 0, 0))
        for column in range(len(rows[0])):
            last = column == len(rows[0]) - 1
            table.add_column(style="" if column else style, no_wrap=not last, overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row))
        Console(highlight=False).print(table)
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        click.echo("  ".join([*cells, row[-1]]).rstrip())
