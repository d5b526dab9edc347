"""Man pages and shell completion, generated: `python deploy/generate.py FOLDER`.

codns(8) is written from the commands themselves, codns.yaml(5) from the schema (which keys there
are, their ranges and defaults) and the comments of conf/codns.yaml (what they mean); so neither
can tell of an option that is not there. A key without a comment is an error.
"""

import gzip
import inspect
import os
import re
import sys
import textwrap
import time
import types
import typing
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import msgspec
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from codns import __version__
from codns.cli import main
from codns.config import schema, units

CONF: Final = Path(__file__).resolve().parent.parent / "conf" / "codns.yaml"
_KEY: Final = re.compile(r"^(?P<indent> *)(?P<key>[a-z0-9_]+):(?: (?P<value>.*))?$")

ABOUT: Final = """\
codns answers the DNS queries of this host: a caching forwarder in front of the site's own
nameservers, which are taken from resolv.conf. While they are quick it is one like any other. When
they are slow or fail, a query is raced to nearby healthy hosts of the same fleet, whose own
nameservers are fine, and the client does not notice.

Every client is answered within 4.5 s; an answer that has expired serves after 1.8 s when nothing
better is to be had.
"""
SERVICE: Final = """\
codns.socket
  holds UDP and TCP port 53 of localhost. Stopping it stops codns for good, and puts the original
  resolv.conf back: "systemctl disable --now codns.socket codns.service".
codns.service
  the daemon. Restarting it loses no query and does not touch resolv.conf. Stopping it alone does
  not last: the next query starts it again.
codns-resolvconf.service
  localhost in resolv.conf while codns.socket is there, from the moment codns is ready. Options for
  the script go into /etc/default/codns, as RESOLVCONF_OPTIONS=--only-localhost. Mask it to leave
  resolv.conf alone.
codns-fallback.service
  when codns failed 20 times within a minute: stops the socket, so that the original nameservers
  are asked again.
codns-retry.timer
  tries every 5 minutes after that.
"""
SIGNALS: Final = """\
SIGTERM, SIGINT
  answer what is in flight, for 2 s at most, and end; a second one: at once.
SIGHUP
  read the configuration again. A bad one changes nothing.
"""
CODES: Final = """\
0
  fine.
1
  a negative answer: no such name, not installed, not healthy.
2
  wrong usage, a bad configuration, or it could not be done.
3
  the daemon or the nameserver cannot be reached.
"""
CONFIGURED: Final = """\
/etc/codns/codns.yaml
  the configuration; every key has a default, so it need not exist.
"""
FILES: Final = f"""{CONFIGURED}\
/etc/resolv.conf.codns-original
  the resolv.conf there was, while codns is in it.
/run/codns/control.sock
  where the commands find the daemon; for root and the group codns.
/var/lib/codns
  what outlives a restart.
"""


class Key(NamedTuple):
    """A key of the configuration: dotted path, its comment's lines, what may be written."""

    path: str
    comment: list[str]
    default: str
    allowed: str


# -- roff -----------------------------------------------------------------------------------------


def escape(text: str) -> str:
    """Return text that roff prints as it stands."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return "\n".join("\\&" + line if line.startswith(".") else line for line in text.split("\n"))


def paragraphs(lines: list[str]) -> Iterator[str]:
    """Yield roff of a comment: running text, and indented lines as they stand."""
    open_ = False
    for line in lines:
        if line.startswith("  ") != open_:
            yield ".fi\n.RE" if open_ else ".RS 2\n.nf"
            open_ = not open_
        yield escape(line[2:] if open_ else line.strip())
    if open_:
        yield ".fi\n.RE"


def terms(text: str) -> Iterator[str]:
    """Yield a list of terms, each on a line, and what they mean, indented below them."""
    for part in re.split(r"\n(?=\S)", text.strip()):
        term, _, meaning = part.partition("\n")
        yield f".TP\n.B {escape(term)}\n{escape(fill(meaning))}"


def fill(text: str) -> str:
    """Return running text in lines of a page's source."""
    return textwrap.fill(" ".join(text.split()), 76, break_on_hyphens=False)


def title(name: str, section: int, about: str) -> str:
    """Return the head of a page."""
    when = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    day = datetime.fromtimestamp(when, UTC).date()
    return (
        f'.TH {name.upper()} {section} "{day}" "codns {__version__}" "codns"\n.nh\n'
        f".SH NAME\n{escape(name)} \\- {escape(about)}"
    )


# -- codns(8) -------------------------------------------------------------------------------------


def commands(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    """Yield (its words, the command) of every command, groups before what is in them."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(command, info_name=name, parent=context)
        yield inner.command_path, command
        if isinstance(command, click.Group):
            yield from commands(command, inner)


def describe(words: str, command: click.Command) -> Iterator[str]:
    """Yield the section of one command."""
    context = click.Context(command, info_name=words)
    usage = " ".join(command.collect_usage_pieces(context))
    yield f".SS {escape(words)} {escape(usage)}"
    prose = inspect.cleandoc(command.help or "")
    yield "\n.PP\n".join(map(_paragraph, prose.split("\n\n")))
    for parameter in command.get_params(context):
        row = parameter.get_help_record(context)
        if row is not None and not row[0].endswith("--help"):
            yield f".TP\n.B {escape(row[0])}\n{escape(fill(row[1]))}"


def _paragraph(text: str) -> str:
    """Fill a paragraph of a command's help; one that begins with a backspace stays as it is."""
    if text.startswith("\b"):
        return f".nf\n{escape(text[1:].strip())}\n.fi"
    return escape(fill(text))


def manual() -> str:
    """Return codns(8)."""
    context = click.Context(main, info_name="codns")
    parts = [title("codns", 8, "cooperative DNS forwarding proxy")]
    parts += [".SH SYNOPSIS\n.B codns\n.I COMMAND\n[OPTIONS] [ARGUMENTS]"]
    parts += [".SH DESCRIPTION", "\n.PP\n".join(map(_paragraph, ABOUT.split("\n\n")))]
    parts += [".SH COMMANDS"]
    for words, command in commands(main, context):
        parts += describe(words, command)
    for heading, rows in (
        ("UNITS", SERVICE),
        ("SIGNALS", SIGNALS),
        ("EXIT STATUS", CODES),
        ("FILES", FILES),
    ):
        parts += [f".SH {heading}", *terms(rows)]
    parts += [".SH SEE ALSO\n.BR codns.yaml (5),\n.BR resolv.conf (5),\n.BR systemd.socket (5)"]
    return "\n".join(parts) + "\n"


# -- codns.yaml(5) --------------------------------------------------------------------------------


def commented() -> tuple[list[str], dict[str, tuple[list[str], str]]]:
    """Return the file's opening comment, and (comment, value) by dotted key of conf/codns.yaml."""
    opening: list[str] = []
    found: dict[str, tuple[list[str], str]] = {}
    section, comment = "", list[str]()
    for line in CONF.read_text("utf-8").splitlines():
        words = line.strip()
        if words.startswith("#"):
            comment.append(words[2:] if words != "#" else "")
        elif match := _KEY.match(line):
            section = section if match["indent"] else ""
            key = f"{section}.{match['key']}" if match["indent"] else match["key"]
            found[key] = comment, match["value"] or ""
            if not match["value"]:
                section = match["key"]
            comment = []
        else:
            if not found and not opening:
                opening = comment
            comment = []
    return opening, found


def allowed(kind: Any) -> list[str]:
    """Return what a type of the schema lets one write, in words."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return [_range(meta) for meta in kind.__metadata__]
    if origin is typing.Literal:
        return [str(value) for value in inner]
    if origin in (typing.Union, types.UnionType):
        return [word for part in inner for word in allowed(part)]
    if origin is tuple:
        return [f"a list of {', '.join(allowed(inner[0]))}"]
    if origin is dict:
        return [f"a mapping of {', '.join(allowed(inner[0]))}"]
    return ["null" if kind is types.NoneType else {"bool": "true, false"}.get(kind.__name__, "")]


def _range(meta: object) -> str:
    if isinstance(meta, units.Seconds | units.Duration):
        return f"{units.format_duration(meta.low)} to {units.format_duration(meta.high)}"
    if isinstance(meta, units.Count):
        return f"{meta.low} to {meta.high}"
    return {
        "Share": "a share",
        "Listen": "address:port",
        "Peer": "address:port",
        "Node": "nodes",
        "Nameserver": "addresses",
        "Subnet": "networks",
        "Zone": "zones",
        "Label": "text",
        "Place": "a path",
    }.get(type(meta).__name__, "text")


def keys(struct: type[msgspec.Struct] = schema.Config, before: str = "") -> Iterator[Key]:
    """Yield every key of the schema, with its comment; LookupError for one that has none."""
    _, found = commented()
    explained = False  # one comment may stand above two keys
    for field in msgspec.structs.fields(struct):
        path = f"{before}{field.encode_name}"
        if path not in found:
            raise LookupError(f"{path} is in the schema and not in {CONF.name}")
        comment, default = found[path]
        nested = isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
        explained = bool(comment) or (explained and bool(before))
        if not explained and default:
            raise LookupError(f"{path} has no comment in {CONF.name}")
        words = "" if nested else ", ".join(filter(None, allowed(field.type)))
        yield Key(path, comment, default, words)
        if nested and not default:
            yield from keys(field.type, f"{path}.")


def configuration() -> str:
    """Return codns.yaml(5)."""
    opening, _ = commented()
    about = [line for line in opening if not line.startswith("codns.yaml:")]
    parts = [title("codns.yaml", 5, "configuration of codns")]
    parts += [".SH DESCRIPTION", *(line or ".PP" for line in map(escape, about[1:]))]
    parts += [".SH KEYS"]
    for key in keys():
        if not key.default:
            parts += [f".SS {escape(key.path)}", *paragraphs(key.comment)]
            continue
        parts += [f".TP\n.B {escape(key.path)}", *paragraphs(key.comment)]
        if key.comment:
            parts += [".br"]
        parts += [f"Default: {escape(key.default)}" + (
            f". Values: {escape(key.allowed)}." if key.allowed else "."
        )]  # fmt: skip
    parts += [".SH FILES", *terms(CONFIGURED), ".SH SEE ALSO\n.BR codns (8)"]
    return "\n".join(parts) + "\n"


# -- completion -----------------------------------------------------------------------------------


def completions() -> dict[str, str]:
    """Return the text of each shell's file, by where it belongs under /usr/share."""
    places = {
        "bash-completion/completions/codns": BashComplete,
        "zsh/vendor-completions/_codns": ZshComplete,
        "fish/vendor_completions.d/codns.fish": FishComplete,
    }
    return {
        # Only `source` of bash asks for a bash; the text is the same without
        place: kind.source_template
        % kind(main, {}, "codns", "_CODNS_COMPLETE").source_vars()
        for place, kind in places.items()
    }  # fmt: skip


def write(folder: Path) -> None:
    """Write all of it as it is laid out under /usr/share."""
    pages = {"man/man8/codns.8.gz": manual(), "man/man5/codns.yaml.5.gz": configuration()}
    for place, text in {**pages, **completions()}.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        data = text.encode()
        # mtime 0: the same input gives the same file
        path.write_bytes(gzip.compress(data, mtime=0) if place.endswith(".gz") else data)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: generate.py FOLDER")
    write(Path(sys.argv[1]))
