"""The configuration: every key, its type, its range and its default.

Keys are added when what they set works, and not before: a key that does nothing is worse than an
error that says it is unknown. Adding one is a line here and a commented line in
`conf/codns.yaml`; reading, problems, `codns check` and the tests follow from the types.
Units: every duration is kept in seconds.
"""

from typing import Annotated, Literal

from msgspec import Struct, field

from codns.config.units import (
    DAY,
    HOUR,
    Count,
    Listen,
    Nameserver,
    Seconds,
    Subnet,
    Zone,
)

Auto = Literal["auto"]
Servers = tuple[Annotated[str, Nameserver()], ...]


class CacheSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept of answers, and how long (RULES 3)."""

    # Entries at most; the oldest unused leave first. About 1 KiB each.
    entries: Annotated[int, Count(1, 10_000_000)] = 200_000
    # Answers are kept at least this long, whatever their TTL. Over 0 breaks fast failovers.
    min_ttl: Annotated[int, Seconds(0, DAY)] = 0
    # Answers are kept at most this long. RFC 8767 4: cap it at 7 days.
    max_ttl: Annotated[int, Seconds(1, 7 * DAY)] = DAY
    # "No such name" is kept at most this long. RFC 2308 5: 1 to 3 hours, never over a day.
    max_negative_ttl: Annotated[int, Seconds(0, DAY)] = HOUR
    # Expired answers may serve this long while nothing better is to be had (RFC 8767); 0: never.
    stale: Annotated[int, Seconds(0, 7 * DAY)] = DAY
    # Refresh popular answers before they expire.
    prefetch: bool = True


class LogSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What is logged, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class ZoneSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """A zone that is resolved in its own way."""

    # Who is asked for names in this zone; auto: the same as for all others.
    nameservers: Auto | Servers = "auto"
    # May peers be asked for names in this zone?
    peers: bool = True


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of it. Without any file everything has its default."""

    # Where queries are answered, UDP and TCP, as "address:port".
    listen: tuple[Annotated[str, Listen()], ...] = ("127.0.0.1:53", "[::1]:53")
    # Networks that may ask; others get no answer at all.
    allow: tuple[Annotated[str, Subnet()], ...] = ("127.0.0.0/8", "::1/128")
    # The site's nameservers, as "address#port"; auto: from resolv.conf, codns itself left out.
    nameservers: Auto | Servers = "auto"
    # Worker processes that talk to nameservers.
    slaves: Auto | Annotated[int, Count(1, 64)] = "auto"
    # Zones that stay at this site; auto: search domains, reverse of private ranges, lan ...
    private_zones: Auto | tuple[Annotated[str, Zone()], ...] = "auto"
    zones: dict[Annotated[str, Zone()], ZoneSettings] = field(default_factory=dict)
    cache: CacheSettings = CacheSettings()
    log: LogSettings = LogSettings()
