"""A world of peers as one node's `Neighbours` meets it, in virtual time.

Each peer is an RTT, a nameserver time and some flags; a heartbeat to it is answered one RTT later
unless it is dead. As a program it prints a transcript, for the test that no hash seed matters.
"""

import random
import sys
from dataclasses import dataclass, field
from heapq import heappop, heappush

from codns.core.messages import Report
from codns.core.neighbour_effects import SendHeartbeat
from codns.core.neighbours import Neighbours
from codns.core.peer_state import Peer

ME = "192.0.2.1:7353"


def report(
    mean_s: float | None = 0.005, *, failing: bool = False, nameservers: tuple[bytes, ...] = ()
) -> Report:
    """What a peer says of itself."""
    return Report(mean_s, failing, False, nameservers, 0, 32, "")


@dataclass
class Far:
    """The other end."""

    rtt_s: float = 0.020
    mean_s: float = 0.005
    nameserver: str = ""
    alive: bool = True
    failing: bool = False
    full: bool = False
    knows_us: bool = True
    heard: list[tuple[float, bool]] = field(default_factory=list)


class World:
    """One node and its peers. `log` has every effect with its time."""

    def __init__(self, seed: int = 1, **options) -> None:
        self.now = 0.0
        self.node = Neighbours(ME, random.Random(seed), **options)
        self.far: dict[str, Far] = {}
        self.log: list[tuple[float, object]] = []
        self._replies: list[tuple[float, int, str, int, str]] = []
        self._sequence = 0

    def listed(self, far: dict[str, Far]) -> None:
        self.far = far
        self.do(self.node.set_list([*far, ME], self.now))

    def fleet(self, size: int, rtt_s=lambda number: 0.020, **options) -> None:
        self.listed({
            address(number): Far(rtt_s(number), nameserver=f"ns{number}", **options)
            for number in range(size)
        })  # fmt: skip

    def report(self, peer: str) -> Report:
        far = self.far[peer]
        nameservers = ((far.nameserver or peer).encode(),)
        return report(far.mean_s, failing=far.failing, nameservers=nameservers)

    def do(self, effects) -> None:
        for effect in effects:
            self.log.append((round(self.now, 6), effect))
            if isinstance(effect, SendHeartbeat) and effect.peer in self.far:
                far = self.far[effect.peer]
                far.heard.append((self.now, effect.neighbour))
                if far.alive:
                    kind = "reply" if far.knows_us else "challenge"
                    far.knows_us = True
                    self._sequence += 1
                    reply = (self.now + far.rtt_s, self._sequence, effect.peer, effect.token, kind)
                    heappush(self._replies, reply)

    def run(self, until: float) -> None:
        """Answers that arrive at a deadline come before it."""
        while True:
            timeout = self.node.next_timeout()
            reply = self._replies[0][0] if self._replies else None
            times = [time for time in (timeout, reply) if time is not None and time <= until]
            if not times:
                break
            self.now = max(self.now, min(times))
            if reply is not None and reply <= self.now:
                self._arrive()
            else:
                self.do(self.node.handle_timeout(self.now))
        self.now = until

    def _arrive(self) -> None:
        _, _, peer, token, kind = heappop(self._replies)
        far = self.far.get(peer)
        if far is None or not far.alive:
            return
        if kind == "challenge":
            self.do(self.node.challenged(peer, self.now))
            return
        self.do(
            self.node.heartbeat_answered(peer, token, self.now, self.report(peer), full=far.full)
        )

    def chosen(self) -> list[str]:
        return sorted(peer.address for peer in self.node.neighbours)

    def peer(self, number: int) -> Peer:
        return self.node.peers[address(number)]

    def since(self, time: float, *kinds: type) -> list[tuple[float, object]]:
        """Effects of these kinds (all but heartbeats without any) from `time` on."""
        return [
            (at, effect)
            for at, effect in self.log
            if at >= time
            and (isinstance(effect, kinds) if kinds else not isinstance(effect, SendHeartbeat))
        ]


def address(number: int) -> str:
    return f"10.0.{number // 250}.{number % 250 + 1}:7353"


def transcript(seed: int) -> str:
    """Deaths, returns, a change of the list, a partition: everything that draws or orders."""
    world = World(seed, mine=frozenset({b"ns3"}))
    world.fleet(40, rtt_s=lambda number: 0.010 + 0.003 * (number % 17))
    world.run(5.0)
    for number in range(0, 40, 3):
        world.far[address(number)].alive = False
    world.run(30.0)
    for far in world.far.values():
        far.alive = not far.alive
    world.run(90.0)
    world.listed({address(number): Far(nameserver=f"ns{number % 4}") for number in range(20, 60)})
    world.run(150.0)
    order = world.node.standings(b"\x03www\x07example\x00", world.now)
    lines = [f"{time:.6f} {effect}" for time, effect in world.log]
    return "\n".join([*lines, *(f"{s.peer.address} {s.why}" for s in order)])


if __name__ == "__main__":
    print(transcript(int(sys.argv[1])))
