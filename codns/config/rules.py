"""What single values cannot show: settings that contradict each other."""

import ipaddress
from collections.abc import Container, Iterator, Sequence

from codns.config.problems import Problem, join
from codns.config.schema import Config
from codns.config.units import HOUR, format_duration, parse_endpoint, split_server


def contradictions(config: Config, wrong: Container[str] = ()) -> Iterator[Problem]:
    """Yield what does not go together in a configuration.

    `wrong` holds the paths of settings that are wrong already: a contradiction with the default
    that stands in for them is nobody's mistake.
    """
    cache = config.cache
    known = "cache.min_ttl" not in wrong and "cache.max_ttl" not in wrong
    if known and cache.min_ttl > cache.max_ttl:
        low, high = format_duration(cache.min_ttl), format_duration(cache.max_ttl)
        yield Problem("cache.min_ttl", f"{low} is more than cache.max_ttl, {high}")
    if "listen" in wrong:
        return
    yield from _twice(config.listen)
    if "nameservers" not in wrong:
        yield from _servers("nameservers", config.nameservers, config.listen)
    for zone, settings in config.zones.items():
        path = f"zones.{zone.removesuffix('.')}.nameservers"
        if path not in wrong:
            yield from _servers(path, settings.nameservers, config.listen)


def warnings(config: Config) -> list[str]:
    """Return what works but is seldom meant."""
    said = [
        f"allow: {network} lets the whole Internet ask: an open resolver"
        for network in map(ipaddress.ip_network, config.allow)
        if network.prefixlen == 0
    ]
    if config.cache.min_ttl > HOUR:
        said.append("cache.min_ttl: over 1h keeps addresses that services have left long ago")
    return said


def _twice(listen: Sequence[str]) -> Iterator[Problem]:
    places = [parse_endpoint(text) for text in listen]
    for position, (host, port) in enumerate(places):
        at = join("listen", position)
        text = listen[position]
        others = places[:position]
        wildcard = "::" if ":" in host else "0.0.0.0"  # noqa: S104 - compared, not bound
        if port == 0:  # any free port: never the same
            continue
        if (host, port) in others:
            yield Problem(at, f"{text} stands here twice")
        elif (wildcard, port) in places and host != wildcard:
            whole = listen[places.index((wildcard, port))]
            yield Problem(at, f"{text} is part of {whole}; leave one out")


def _servers(path: str, servers: str | Sequence[str], listen: Sequence[str]) -> Iterator[Problem]:
    if isinstance(servers, str):  # auto
        return
    # A wildcard address has every loopback address; this host's others are the loop check's
    # business (RULES 10.2), as only the kernel knows them
    own = set(map(parse_endpoint, listen))
    for position, server in enumerate(servers):
        if server in servers[:position]:
            yield Problem(join(path, position), f"{server} stands here twice")
        elif _reaches(split_server(server), own):
            yield Problem(join(path, position), f"{server} is codns itself: a loop; see listen")


def _reaches(server: tuple[str, int], own: set[tuple[str, int]]) -> bool:
    host, port = server
    wildcard = "::" if ":" in host else "0.0.0.0"  # noqa: S104 - compared, not bound
    return server in own or ((wildcard, port) in own and ipaddress.ip_address(host).is_loopback)
