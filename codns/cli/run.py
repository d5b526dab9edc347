"""`codns run`: the daemon in the foreground."""

import contextlib
import sys
import time
from pathlib import Path

import click
import trio

from codns.config.load import NULL, load
from codns.master.daemon import Daemon
from codns.master.sockets import BindError
from codns.obs.logs import Log


@click.command()
@click.option("--listen", multiple=True, metavar="ADDRESS:PORT", help="Where to answer (repeat).")
@click.option(
    "--nameserver", multiple=True, metavar="ADDRESS[:PORT]", help="Whom to ask (repeat)."
)
@click.option("--http", metavar="ADDRESS:PORT", help="Where metrics and status are; off: nowhere.")
@click.option("--control", metavar="PATH", help="The control socket; off: none.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option(
    "--embedded",
    is_flag=True,
    help="Ask a small nameserver started beside it (zone example.): works with no network.",
)
@click.pass_context
def run(
    context: click.Context,
    listen: tuple[str, ...],
    nameserver: tuple[str, ...],
    http: str | None,
    control: str | None,
    log_level: str | None,
    embedded: bool,
) -> None:
    """Run the daemon in the foreground; SIGTERM ends it, SIGHUP reloads the configuration."""
    overrides: dict[str, object] = {
        "listen": listen or None,
        "nameservers": nameserver or None,
        "http.listen": NULL if http == "off" else http,
        "control": NULL if control == "off" else control,
        "log.level": log_level,
    }
    path: Path | None = context.obj.config
    companion = None
    if embedded:
        from codns.cli.embedded import Companion  # noqa: PLC0415 - dnspython is slow to import

        companion = Companion()
        overrides["nameservers"] = (companion.address,)
    config = load(path, overrides)
    log = Log(config.log.level, config.log.format, sys.stderr, time.time)
    try:
        daemon = Daemon(config, log, path=path, overrides=overrides)
    except BindError as error:
        click.echo(f"codns: {error}", err=True)
        context.exit(2)
    with contextlib.suppress(KeyboardInterrupt):
        trio.run(daemon.run, *([companion.run] if companion else []))
