"""What an operator may change, in the form `core` uses it: seconds, counts, wire names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Overload = Literal["servfail", "drop"]
RacePolicy = Literal["codns2004", "adaptive", "off", "shadow"]


@dataclass(frozen=True, slots=True)
class ZoneSettings:
    """A zone with nameservers of its own. `peers`: may its names be asked around the fleet?"""

    nameservers: tuple[str, ...]
    peers: bool = True


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """What makes a node one of a fleet.

    `me` is this node's own listed address, "192.0.2.7:7353". `site` keeps nodes apart whose
    private nameserver addresses are alike and mean different machines (RULES 7.3). `neighbours`
    are wanted at most, each asked for a heartbeat every `heartbeat_s`; `version` is told to them.
    """

    me: str
    site: str | None = None
    neighbours: int = 10
    heartbeat_s: float = 2.0
    version: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one node.

    Nameservers are "192.0.2.1#53"; zones and private zones lower-case wire names; times seconds.
    Without `peers` there is no cooperation, and nothing of it costs anything.
    """

    nameservers: tuple[str, ...] = ()
    zones: Mapping[bytes, ZoneSettings] = field(default_factory=dict)
    private_zones: tuple[bytes, ...] = ()
    case_randomization: bool = False
    overload: Overload = "servfail"
    cache_entries: int = 200_000
    cache_min_ttl_s: int = 0
    cache_max_ttl_s: int = 86_400
    cache_max_negative_ttl_s: int = 3_600
    cache_stale_s: int = 86_400
    cache_prefetch: bool = True
    probe: bool = True
    peers: PeerSettings | None = None
    race_policy: RacePolicy = "adaptive"
    race_delay_s: float = 0.2
    race_delay_min_s: float = 0.01
    race_max_remote: int = 3
    race_budget: float = 0.1
