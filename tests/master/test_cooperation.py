"""The daemon's half of cooperation in virtual time: late addresses, state, zones' nameservers."""

import json
import random

import dns.name
import pytest
import trio
import trio.testing
from peer_world import free_port

from codns.config.schema import Config, PeersSettings
from codns.config.site import Site, ZoneSite
from codns.core.node import Node
from codns.core.settings import Settings
from codns.master.cooperation import GUESS_S, Cooperation
from codns.master.membership import Host
from codns.master.pump import Pump
from codns.peer import keyfile
from codns.wire.name import from_text

SRV = "srv:_codns._udp.fleet.example."


class NoSlaves:
    """A pool with nobody in it, who has nothing to do."""

    waiting = False
    on_change = None

    def submit(self, jobs):
        assert not jobs

    def filenos(self):
        return []


class World:
    """One node's cooperation on a host with the addresses in `ours`, in virtual time."""

    def __init__(self, folder, listen, nodes, *, ours=(), site=None, saved=None):
        key = folder / "key"
        key.write_text(keyfile.generate())
        key.chmod(0o600)
        self.ours = set(ours)
        self.port = free_port()
        self.nodes = tuple(node.replace("PORT", str(self.port)) for node in nodes)
        peers = PeersSettings(f"{listen}:{self.port}", nodes=self.nodes, key_file=str(key))
        self.log = []
        self.state = folder / "peers.json"
        if saved is not None:
            self.state.write_text(saved.replace("PORT", str(self.port)))
        self.made = Cooperation(
            Config(peers=peers, state_dir=str(folder)),
            site or Site((), "configuration", {}, (), (), ()),
            lambda *line: self.log.append(line),
            Host(self.ours.__contains__, lambda _: None),
        )

    def run(self, seconds, *steps):
        """Let it run; `steps` are (when, what)."""

        async def main():
            settings = Settings(peers=self.made.settings())
            self.node = node = Node(settings, random.Random(1), trio.current_time())
            start = trio.current_time()
            pump = Pump(node, NoSlaves(), lambda *_: None)
            self.made.begin(node, pump)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pump.run)
                nursery.start_soon(self.made.run)
                for when, step in steps:
                    await trio.sleep(start + when - trio.current_time())
                    step()
                await trio.sleep(start + seconds - trio.current_time())
                await self.made.close()
                nursery.cancel_scope.cancel()

        try:
            trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.02))
        finally:
            self.made.release()
        return self

    def told(self, event):
        return [fields for _, said, fields in self.log if said == event]


def test_an_interface_that_comes_up_after_us(tmp_path):
    """A boot without network: nobody at first, then who the list says we are."""
    world = World(tmp_path, "0.0.0.0", ["192.0.2.1:PORT", "127.0.0.5:PORT"])
    port, made = world.port, world.made
    assert made.me == f"0.0.0.0:{port}"
    name = made.settings().me
    assert name != made.me  # what would be everybody's name is nobody's
    up = lambda: world.ours.add("127.0.0.5")
    world.run(2.5 * GUESS_S, (GUESS_S / 2, up))
    assert made.me == f"127.0.0.5:{port}"
    assert world.told("own address is another one") == [
        {"me": made.me, "before": f"0.0.0.0:{port}"}
    ]
    assert len(world.told("this node is not in its list of peers")) == 1
    assert made.settings().me == name  # core's own name for us
    assert [row["peer"] for row in world.node.peers_status(0.0)] == [f"192.0.2.1:{port}"]


def test_who_we_are_stays_when_the_list_forgets_us(tmp_path):
    world = World(tmp_path, "0.0.0.0", ["127.0.0.5:PORT", "192.0.2.1:PORT"], ours=["127.0.0.5"])
    me, other = world.nodes
    peers = world.made._peers
    forget = lambda: world.made.reload(
        PeersSettings(peers.listen, nodes=(other,), key_file=peers.key_file)
    )
    world.run(3 * GUESS_S, (1, forget))
    assert world.made.me == me
    assert world.told("own address is another one") == []


def test_two_addresses_of_ours_are_told(tmp_path):
    nodes = ["127.0.0.5:PORT", "127.0.0.6:PORT", "[2001:db8::1]:PORT"]
    world = World(tmp_path, "0.0.0.0", nodes, ours=["127.0.0.5", "127.0.0.6"]).run(1)
    (said,) = world.told("list of peers has more than one address of this node")
    assert said["ours"] == [f"127.0.0.6:{world.port}"]
    assert world.told("list of peers")[-1] == {"addresses": 2, "other_family": 1}


def test_the_kernel_is_asked_for_new_addresses_only(tmp_path):
    """Each costs a socket: 60 ms for a list of 4,096, at each change of one of them."""
    nodes = [f"127.0.0.{n}:PORT" for n in range(5, 30)]
    world = World(tmp_path, "0.0.0.0", nodes, ours=["127.0.0.5", "127.0.0.40"])
    asked = []
    world.made._host = Host(
        lambda host: asked.append(host) or host in world.ours, world.made._host.route
    )
    peers = world.made._peers

    def listed(*nodes):
        asked.clear()
        world.made.reload(PeersSettings(peers.listen, nodes=nodes, key_file=peers.key_file))

    more = [f"127.0.0.{n}:{world.port}" for n in (39, 40)]
    seen = []
    world.run(
        4, (1, lambda: listed(*world.nodes[:-1], *more)), (3, lambda: seen.append(list(asked)))
    )
    assert seen == [["127.0.0.39", "127.0.0.40"]]
    (said,) = world.told("list of peers has more than one address of this node")
    assert said["ours"] == [more[1]]


def test_state_comes_back_and_names_us(tmp_path):
    """The list and the learned zones of an earlier run; no nameserver answers now."""
    saved = {
        "nodes": {SRV: ["127.0.0.9:PORT", "192.0.2.1:PORT"], "srv:other.": ["192.0.2.2:PORT"]},
        "zones": {"corp.example.": {"seconds": 5000, "why": "x"}},
    }
    world = World(tmp_path, "0.0.0.0", [SRV], ours=["127.0.0.9"], saved=json.dumps(saved))
    assert world.made.me == f"127.0.0.9:{world.port}"
    world.run(30)
    assert world.told("list of peers")[0]["addresses"] == 2
    (said,) = world.told("peers' name has no answer, the last list stays")
    assert said["reason"] == "there is no nameserver"
    kept = json.loads(world.state.read_text())
    assert kept["nodes"] == {SRV: [f"127.0.0.9:{world.port}", f"192.0.2.1:{world.port}"]}
    assert kept["zones"]["corp.example."]["seconds"] == pytest.approx(4970, abs=5)


@pytest.mark.parametrize(
    ("name", "servers"),
    [
        ("_codns._udp.fleet.example.", ("192.0.2.2#53",)),
        ("fleet.EXAMPLE.", ("192.0.2.2#53",)),
        ("a.sub.fleet.example.", ("192.0.2.3#53",)),
        ("plain.fleet.example.", ("192.0.2.1#53",)),  # a zone without nameservers of its own
        ("example.", ("192.0.2.1#53",)),
    ],
)
def test_names_are_asked_of_their_zones_nameservers(tmp_path, name, servers):
    zones = {
        "fleet.example.": ZoneSite(("192.0.2.2#53",), True),
        "sub.fleet.example.": ZoneSite(("192.0.2.3#53",), True),
        "plain.fleet.example.": ZoneSite((), True),
    }
    wire = {from_text(zone): site for zone, site in zones.items()}
    site = Site(("192.0.2.1#53",), "configuration", wire, (), (), ())
    world = World(tmp_path, "127.0.0.9", [SRV], site=site)
    world.made.release()
    assert world.made._nameservers(dns.name.from_text(name)) == servers


def test_what_it_tells(tmp_path):
    world = World(tmp_path, "127.0.0.9", ["127.0.0.9:PORT", "127.0.0.10:PORT", SRV])
    said = []
    world.run(5, (4, lambda: said.append(json.loads(json.dumps(world.made.status())))))
    (status,) = said
    assert status["me"] == status["listen"] == f"127.0.0.9:{world.port}"
    assert (status["addresses"], status["keys"], status["names"]) == (2, 1, {})
    assert status["datagrams"]["out"] > 0  # it looks for the other one
    assert set(status["drops"].values()) == {0}
