"""What the parts of a node share: cache, counters, timers, nameservers, and the effects so far."""

from collections import deque
from typing import Any, Final

from codns.core.cache import Cache, Entry, Meta, Origin
from codns.core.failures import Failures
from codns.core.jobs import Jobs
from codns.core.model import Answer, Client, Effect, Note
from codns.core.nameserver import Nameserver, Upstreams
from codns.core.portions import Turns
from codns.core.settings import Settings
from codns.core.slow_names import KEPT_MAX, Slow
from codns.core.stats import Stats
from codns.core.timers import Timers
from codns.wire import const
from codns.wire.ageing import capped, floored
from codns.wire.batch import Result
from codns.wire.build import answer
from codns.wire.name import ancestors
from codns.wire.outcome import Outcome
from codns.wire.query import Query

CLIENTS_MAX: Final = 8_192  # queries waiting: RULES 4.1; crawlers hit dnsmasq's 150 at once
CLIENTS_MAX_ADDRESS: Final = CLIENTS_MAX // 2  # one address: half, so that others get through
SHARED_MAX: Final = 1_024  # distinct metas and lists of TTL positions shared between entries

_ANSWER: Final = Outcome.ANSWER
_LOCAL: Final[Origin] = "local"
_RAISED: Final[Origin] = "raised"


class State:
    """The parts of one node. `out` collects effects until the shell takes them."""

    __slots__ = (
        "_metas",
        "_offsets",
        "_waiting",
        "cache",
        "default",
        "failures",
        "jobs",
        "late",
        "out",
        "outstanding",
        "portions",
        "servers",
        "settings",
        "slow",
        "stats",
        "timers",
        "zones",
    )

    def __init__(self) -> None:
        self.out: list[Effect] = []
        self.stats = Stats()
        self.cache = Cache(self.stats)
        self.failures = Failures()
        self.timers = Timers()
        self.jobs = Jobs()
        self.late: deque[float] = deque()  # when tries over TCP end (`core.late_tries`)
        self.settings = Settings()
        self.slow: deque[Slow] = deque(maxlen=KEPT_MAX)
        self.servers: dict[str, Nameserver] = {}
        self.default = Upstreams([])
        self.zones: dict[bytes, Upstreams] = {}
        self.outstanding = 0
        self.portions: Turns[Any] = Turns()  # of answers to clients
        self._waiting: dict[bytes, int] = {}
        self._offsets: dict[bytes, bytes] = {}
        self._metas: dict[tuple[int, bool, int, int, bool, Origin], Meta] = {}

    # -- nameservers ----------------------------------------------------------------------------

    def configure(self, settings: Settings) -> list[Nameserver]:
        """Take new settings; servers that stay keep what is known of them. Returns new ones.

        What is in flight goes on, with the nameservers that its zone has from now on.
        """
        known, self.servers = self.servers, {}
        fresh: list[Nameserver] = []

        def upstreams(addresses: tuple[str, ...], changed: Upstreams | None) -> Upstreams:
            servers = []
            for address in addresses:
                server = self.servers.get(address) or known.get(address)
                if server is None:
                    server = Nameserver(address)
                    fresh.append(server)
                self.servers[address] = server
                servers.append(server)
            if changed is None:
                return Upstreams(servers)
            changed.servers, changed.side = servers, None
            return changed

        if (settings.nameservers, settings.zones) != (
            self.settings.nameservers,
            self.settings.zones,
        ):
            self.failures.clear()  # they were the old ones' failures
        self.settings = settings
        self.default = upstreams(settings.nameservers, self.default)
        zones, self.zones = self.zones, {}
        for name, zone in settings.zones.items():
            self.zones[name] = upstreams(zone.nameservers, zones.get(name))
        self.cache.configure(
            entries=settings.cache_entries,
            stale_s=settings.cache_stale_s,
            prefetch=settings.cache_prefetch,
        )
        return fresh

    def upstreams(self, name: bytes) -> Upstreams:
        """Return the nameservers of the closest zone above `name`."""
        if self.zones:
            for zone in ancestors(name):
                found = self.zones.get(zone)
                if found is not None:
                    return found
        return self.default

    def note_up(self, server: Nameserver) -> None:
        """Tell that a nameserver answers again."""
        fields: dict[str, object] = {"nameserver": server.address}
        self.out.append(Note("info", "nameserver answers again", fields))

    def note_down(self, server: Nameserver, why: str) -> None:
        """Tell that a nameserver stopped answering."""
        fields: dict[str, object] = {"nameserver": server.address, "reason": why}
        self.out.append(Note("warning", "nameserver does not answer", fields))

    # -- clients --------------------------------------------------------------------------------

    def enter(self, client: Client) -> str | None:
        """A client's query would wait. Return why it may not (a key of `stats.refusals`)."""
        if self.outstanding >= CLIENTS_MAX:
            return "clients"
        address = client.address
        waiting = self._waiting.get(address, 0)
        if waiting >= CLIENTS_MAX_ADDRESS:
            return "address"
        self._waiting[address] = waiting + 1
        self.outstanding += 1
        return None

    def leave(self, client: Client) -> None:
        """It was answered."""
        self.outstanding -= 1
        address = client.address
        left = self._waiting[address] - 1
        if left:
            self._waiting[address] = left
        else:
            del self._waiting[address]

    def recount(self, clients: list[Client]) -> None:
        """These are all who wait (`core.mending`)."""
        self._waiting = {}
        for client in clients:
            self._waiting[client.address] = self._waiting.get(client.address, 0) + 1
        self.outstanding = len(clients)

    def shed(self, reason: str, client: Client, query: Query) -> None:
        """One too many (a key of `stats.SHED`): SERVFAIL + EDE 0, or silence if so configured.

        Over TCP always an answer: silence there would block what follows on the connection.
        """
        if self.settings.overload == "drop" and client.transport == "udp":
            self.stats.drops[reason] += 1
            return
        self.stats.refusals[reason] += 1
        self.reply(client, query, const.SERVFAIL, const.EDE_OTHER)

    def error(self, query: Query, rcode: int, ede: int | None = None) -> bytes:
        """Build an answer without records."""
        return answer(
            query,
            rcode=rcode,
            ad=False,
            ancount=0,
            nscount=0,
            body=b"",
            size_max=const.MESSAGE_SIZE_MAX,
            ede=ede,
        )

    def reply(self, client: Client, query: Query, rcode: int, ede: int | None = None) -> None:
        """Answer without records, at once."""
        self.stats.rcodes["error"][rcode & const.RCODE] += 1
        self.out.append(Answer(client, self.error(query, rcode, ede)))

    # -- the cache ------------------------------------------------------------------------------

    def store(self, key: bytes, result: Result, now: float) -> Entry | None:
        """Keep an answer of our own nameserver, its TTLs within the configured bounds.

        Returns None if they leave nothing to keep.
        """
        settings = self.settings
        ttl, body, offsets = result.ttl, result.body, result.offsets
        negative = result.outcome is not _ANSWER
        if negative:
            ttl = min(ttl, settings.cache_max_negative_ttl_s)
            if ttl == 0:
                return None
            body = capped(body, offsets, ttl)  # RFC 2308 5: the SOA's TTL counts down with it
        elif ttl > settings.cache_max_ttl_s:
            ttl = settings.cache_max_ttl_s
            body = capped(body, offsets, ttl)
        origin = _LOCAL
        if ttl < settings.cache_min_ttl_s:
            ttl = settings.cache_min_ttl_s
            body = floored(body, offsets, ttl)
            origin = _RAISED  # no peer is to keep it for longer than its owner said
        meta = (result.rcode, result.ad, result.ancount, result.nscount, negative)
        return self.put(key, meta, body, offsets, ttl, now, origin)

    def put(
        self,
        key: bytes,
        said: tuple[int, bool, int, int, bool],
        body: bytes,
        offsets: bytes,
        ttl: int,
        now: float,
        origin: Origin,
    ) -> Entry:
        """Keep an answer as it is; `said` are the fields of `Meta` but for its origin."""
        meta = (*said, origin)
        entry = Entry(
            key,
            self._metas.get(meta) or self._new_meta(meta),
            body,
            self._offsets.get(offsets) or self._new_offsets(offsets),
            ttl,
            now,
        )
        self.cache.store(entry, now)
        return entry

    def _new_meta(self, meta: tuple[int, bool, int, int, bool, Origin]) -> Meta:
        made = Meta(*meta)
        if len(self._metas) < SHARED_MAX:
            self._metas[meta] = made
        return made

    def _new_offsets(self, offsets: bytes) -> bytes:
        if len(self._offsets) < SHARED_MAX:
            self._offsets[offsets] = offsets
        return offsets
