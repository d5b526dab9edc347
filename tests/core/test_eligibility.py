"""Who may be asked for one name: the band, the best three, the order."""

import pytest
from neighbour_world import report

from codns.core import hrw
from codns.core.eligibility import eligible, stand
from codns.core.peer_state import Peer, Why

WWW = b"\x03www\x07example\x00"


def peer(number: int, rtt_ms: float, *, failing: bool = False) -> Peer:
    made = Peer(f"192.0.2.{number}:7353")
    made.slot = number
    made.confirmed = True
    made.srtt = rtt_ms / 1000
    made.report(report(0.0, failing=failing), 0.0)
    return made


@pytest.mark.parametrize(
    ("rtts_ms", "asked"),
    [
        ([], []),
        ([50], [1]),
        ([1, 500, 500], [1, 2, 3]),  # the best three, however slow
        ([1, 500, 400, 300], [1, 3, 4]),
        ([1, 10, 15, 20, 21, 21.1], [1, 2, 3, 4, 5]),  # best + 20 ms
        ([100, 110, 119, 120, 121], [1, 2, 3, 4]),
        ([7, 7, 7, 7, 7], [1, 2, 3, 4, 5]),
    ],
)
def test_band_and_best_three(rtts_ms, asked):
    peers = [peer(number, rtt) for number, rtt in enumerate(rtts_ms, 1)]
    standings = stand(peers, frozenset(), WWW, 1.0, validating=False)
    found = {standing.peer.slot for standing in standings if standing.why is Why.ELIGIBLE}
    assert found == set(asked)
    order = [standing.peer for standing in standings if standing.why is Why.ELIGIBLE]
    assert eligible(peers, frozenset(), WWW, 1.0, validating=False) == order
    slower = [standing for standing in standings if standing.why is Why.SLOWER]
    assert len(slower) == len(rtts_ms) - len(asked)


def test_the_best_is_the_best_of_those_that_may_be_asked():
    peers = [peer(1, 1, failing=True), *(peer(number, 40) for number in range(2, 6))]
    standings = stand(peers, frozenset(), WWW, 1.0, validating=False)
    whys = {standing.peer.slot: standing.why for standing in standings}
    assert whys == {1: Why.FAILING, **dict.fromkeys(range(2, 6), Why.ELIGIBLE)}


def test_the_order_is_the_names():
    peers = [peer(number, number) for number in range(1, 7)]
    standings = stand(peers, frozenset(), WWW, 1.0, validating=False)
    assert [standing.peer.slot for standing in standings] == [3, 6, 1, 5, 2, 4]
    assert [standing.weight for standing in standings] == [
        hrw.weight(standing.peer.address, WWW) for standing in standings
    ]
