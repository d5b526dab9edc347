"""What `auto` comes to on this host: the nameservers and private zones in effect."""

from pathlib import Path
from typing import NamedTuple

from codns.config import private
from codns.config.resolvconf import Fingerprint, Places, discover, fingerprint
from codns.config.schema import Config
from codns.wire import name


class ZoneSite(NamedTuple):
    """A zone with nameservers of its own (empty: the site's)."""

    nameservers: tuple[str, ...]
    peers: bool


class Site(NamedTuple):
    """The configuration's `auto` values, resolved.

    `nameservers` as "192.0.2.1#53", `origin` is where they are from (a file's path or
    "configuration"); `zones` and `private_zones` by lower-case wire name; `watched` are the files
    whose change calls for another look. `unread`: one of them could not be read for now.
    """

    nameservers: tuple[str, ...]
    origin: str
    zones: dict[bytes, ZoneSite]
    private_zones: tuple[bytes, ...]
    warnings: tuple[str, ...]
    watched: tuple[Path, ...]
    unread: bool = False


def resolve(config: Config, places: Places | None = None) -> Site:
    """Return what is in effect here and now. Reads resolv.conf; never raises for what it holds."""
    automatic = config.nameservers == "auto"
    need = automatic or config.private_zones == "auto"
    found = discover(own=config.listen, places=places) if need else None
    if found and automatic:
        nameservers, origin = tuple(found.nameservers), str(found.source)
        warnings = tuple(found.warnings)
    else:
        nameservers, origin, warnings = _explicit(config.nameservers), "configuration", ()
    if config.private_zones == "auto":
        zones = private.automatic(found.search if found else ())
    else:
        zones = private.wire_names(config.private_zones)
    return Site(
        nameservers,
        origin,
        {
            name.from_text(zone): ZoneSite(_explicit(z.nameservers), z.peers)
            for zone, z in config.zones.items()
        },
        zones,
        warnings,
        found.watched if found else (),
        found.unread if found else False,
    )


def fingerprints(site: Site) -> tuple[Fingerprint, ...]:
    """Return what changes when a watched file changes; cheap enough to poll each second."""
    return tuple(map(fingerprint, site.watched))


def _explicit(servers: str | tuple[str, ...]) -> tuple[str, ...]:
    return () if isinstance(servers, str) else servers
