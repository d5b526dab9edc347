"""Who is chosen: tables of (peer, RTT, nameserver time, nameserver) and the order that results."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from neighbour_world import report

from codns.core.neighbour_choice import RESERVE, Reserve, rank
from codns.core.peer_state import Peer

MINE = frozenset({b"M"})


def peer(
    address: str,
    rtt_ms: float,
    mean_ms: float | None = 0,
    nameserver: str = "",
    *,
    slot: int | None = None,
    failing_at: float | None = None,
    affinity: int = 0,
) -> Peer:
    made = Peer(address, affinity)
    made.srtt = rtt_ms / 1000
    made.slot = slot
    mean_s = None if mean_ms is None else mean_ms / 1000
    failing, names = failing_at is not None, ((nameserver or address).encode(),)
    said = report(mean_s, failing=failing, nameservers=names)
    made.report(said, 0.0 if failing_at is None else failing_at)
    return made


def order_of(pool: Sequence[Peer], *, settled: bool = True) -> list[Peer]:
    distinct, rest = rank(pool, MINE, 100.0, settled=settled)
    return distinct + rest


def ranked(*pool: Peer, settled: bool = True) -> str:
    forward = [peer.address for peer in order_of(pool, settled=settled)]
    assert forward == [peer.address for peer in order_of(pool[::-1], settled=settled)]
    return " ".join(forward)


@pytest.mark.parametrize(
    ("pool", "order"),
    [
        # RTT + the nameserver's mean
        ([peer("a", 30), peer("b", 10), peer("c", 20)], "b c a"),
        ([peer("a", 5, 40), peer("b", 20, 10)], "b a"),  # ping-fast is not resolves-fast
        ([peer("a", 5, None), peer("b", 20, 10)], "b a"),  # nothing known is no zero
        # near before far, whatever the nameserver's time
        ([peer("a", 91, 1), peer("b", 89, 30)], "b a"),
        ([peer("a", 90, 1), peer("b", 89, 30)], "b a"),
        # ties within 5 ms by HRW(me, peer), then by address
        ([peer("a", 11, affinity=1), peer("b", 14, affinity=2)], "b a"),
        ([peer("a", 9, affinity=1), peer("b", 11, affinity=2)], "a b"),
        ([peer("b", 11), peer("a", 14)], "a b"),
        # different nameservers first
        ([peer("a", 10, 0, "X"), peer("b", 15, 0, "X"), peer("c", 80, 0, "Y")], "a c b"),
        ([peer("a", 10, 0, "X"), peer("b", 15, 0, "X"), peer("c", 200, 0, "Y")], "a c b"),
        # of no use: behind our own nameserver, or failing for 10 s
        ([peer("a", 1, 0, "M"), peer("b", 200, 0, "X")], "b a"),
        ([peer("a", 10, failing_at=90.001), peer("b", 20)], "a b"),
        ([peer("a", 10, failing_at=90.0), peer("b", 20)], "b a"),
        ([peer("a", 9, 0, "X", failing_at=0.0), peer("b", 20, 0, "X"), peer("c", 30, 0, "X")],
         "b c a"),  # and it takes nobody's nameserver
    ],
)  # fmt: skip
def test_order(pool, order):
    assert ranked(*pool) == order


@pytest.mark.parametrize(
    ("incumbent_ms", "other_ms", "settled", "kept"),
    [
        (30, 21, True, True),  # 9 ms better: not enough
        (30, 14, True, False),
        (30, 21, False, False),  # the first time round the best are taken
        (80, 66, True, True),  # at 80 ms, 16 ms are asked for
        (80, 59, True, False),
        (98, 89, True, True),  # near until 99 ms
        (100, 89, True, False),
    ],
)
def test_a_neighbour_keeps_its_place(incumbent_ms, other_ms, settled, kept):
    pool = [peer("a", incumbent_ms, slot=0), peer("b", other_ms)]
    assert ranked(*pool, settled=settled) == ("a b" if kept else "b a")


def test_two_behind_one_nameserver_do_not_take_turns():
    """Of equals the incumbent stays, so noise of a few ms moves nothing."""
    for noise in range(-9, 10):
        pool = [peer("a", 30, 0, "X", slot=0), peer("b", 30 + noise, 0, "X"), peer("c", 60)]
        assert ranked(*pool) == "a c b"


peers = st.builds(
    peer,
    st.text("abcdef", min_size=4, max_size=4),
    st.integers(1, 300),
    st.integers(0, 100),
    st.sampled_from("MXYZ"),
    slot=st.sampled_from([None, 0]),
    affinity=st.integers(0, 3),
)


@given(st.lists(peers, max_size=31, unique_by=lambda peer: peer.address))
def test_every_nameserver_is_represented_before_any_twice(pool):
    order = order_of(pool)
    useful = [peer for peer in order if MINE.isdisjoint(peer.nameservers)]
    assert order[: len(useful)] == useful
    distinct = {identity for peer in useful for identity in peer.nameservers}
    first = {identity for peer in useful[: len(distinct)] for identity in peer.nameservers}
    assert first == distinct
    assert sorted(peer.address for peer in order) == sorted(peer.address for peer in pool)


@given(
    st.lists(peers, min_size=2, max_size=31, unique_by=lambda peer: peer.address), st.booleans()
)
def test_who_is_behind_the_last_comes_behind_all_that_are_kept(pool, settled):
    """What spares the ranking: with the newcomer ranked too, nobody else's place changes."""
    *known, newcomer = pool
    newcomer.slot = None
    for one in known:
        one.slot = None
    distinct, _ = rank(known, MINE, 100.0, settled=settled)
    for place in range(RESERVE - 1, len(distinct)):
        reserve = Reserve()
        reserve.fill([], distinct[place + 1 - RESERVE : place + 1], distinct,
                     apart=True, settled=settled)  # fmt: skip
        if reserve.behind(newcomer, settled=settled):
            order = order_of(pool, settled=settled)
            assert order[: place + 1] == distinct[: place + 1]
