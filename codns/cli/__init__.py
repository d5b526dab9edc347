"""The command line: one file a command, loaded when it is used.

`codns query` should not wait for the daemon's imports, nor `codns run` for dnspython's, so the
group knows its commands by name and one line of help, and imports a module when its command runs.

Exit codes: 0 ok, 1 negative answer, 2 usage or bad configuration, 3 not reachable. An error is
one line that names cause and remedy; CODNS_DEBUG=1 adds the traceback for whoever hunts a bug.
"""

import difflib
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import click

from codns import __version__
from codns.cli.output import config_option, json_option
from codns.config.problems import ConfigError

USAGE: Final = 2
INTERNAL: Final = 70  # sysexits.h EX_SOFTWARE: told apart from what the user can mend
INTERRUPTED: Final = 130


class Lazy(NamedTuple):
    """A command not imported yet: `codns.cli.<name>` has a click command of that name.

    `config` and `json` tell whether -c and --json stand behind it too, not only before it.
    """

    help: str
    config: bool = False
    json: bool = False


COMMANDS: Final = {
    "run": Lazy("Run the daemon in the foreground.", config=True),
    "check": Lazy("Check the configuration and tell what is in effect.", config=True, json=True),
    "query": Lazy("Ask a nameserver, as dig does.", json=True),
    "explain": Lazy("Tell how a name would be, or was, raced."),
    "status": Lazy("Tell how the running daemon is."),
    "peers": Lazy("List the daemon's neighbours."),
    "cache": Lazy("Look into the daemon's cache, or flush it."),
    "top": Lazy("Show what the daemon does, live."),
    "reload": Lazy("Make the daemon read its configuration again."),
    "healthcheck": Lazy("Exit with 0 if the daemon is well, else with 1."),
    "demo": Lazy("Show what peers are for, with a fleet on this machine.", json=True),
    "keygen": Lazy("Make the cluster's key, or change it step by step.", json=True),
    "resolvconf": Lazy("Put codns into /etc/resolv.conf, or take it out.", json=True),
    "simulate": Lazy("Simulate a fleet in virtual time, from a scenario file.", json=True),
    "version": Lazy("Tell the versions of codns and what it runs on.", json=True),
}


class Commands(click.Group):
    """The group: lazy, and with errors of one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of the commands there are."""
        return [name for name in COMMANDS if importlib.util.find_spec(f"{__name__}.{name}")]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        lazy = COMMANDS[cmd_name]
        command: click.Command = getattr(
            importlib.import_module(f"{__name__}.{cmd_name}"), cmd_name
        )
        known = {parameter.name for parameter in command.params}
        if lazy.config and "config" not in known:
            command.params.append(config_option())
        if lazy.json and "json" not in known:
            command.params.append(json_option())
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command meant; a typing error names the nearest."""
        names = self.list_commands(ctx)
        if args and args[0] not in names and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], names, 1)
            said = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
            raise click.UsageError(f"no command {args[0]!r}; {said}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].help) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Nobody left to read what it prints (`| head`) is no error."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run, and leave with an exit code and at most one line a problem."""

        def run() -> Any:
            return super(Commands, self).main(
                args, prog_name or "codns", complete_var, standalone_mode=False, **extra
            )

        if not standalone_mode:
            return run()
        try:
            code = run()
        except Exception as error:  # noqa: BLE001 - the last place to tell it
            code = _told(error)
        sys.exit(code if isinstance(code, int) else 0)


def _told(error: Exception) -> int:
    """Tell an error and return its exit code."""
    if os.environ.get("CODNS_DEBUG") == "1" and not isinstance(error, click.ClickException):
        raise error
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "codns"
        said = error.format_message().rstrip(".")
        if isinstance(error, click.NoSuchOption):
            near = difflib.get_close_matches(error.option_name, error.possibilities or (), 1)
            said = f"no option {error.option_name}" + (
                f"; did you mean {near[0]}?" if near else ""
            )
        click.echo(f"{path}: {said} (see {path} --help)", err=True)
        return USAGE
    if isinstance(error, click.ClickException):
        click.echo(f"codns: {error.format_message()}", err=True)
        return error.exit_code
    if isinstance(error, ConfigError):
        for problem in error.problems:
            click.echo(f"codns: {problem}", err=True)
        return USAGE
    if isinstance(error, click.Abort):
        return INTERRUPTED
    said = " ".join(f"{type(error).__name__}: {error}".split())
    click.echo(f"codns: a bug: {said} (CODNS_DEBUG=1 shows where)", err=True)
    return INTERNAL


@click.group(
    "codns",
    cls=Commands,
    invoke_without_command=True,
    params=[config_option(), json_option()],
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="codns", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context) -> None:
    """A cooperative DNS forwarding proxy."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
