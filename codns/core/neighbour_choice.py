"""Which of the peers known are neighbours: near, healthy, and behind different nameservers.

The paper takes the ten with the least RTT + nameserver time "with different nameservers".
RULES 7.1 says the same with some additions; as an order:
  1. of use before of none: no use is a peer behind one of our own nameservers, or one whose own
     path has been failing for 10 s. They fill empty places only, where `codns explain` shows why
     they are never asked;
  2. a nameserver nobody ahead of it has before one that is taken: independence first, since what
     is left of a site's neighbours when its nameserver dies counts more than milliseconds;
  3. RTT under 90 ms (the paper's slides: coast to coast is 80 ms, and masks well) before others;
  4. the score, in steps of 5 ms: smaller differences are the network's noise;
  5. HRW(me, peer), so that the nodes of a site spread over equally near peers.

*Change costs*: a new neighbour's cache is cold for the names it now gets. So a neighbour keeps its
place until another is ahead even of its score less 10 ms or a fifth, whichever is more, and it
stays near until 99 ms. Not while the list is being seen for the first time: then the best are
simply taken.

*Work*. Ranking a fleet of 1,000 at each heartbeat would cost a node O(fleet). What is ranked is
the neighbours, a reserve of 20 known to be alive, and the peer just heard: 31 at most. Whoever
falls out of the reserve comes back when the scan hears it the next time. Neighbours and reserve
are both taken in this order, so the reserve stays as diverse as it can be. And most of a large
fleet is further away than these thirty: who would come behind the last of a full reserve is not
ranked at all. Nor is anybody while nothing moves: between neighbours and reserve there is a line,
drawn when they were ranked, and until somebody heard has crossed it the same are chosen
(`Reserve`). That is an exact shortcut, as a test shows.
"""

from collections.abc import Sequence
from math import inf
from typing import Final

from codns.core.peer_state import MEAN_UNKNOWN_S, Peer

NEAR_S: Final = 0.090  # RULES 7.1
TIE_S: Final = 0.005  # RULES 7.1
RESERVE: Final = 20  # two full sets: one may share the fate of the neighbours it replaces
KEEP_S: Final = 0.010  # two ties
KEEP_SHARE: Final = 0.2  # of the score: far away the noise is larger too
KEEP_NEAR: Final = 1.1
FAILING_GRACE_S: Final = 10.0  # a path recovers in 3 probes and 3 steps of 2 s: RULES 6.4
AFFINITY_MAX: Final = 1 << 64
NEVER: Final = 1 << 30  # steps: behind all that were heard

_Key = tuple[bool, int, int, str]


def rank(
    pool: Sequence[Peer], mine: frozenset[bytes], now: float, *, settled: bool
) -> tuple[list[Peer], list[Peer]]:
    """Return those with a nameserver of their own, and behind them the others; each best first.

    `settled`: neighbours keep their place if they can.
    """
    distinct: list[Peer] = []
    shared: list[Peer] = []
    of_no_use: list[Peer] = []
    taken: set[bytes] = set()
    for peer in sorted(pool, key=_settled_key if settled else _key):
        nameservers = peer.nameservers
        if not mine.isdisjoint(nameservers) or now - peer.failing_since >= FAILING_GRACE_S:
            of_no_use.append(peer)
        elif taken.isdisjoint(nameservers):
            taken.update(nameservers)
            distinct.append(peer)
        else:
            shared.append(peer)
    return distinct, shared + of_no_use


class Reserve:
    """Who is called upon when a neighbour falls, and whether anything has to be ranked anew.

    Ranking again would choose the same neighbours, and the same last of the reserve, as long as
    all known are of use and each is behind a nameserver of its own, for then nothing but their
    keys decides, and no neighbour's key comes behind the line nor one of the reserve before it.
    Without a line everything is ranked whenever somebody of the reserve was heard.
    """

    __slots__ = ("_last", "_last_key", "_line", "_until", "moved", "peers")

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.moved = True  # rank anew at the next occasion
        self._line: _Key | None = None
        self._until = inf  # when the first of those failing is of no use any more
        self._last: Peer | None = None  # of a full reserve, if it has a nameserver of its own
        self._last_key: _Key | None = None

    def __len__(self) -> int:
        return len(self.peers)

    def same(self, now: float) -> bool:
        """Would a ranking change nothing?"""
        return self._line is not None and not self.moved and now < self._until

    def remove(self, peer: Peer) -> None:
        """It is not to be called upon."""
        if peer.reserve:
            peer.reserve = False
            self.peers.remove(peer)

    def add(self, peer: Peer) -> None:
        """It was heard, and may be better than somebody; to be ranked."""
        peer.reserve = self.moved = True
        self.peers.append(peer)

    def behind(self, peer: Peer, *, settled: bool) -> bool:
        """Would it come behind the last of a full reserve? Neither is a neighbour."""
        last = self._last
        if last is None or len(self.peers) != RESERVE or self.peers[-1] is not last:
            return False
        key = _settled_key if settled else _key
        return key(peer) > key(last)

    def heard(self, peer: Peer, *, settled: bool) -> None:
        """What is known of a peer may have changed, who is a neighbour or in the reserve."""
        line = self._line
        if line is None or self.moved:
            return
        if peer.failing:
            self._until = min(self._until, peer.failing_since + FAILING_GRACE_S)
        key, last = _settled_key(peer) if settled else _key(peer), self._last_key
        if peer.slot is not None:
            self.moved = key > line
        elif peer is self._last:
            self.moved = key != last
        else:
            self.moved = key < line or (last is not None and key > last)

    def fill(
        self, chosen: Sequence[Peer], others: Sequence[Peer], distinct: Sequence[Peer],
        *, apart: bool, settled: bool,
    ) -> None:  # fmt: skip
        """They were ranked: `chosen` are to be neighbours, the first of `others` are kept.

        `apart`: all are of use, and no two behind one nameserver: all are `distinct`.
        """
        for peer in self.peers:
            peer.reserve = False
        self.peers = kept = list(others[:RESERVE])
        for peer in kept:
            peer.reserve = True
        last = kept[-1] if len(kept) == RESERVE else None
        self._last = last if apart or last in distinct else None
        self._line = None
        # Whoever is no neighbour any more was ranked as one: its place here is not that of its key
        self.moved = any(peer.slot is not None for peer in kept)
        if not apart or not kept or self.moved:
            return
        key = _settled_key if settled else _key
        self._line = _between(key(chosen[-1]), key(kept[0]))
        self._last_key = None if self._last is None else key(self._last)
        failing = [peer.failing_since for peer in (*chosen, *kept) if peer.failing]
        self._until = min(failing) + FAILING_GRACE_S if failing else inf


def _between(low: _Key, high: _Key) -> _Key:
    """Return a key between two, as far from both as their steps allow."""
    if low[:2] == high[:2]:
        return high
    step = (low[1] + high[1] + 1) // 2 if low[0] == high[0] else -1
    return high[0], step, -AFFINITY_MAX, ""


def _key(peer: Peer) -> _Key:
    srtt, mean_s = peer.srtt, peer.mean_s
    if srtt is None:  # never heard
        return True, NEVER, 0, peer.address
    score = srtt + (MEAN_UNKNOWN_S if mean_s is None else mean_s)
    return srtt >= NEAR_S, int(score / TIE_S), -peer.affinity, peer.address


def _settled_key(peer: Peer) -> _Key:
    """Return the key if neighbours keep their place."""
    srtt, mean_s = peer.srtt, peer.mean_s
    if peer.slot is None or srtt is None:
        return _key(peer)
    score = srtt + (MEAN_UNKNOWN_S if mean_s is None else mean_s)
    less = KEEP_SHARE * score
    score -= max(KEEP_S, less)
    step = int(score / TIE_S) if score > 0.0 else 0
    return srtt >= NEAR_S * KEEP_NEAR, step, -peer.affinity, peer.address
