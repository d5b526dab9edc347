"""`codns healthcheck`: is the daemon well? For containers: exit code 0 or 1, nothing else."""

import http.client
import json
from pathlib import Path
from typing import Any, Final

import click

from codns.cli import control
from codns.cli.output import NEGATIVE, Common, Unreachable, print_json
from codns.config import load
from codns.config.problems import ConfigError
from codns.config.units import parse_endpoint

TIMEOUT_S: Final = 3.0  # Docker's default is 30, Kubernetes' 1: before the first, after a hiccup

_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


@click.command(
    params=[
        *control.common_options(),
        click.Option(["--ready"], is_flag=True, help="Ask whether it can answer right now."),
    ]
)
@click.pass_context
def healthcheck(context: click.Context, path: Path | None, ready: bool) -> None:
    """Exit with 0 if the daemon is well, else with 1 (not running included)."""
    common: Common = context.obj
    where = "/readyz" if ready else "/healthz"
    try:
        well, said = _asked(common, path, where)
    except Unreachable as error:
        well, said = False, {"ok": False, "problems": [error.message]}
    if common.json:
        print_json(said)
    else:
        click.echo("ok" if well else "; ".join(said["problems"]))
    context.exit(0 if well else NEGATIVE)


def _asked(common: Common, path: Path | None, where: str) -> tuple[bool, dict[str, Any]]:
    try:
        return control.daemon(common, path).verdict(where)
    except Unreachable as error:
        # Without a control socket there may be HTTP
        said = None if path is not None else _over_tcp(common, where)
        if said is None:
            raise error from None
        return said


def _over_tcp(common: Common, where: str) -> tuple[bool, dict[str, Any]] | None:
    try:
        listen = load.load(common.config, default=common.default_config).http.listen
    except ConfigError:
        return None
    if listen is None:
        return None
    host, port = parse_endpoint(listen)
    connection = http.client.HTTPConnection(_LOOPBACK.get(host, host), port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", where)
        response = connection.getresponse()
        said = json.loads(response.read())
        return (response.status == 200, said) if "problems" in said else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
