"""The daemon: everything put together, started in order, reloaded, ended.

Start: bind (or fail with one line), slaves, listeners, then the loop check; `ready` is logged when
queries are answered. A reload reads the file again and hands the node its new settings; the cache
and everything in flight stay, and a bad file changes nothing. The end: no new queries, up to 2 s
for those in flight, then the slaves.
"""

import os
import random
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Final

import trio
from msgspec.structs import replace

from codns.config import rules
from codns.config.load import load
from codns.config.problems import ConfigError
from codns.config.schema import Config, PeersSettings
from codns.config.site import Site, fingerprints, resolve
from codns.core.model import Client
from codns.core.node import Node
from codns.core.settings import Settings
from codns.master import cooperation
from codns.master.acl import Acl
from codns.master.activation import activate
from codns.master.cooperation import Cooperation
from codns.master.garbage import Garbage
from codns.master.inside import Inside, Reload
from codns.master.notify import Notifier
from codns.master.pool import Pool
from codns.master.pump import Pump
from codns.master.querylog import QueryLog
from codns.master.ratelimit import limit_of
from codns.master.scrape import gather
from codns.master.settings import settings_of, slaves_of
from codns.master.signals import handle_signals
from codns.master.sockets import Pair
from codns.master.tcp import COUNTERS, TcpLimits, TcpListener
from codns.master.udp import UdpListener
from codns.master.watch import Watcher
from codns.master.web import Web
from codns.obs.logs import Log
from codns.obs.metrics import Metrics
from codns.wire.batch import Result
from codns.wire.build import error_reply
from codns.wire.const import REFUSED

FILES_MAX: Final = 1 << 20  # where the system sets no limit: what Linux would call unlimited
DRAIN_S: Final = 2.0  # what is in flight may take so long at the end
DRAIN_LOOK_S: Final = 0.01
AT_START: Final = (
    "listen",
    "slaves",
    "state_dir",
    "control",
)  # keys that a reload does not change

# A thread of ours (the list of peers is parsed in one) gives the interpreter back to the loop that
# soon. The default of 5 ms, at each system call, would hold up everybody.
_SWITCH_S: Final = 0.0002

Companion = Callable[[], Awaitable[None]]


def _files_max() -> int:
    """Raise the limit on open files as far as allowed, and return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MAX if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


class Daemon:
    """One running codns. `path` and `overrides` are what `config.load` takes, for reloads."""

    def __init__(
        self,
        config: Config,
        log: Log,
        *,
        path: Path | None = None,
        overrides: dict[str, object] | None = None,
    ) -> None:
        self._log = log
        self._path = path
        self._overrides = overrides or {}
        self._first = config  # as written: what a reload is compared with
        self._notifier = Notifier()
        activation = activate(config.listen, automatic=config.listen == Config().listen)
        self._pairs, self._socket_warnings = activation
        config = replace(config, listen=tuple(self.addresses))  # port 0 has become a port
        self.config = config
        self._site = resolve(config)
        self.peers = self._cooperation()
        self.web = self._open_web()
        # Made before anything else happens: a change from here on is not lost
        self._watcher = Watcher(lambda: fingerprints(self._site), self._site_changed)
        self._acl = Acl(map(ip_network, config.allow))
        self.limit = limit_of(config.rate_limit)
        self.garbage = Garbage()
        self._counts = dict.fromkeys(COUNTERS, 0)
        self._scope = trio.CancelScope()
        self._stopping = trio.Event()
        self._queries: QueryLog | None = None
        self._started = False
        self._reload_due = False
        self.reloaded: Reload | None = None
        self.taken_at = time.time()  # when the configuration in effect was read

    def _cooperation(self) -> Cooperation | None:
        if self.config.peers.listen is None:
            return None
        try:
            return Cooperation(self.config, self._site, self._log)
        except BaseException:
            for pair in self._pairs:
                pair.close()
            raise

    def _open_web(self) -> Web:
        try:
            return Web(self.config, self._log)
        except BaseException:
            for pair in self._pairs:
                pair.close()
            if self.peers is not None:
                self.peers.release()
            raise

    @property
    def addresses(self) -> list[str]:
        """Where it listens, with the ports really bound."""
        return [pair.address for pair in self._pairs]

    async def run(self, *companions: Companion) -> None:
        """Serve until stopped. `companions` run beside it (the embedded nameserver)."""
        limits = TcpLimits.within(_files_max())
        rng = random.Random(os.urandom(16))
        settings = self._settings()
        self._node = Node(settings, rng, trio.current_time())
        pool = Pool(slaves_of(self.config), self._results, log=self._log)
        self._pump = Pump(self._node, pool, self._log)
        self._udp = [self._udp_listener(pair) for pair in self._pairs]
        self._tcp = TcpListener(self._tcp_query, self._acl_allows, limits, self._count)
        self._admit()
        self._log_queries()
        self.web.metrics = Metrics(self._node, partial(gather, self, pool), trio.current_time)
        with self._scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(handle_signals, self.stop, self._hung_up)
                for companion in companions:
                    nursery.start_soon(companion)
                await nursery.start(pool.run)
                self._pump.listen(self._udp)
                await nursery.start(self._pump.run)
                for pair in self._pairs:
                    await nursery.start(self._tcp.serve, pair.tcp)
                nursery.start_soon(self._watcher.run)
                nursery.start_soon(self.web.run, Inside(self, self._node, pool))
                nursery.start_soon(self._notifier.run, self._status_line)
                if self.peers is not None:
                    self.peers.begin(self._node, self._pump)
                    nursery.start_soon(self.peers.run)
                sys.setswitchinterval(_SWITCH_S)
                self.garbage.begin()
                nursery.start_soon(self.garbage.run)
                self._tell_ready()
                self._pump.apply(self._node.start(trio.current_time()))
                self._started = True
                if self._reload_due:
                    self.reload()
                await self._stopping.wait()
                await self._drain()
                if self.peers is not None:
                    await self.peers.close()
                pool.shutdown()
                nursery.cancel_scope.cancel()
        for pair in self._pairs:
            pair.udp.close()
        if self.peers is not None:
            self.peers.release()
        self.web.release()
        self._notifier.close()
        self._log("info", "stopped", {})
        self._log.flush(everything=True)

    # -- queries --------------------------------------------------------------------------------

    def _udp_listener(self, pair: Pair) -> UdpListener:
        pump = self._pump
        return UdpListener(
            pair.udp, self._node, pump.query, pump.backlog, self._acl, wildcard=pair.wildcard
        )

    def _admit(self) -> None:
        """Give the listeners what they admit clients by."""
        for listener in self._udp:
            listener.acl, listener.limit = self._acl, self.limit

    def _log_queries(self) -> None:
        """Begin, change or end the query log."""
        share = self.config.log.queries
        rng = random.Random(os.urandom(16))
        self._queries = QueryLog(self._log, share, rng, trio.current_time) if share else None
        for listener in self._udp:
            listener.queries = self._queries

    def _tcp_query(self, wire: bytes, client: Client) -> None:
        now = trio.current_time()
        if self._queries is not None:
            client = self._queries.watched(client, now)
        stats = self._node.stats
        stats.queries["tcp"] += 1
        stats.queries_ipv6["tcp"] += len(client.address) == 16
        if self.limit is not None and not self.limit.allows(client.address, "tcp", now):
            stats.refused("rate", REFUSED)
            client.reply(error_reply(wire, REFUSED))
            return
        answer = self._node.cached(wire[2:], "tcp", now)
        if answer is None:
            self._pump.query(wire, client, now)
        else:
            client.reply(wire[:2] + answer)
        self._pump.breathe()  # 107 of these can come at a time: 6 ms

    def _results(self, results: list[Result]) -> None:
        self._pump.results(results)

    def _acl_allows(self, address: bytes) -> bool:
        return self._acl.allows(address)

    def _count(self, name: str) -> None:
        self._counts[name] += 1

    # -- reload ---------------------------------------------------------------------------------

    def _hung_up(self) -> None:
        """SIGHUP. While we start there is nothing yet that could take a change: it waits."""
        if self._started:
            self.reload()
        else:
            self._reload_due = True

    def reload(self) -> list[str]:
        """Read the configuration again; a bad one changes nothing. Returns what is wrong."""
        self._notifier.reloading()
        try:
            config = load(self._path, self._overrides)
        except ConfigError as error:
            problems = [str(problem) for problem in error.problems]
            fields: dict[str, object] = {"problems": problems}
            self._log("error", "reload failed, the old configuration stays", fields)
        else:
            problems = []
            self._take(config)
            self.taken_at = time.time()
        self.reloaded = Reload(trio.current_time(), problems)
        self._notifier.ready(self._status_line())
        return problems

    def _take(self, config: Config) -> None:
        later = [key for key in AT_START if getattr(config, key) != getattr(self._first, key)]
        later += [
            f"peers.{key}"
            for key in cooperation.AT_START
            if getattr(config.peers, key) != getattr(self._first.peers, key)
        ]
        if config.http.listen != self._first.http.listen:
            later.append("http.listen")
        if later:
            self._log("warning", "takes effect at the next start only", {"keys": later})
        # These were taken at the start and stay: what is our own address is decided by them
        config = replace(config, **{key: getattr(self.config, key) for key in AT_START})
        config = replace(config, peers=self._peers_of(config.peers))
        if config.rate_limit != self.config.rate_limit:  # else it goes on with what was counted
            self.limit = limit_of(config.rate_limit)
        self.config = config
        self._log.level, self._log.format = config.log.level, config.log.format
        self._acl = Acl(map(ip_network, config.allow))
        self._admit()
        self._log_queries()
        if self.peers is not None:
            self.peers.reload(config.peers)
        self._take_site(self._resolved())
        self._log("info", "reloaded", {"nameservers": list(self._site.nameservers)})

    def _peers_of(self, peers: PeersSettings) -> PeersSettings:
        """Return a section read again with what stays until the next start."""
        before = self.config.peers
        if peers.listen is None or before.listen is None:
            return before  # switched off or on: then
        return replace(peers, **{key: getattr(before, key) for key in cooperation.AT_START})

    def _site_changed(self) -> None:
        """resolv.conf, or what it points at, is another file now."""
        site = self._resolved()
        if site.nameservers != self._site.nameservers:
            fields: dict[str, object] = {
                "nameservers": list(site.nameservers),
                "from": site.origin,
            }
            self._log("info", "nameservers changed", fields)
        self._take_site(site)

    def _resolved(self) -> Site:
        """Return what is in effect by the files; what cannot be read now stays as it was."""
        site, before = resolve(self.config), self._site
        if not site.unread:
            return site
        self._watcher.again()
        event = "resolv.conf cannot be read now, the nameservers stay"
        self._log("warning", event, {"warnings": list(site.warnings)})
        if self.config.nameservers == "auto":
            site = site._replace(nameservers=before.nameservers, origin=before.origin)
        return site._replace(private_zones=before.private_zones, warnings=())

    def _take_site(self, site: Site) -> None:
        self._site = site
        self._warn_of_site()
        if self.peers is not None:
            self.peers.site_changed(site)
        self._pump.apply(self._node.configure(self._settings(), trio.current_time()))

    def _settings(self) -> Settings:
        peers = self.peers.settings() if self.peers is not None else None
        return settings_of(self.config, self._site, peers)

    def _warn_of_site(self) -> None:
        warnings = [*rules.warnings(self.config), *self._site.warnings]
        if warnings:
            self._log("warning", "configuration", {"warnings": warnings})
        if not self._site.nameservers:
            self._log(
                "warning",
                "no nameserver: only cached answers can be given; still watching",
                {"from": self._site.origin},
            )

    # -- start and end --------------------------------------------------------------------------

    def _tell_ready(self) -> None:
        self._warn_of_site()
        fields: dict[str, object] = {
            "listen": self.addresses,
            "nameservers": list(self._site.nameservers),
            "from": self._site.origin,
        }
        for warning in self._socket_warnings:
            self._log("warning", warning, {})
        self._log("info", "ready", fields)
        self._notifier.ready(self._status_line())

    def _status_line(self) -> str:
        """What `systemctl status` shows of us."""
        servers = ", ".join(self._site.nameservers) or "none"
        asked = sum(self._node.stats.queries.values())
        return f"{', '.join(self.addresses)}; nameservers {servers}; {asked} queries"

    def stop(self, reason: str) -> None:
        """End it; asked a second time, at once."""
        if self._stopping.is_set():
            self._scope.cancel()
            return
        fields: dict[str, object] = {"reason": reason, "in_flight": self._node.outstanding}
        self._log("info", "stopping", fields)
        self._notifier.stopping(f"ending, {self._node.outstanding} in flight")
        self._stopping.set()

    async def _drain(self) -> None:
        """Answer what is in flight; who asks from now on is not heard."""
        self._pump.mute()
        self._tcp.stop()
        with trio.move_on_after(DRAIN_S):
            # Both are plain numbers of others; an event would cost each query something
            while self._node.outstanding or self._tcp.connections:  # noqa: ASYNC110
                await trio.sleep(DRAIN_LOOK_S)
