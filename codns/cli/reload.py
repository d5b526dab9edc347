"""`codns reload`: the running daemon reads its configuration again."""

from pathlib import Path

import click

from codns.cli import control
from codns.cli.output import USAGE, Common, print_json


@click.command(params=control.common_options())
@click.pass_context
def reload(context: click.Context, path: Path | None) -> None:
    """Make the daemon read its configuration again. Is it wrong, the old one stays (exit 2)."""
    common: Common = context.obj
    done, said = control.daemon(common, path).verdict("/v1/reload", "POST")
    if common.json:
        print_json(said)
    elif done:
        click.echo("reloaded")
    for problem in () if common.json else said["problems"]:
        click.echo(f"codns: {problem}", err=True)
    context.exit(0 if done else USAGE)
