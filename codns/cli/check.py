"""`codns check`: is the configuration right, and what comes of it on this host?"""

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from codns.cli.output import Common, print_json, print_table
from codns.config import load, rules, site
from codns.config.problems import ConfigError
from codns.config.schema import Config
from codns.config.units import format_duration
from codns.master import membership
from codns.wire import name


@click.command()
@click.pass_context
def check(context: click.Context) -> None:
    """Check the configuration; print what is in effect, or every problem (exit code 2)."""
    common: Common = context.obj
    file = load.find(common.config, common.default_config)
    try:
        config = load.load(common.config, default=common.default_config)
        keys = len(_keys(config, file))
    except ConfigError as error:
        _print_problems(error, file, as_json=common.json)
        context.exit(2)
    here = site.resolve(config, common.places)
    warnings = [*rules.warnings(config), *here.warnings]
    if common.json:
        print_json(_as_json(file, config, here, warnings) | {"keys": keys, "me": _me(config)})
        return
    click.echo(f"ok: {file or 'no configuration file, all defaults'}")
    sys.stdout.flush()
    print_table([*_rows(config, here), *_cooperation(config, keys)])
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


def _keys(config: Config, file: Path | None) -> list[bytes]:
    """Return the cluster's keys, none without cooperation. ConfigError."""
    if config.peers.listen is None:
        return []
    try:
        return membership.load_keys(config.peers)
    except ConfigError as error:
        raise ConfigError([p._replace(source=str(file)) for p in error.problems]) from None


def _me(config: Config) -> str | None:
    """Return our own address as peers list it, as far as it can be told without DNS."""
    peers = config.peers
    return membership.own_address(peers, membership.literals(peers)) if peers.listen else None


def _print_problems(error: ConfigError, file: Path | None, *, as_json: bool) -> None:
    if as_json:
        problems = [problem._asdict() for problem in error.problems]
        print_json({"ok": False, "file": str(file), "problems": problems})
        return
    for problem in error.problems:
        click.echo(str(problem), err=True)


def _as_json(
    file: Path | None, config: Config, here: site.Site, warnings: list[str]
) -> dict[str, Any]:
    return {
        "ok": True,
        "file": str(file) if file else None,
        "config": msgspec.to_builtins(config),
        "nameservers": list(here.nameservers),
        "nameservers_from": here.origin,
        "private_zones": [name.to_text(zone) for zone in here.private_zones],
        "warnings": warnings,
    }


def _rows(config: Config, here: site.Site) -> list[tuple[str, str]]:
    """Return what is in effect, as people read it."""
    servers = ", ".join(here.nameservers) or "none"
    cache = config.cache
    low, high = format_duration(cache.min_ttl), format_duration(cache.max_ttl)
    kept = [
        f"{cache.entries} entries",
        f"TTL {low} to {high}",
        f"negative up to {format_duration(cache.max_negative_ttl)}",
        f"stale up to {format_duration(cache.stale)}" if cache.stale else "never stale",
        "prefetch" if cache.prefetch else "no prefetch",
    ]
    from_auto = " (auto)" if config.private_zones == "auto" else ""
    rows = [
        ("listen", f"{', '.join(config.listen)} (UDP and TCP)"),
        ("allow", ", ".join(config.allow)),
        ("rate limit", _limit(config)),
        ("nameservers", f"{servers} (from {here.origin})"),
        ("letters", "random (0x20)" if config.case_randomization else "lower case"),
        ("slaves", str(config.slaves)),
        ("private zones", f"{len(here.private_zones)}{from_auto}"),
        ("cache", ", ".join(kept)),
        ("probe", config.probe),
        ("http", _web(config)),
        ("control", config.control or "off"),
        ("log", _log(config)),
    ]
    for zone, settings in config.zones.items():
        own = settings.nameservers
        asked = "the site's nameservers" if isinstance(own, str) else ", ".join(own)
        rows.append((f"zone {zone}", asked + ("" if settings.peers else ", no peers")))
    return rows


def _limit(config: Config) -> str:
    limit = config.rate_limit
    if limit.queries is None:
        return "none"
    clients = f"for an IPv4 /{limit.ipv4_prefix} or IPv6 /{limit.ipv6_prefix}"
    free = f", not for {', '.join(limit.exempt)}" if limit.exempt else ""
    return f"{limit.queries} queries/s, {rules.burst_of(limit)} at once, {clients}{free}"


def _web(config: Config) -> str:
    http = config.http
    if http.listen is None:
        return "off"
    called = f", called {', '.join(http.hosts)} too" if http.hosts else ""
    return http.listen + called + (", names shown" if http.details else "")


def _log(config: Config) -> str:
    log = config.log
    return f"{log.level}, {log.format}" + (f", {log.queries:.3%} of queries" * (log.queries > 0))


def _cooperation(config: Config, keys: int) -> list[tuple[str, str]]:
    """Return the rows of what goes on with peers."""
    peers, race = config.peers, config.race
    if peers.listen is None:
        return [("peers", "off")]
    low, high = map(format_duration, (race.initial_delay_min, race.initial_delay))
    us = f"{_me(config)}, heard at {peers.listen} (UDP)"
    limits = f"up to {race.max_remote} peers a lookup, budget {100 * race.budget:g}%"
    return [
        ("peers", f"{len(peers.nodes)} in nodes, up to {peers.neighbours} neighbours"),
        ("this node", us + (f", site {peers.site}" if peers.site else "")),
        ("cluster", f"{peers.cluster}, {keys} key{'s' if keys > 1 else ''} in {peers.key_file}"),
        ("race", f"{race.policy}, initial delay {low} to {high}, {limits}"),
        ("state", config.state_dir or "not kept"),
    ]
