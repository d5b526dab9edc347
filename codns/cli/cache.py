"""`codns cache lookup|flush|dump`: what the running daemon remembers.

The daemon gives each entry as a whole DNS message; it is read here, so that a dump of a large
cache costs the daemon little.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import dns.exception
import dns.flags
import dns.message
import dns.rcode

from codns.cli import control, describe
from codns.cli.explain import ORIGINS, qtype_text
from codns.cli.output import NEGATIVE, Common, print_json
from codns.cli.screen import Row, Section, show
from codns.cli.words import count

Told = dict[str, Any]
SECTIONS: Final = ("answer", "authority")


@click.group()
def cache() -> None:
    """Look into the running daemon's cache, or flush it."""


@cache.command(params=[*control.common_options(), click.Argument(["name"])])
@click.pass_context
def lookup(context: click.Context, path: Path | None, name: str) -> None:
    """Tell everything that is kept for NAME, of whatever type. Exit code 1: nothing is."""
    common: Common = context.obj
    found = list(control.daemon(common, path).lines("/v1/cache/lookup", name=name))
    found.sort(key=lambda entry: (entry["type"] or 0, entry["do"], entry["cd"]))
    if common.json:
        print_json([_as_json(entry) for entry in found])
    elif found:
        show([Section(_title(entry), _records(entry)) for entry in found])
    else:
        click.echo(f"nothing is kept for {name}")
    context.exit(0 if found else NEGATIVE)


@cache.command(
    params=[
        *control.common_options(),
        click.Option(["--zone"], is_flag=True, help="All names below NAME, too."),
        click.Option(["--all", "everything"], is_flag=True, help="Everything."),
        click.Argument(["name"], required=False),
    ]
)
@click.pass_obj
def flush(
    common: Common, path: Path | None, zone: bool, everything: bool, name: str | None
) -> None:
    """Forget what is kept for NAME, remembered failures included."""
    if everything == (name is not None) or (everything and zone):
        raise click.UsageError("say NAME, --zone NAME or --all")
    query = {"all": 1} if name is None else {"zone" if zone else "name": name}
    said = control.daemon(common, path).post("/v1/cache/flush", **query)
    if common.json:
        print_json(said)
    else:
        flushed = said["flushed"]
        click.echo(f"{count(flushed)} {'entry' if flushed == 1 else 'entries'} flushed")


@cache.command(params=control.common_options())
@click.pass_obj
def dump(common: Common, path: Path | None) -> None:
    """Print all that is kept, as records with comments; with --json one object a line."""
    for entry in control.daemon(common, path).lines("/v1/cache"):
        if common.json:
            click.echo(json.dumps(_as_json(entry), ensure_ascii=False))
            continue
        click.echo(f"; {_title(entry)}")
        for row in _records(entry):
            click.echo("\t".join(map(str, row)))


def _message(entry: Told) -> dns.message.Message | None:
    try:
        return dns.message.from_wire(bytes.fromhex(entry["wire"]))
    except (dns.exception.DNSException, ValueError):
        return None  # what dnspython cannot read may well be served


def _title(entry: Told) -> str:
    """Return "www.example. A DO: fresh, NOERROR, 12 hits, our own nameserver's"."""
    kind = "all types" if entry["type"] is None else qtype_text(entry["type"])
    flags = "".join(f" {flag.upper()}" for flag in ("do", "cd") if entry[flag])
    rcode = dns.rcode.to_text(dns.rcode.Rcode.make(entry["rcode"]))
    if entry["negative"] and not entry["rcode"]:
        rcode = "no such records"
    left = entry["left_s"]
    age = f"{left:.0f} s left" if left > 0 else f"expired {-left:.0f} s ago"
    origin = ORIGINS.get(entry["origin"], entry["origin"])
    hits = f"{count(entry['hits'])} hits"
    return f"{entry['name']} {kind}{flags}: {entry['state']}, {rcode}, {age}, {hits}, {origin}"


def _rows(entry: Told) -> Iterator[tuple[str, tuple[str, str, str, str, str]]]:
    message = _message(entry)
    for which in SECTIONS if message is not None else ():
        assert message is not None
        for row in describe.records(describe.section(message, which)):
            yield which, row


def _records(entry: Told) -> list[Row]:
    return [row for _, row in _rows(entry)]


def _as_json(entry: Told) -> Told:
    kind = None if entry["type"] is None else qtype_text(entry["type"])
    told = {
        **entry,
        "type": kind,
        "rcode": dns.rcode.to_text(dns.rcode.Rcode.make(entry["rcode"])),
    }
    del told["wire"]
    for which in SECTIONS:
        told[which] = []
    for which, (name, ttl, rdclass, rdtype, data) in _rows(entry):
        told[which].append(
            {"name": name, "ttl": int(ttl), "class": rdclass, "type": rdtype, "data": data}
        )
    return told
