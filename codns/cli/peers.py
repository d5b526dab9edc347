"""`codns peers`: the other nodes, as this one sees them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from codns.cli import control
from codns.cli.output import Common, print_json
from codns.cli.screen import Cell, Row, Section, show
from codns.cli.words import lasted, took

Told = dict[str, Any]
HEADER = ("peer", "state", "RTT", "nameserver", "score", "heard")
RIGHT = (2, 3, 4, 5)


@click.command(
    params=[
        *control.common_options(),
        click.Option(["--all", "every"], is_flag=True, help="Those that are not neighbours, too."),
    ]
)
@click.pass_obj
def peers(common: Common, path: Path | None, every: bool) -> None:
    """List the neighbours: the peers that are watched and asked."""
    daemon = control.daemon(common, path)
    if common.json:
        print_json(daemon.get("/v1/peers", **({} if every else {"neighbours": 1})))
        return
    said = daemon.get("/v1/summary")["cooperation"]
    if said is None:
        click.echo("peers.listen is not set: this node has no peers")
        return
    rows = daemon.get("/v1/peers", **({} if every else {"neighbours": 1}))
    near = [row for row in rows if row["neighbour"]]
    others = [row for row in rows if not row["neighbour"]]
    show(
        [
            Section("neighbours, best first", table(near), HEADER, RIGHT),
            Section("other peers", table(others), HEADER, RIGHT),
        ]
    )
    if not near:
        click.echo("no neighbours")
    left = said["peers"] - len(rows)
    if left > 0:
        click.echo(f"\n{left} other peers are listed (--all shows them)")


def table(rows: Sequence[Told]) -> list[Row]:
    """Return a row a peer."""
    return [
        (
            row["peer"],
            state(row),
            took(row["rtt_s"]),
            took(row["nameserver_s"]),
            took(row["score_s"]),
            "never" if row["heard_ago_s"] is None else f"{lasted(row['heard_ago_s'])} ago",
        )
        for row in rows
    ]


def state(row: Told) -> Cell:
    """Return why it is, or is not, asked."""
    why = str(row["why"]).replace("_", " ")
    if why in ("eligible", "not neighbour"):
        return why, "good" if why == "eligible" else "weak"
    return why, "bad" if why in ("down", "failing", "missed", "unanswering") else "warn"
