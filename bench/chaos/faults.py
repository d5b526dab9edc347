"""The faults, each a function: break something, wait, mend it. What they do is told in `table`.

A fault also looks whether it bit, where that can be seen: one that did nothing would pass any
test. ChaosError then, and when what it broke does not mend.
"""

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from bench.chaos import net
from bench.chaos.nameservers import CLOSED, GARBAGE, SILENT, WELL
from bench.chaos.net import PEER_PORT, ChaosError
from bench.chaos.node import LOOK_S, Node
from codns.peer.keyfile import generate

GONE_S: Final = 5.0  # by then slaves without a master have ended
SEEN_S_MAX: Final = 20.0  # until what was done shows: three heartbeats, or a look at a file
PATIENCE_S: Final = 10.5  # of a client and a bit: none meets two deaths
DESCRIPTORS: Final = 3  # standard ones only: whatever is opened fails


class Rig(NamedTuple):
    """What a fault has to break with."""

    tell_nameserver: Callable[[Node, str], None]  # mode of a node's nameserver
    chance: random.Random
    serial: int  # of the act: names that nobody asked for before


def until(what: str, true: Callable[[], object], within_s: float = SEEN_S_MAX) -> None:
    """Look until it is true. ChaosError if it does not become so."""
    deadline = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline:
            raise ChaosError(f"not within {within_s:.0f} s: {what}")
        time.sleep(LOOK_S)


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def slave_killed(rig: Rig, node: Node) -> None:
    for _ in range(4):
        until("two slaves", lambda: len(node.slaves()) == 2)
        os.kill(rig.chance.choice(node.slaves()), signal.SIGKILL)
        time.sleep(1.5)


def slave_stopped(rig: Rig, node: Node) -> None:
    pid = rig.chance.choice(node.slaves())
    os.kill(pid, signal.SIGSTOP)
    time.sleep(6.0)
    if alive(pid):
        os.kill(pid, signal.SIGCONT)
        raise ChaosError(f"{node.host.name}: a stopped slave was not replaced")


def master_killed(_: Rig, node: Node) -> None:
    for _ in range(2):
        slaves = node.slaves()
        node.again(signal.SIGKILL)
        until("slaves of a dead master end", lambda s=slaves: not any(map(alive, s)), GONE_S)
        time.sleep(PATIENCE_S)


def _stopped(node: Node, seconds: float) -> None:
    node.signal(signal.SIGSTOP)
    time.sleep(seconds)
    node.signal(signal.SIGCONT)


def master_stopped(_: Rig, node: Node) -> None:
    _stopped(node, 3.0)


def master_hung(_: Rig, node: Node) -> None:
    _stopped(node, 8.0)


def disk_full(rig: Rig, node: Node) -> None:
    filler = node.fill()
    try:
        node.ask(f"private.corp{rig.serial}.example.", 5.0)  # now there is news to be kept
        said = node.said().count("state file cannot be written")
        node.again(signal.SIGTERM)
        if node.said().count("state file cannot be written") == said:
            raise ChaosError(f"{node.host.name}: the disk was not full, or nobody told of it")
    finally:
        filler.unlink()


def files_gone(rig: Rig, node: Node) -> None:
    node.limit_files(DESCRIPTORS)
    starts = node.starts
    try:
        time.sleep(10.0)
        os.kill(rig.chance.choice(node.slaves()), signal.SIGKILL)  # it cannot be replaced
        time.sleep(25.0)  # the last socket of the other one is older than 30 s by now
    finally:
        node.limit_files(None)
    if node.starts != starts:
        raise ChaosError(f"{node.host.name}: the master died of having no descriptors")
    until("two slaves", lambda: len(node.slaves()) == 2)


def _nameserver(rig: Rig, node: Node, mode: str, seconds: float) -> None:
    rig.tell_nameserver(node, mode)
    time.sleep(seconds)
    rig.tell_nameserver(node, WELL)


def nameserver_silent(rig: Rig, node: Node) -> None:
    _nameserver(rig, node, SILENT, 8.0)


def nameserver_closed(rig: Rig, node: Node) -> None:
    _nameserver(rig, node, CLOSED, 6.0)


def nameserver_garbage(rig: Rig, node: Node) -> None:
    for mode in rig.chance.sample(list(GARBAGE), len(GARBAGE)):
        _nameserver(rig, node, mode, 3.0)


def nameserver_rejected(_: Rig, node: Node) -> None:
    net.reject(node.host)
    time.sleep(6.0)
    net.accept(node.host)


def link_down(_: Rig, node: Node) -> None:
    node.host.ip("link", "set", "eth0", "down")
    time.sleep(6.0)
    node.host.ip("link", "set", "eth0", "up")


def address_lost(_: Rig, node: Node) -> None:
    address = f"{node.host.address}/24"
    node.host.ip("address", "delete", address, "dev", "eth0")
    time.sleep(4.0)
    node.host.ip("address", "add", address, "dev", "eth0")


def clock_jumps(_: Rig, node: Node) -> None:
    assert node.fake_time is not None
    for jump, year in (("+10y", 10), ("-10y", -10), ("+0", 0)):
        node.fake_time.write_text(jump)
        reloaded = node.said().count('"reloaded"')
        node.reload()
        until("a line in the log", lambda n=reloaded: node.said().count('"reloaded"') > n)
        line = next(x for x in reversed(node.said().splitlines()) if '"reloaded"' in x)
        if abs(int(line[9:13]) - time.gmtime().tm_year - year) > 1:
            raise ChaosError(f"{node.host.name}: the clock did not jump: {line[:40]}")
        time.sleep(3.0)


def _resolv_conf(node: Node, *nameservers: str) -> None:
    changed = node.said().count('"nameservers changed"')
    node.point_at(*nameservers)
    until("it is noticed", lambda: node.said().count('"nameservers changed"') > changed)
    time.sleep(6.0)
    node.point_at(node.host.nameserver)
    until("it is noticed", lambda: node.said().count('"nameservers changed"') > changed + 1)


def resolv_conf_empty(_: Rig, node: Node) -> None:
    _resolv_conf(node)


def resolv_conf_ourselves(_: Rig, node: Node) -> None:
    _resolv_conf(node, "127.0.0.1")


def resolv_conf_nobody(_: Rig, node: Node) -> None:
    _resolv_conf(node, node.host.address)


def _alone(node: Node) -> None:
    until(f"{node.host.name} has lost its peers", lambda: node.peers_up() == 0)


def peer_wrong_key(_: Rig, node: Node) -> None:
    right = node.key_file.read_text()
    node.key_file.write_text(generate())
    node.reload()
    _alone(node)
    node.key_file.write_text(right)
    node.reload()


def _version(node: Node, version: str, then: Callable[[], None]) -> None:
    node.version = version
    try:
        node.again(signal.SIGTERM)
        then()
    finally:
        node.version = ""
        node.again(signal.SIGTERM)


def peer_newer(rig: Rig, node: Node) -> None:
    def helped() -> None:
        until("a newer version is a peer", lambda: node.peers_up() > 0)
        _nameserver(rig, node, SILENT, 5.0)

    _version(node, "newer", helped)


def peer_alien(_: Rig, node: Node) -> None:
    def apart() -> None:
        time.sleep(8.0)
        if node.peers_up() > 0:
            raise ChaosError(f"{node.host.name}: another version was understood")

    _version(node, "alien", apart)


def partition(_: Rig, node: Node) -> None:
    node.host.filter(f"udp dport {PEER_PORT} drop")
    try:
        _alone(node)
    finally:
        node.host.unfilter()


def loss(_: Rig, node: Node) -> None:
    node.host.filter(
        'iifname "eth0" numgen random mod 100 < 20 drop',
        'oifname "eth0" numgen random mod 100 < 20 drop',
    )
    time.sleep(10.0)
    node.host.unfilter()
