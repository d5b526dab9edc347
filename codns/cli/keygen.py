"""`codns keygen`: the cluster's key, made and changed.

The steps of a rotation are commands, because a key put on the wrong line of one node cuts that
node off. Each rewrites the whole file beside itself and renames it, with the owner and the mode
it had, so that a node that reads it meanwhile sees the old or the new one.
"""

import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from codns.cli.output import Common, print_json
from codns.peer import keyfile
from codns.peer.seal import KEYS_MAX, key_id

USAGE: Final = 2
MODE: Final = 0o640  # RULES 8.4


class KeygenError(click.ClickException):
    """It cannot be done: one line, exit code 2."""

    exit_code = USAGE


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--add", "step", flag_value="add", help="1. Append a new key to FILE.")
@click.option(
    "--first", "step", flag_value="first", help="2. Move the last key to the first line."
)
@click.option("--prune", "step", flag_value="prune", help="3. Delete all keys but the first.")
@click.pass_context
def keygen(context: click.Context, file: Path | None, step: str | None) -> None:
    """Make a cluster key: to FILE, mode 0640, or to standard output.

    The same file goes to every node, as peers.key_file. It is what makes a host a member: who
    reads it can give the whole fleet wrong addresses.

    \b
    To change keys without a pause: the first key of a file seals, all of them open. Do each step
    on one node, copy the file to all, reload all of them (SIGHUP), and only then do the next:
      1. codns keygen --add FILE     every node understands the new key
      2. codns keygen --first FILE   every node uses it
      3. codns keygen --prune FILE   nobody understands the old one
    Was a key stolen, its holder is one of you until step 3 is done everywhere.
    """  # noqa: D301 - \b is click's: keep these lines
    common: Common = context.obj
    if file is None:
        if step is not None:
            raise click.UsageError(f"--{step} needs the FILE to change", context)
        text = keyfile.generate()
        if common.json:
            (key,) = keyfile.parse(text, Path("-"))
            encoded = text.splitlines()[-1]
            print_json({"key": encoded, "id": key_id(key).hex()})
        else:
            click.echo(text, nl=False)
        return
    try:
        if step is None:
            _create(file)
        else:
            _change(file, _STEPS[step])
        keys = keyfile.load(file)
    except keyfile.KeyFileError as error:
        raise KeygenError(str(error)) from None
    except OSError as error:
        raise KeygenError(f"{error.filename or file}: {error.strerror}") from None
    _tell(file, step, [key_id(key).hex() for key in keys], as_json=common.json)


def _tell(file: Path, step: str | None, ids: list[str], *, as_json: bool) -> None:
    if as_json:
        print_json({"file": str(file), "step": step or "new", "keys": ids})
        return
    done = {
        None: "a new key; the same file goes to every node",
        "add": "a key more; copy it to every node and reload them, then --first",
        "first": "the new key seals; copy it to every node and reload them, then --prune",
        "prune": "the old keys are gone; copy it to every node and reload them",
    }
    click.echo(f"{file}: {done[step]}")
    for number, ident in enumerate(ids):
        click.echo(f"  {ident}  {'opens' if number else 'seals and opens'}")


# -- the file -----------------------------------------------------------------------------------


def _create(file: Path) -> None:
    """Write a new file; one that is there is somebody's."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, MODE)
    except FileExistsError:
        raise KeygenError(
            f"{file} is there already, and a new key would cut this node off: --add appends one,"
            " see `codns keygen --help`"
        ) from None
    _write(descriptor, keyfile.generate())


def _change(file: Path, edit: Callable[[list[str], Path], None]) -> None:
    """Rewrite a key file by `edit`, whole or not at all."""
    file = Path(os.path.realpath(file))  # a link stays one
    keyfile.load(file)  # what is no sound key file is not touched
    with file.open("rb") as old:
        there = os.fstat(old.fileno())
        lines = old.read().decode("utf-8").splitlines()
    edit(lines, file)
    text = "\n".join(lines) + "\n"
    keyfile.parse(text, file)
    beside = file.with_name(f".{file.name}.new")
    beside.unlink(missing_ok=True)  # of a run that was killed
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        if (there.st_uid, there.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(descriptor, there.st_uid, there.st_gid)
        _write(descriptor, text, stat.S_IMODE(there.st_mode))
        beside.replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def _write(descriptor: int, text: str, mode: int = MODE) -> None:
    with os.fdopen(descriptor, "w", encoding="utf-8") as new:
        os.fchmod(new.fileno(), mode)  # the umask is for files of another kind
        new.write(text)
        new.flush()
        os.fsync(new.fileno())


# -- the steps, on the lines of a file ----------------------------------------------------------


def _add(lines: list[str], file: Path) -> None:
    if len(_positions(lines)) >= KEYS_MAX:
        raise KeygenError(
            f"{file} has {KEYS_MAX} keys, as many as may be: --prune deletes the old"
        )
    lines.append(keyfile.generate().splitlines()[-1])


def _first(lines: list[str], file: Path) -> None:
    positions = _positions(lines)
    if len(positions) < 2:
        raise KeygenError(f"{file} has one key only: --add appends a new one first")
    lines.insert(positions[0], lines.pop(positions[-1]))


def _prune(lines: list[str], file: Path) -> None:
    positions = _positions(lines)
    if len(positions) < 2:
        raise KeygenError(f"{file} has one key only: there is none to delete")
    for position in reversed(positions[1:]):
        del lines[position]


_STEPS: Final = {"add": _add, "first": _first, "prune": _prune}


def _positions(lines: list[str]) -> list[int]:
    """Return the lines that hold keys."""
    return [at for at, line in enumerate(lines) if line.partition("#")[0].strip()]
