"""A scenario file: every key, its type, its range and its default.

`conf/simulations/` has examples that say more. A scenario describes sites (nodes that share their
nameservers), how nameservers behave and fail, how far nodes are apart, what clients ask for, and
what breaks when. Units: durations are kept in seconds; a latency is a log-normal distribution
told by its median and its 99th percentile, which is what people know of one.
"""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from msgspec import Struct, field

from codns.config.problems import shown
from codns.config.schema import CacheSettings, RaceSettings
from codns.config.units import DAY, Count, Duration, Label, Share

WEEK: Final = 7 * DAY
NODES_MAX: Final = 20_000  # twice the largest fleet anybody asked for; 1 GiB


@dataclass(frozen=True)
class Number:
    """A plain number, kept as float."""

    low: float
    high: float

    def read(self, value: object) -> float:
        """Return the number."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{shown(value)} is not a number")  # noqa: TRY004 - as all kinds
        if not self.low <= value <= self.high:
            raise ValueError(f"{shown(value)} is out of range: {self.low:g} to {self.high:g}")
        return float(value)


Span = Annotated[float, Duration(0, 52 * WEEK)]
Part = Annotated[float, Share()]
Word = Annotated[str, Label(64)]
Positive = Annotated[float, Number(0.001, 1e6)]


class Latency(Struct, frozen=True, forbid_unknown_fields=True):
    """A log-normal distribution."""

    median: Annotated[float, Duration(0, 600)] = 0.03
    # 99 of 100 are below; the median itself: always the same.
    p99: Annotated[float, Duration(0, 600)] = 0.3


class Failure(Struct, frozen=True, forbid_unknown_fields=True):
    """One way in which a nameserver fails now and then: the paper's three (CoDNS 2.2)."""

    # periodic: as by a cron job; long: malfunction or lasting overload; short: sporadic.
    kind: Literal["periodic", "long", "short"] = "short"
    # The period; for long and short ones the mean time from one to the next.
    every: Annotated[float, Duration(0.1, 52 * WEEK)] = 600.0
    # How long: always for periodic ones, in the mean for the others.
    lasts: Annotated[float, Duration(0.001, 52 * WEEK)] = 5.0
    # Queries that get no answer meanwhile.
    loss: Part = 1.0
    # What the others wait for more.
    delay: Latency | None = None
    # The nameserver needs so many times as long for each query: matters where it has a `rate`.
    slowdown: Annotated[float, Number(1, 10_000)] = 1.0
    # The share of its time that goes to SERVFAIL instead of silence.
    servfail: Part = 0.0


class NameserverModel(Struct, frozen=True, forbid_unknown_fields=True):
    """How a nameserver behaves."""

    # An answer from its own cache, the way there and back included.
    hit: Latency = Latency(0.001, 0.006)
    # Names that other users of it have brought into its cache.
    cache_hits: Part = 0.6
    # Queries lost on the way.
    loss: Part = 0.0
    # Queries a second it can do; null: any number.
    rate: Positive | None = None
    # Other users' part of that.
    busy: Part = 0.0
    # Queries that may wait; more are dropped, as its socket buffer does.
    queue: Annotated[int, Count(1, 1_000_000)] = 200
    # It validates DNSSEC.
    validates: bool = False
    failures: tuple[Failure, ...] = ()


class Authorities(Struct, frozen=True, forbid_unknown_fields=True):
    """The rest of the DNS: what a nameserver has to wait for, wherever it is."""

    # Time to resolve what is not cached: by zone, and as much again by chance.
    latency: Latency = Latency(0.04, 0.8)
    # Names for one zone.
    names_per_zone: Annotated[float, Number(1, 1e6)] = 4.0
    # Zones that are slow for everybody, and what they take.
    slow: Part = 0.0
    slow_latency: Latency = Latency(1.5, 6.0)
    # Zones that cannot be resolved: SERVFAIL, after that time.
    broken: Part = 0.0
    broken_latency: Latency = Latency(0.5, 4.0)
    # Names that do not exist.
    nxdomain: Part = 0.0


class Workload(Struct, frozen=True, forbid_unknown_fields=True):
    """What clients ask for."""

    # Lookups a second at each node, at random (Poisson).
    rate: Annotated[float, Number(0, 100_000)] = 1.0
    # Names that are asked for again and again.
    names: Annotated[int, Count(1, 10_000_000)] = 10_000
    # The k-th of them is asked for in proportion to 1 / k ** zipf.
    zipf: Annotated[float, Number(0, 3)] = 0.9
    # Lookups of names that nobody asked for before.
    unique: Part = 0.1
    # TTLs in seconds, and their weights.
    ttl: dict[Word, Annotated[float, Number(0, 1e9)]] = field(
        default_factory=lambda: {"60s": 3.0, "300s": 4.0, "1h": 3.0}
    )
    # Queries from a file instead, in dnsperf's format with an optional time in front.
    trace: str | None = None


class Network(Struct, frozen=True, forbid_unknown_fields=True):
    """The ways between nodes."""

    # lan 0.3 ms, region to 20 ms, continent to 80 ms, world to 300 ms of round trip.
    model: Literal["lan", "region", "continent", "world"] = "continent"
    # A file with "x y" or "x y height" in ms a node, or a square matrix of round trips in ms.
    coordinates: str | None = None
    matrix: str | None = None
    # How much longer a datagram may take by chance.
    jitter: Part = 0.05
    loss: Part = 0.001
    # Datagrams that take up to twice as long and so are overtaken.
    reordering: Part = 0.001


class Site(Struct, frozen=True, forbid_unknown_fields=True):
    """Sites of a kind."""

    # How many there are of this kind.
    count: Annotated[int, Count(1, NODES_MAX)] = 1
    # Nodes at each; they share its nameservers.
    nodes: Annotated[int, Count(1, NODES_MAX)] = 1
    # Models of its nameservers, in the order of resolv.conf.
    nameservers: tuple[Word, ...] = ("good",)
    # All sites of this kind have the same nameservers.
    shared: bool = False
    # Lookups a second at each node, if other than the workload's.
    rate: Annotated[float, Number(0, 100_000)] | None = None


class Fault(Struct, frozen=True, forbid_unknown_fields=True):
    """Something that breaks at a time, and heals."""

    at: Span = 60.0
    lasts: Span = 30.0
    # nameservers, nodes (stopped and started anew), partition (cut off from the others), links
    # (loss), authorities (for everybody), flaky (nodes that answer heartbeats and not queries).
    what: Literal["nameservers", "nodes", "partition", "links", "authorities", "flaky"] = (
        "nameservers"
    )
    # Of which kind of site; null: any.
    site: Word | None = None
    # How many of them; of authorities, of their zones.
    share: Part = 1.0
    # As for a failure of a nameserver.
    loss: Part = 1.0
    delay: Latency | None = None
    slowdown: Annotated[float, Number(1, 10_000)] = 1.0
    servfail: Part = 0.0


class Churn(Struct, frozen=True, forbid_unknown_fields=True):
    """Nodes that come and go, at random."""

    # Mean time up; 0: nodes stay.
    up: Span = 0.0
    # Mean time down.
    down: Span = 60.0


class PeersPart(Struct, frozen=True, forbid_unknown_fields=True):
    """As in the daemon's configuration."""

    neighbours: Annotated[int, Count(1, 64)] = 10
    heartbeat: Annotated[float, Duration(0.2, 60)] = 2.0


class Scenario(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of it. Without any file: 20 nodes on a continent, nothing fails."""

    title: str = "20 nodes on a continent"
    seed: Annotated[int, Count(0, 1 << 48)] = 1
    # What is counted begins after the warm-up.
    warm_up: Span = 30.0
    duration: Span = 300.0
    # full: every heartbeat is a message; abstract: see sim/abstract.py, for thousands of nodes.
    heartbeats: Literal["full", "abstract"] = "full"
    sites: dict[Word, Site] = field(default_factory=lambda: {"site": Site(count=20)})
    nameservers: dict[Word, NameserverModel] = field(
        default_factory=lambda: {"good": NameserverModel()}
    )
    authorities: Authorities = Authorities()
    network: Network = Network()
    workload: Workload = Workload()
    faults: tuple[Fault, ...] = ()
    churn: Churn = Churn()
    race: RaceSettings = RaceSettings()
    cache: CacheSettings = CacheSettings()
    peers: PeersPart = PeersPart()
    probe: Literal["auto", "off"] = "auto"
    # Constants of core by module and name, to find out what they are worth: {gaps.GAP: 0.1}.
    constants: dict[Word, Annotated[float, Number(-1e9, 1e9)]] = field(default_factory=dict)
    # What somebody measured, to be set beside: policy to metric (see sim/beside.py) to text.
    compare: dict[Word, dict[Word, str]] = field(default_factory=dict)
