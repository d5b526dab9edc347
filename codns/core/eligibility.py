"""Eligibility: which neighbours may be asked for a name, in which order, and why not the others.

Each peer first stands for itself (`Peer.why`, RULES 7.3). Of those that may be asked, the ones
much slower than the best are left out, unless they are among the best three: a race asks three,
and must find them. Between the rest a few milliseconds do not matter and a warm cache does, so the
name decides: highest random weight (`core.hrw`), attempt k takes the k-th.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from codns.core import hrw
from codns.core.peer_state import Peer, Why

BAND_S: Final = 0.020  # RULES 7.3: what a warm cache is worth; a region is about 20 ms across
BEST: Final = 3  # RULES 7.3: as many as a race asks (RULES 5.1)


@dataclass(slots=True)
class Standing:
    """Where a peer stands for one name: `codns explain` prints these in order."""

    peer: Peer
    why: Why
    weight: int


def eligible(
    peers: Sequence[Peer], mine: frozenset[bytes], name: bytes, now: float, *, validating: bool
) -> list[Peer]:
    """Return those that may be asked for `name`, first to last. For each raced lookup."""
    fit = [peer for peer in peers if peer.why(mine, now, validating=validating) is Why.ELIGIBLE]
    if len(fit) > BEST:
        by_score = sorted([(peer.score, peer.address, peer) for peer in fit])
        limit = by_score[0][0] + BAND_S
        fit = [entry[2] for at, entry in enumerate(by_score) if at < BEST or entry[0] <= limit]
    weighed = sorted([(-hrw.weight(peer.address, name), peer.address, peer) for peer in fit])
    return [entry[2] for entry in weighed]


def stand(
    peers: Sequence[Peer], mine: frozenset[bytes], name: bytes, now: float, *, validating: bool
) -> list[Standing]:
    """Return all the peers by descending weight for `name`, each with its reason."""
    asked = eligible(peers, mine, name, now, validating=validating)
    standings = []
    for peer in peers:
        why = peer.why(mine, now, validating=validating)
        if why is Why.ELIGIBLE and peer not in asked:
            why = Why.SLOWER
        standings.append(Standing(peer, why, hrw.weight(peer.address, name)))
    return sorted(standings, key=lambda standing: (-standing.weight, standing.peer.address))
