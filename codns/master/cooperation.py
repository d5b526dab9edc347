"""The daemon's half of cooperation: socket, keys, the list of peers, the state file of the link.

What can fail at the start fails before anything runs, with one line: the port, the key file. The
list comes later and may change at any time, and behind a wildcard `listen` even our own address
may be a guess until the list names it (see `membership`): the link is then made anew under the
right name. `core` goes on with the name it was given, which nobody but itself ever sees.

What a reload changes: the nodes, and the keys, which are read again even if the file's path is the
same; a bad file keeps the old ones. The rest of the section is of the start only.
"""

import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from codns import __version__
from codns.config.problems import ConfigError
from codns.config.schema import Config, PeersSettings
from codns.config.site import Site
from codns.config.units import parse_endpoint
from codns.core.node import Node
from codns.core.settings import PeerSettings
from codns.master import membership
from codns.master.discovery import Discovery, Found
from codns.master.peerlink import PeerLink
from codns.master.pump import Pump
from codns.master.sockets import bind_udp
from codns.master.statefile import State, StateFile
from codns.peer.frame import BOOT_SIZE
from codns.peer.link import Link
from codns.wire import name

if TYPE_CHECKING:  # dnspython is slow to import and large: only who lists names needs it
    import dns.name

    from codns.master.asking import Resolver

# Keys of `peers` that a reload does not change
AT_START: Final = ("listen", "advertise", "cluster", "site", "neighbours", "heartbeat")
GUESS_S: Final = 10.0  # how often a host that is not in its list looks whether it is by now

Log = Callable[[str, str, dict[str, object]], None]


class Cooperation:
    """Made before the loop runs, with `peers.listen` set: BindError, ConfigError."""

    def __init__(
        self, config: Config, site: Site, log: Log, on: membership.Host = membership.HERE
    ) -> None:
        peers = config.peers
        assert peers.listen is not None
        self._peers = peers
        self._site = site
        self._log = log
        self._host = on
        self._keys = membership.load_keys(peers)
        self._file = StateFile(Path(config.state_dir) if config.state_dir else None, log)
        self._saved = self._file.load()
        known = membership.literals(peers)
        known += [address for node in peers.nodes for address in self._saved.nodes.get(node, ())]
        self.me = membership.own_address(peers, known, on)  # as peers list us
        # A host without any network has no address yet, and its name must not be everybody's
        nobody = parse_endpoint(self.me)[0] in membership.WILDCARDS
        self._name = os.urandom(BOOT_SIZE).hex() if nobody else self.me
        self._sock = bind_udp(peers.listen, "peers.listen")
        self._resolver: Resolver | None = None
        self._addresses: list[str] = []

    def settings(self) -> PeerSettings:
        """Return what `core` needs to know."""
        peers = self._peers
        return PeerSettings(
            me=self._name,
            site=peers.site,
            neighbours=peers.neighbours,
            heartbeat_s=peers.heartbeat,
            version=__version__,
        )

    def begin(self, node: Node, pump: Pump) -> None:
        """Take part. `node` was made with `settings()`."""
        self._node = node
        self._pump = pump
        rng = random.Random(os.urandom(16))
        nodes = self._saved.nodes
        self._discovery = Discovery(self._resolve, self._listed, self._log, rng, nodes)
        self._link = PeerLink(self._sock, self._new_link(), node, pump.apply, self._source())
        pump.join(self._link)
        fields: dict[str, object] = {"me": self.me, "listen": self._peers.listen}
        self._log("info", "peers are heard", fields)
        node.load_learned_zones(self._saved.zones, trio.current_time())
        self._discovery.set_nodes(self._peers.nodes)

    async def run(self) -> None:
        """Follow the list and keep the state file until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._discovery.run)
            nursery.start_soon(self._file.run, self._state)
            if membership.is_guess(self._peers):
                nursery.start_soon(self._look_for_ourselves)

    async def close(self) -> None:
        """Write the state file for the last time."""
        await self._file.close(self._state())

    def release(self) -> None:
        """Close the socket."""
        self._sock.close()

    def counts(self) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """Return what the link counts: datagrams, and drops by reason."""
        return self._link.counts, self._link.link.drops

    def status(self) -> dict[str, object]:
        """Return what the shell knows: JSON-able, numbers rather than rows."""
        return {
            "me": self.me,
            "listen": self._peers.listen,
            "addresses": len(self._addresses),
            "names": {node: len(found) for node, found in self._discovery.good().items()},
            "keys": len(self._keys),
            "datagrams": dict(self._link.counts),
            "drops": dict(self._link.link.drops),
        }

    # -- ourselves ------------------------------------------------------------------------------

    def _new_link(self) -> Link:
        return Link(
            self.me,
            [],
            keys=self._keys,
            cluster=self._peers.cluster,
            boot=os.urandom(BOOT_SIZE),
            random=os.urandom,
        )

    def _source(self) -> str | None:
        """Return the address to send from: on a wildcard socket, unless it is a translated one."""
        assert self._peers.listen is not None
        if parse_endpoint(self._peers.listen)[0] not in membership.WILDCARDS:
            return None
        host = parse_endpoint(self.me)[0]
        return host if self._host.is_local(host) else None

    def _find_ourselves(self, addresses: list[str]) -> None:
        """Is one of these addresses ours, after a guess that none of them bears out?"""
        if not membership.is_guess(self._peers) or self.me in addresses:
            return
        me = membership.own_address(self._peers, addresses, self._host)
        nobody = parse_endpoint(self.me)[0] in membership.WILDCARDS
        if me == self.me or (me not in addresses and not nobody):
            return  # one guess is no better than another
        self._addresses = []  # each is to be looked at under the new name
        fields: dict[str, object] = {"me": me, "before": self.me}
        self._log("info", "own address is another one", fields)
        self.me = me
        self._link.rename(self._new_link(), self._source())

    async def _look_for_ourselves(self) -> None:
        """An interface may come up after us: look again while we are not in the list."""
        while True:
            await trio.sleep(GUESS_S)
            if self.me not in self._addresses:
                before = self.me
                self._find_ourselves(self._discovery.addresses())
                if self.me != before:
                    self._listed(self._discovery.addresses())

    # -- the list -------------------------------------------------------------------------------

    def _listed(self, addresses: list[str]) -> None:
        """The list of peers is another one."""
        self._find_ourselves(addresses)
        used = [a for a in addresses if membership.same_family(a, self.me)]
        if self._resolver is not None:
            self._resolver.rdtypes = ("AAAA",) if self.me.startswith("[") else ("A",)
        known, self._addresses = frozenset(self._addresses), used
        self._link.set_peers(used)
        others = len(addresses) - len(used)
        fields: dict[str, object] = {"addresses": len(used), "other_family": others}
        self._log("info", "list of peers", fields)
        self._warn_of(used, [a for a in used if a not in known])
        by_name = [self._name if a == self.me else a for a in used]
        self._pump.apply(self._node.set_peers(by_name, trio.current_time()))

    def _warn_of(self, addresses: list[str], fresh: list[str]) -> None:
        """A wildcard leaves it to us which of the listed addresses we are.

        The kernel is asked for each, 15 us: of thousands only for those that were not listed yet.
        """
        fields: dict[str, object] = {"me": self.me, "remedy": "set peers.advertise"}
        others = list(membership.others_of_ours(self._peers, self.me, fresh, self._host))
        if others:
            fields["ours"] = others
            self._log("warning", "list of peers has more than one address of this node", fields)
        elif membership.is_guess(self._peers) and addresses and self.me not in addresses:
            self._log("warning", "this node is not in its list of peers", fields)

    # -- names ----------------------------------------------------------------------------------

    async def _resolve(self, node: str) -> Found:
        if self._resolver is None:
            from codns.master.asking import Resolver  # noqa: PLC0415 - see above

            self._resolver = Resolver(self._nameservers)
        return await self._resolver.resolve(node)

    def _nameservers(self, asked: "dns.name.Name") -> tuple[str, ...]:
        """Return who is asked for a name: its zone's nameservers, or the site's."""
        zones = self._site.zones
        for ancestor in name.ancestors(asked.to_digestable()):
            zone = zones.get(ancestor)
            if zone is not None:
                return zone.nameservers or self._site.nameservers
        return self._site.nameservers

    # -- reload ---------------------------------------------------------------------------------

    def reload(self, peers: PeersSettings) -> None:
        """Take the nodes and keys of a configuration read again."""
        self._peers = peers
        try:
            keys = membership.load_keys(peers)
        except ConfigError as error:
            problems: dict[str, object] = {"problems": [str(p) for p in error.problems]}
            self._log("error", "key file is bad, the old keys stay", problems)
        else:
            if keys != self._keys:
                fields: dict[str, object] = {"keys": len(keys), "before": len(self._keys)}
                self._log("info", "keys changed", fields)
            self._keys = keys
            self._link.link.set_keys(keys)
        self._discovery.set_nodes(peers.nodes)

    def site_changed(self, site: Site) -> None:
        """The nameservers may be others: ask them for what had no answer."""
        self._site = site
        self._discovery.nudge()

    def _state(self) -> State:
        zones: Mapping[str, object] = self._node.learned_zones(trio.current_time())
        return State(self._discovery.good(), dict(zones))
