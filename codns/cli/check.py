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
from codns.wire import name


@click.command()
@click.pass_context
def check(context: click.Context) -> None:
    """Check the configuration; print what is in effect, or every problem (exit code 2)."""
    common: Common = context.obj
    file = load.find(common.config, common.default_config)
    try:
        config = load.load(common.config, default=common.default_config)
    except ConfigError as error:
        _print_problems(error, file, as_json=common.json)
        context.exit(2)
    here = site.resolve(config, common.places)
    warnings = [*rules.warnings(config), *here.warnings]
    if common.json:
        print_json(_as_json(file, config, here, warnings))
        return
    click.echo(f"ok: {file or 'no configuration file, all defaults'}")
    sys.stdout.flush()
    print_table(_rows(config, here))
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


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
        ("nameservers", f"{servers} (from {here.origin})"),
        ("slaves", str(config.slaves)),
        ("private zones", f"{len(here.private_zones)}{from_auto}"),
        ("cache", ", ".join(kept)),
        ("log", f"{config.log.level}, {config.log.format}"),
    ]
    for zone, settings in config.zones.items():
        own = settings.nameservers
        asked = "the site's nameservers" if isinstance(own, str) else ", ".join(own)
        rows.append((f"zone {zone}", asked + ("" if settings.peers else ", no peers")))
    return rows
