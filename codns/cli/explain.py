"""`codns explain NAME [TYPE]`: how this lookup would be raced now, and how it was lately."""

from pathlib import Path
from typing import Any, Final

import click
import dns.exception
import dns.name
import dns.rcode
import dns.rdatatype

from codns.cli import control, timeline
from codns.cli.output import Common, print_json
from codns.cli.peers import state
from codns.cli.screen import Cell, Row, Section, show
from codns.cli.status import PATH_STYLES
from codns.cli.words import NOTHING, lasted, took

Told = dict[str, Any]

RACES_MAX: Final = 5  # of the 64 kept: the last ones are what somebody asks about
NAMESERVERS_MAX: Final = 4  # a line of them

ORIGINS: Final = {
    "local": "our own nameserver's",
    "raised": "our own nameserver's, TTL raised by cache.min_ttl",
    "peer": "a peer's",
}
HEADER: Final = ("", "peer", "asked?", "RTT", "nameserver", "score", "weight")


@click.command(
    params=[
        *control.common_options(),
        click.Option(["--dnssec"], is_flag=True, help="As for a query with DO."),
        click.Option(["--cd"], is_flag=True, help="As for a query with CD."),
        click.Argument(["name"]),
        click.Argument(["qtype"], metavar="[TYPE]", default="A"),
    ]
)
@click.pass_obj
def explain(
    common: Common, path: Path | None, dnssec: bool, cd: bool, name: str, qtype: str
) -> None:
    """Tell how the daemon would answer NAME now, and how it did lately. TYPE is A if not given."""
    number = _qtype(qtype)
    query = {"name": _name(name), "type": int(number), "do": int(dnssec), "cd": int(cd)}
    told = control.daemon(common, path).get("/v1/explain", **query)
    if common.json:
        print_json(told)
        return
    sections = [Section(f"{told['name']} {qtype_text(told['type'])}", _now(told))]
    said = told["cooperation"]
    if said is not None:
        sections += _race(said)
    races = told.get("races", [])[-RACES_MAX:]
    sections += [
        Section(timeline.header(race, qtype_text(race["type"])), timeline.rows(race))
        for race in reversed(races)
    ]
    show(sections)
    if said is not None and not races:
        click.echo("\nno recent race of this name in which a peer was asked")


def qtype_text(number: int) -> str:
    """Return "A" or "TYPE65280"."""
    return dns.rdatatype.to_text(dns.rdatatype.RdataType.make(number))


def _qtype(text: str) -> dns.rdatatype.RdataType:
    try:
        return dns.rdatatype.from_text(text)
    except (dns.exception.DNSException, ValueError):
        said = "is not a record type; write A, MX or TYPE65280"
        raise click.UsageError(f"{text!r} {said}") from None


def _name(text: str) -> str:
    try:
        return dns.name.from_text(text, idna_codec=dns.name.IDNA_2003).to_text()
    except (dns.exception.DNSException, UnicodeError) as error:
        said = str(error).rstrip(".")
        raise click.UsageError(f"{text!r} is not a domain name: {said}") from None


def _now(told: Told) -> list[Row]:
    """Return the rows of what is known without asking anybody."""
    rows: list[Row] = []
    if told["special"]:
        rows.append(("special", "answered by codns itself, always"))
    rows.append(("cache", cached(told["cache"])))
    if told["in_flight"]:
        rows.append(("in flight", "asked for just now: a query joins it"))
    failed = [path for path, known in told["failures"].items() if known]
    if failed:
        rows.append(("failed", (f"lately, by way of {' and '.join(failed)}: remembered", "warn")))
    servers = told["nameservers"]
    more = f" and {len(servers) - NAMESERVERS_MAX} more" if len(servers) > NAMESERVERS_MAX else ""
    rows.append(("nameservers", ", ".join(servers[:NAMESERVERS_MAX]) + more or ("none", "bad")))
    if told["cooperation"] is None:
        rows.append(("peers", ("none: peers.listen is not set", "weak")))
    return rows


def cached(entry: Told | None) -> Cell:
    """Return a cache entry in words."""
    if entry is None:
        return "not there", "weak"
    rcode = dns.rcode.to_text(dns.rcode.Rcode.make(entry["rcode"]))
    if entry["negative"] and not entry["rcode"]:
        rcode = "no such records"
    left = entry["left_s"]
    age = f"{left:.0f} s of {entry['ttl_s']} s left" if left > 0 else f"expired {-left:.0f} s ago"
    every = ", for all types" if entry.get("for_all_types") else ""
    origin = ORIGINS.get(entry["origin"], entry["origin"])
    hits = "1 hit" if entry["hits"] == 1 else f"{entry['hits']} hits"
    text = f"{entry['state']}: {rcode}{every}, {age}, {hits}, {origin} word"
    return text, "good" if entry["state"] == "fresh" else "warn"


def _race(said: Told) -> list[Section]:
    """Return how a race for it would go."""
    if not said["raced"] and "path" not in said:
        return [Section("race", [("none", (said["because"], "warn"))])]
    delay, budget, path = said["initial_delay"], said["budget"], said["path"]
    wait, left = delay["delay"], said["slow_domain_for_s"]
    rows: list[Row] = [] if said["raced"] else [("none", (said["because"], "warn"))]
    rows += [
        ("local path", judgement(path)),
        ("initial delay", _delay(delay, path)),
        ("peers leave", _schedule(wait, said["spread_s"], said["max_remote"])),
        ("budget", _budget(budget)),
        (
            "slow domain",
            (f"yes: slow for everybody, peers are not asked for {lasted(left)}", "warn")
            if left
            else "no",
        ),
    ]
    rows = rows if wait is not None else [row for row in rows if row[0] != "peers leave"]
    peers: list[Row] = []
    place = 0
    for peer in said["peers"]:
        asked = peer["why"] == "eligible"
        place += asked
        peers.append(
            (
                f"{place}." if asked else "",
                (peer["peer"], "strong" if asked else "weak"),
                state(peer),
                took(peer["rtt_s"]),
                took(peer["nameserver_s"]),
                took(peer["score_s"]),
                (peer["weight"][:6], "weak"),
            )
        )
    return [
        Section("race", rows),
        Section("neighbours, in the order in which this name asks them", peers, HEADER, (3, 4, 5)),
    ]


def judgement(path: Told) -> Cell:
    """Return what is thought of the local path, and why."""
    samples = path["samples"]
    seen = ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in samples.items() if n)
    text = f"{path['state']} for {lasted(path.get('for_s', path.get('for')))} ({path['why']})"
    if path["state"] == "recovering":
        text += f", {path['share']:.0%} of lookups go there"
    return f"{text}; last samples: {seen or NOTHING}", PATH_STYLES.get(path["state"], "")


def _delay(delay: Told, path: Told) -> str:
    if delay["delay"] is None:
        return f"none: race.policy is {delay['policy']}"
    text = f"{took(delay['delay'])}, policy {delay['policy']}"
    if path["state"] == "failing":
        return text + ": the local path is failing, so peers go first"
    if delay.get("samples"):
        at = f"{delay['above']:.0%} took longer, the median {took(delay['median'])}"
        return f"{text}: of {delay['samples']} local lookups {at}"
    if "clean" in delay:
        won = f"peers won {delay['remote_won']} of the last {delay['of']}"
        return f"{text}: {delay['clean']} clean lookups in a row, {won}"
    return text


def _schedule(wait: float | None, spread: float, most: int) -> str:
    """Return when peers would be asked: RULES 5.1."""
    if wait is None:
        return NOTHING
    gap = max(2 * wait, spread)
    times = [wait, wait + gap, wait + 3 * gap, wait + 7 * gap, wait + 15 * gap][:most]
    return f"{', '.join(map(took, times))} after the local query, unless an answer is there"


def _budget(budget: Told) -> Cell:
    text = f"{budget['tokens']:.1f} of {budget['capacity']:.0f} tokens, {budget['per_miss']:g}"
    text += f" for each miss; {budget['taken']} taken, {budget['refunded']} given back"
    text += f", lately {budget['pays']:.0%}"
    if budget["denied"]:
        text += f", {budget['denied']} times none was left"
    return text, "" if budget["tokens"] >= 1 else "warn"
