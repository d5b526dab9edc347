"""`codns resolvconf`: codns in /etc/resolv.conf, and out again.

A POSIX script does it, resolvconf.sh beside this file, since it must work on the day when Python
is what broke: systemd's unit runs the script itself. So there is one way of doing it; here it gets
options, and JSON. `--root` is for images that are being built, and for tests.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from codns.cli.output import json_option, print_json

SCRIPT: Final = Path(__file__).with_suffix(".sh")
_LISTS: Final = {"said": "said", "warning": "warnings", "nameserver": "nameservers"}
_ADDRESS: Final = "Where codns listens on port 53 [127.0.0.1]."
_ONLY: Final = "No other nameserver behind it: musl asks all of them at once."


def _root(command: Callable[..., None]) -> Callable[..., None]:
    return click.option("--root", metavar="DIR", help="Work in this tree instead of /.")(command)


@click.group()
def resolvconf() -> None:
    """Put codns into /etc/resolv.conf (install), take it out (restore), or look (status).

    With systemd nobody has to call this: codns-resolvconf.service does.
    """


@resolvconf.command(params=[json_option()], short_help="Put codns first in it.")
@click.option("--only-localhost", is_flag=True, help=_ONLY)
@click.option("--address", metavar="ADDRESS", help=_ADDRESS)
@_root
@click.pass_context
def install(
    context: click.Context, only_localhost: bool, address: str | None, root: str | None
) -> None:
    """Put codns first, the nameservers there were second; the original is kept beside it."""
    options = ["--only-localhost"] if only_localhost else []
    options += ["--address", address] if address else []
    _run(context, "install", root, options)


@resolvconf.command(params=[json_option()], short_help="Put the original back.")
@_root
@click.pass_context
def restore(context: click.Context, root: str | None) -> None:
    """Put the original back, byte for byte; a file that somebody else wrote is left alone."""
    _run(context, "restore", root, [])


@resolvconf.command(params=[json_option()], short_help="Is codns in it?")
@click.option("--address", metavar="ADDRESS", help=_ADDRESS)
@_root
@click.pass_context
def status(context: click.Context, address: str | None, root: str | None) -> None:
    """Tell whether codns is in it (exit code 0) or not (1), and who else writes the file."""
    _run(context, "status", root, ["--address", address] if address else [])


def _run(context: click.Context, action: str, root: str | None, options: list[str]) -> None:
    if root is not None:
        options = [*options, "--root", root]
    command = ["/bin/sh", str(SCRIPT), action, *options]
    sys.stdout.flush()
    if not context.obj.json:
        context.exit(subprocess.run(command, check=False).returncode)
    done = subprocess.run(
        [*command, "--facts"], stdout=subprocess.PIPE, check=False, text=True, errors="replace"
    )
    if done.returncode <= 1:  # else it has told why, on standard error
        print_json(facts(done.stdout))
    context.exit(done.returncode)


def facts(output: str) -> dict[str, Any]:
    """Return what the script tells with --facts: "key<TAB>value" a line, some keys repeated."""
    found: dict[str, Any] = {plural: [] for plural in _LISTS.values()}
    for line in output.splitlines():
        key, _, value = line.partition("\t")
        if key in _LISTS:
            found[_LISTS[key]].append(value)
        else:
            found[key] = value == "yes" if key == "changed" else value or None
    return found
