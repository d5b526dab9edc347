"""`codns version`: codns and what it runs on, for bug reports."""

import importlib.metadata
import platform
from typing import Final

import click

from codns import __version__
from codns.cli.output import Common, print_json, print_table

DEPENDENCIES: Final = (
    "trio",
    "dnspython",
    "PyYAML",
    "prometheus-client",
    "msgspec",
    "click",
    "rich",
)


def versions() -> dict[str, str]:
    """Return name and version of codns, the system and each dependency."""
    found = {
        "codns": __version__,
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }
    for name in DEPENDENCIES:
        try:
            found[name.lower()] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name.lower()] = "not installed"
    return found


@click.command()
@click.pass_obj
def version(common: Common) -> None:
    """Tell the versions of codns and what it runs on."""
    found = versions()
    if common.json:
        print_json(found)
    else:
        print_table(list(found.items()))
