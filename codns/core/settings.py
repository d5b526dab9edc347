"""What an operator may change, in the form `core` uses it: seconds, counts, wire names."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ZoneSettings:
    """A zone with nameservers of its own. `peers`: may its names be asked around the fleet?"""

    nameservers: tuple[str, ...]
    peers: bool = True


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one node.

    Nameservers are "192.0.2.1#53"; zones and private zones lower-case wire names; times seconds.
    """

    nameservers: tuple[str, ...] = ()
    zones: Mapping[bytes, ZoneSettings] = field(default_factory=dict)
    private_zones: tuple[bytes, ...] = ()
    cache_entries: int = 200_000
    cache_min_ttl_s: int = 0
    cache_max_ttl_s: int = 86_400
    cache_max_negative_ttl_s: int = 3_600
    cache_stale_s: int = 86_400
    cache_prefetch: bool = True
    probe: bool = True
