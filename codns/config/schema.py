"""The configuration: every key, its type, its range and its default.

Keys are added when what they set works, and not before: a key that does nothing is worse than an
error that says it is unknown. Adding one is a line here and a commented line in
`conf/codns.yaml`; reading, problems, `codns check` and the tests follow from the types.
Units: every duration is kept in seconds.
"""

from typing import Annotated, Literal

from msgspec import Struct, field

from codns.config.paths import CONTROL
from codns.config.units import (
    DAY,
    HOUR,
    HTTP_PORT,
    PEER_PORT,
    Count,
    Duration,
    HttpHost,
    Label,
    Listen,
    Nameserver,
    Node,
    Peer,
    Place,
    Seconds,
    Share,
    SocketPlace,
    Subnet,
    Zone,
)

Auto = Literal["auto"]
Servers = tuple[Annotated[str, Nameserver()], ...]


class RateSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What one client may ask (RULES 1.1); UDP and TCP are counted apart."""

    # Queries a second of one client; null: no limit.
    queries: Annotated[int, Count(1, 1_000_000)] | None = None
    # So many at once, after it was quiet; auto: what comes in two seconds.
    burst: Auto | Annotated[int, Count(1, 10_000_000)] = "auto"
    # Addresses with as many leading bits in common are one client.
    ipv4_prefix: Annotated[int, Count(16, 32)] = 32
    ipv6_prefix: Annotated[int, Count(48, 128)] = 64
    # Networks that are not limited.
    exempt: tuple[Annotated[str, Subnet()], ...] = ()


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


class RaceSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """When peers are asked, and how much of that is too much (RULES 5)."""

    # How the initial delay is found; off never asks peers, shadow decides and sends nothing.
    policy: Literal["adaptive", "codns2004", "off", "shadow"] = "adaptive"
    # How long the local nameserver has at most before a peer is asked. CoDNS 3.2.
    initial_delay: Annotated[float, Duration(0.001, 1)] = 0.2
    # ... and at least, while it is healthy: its own cache needs 1 to 5 ms.
    initial_delay_min: Annotated[float, Duration(0, 1)] = 0.01
    # Peers asked for one lookup at most; CoDNS 4.3: the fourth is unlikely to help.
    max_remote: Annotated[int, Count(1, 5)] = 3
    # Remote queries that turn out wasted, as a share of local misses.
    budget: Annotated[float, Share()] = 0.1


class PeersSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The other nodes (RULES 7 and 8)."""

    # Where peers are heard, UDP; null: no cooperation.
    listen: Annotated[str, Listen(PEER_PORT, fixed=True)] | None = None
    # Our address as the others list it; null: see master/fleet.py.
    advertise: Annotated[str, Peer()] | None = None
    # The fleet: addresses, host names or "srv:" names. Ourselves may be among them.
    nodes: tuple[Annotated[str, Node()], ...] = ()
    # The keys that make a node a member, as `codns keygen` writes them.
    key_file: Annotated[str, Place()] | None = None
    # Told apart from other fleets with the same key by this.
    cluster: Annotated[str, Label(32)] = "default"
    # Where private nameserver addresses mean the same machines.
    site: Annotated[str, Label(64)] | None = None
    # Peers that are watched and asked. RULES 7.1.
    neighbours: Annotated[int, Count(1, 64)] = 10
    # How often each of them is asked how it is. RULES 7.2.
    heartbeat: Annotated[float, Duration(0.2, 60)] = 2.0


class HttpSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Metrics, health and the status page, for whoever can connect."""

    # Where they are served, TCP; null: nowhere.
    listen: Annotated[str, Listen(HTTP_PORT)] | None = "127.0.0.1:9853"
    # Names that requests may use for this host beside its address; "*.example.net" is allowed.
    hosts: tuple[Annotated[str, HttpHost()], ...] = ()
    # Show the names that clients ask for, too.
    details: bool = False


class LogSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What is logged, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"
    # The share of queries that are logged, with their names and clients.
    queries: Annotated[float, Share()] = 0.0


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
    rate_limit: RateSettings = RateSettings()
    # The site's nameservers, as "address#port"; auto: from resolv.conf, codns itself left out.
    nameservers: Auto | Servers = "auto"
    # Ask nameservers in random upper and lower case and want it back (DNS 0x20): a bit more to
    # guess for each letter of a name. unbound: use-caps-for-id.
    case_randomization: bool = False
    # Worker processes that talk to nameservers.
    slaves: Auto | Annotated[int, Count(1, 64)] = "auto"
    # Zones that stay at this site; auto: search domains, reverse of private ranges, lan ...
    private_zones: Auto | tuple[Annotated[str, Zone()], ...] = "auto"
    # What a query gets that is one too many: SERVFAIL (EDE 0), or nothing. Over TCP SERVFAIL.
    overload: Literal["servfail", "drop"] = "servfail"
    zones: dict[Annotated[str, Zone()], ZoneSettings] = field(default_factory=dict)
    cache: CacheSettings = CacheSettings()
    race: RaceSettings = RaceSettings()
    # Ask the nameservers now and then, so that their health is known before a client waits.
    probe: Literal["auto", "off"] = "auto"
    peers: PeersSettings = PeersSettings()
    # Where the last good list of peers and the learned zones are kept; null: nowhere.
    state_dir: Annotated[str, Place()] | None = "/var/lib/codns"
    http: HttpSettings = HttpSettings()
    # The Unix socket on which `codns status` and the like speak to the daemon; null: none.
    control: Annotated[str, SocketPlace()] | None = CONTROL
    log: LogSettings = LogSettings()
