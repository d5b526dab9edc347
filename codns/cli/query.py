"""`codns query`: what dig does, for the questions people have about a forwarder.

    codns query www.example                     127.0.0.1, type A
    codns query www.example AAAA @127.0.0.1:5300 --dnssec
    codns query -x 192.0.2.1

It shows what came back as it is: nothing is retried elsewhere, no search list is applied.
"""

from typing import Final

import click
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.reversename

from codns.cli import describe
from codns.cli.exchange import Reply, Server, ask
from codns.cli.output import (
    NEGATIVE,
    Common,
    Unreachable,
    duration,
    print_json,
    print_table,
)
from codns.config.units import parse_endpoint

DEFAULT_HOST: Final = "127.0.0.1"
TIMEOUT: Final = "5s"  # a stub's patience; codns answers within 4.5 s whatever happens


@click.command()
@click.argument("words", nargs=-1, metavar="NAME [TYPE] [@SERVER]")
@click.option("-x", "address", metavar="ADDRESS", help="Ask for the name of this address.")
@click.option("-p", "--port", type=click.IntRange(1, 65535), help="The server's port [53].")
@click.option("--tcp", is_flag=True, help="Ask by TCP from the start.")
@click.option("--dnssec", is_flag=True, help="Set DO: ask for signatures too.")
@click.option("--cd", is_flag=True, help="Set CD: no validation upstream.")
@click.option("--norecurse", is_flag=True, help="Clear RD: only what is in the cache.")
@click.option(
    "--bufsize",
    type=click.IntRange(0, 65535),
    default=1232,
    metavar="BYTES",
    help="Size of UDP answers we take [1232]; 0: no EDNS.",
)
@click.option(
    "--timeout", default=TIMEOUT, callback=duration, metavar="TIME", help="Wait so long [5s]."
)
@click.pass_context
def query(
    context: click.Context,
    words: tuple[str, ...],
    address: str | None,
    port: int | None,
    tcp: bool,
    dnssec: bool,
    cd: bool,
    norecurse: bool,
    bufsize: int,
    timeout: float,
) -> None:
    """Ask a nameserver and print its answer. TYPE is A, SERVER 127.0.0.1:53 if not given.

    Exit code 1: a negative answer (no such name, no such records, an error).
    3: no answer at all.
    """
    if timeout <= 0:
        raise click.BadParameter("0 is too short", param_hint="--timeout")
    server = _server([word[1:] for word in words if word.startswith("@")], port)
    qname, qtype = _question([word for word in words if not word.startswith("@")], address)
    message = dns.message.make_query(
        qname,
        qtype,
        use_edns=bufsize > 0 or dnssec,
        payload=bufsize or 1232,
        want_dnssec=dnssec,
    )
    message.flags |= dns.flags.AD  # RFC 6840 5.7: tell us whether it was validated
    message.flags |= dns.flags.CD if cd else 0
    if norecurse:
        message.flags &= ~dns.flags.RD
    wire = message.to_wire()
    reply = ask(server, wire, timeout, tcp=tcp)
    response, truncated = _parsed(reply, server), False
    if not tcp and response.flags & dns.flags.TC:
        truncated, tcp = True, True
        reply = ask(server, wire, timeout, tcp=True)
        response = _parsed(reply, server)
    common: Common = context.obj
    transport = "TCP" if tcp else "UDP"
    if common.json:
        _print_json(response, reply, server, transport, truncated=truncated)
    else:
        _print_text(response, reply, server, transport, truncated=truncated)
    if not _positive(response, qtype):
        context.exit(NEGATIVE)


def _server(said: list[str], port: int | None) -> Server:
    if len(said) > 1:
        raise click.UsageError("more than one @SERVER")
    if not said:
        return Server(DEFAULT_HOST, port or 53)
    try:
        host, own_port = parse_endpoint(said[0], port or 53)
    except ValueError as error:
        raise click.UsageError(f"@SERVER: {error}") from None
    return Server(host, port or own_port)


def _question(
    words: list[str], address: str | None
) -> tuple[dns.name.Name, dns.rdatatype.RdataType]:
    """Return qname and qtype of NAME [TYPE] or -x ADDRESS."""
    if address is not None:
        if words:
            raise click.UsageError("-x goes without a NAME")
        try:
            return dns.reversename.from_address(address), dns.rdatatype.PTR
        except (dns.exception.SyntaxError, ValueError):
            raise click.UsageError(f"-x: {address!r} is not an IP address") from None
    if not words:
        raise click.UsageError("what NAME?")
    if len(words) > 2:
        raise click.UsageError(f"what is {words[2]!r}? The form is NAME [TYPE] [@SERVER]")
    try:
        qname = dns.name.from_text(words[0], idna_codec=dns.name.IDNA_2003)
    except (dns.exception.DNSException, UnicodeError) as error:
        said = str(error).rstrip(".")
        raise click.UsageError(f"{words[0]!r} is not a domain name: {said}") from None
    return qname, _qtype(words[1] if len(words) > 1 else "A")


def _qtype(text: str) -> dns.rdatatype.RdataType:
    try:
        qtype = dns.rdatatype.from_text(text)
    except (dns.exception.DNSException, ValueError):
        said = "is not a record type; write A, MX or TYPE65280"
        raise click.UsageError(f"{text!r} {said}") from None
    if dns.rdatatype.is_metatype(qtype) and qtype != dns.rdatatype.ANY:
        raise click.UsageError(f"{text!r} is not a type that a forwarder answers")
    return qtype


def _parsed(reply: Reply, server: Server) -> dns.message.Message:
    try:
        return dns.message.from_wire(reply.wire)
    except (dns.exception.DNSException, ValueError) as error:
        said = str(error).rstrip(".") or type(error).__name__
        raise Unreachable(f"{server}: the answer makes no sense: {said}") from None


def _positive(response: dns.message.Message, qtype: dns.rdatatype.RdataType) -> bool:
    """Tell whether there are records of the type asked for."""
    if response.rcode() != dns.rcode.NOERROR:
        return False
    types = [rrset.rdtype for rrset in response.answer]
    return bool(types) if qtype == dns.rdatatype.ANY else qtype in types


def _print_json(
    response: dns.message.Message, reply: Reply, server: Server, transport: str, *, truncated: bool
) -> None:
    print_json(
        {
            "server": str(server),
            "transport": transport.lower(),
            "time_ms": round(reply.elapsed_s * 1000, 3),
            "size": len(reply.wire),
            "truncated_udp": truncated,
            **describe.as_json(response),
        }
    )


def _print_text(
    response: dns.message.Message, reply: Reply, server: Server, transport: str, *, truncated: bool
) -> None:
    if truncated:
        click.echo(";; truncated over UDP, asked again by TCP")
    for line in describe.header(response):
        click.echo(line)
    asked = describe.question(response)
    if asked:
        click.echo(f";; question\n;{' '.join(asked)}")
    for which in describe.SECTIONS:
        rows = list(describe.records(describe.section(response, which)))
        if rows:
            click.echo(f";; {which}")
            print_table(rows)
    took = f"{reply.elapsed_s * 1000:.1f} ms"
    click.echo(f";; {took}, {len(reply.wire)} bytes, {transport}, from {server}")
