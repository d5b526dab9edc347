"""What `bench.simulation faithful` calls agreement."""

import pytest

from bench.simulation_faithful import AGREES, APART, CHANCE, judge


@pytest.mark.parametrize(
    ("real", "virtual", "verdict"),
    [
        (10.0, [10.0, 11.0, 12.0], AGREES),
        (10.0, [11.4, 11.6], AGREES),
        (10.0, [11.6, 11.6], APART),
        (10.0, [8.4, 8.4], APART),
        # Virtual lives differ by more than what is asked, and the real one is among them
        (10.0, [9.0, 9.0, 30.0], CHANCE),
        (31.0, [9.0, 9.0, 30.0], APART),
        (10.0, [11.51, 11.6], APART),  # no lives like it
    ],
)
def test_verdict(real, virtual, verdict):
    assert judge(real, virtual) == verdict
