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
ranked at all (`behind`).
"""

from collections.abc import Sequence
from typing import Final

from codns.core.peer_state import Peer

NEAR_S: Final = 0.090  # RULES 7.1
TIE_S: Final = 0.005  # RULES 7.1
RESERVE: Final = 20  # two full sets: one may share the fate of the neighbours it replaces
KEEP_S: Final = 0.010  # two ties
KEEP_SHARE: Final = 0.2  # of the score: far away the noise is larger too
KEEP_NEAR: Final = 1.1
FAILING_GRACE_S: Final = 10.0  # a path recovers in 3 probes and 3 steps of 2 s: RULES 6.4


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
    for peer in sorted(pool, key=lambda peer: _key(peer, settled=settled)):
        if not _of_use(peer, mine, now):
            of_no_use.append(peer)
        elif taken.isdisjoint(peer.nameservers):
            taken.update(peer.nameservers)
            distinct.append(peer)
        else:
            shared.append(peer)
    return distinct, shared + of_no_use


def behind(peer: Peer, last: Peer, *, settled: bool) -> bool:
    """Would `peer` come behind `last`, who has a nameserver of its own? No neighbour is either."""
    return _key(peer, settled=settled) > _key(last, settled=settled)


def _of_use(peer: Peer, mine: frozenset[bytes], now: float) -> bool:
    return mine.isdisjoint(peer.nameservers) and now - peer.failing_since < FAILING_GRACE_S


def _key(peer: Peer, *, settled: bool) -> tuple[bool, int, int, str]:
    score = peer.score
    near_s = NEAR_S
    if settled and peer.slot is not None:
        score = max(score - max(KEEP_S, KEEP_SHARE * score), 0.0)
        near_s *= KEEP_NEAR
    srtt = peer.srtt
    near = srtt is not None and srtt < near_s
    return not near, int(score / TIE_S), -peer.affinity, peer.address
