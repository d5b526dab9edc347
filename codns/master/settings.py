"""What the parts of a node need to know of the configuration."""

import os
from typing import Final

from codns.config.schema import Config
from codns.config.site import Site
from codns.core.settings import PeerSettings, Settings, ZoneSettings

SLAVES_MIN: Final = 2  # one can die without a pause
SLAVES_MAX: Final = 4  # the master is one process: it cannot keep more of them busy


def settings_of(config: Config, site: Site, peers: PeerSettings | None = None) -> Settings:
    """Return what `core` needs of the configuration; `peers` is `Cooperation.settings()`."""
    cache, race = config.cache, config.race
    return Settings(
        nameservers=site.nameservers,
        zones={
            name: ZoneSettings(zone.nameservers or site.nameservers, zone.peers)
            for name, zone in site.zones.items()
        },
        private_zones=site.private_zones,
        case_randomization=config.case_randomization,
        overload=config.overload,
        cache_entries=cache.entries,
        cache_min_ttl_s=cache.min_ttl,
        cache_max_ttl_s=cache.max_ttl,
        cache_max_negative_ttl_s=cache.max_negative_ttl,
        cache_stale_s=cache.stale,
        cache_prefetch=cache.prefetch,
        probe=config.probe == "auto",
        peers=peers,
        race_policy=race.policy,
        race_delay_s=race.initial_delay,
        race_delay_min_s=race.initial_delay_min,
        race_max_remote=race.max_remote,
        race_budget=race.budget,
    )


def slaves_of(config: Config) -> int:
    """Return how many slaves to start."""
    if config.slaves == "auto":
        return min(max(SLAVES_MIN, os.cpu_count() or 1), SLAVES_MAX)
    return config.slaves
