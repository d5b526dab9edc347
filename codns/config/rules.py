"""What single values cannot show: settings that contradict each other."""

import ipaddress
from collections.abc import Container, Iterator, Sequence
from typing import Final

from codns.config.problems import Problem, join
from codns.config.schema import Config, PeersSettings, RateSettings
from codns.config.units import HOUR, format_duration, is_name, parse_endpoint, split_server

NAMES_MAX: Final = 256  # each is asked for every 30 s at the most: 10 queries a second


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
    race = config.race
    known = "race.initial_delay" not in wrong and "race.initial_delay_min" not in wrong
    if known and race.initial_delay_min > race.initial_delay:
        low, high = map(format_duration, (race.initial_delay_min, race.initial_delay))
        yield Problem("race.initial_delay_min", f"{low} is more than race.initial_delay, {high}")
    yield from _peers(config, wrong)
    if "listen" in wrong:
        return
    if config.http.listen and "http.listen" not in wrong:
        yield from _web(config.http.listen, config.listen)
    yield from _twice(config.listen)
    if "nameservers" not in wrong:
        yield from _servers("nameservers", config.nameservers, config.listen)
    for zone, settings in config.zones.items():
        path = f"zones.{zone.removesuffix('.')}.nameservers"
        if path not in wrong:
            yield from _servers(path, settings.nameservers, config.listen)


def burst_of(limit: RateSettings) -> int:
    """Return how many queries a client may ask at once: two seconds' worth, if auto."""
    return 2 * (limit.queries or 0) if limit.burst == "auto" else limit.burst


def warnings(config: Config) -> list[str]:
    """Return what works but is seldom meant."""
    said = [
        f"allow: {network} lets the whole Internet ask: an open resolver"
        for network in map(ipaddress.ip_network, config.allow)
        if network.prefixlen == 0
    ]
    if config.cache.min_ttl > HOUR:
        said.append("cache.min_ttl: over 1h keeps addresses that services have left long ago")
    said += _unlimited(config)
    peers, http = config.peers, config.http
    if peers.listen:
        said += _seldom_meant(peers, peers.listen)
    if http.listen and http.details and not is_loopback(parse_endpoint(http.listen)[0]):
        said.append(f"http.details: whoever reaches {http.listen} sees what names are asked for")
    return said


def _unlimited(config: Config) -> Iterator[str]:
    """Yield why a rate limit that was written down limits nobody."""
    limit = config.rate_limit
    if limit.queries is None:
        if limit != RateSettings():
            yield "rate_limit: without rate_limit.queries nobody is limited"
        return
    exempt = [ipaddress.ip_network(text) for text in limit.exempt]
    if all(any(_within(network, free) for free in exempt) for network in config.allow):
        yield "rate_limit.exempt: holds all of allow, so nobody is limited"


def _within(network: str, other: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    inner = ipaddress.ip_network(network)
    if isinstance(inner, ipaddress.IPv4Network):
        return isinstance(other, ipaddress.IPv4Network) and inner.subnet_of(other)
    return isinstance(other, ipaddress.IPv6Network) and inner.subnet_of(other)


def is_loopback(host: str) -> bool:
    """Tell whether only this host reaches an address."""
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback


def _seldom_meant(peers: PeersSettings, listen: str) -> Iterator[str]:
    if not peers.nodes:
        yield "peers.nodes: empty, so there is nobody to cooperate with"
    host, port = parse_endpoint(listen)
    if peers.advertise and parse_endpoint(peers.advertise)[1] != port:
        yield f"peers.advertise: another port than peers.listen, {port}: translated on the way?"
    strangers = [] if host == "::" and not peers.advertise else list(_strangers(peers, listen))
    if strangers:
        more = f" and {len(strangers) - 1} more" if len(strangers) > 1 else ""
        own = peers.advertise or listen
        yield f"peers.nodes: not of the family of {own}, so left out: {strangers[0]}{more}"


def _peers(config: Config, wrong: Container[str]) -> Iterator[Problem]:
    peers = config.peers
    if "peers.listen" not in wrong:
        if peers.listen is None:
            if peers.nodes:
                yield Problem(
                    "peers.nodes", 'without peers.listen nobody is asked; "0.0.0.0:7353" is usual'
                )
        else:
            yield from _listening(config, peers.listen, wrong)
    for position, node in enumerate(peers.nodes):
        if node in peers.nodes[:position]:
            yield Problem(join("peers.nodes", position), f"{node} stands here twice")
    names = sum(map(is_name, peers.nodes))
    if names > NAMES_MAX:
        text = f"{names} names; at most {NAMES_MAX} are asked for: use one srv: name for them"
        yield Problem("peers.nodes", text)


def _listening(config: Config, listen: str, wrong: Container[str]) -> Iterator[Problem]:
    peers = config.peers
    if peers.key_file is None and "peers.key_file" not in wrong:
        yield Problem(
            "peers.key_file",
            "peers.listen needs a key: `codns keygen /etc/codns/cluster.key` makes the file; the"
            " same one goes to every node",
        )
    host, port = parse_endpoint(listen)
    if "listen" not in wrong and _taken(host, port, config.listen):
        yield Problem("peers.listen", f"{listen} is where clients are heard: choose another port")
    if peers.advertise and ":" in parse_endpoint(peers.advertise)[0] and ":" not in host:
        text = f"{peers.advertise} cannot be reached through {listen}: listen on [::]"
        yield Problem("peers.advertise", text)


def _web(web: str, listen: Sequence[str]) -> Iterator[Problem]:
    """HTTP has no place where DNS over TCP has one."""
    host, port = parse_endpoint(web)
    if port and _taken(host, port, listen):
        yield Problem("http.listen", f"{web} is where clients are heard: choose another port")


def _strangers(peers: PeersSettings, listen: str) -> Iterator[str]:
    """Yield the nodes that this one could never talk to, where the file alone shows it."""
    host = parse_endpoint(peers.advertise or listen)[0]
    for node in peers.nodes:
        if not is_name(node) and (":" in parse_endpoint(node)[0]) != (":" in host):
            yield node


def _taken(host: str, port: int, listen: Sequence[str]) -> bool:
    """Tell whether clients' sockets have this address, or one of them with a wildcard."""
    return any(
        port == other_port and (host == other or {host, other} & {"0.0.0.0", "::"})  # noqa: S104
        for other, other_port in map(parse_endpoint, listen)
    )


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
