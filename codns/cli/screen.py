"""What commands print: sections with a title and a table, coloured on a terminal, plain elsewhere.

A cell is text, or (text, style). Styles are few and mean the same everywhere: "good", "bad",
"weak", "strong". Off a terminal there is no colour, no box and no wrapping, so that the output of
`codns status` can be searched and cut.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import click

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

Cell = str | tuple[str, str]
Row = Sequence[Cell]

STYLES: Final = {
    "": "",
    "good": "green",
    "bad": "bold red",
    "warn": "yellow",
    "weak": "dim",
    "strong": "bold",
}


class Section(NamedTuple):
    """A table. `header` names the columns; columns in `right` are numbers."""

    title: str
    rows: Sequence[Row]
    header: Sequence[str] = ()
    right: Sequence[int] = ()


def text_of(cell: Cell) -> str:
    """Return a cell's text."""
    return cell if isinstance(cell, str) else cell[0]


def show(sections: Sequence[Section]) -> None:
    """Print sections."""
    shown = [section for section in sections if section.rows]
    if sys.stdout.isatty():
        from rich.console import Console  # noqa: PLC0415 - 50 ms, for terminals only

        Console(highlight=False).print(render(shown))
        return
    for number, section in enumerate(shown):
        if number:
            click.echo()
        for line in plain(section):
            click.echo(line)


def plain(section: Section) -> list[str]:
    """Return the lines of a section for a file or a pipe."""
    rows = [[text_of(cell) for cell in row] for row in section.rows]
    if section.header:
        rows.insert(0, list(section.header))
    columns = max(map(len, rows), default=0)
    widths = [
        max((len(row[column]) for row in rows if len(row) > column + 1), default=0)
        for column in range(columns)
    ]
    for row in rows:
        for column in section.right:
            if column < len(row):
                wide = max(len(other[column]) for other in rows if len(other) > column)
                row[column] = row[column].rjust(wide)
    lines = [section.title] if section.title else []
    indent = "  " if section.title else ""
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        lines.append((indent + "  ".join([*cells, *row[-1:]])).rstrip())
    return lines


def render(sections: Sequence[Section]) -> "Group":
    """Return sections as rich shows them."""
    from rich.console import Group  # noqa: PLC0415
    from rich.padding import Padding  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    parts: list[object] = []
    for section in sections:
        if parts:
            parts.append(Text(""))
        if section.title:
            parts.append(Text(section.title, style="bold cyan"))
        columns = max([len(section.header), *map(len, section.rows)])
        table = Table(
            box=None, show_header=bool(section.header), header_style="dim", pad_edge=False,
            padding=(0, 2, 0, 0),
        )  # fmt: skip
        for column in range(columns):
            title = section.header[column] if column < len(section.header) else ""
            last = column == columns - 1
            table.add_column(
                title,
                justify="right" if column in section.right else "left",
                no_wrap=not last,
                overflow="fold",
                style="dim" if not column and not section.header else "",
            )
        for row in section.rows:
            table.add_row(*map(_styled, row))
        parts.append(Padding(table, (0, 0, 0, 2 if section.title else 0)))
    return Group(*parts)  # type: ignore[arg-type]


def _styled(cell: Cell) -> "Text":
    from rich.text import Text  # noqa: PLC0415

    if isinstance(cell, str):
        return Text(cell)
    return Text(cell[0], style=STYLES[cell[1]])
