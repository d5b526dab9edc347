"""When peers are asked, who wins and when: RULES 5.1 to 5.3 to the millisecond.

Times are the client's, who asks at 0. The local nameserver was never heard before (400 ms until
its second try), m is its first value (100 ms).
"""

import pytest
from node_world import answers, failing, negative, silent, unreachable
from scripted_peers import busy, raced

from codns.core.messages import Status
from codns.wire.outcome import Outcome

GARBAGE = lambda query, now: (0.01, Outcome.FORMERR)
NOWHERE = (answers(9.0),) * 3  # peers that answer nobody any more
YES, NO, NODATA = answers(0.02), negative(0.02), negative(0.02, rcode="NOERROR")


@pytest.mark.parametrize(
    ("delay", "asked"),
    [
        (0.200, [0.200, 0.600, 1.400]),  # d, d + g, d + 3g with g = 2d
        (0.050, [0.050, 0.150, 0.350]),  # 2d = m
        (0.010, [0.010, 0.110, 0.310]),  # g = m
        (0.000, [0.000, 0.100, 0.300]),  # 0, m, 3m
    ],
)
def test_attempts_leave_at_d_d_plus_g_d_plus_3g(delay, asked):
    seen = raced(silent, silent, silent, silent, silent, delay=delay)
    assert seen.asked == asked
    assert seen.answer == ("error", "SERVFAIL", 4.5)


@pytest.mark.parametrize(("most", "asked"), [(0, []), (1, [0.2]), (2, [0.2, 0.6])])
def test_no_more_than_max_remote_are_asked(most, asked):
    seen = raced(silent, silent, silent, silent, silent, settings={"race_max_remote": most})
    assert seen.asked == asked


@pytest.mark.parametrize(
    ("local", "peers", "asked", "answer"),
    [
        (answers(0.030), [YES] * 3, [], ("local", "NOERROR", 0.030)),
        (answers(0.200), [YES] * 3, [], ("local", "NOERROR", 0.200)),  # in time
        (silent, [YES] * 3, [0.2], ("p1", "NOERROR", 0.220)),
        (silent, [silent, YES, YES], [0.2, 0.6], ("p2", "NOERROR", 0.620)),
        (silent, [silent, silent, YES], [0.2, 0.6, 1.4], ("p3", "NOERROR", 1.420)),
        (answers(0.210), [YES] * 3, [0.2], ("local", "NOERROR", 0.210)),
        (answers(0.230), [YES] * 3, [0.2], ("p1", "NOERROR", 0.220)),
        (silent, [answers(0.5), YES, YES], [0.2, 0.6], ("p2", "NOERROR", 0.620)),
        (silent, [answers(0.41), YES, YES], [0.2, 0.6], ("p1", "NOERROR", 0.610)),
        # a peer's failing answer sends the next at once, and later gaps count from then
        (silent, [failing(0.02), YES], [0.2, 0.22], ("p2", "NOERROR", 0.240)),
        (silent, [failing(0.02), silent, YES], [0.2, 0.22, 1.02], ("p3", "NOERROR", 1.040)),
        (silent, [failing(0.02, "REFUSED"), YES], [0.2, 0.22], ("p2", "NOERROR", 0.240)),
        (silent, [failing(0.02)] * 3, [0.2, 0.22, 0.24], ("error", "SERVFAIL", 4.5)),
        # BUSY is no attempt, but nobody is asked after the fifth
        (silent, [busy(), YES], [0.2, 0.202], ("p2", "NOERROR", 0.222)),
        (
            silent,
            [busy(), busy(), silent, YES],
            [0.2, 0.202, 0.204, 0.604],
            ("p4", "NOERROR", 0.624),
        ),
        (silent, [busy()] * 6, [0.2, 0.202, 0.204, 0.206, 0.208], ("error", "SERVFAIL", 4.5)),
        (
            silent,
            [busy(), silent, silent, silent, YES],
            [0.2, 0.202, 0.602, 1.402],
            ("error", "SERVFAIL", 4.5),
        ),
        (silent, [busy(status=Status.FULL), YES], [0.2, 0.202], ("p2", "NOERROR", 0.222)),
        # a failing local answer from a healthy path asks one peer at once, for one token
        (failing(0.01), [YES] * 3, [0.01], ("p1", "NOERROR", 0.030)),
        (failing(0.01, "REFUSED"), [YES] * 3, [0.01], ("p1", "NOERROR", 0.030)),
        (failing(0.01), [failing(0.02), YES], [0.01], ("error", "SERVFAIL", 0.030)),
        (failing(0.01), [silent, YES], [0.01], ("error", "SERVFAIL", 2.010)),
        (failing(0.01), [busy(), YES], [0.01, 0.012], ("p2", "NOERROR", 0.032)),
        (failing(0.25), [silent, YES], [0.2], ("error", "SERVFAIL", 2.200)),  # p1 is that one
        (failing(0.65), [silent, silent, YES], [0.2, 0.6], ("error", "SERVFAIL", 2.600)),
        (failing(0.65), [silent, answers(0.1)], [0.2, 0.6], ("p2", "NOERROR", 0.700)),
        (failing(0.5), [failing(0.4)] * 3, [0.2], ("error", "SERVFAIL", 0.600)),
        # a transport error asks all, at once
        (unreachable(0.01), [silent, silent, YES], [0.01, 0.41, 1.21], ("p3", "NOERROR", 1.230)),
        (unreachable(0.01), [failing(0.02), YES], [0.01, 0.03], ("p2", "NOERROR", 0.050)),
        (unreachable(0.01), [failing(0.02)] * 3, [0.01, 0.03, 0.05], ("error", "SERVFAIL", 1.61)),
        # so does garbage, which says nothing of the domain: the first peer may be dead
        (GARBAGE, [silent, silent, YES], [0.01, 0.41, 1.21], ("p3", "NOERROR", 1.230)),
        (GARBAGE, [failing(0.02), YES], [0.01, 0.03], ("p2", "NOERROR", 0.050)),
        # a failure never beats an answer that may still come
        (answers(0.5), [failing(0.02)] * 3, [0.2, 0.22, 0.24], ("local", "NOERROR", 0.5)),
        (answers(3.9), [silent] * 3, [0.2, 0.6, 1.4], ("local", "NOERROR", 3.9)),
    ],
)
def test_races(local, peers, asked, answer):
    seen = raced(local, *peers, count=max(len(peers), 3))
    assert seen.asked == asked
    assert seen.answer == answer


@pytest.mark.parametrize(
    ("local", "peers", "asked", "answer"),
    [
        # held while the local nameserver may still know the name; then it wins, or does not
        (answers(0.3), [NO], [0.2], ("local", "NOERROR", 0.300)),
        (answers(0.3), [NODATA], [0.2], ("local", "NOERROR", 0.300)),
        (negative(0.3), [NO], [0.2], ("local", "NXDOMAIN", 0.300)),
        (failing(0.3), [NO], [0.2], ("p1", "NXDOMAIN", 0.300)),
        (failing(0.3), [NODATA], [0.2], ("p1", "NOERROR", 0.300)),
        (failing(0.1), [NO], [0.1], ("p1", "NXDOMAIN", 0.120)),  # local had ended: no waiting
        # silent for all its tries: 400, 800, 1600 ms after one another
        (silent, [NO], [0.2], ("p1", "NXDOMAIN", 2.8)),
        # another's positive answer is better
        (silent, [NO, YES], [0.2, 0.6], ("p2", "NOERROR", 0.620)),
        (silent, [NO, NO, YES], [0.2, 0.6, 1.4], ("p3", "NOERROR", 1.420)),
        # without a SOA it is no answer: the next at once
        (silent, [negative(0.02, soa=False), YES], [0.2, 0.22], ("p2", "NOERROR", 0.240)),
        (failing(0.1), [negative(0.02, soa=False)], [0.1], ("error", "SERVFAIL", 0.120)),
        # silent to the end while others still try: what is held is better than nothing
        (silent, [NO, silent, silent], [0.2, 0.6, 1.4], ("p1", "NXDOMAIN", 4.5)),
    ],
)
def test_a_negative_answer_of_a_peer_is_held(local, peers, asked, answer):
    seen = raced(local, *peers)
    assert seen.asked == asked
    assert seen.answer == answer
