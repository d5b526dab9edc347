"""The swarm: random fleets with random faults; 20 here, 200 in `.ci/run` after the suite."""

import pytest

from codns.sim import swarm
from codns.sim.checks import ViolationError

RUNS = 20
AT_ONCE = 10


@pytest.mark.parametrize("first", range(0, RUNS, AT_ONCE))
def test_the_swarm_keeps_all_promises(first):
    broken, asked = [], 0
    for seed in range(first, first + AT_ONCE):
        try:
            asked += swarm.run(seed).cluster.checks.asked
        except ViolationError as violation:
            broken.append(f"python -m codns.sim.swarm {seed}\n{violation}")
    assert not broken, "\n\n".join(broken)
    assert asked > 250


def test_fleets_differ_and_come_again():
    made = [swarm.scenario(seed) for seed in range(60)]
    assert made[7] == swarm.scenario(7)
    assert {scenario.race.policy for scenario in made} == {
        "adaptive",
        "codns2004",
        "off",
        "shadow",
    }
    kinds = {fault.what for scenario in made for fault in scenario.faults}
    assert kinds == {"nameservers", "nodes", "partition", "links", "authorities", "flaky"}


def test_a_broken_promise_tells_its_seed(monkeypatch):
    monkeypatch.setattr("codns.core.resolver.DEADLINE_S", 9.0)
    monkeypatch.setattr("codns.sim.swarm.ANSWERED_S", -1.0)
    with pytest.raises(ViolationError, match=r"\(seed 3\)"):
        swarm.run(3)
