"""A scenario run twice, under two hash seeds, gives the same transcript (DESIGN 8)."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cluster_world import Cluster
from fleet_load import load, periodic, site, sporadic
from test_scenario_peers import rough

SCENARIO = "from test_scenario_determinism import digest; print(*digest(1))"


def run(seed):
    """Some of everything: faults, loss, copies, a reload, a death."""
    cluster = Cluster(
        [site(1, fault=periodic(4)), site(2, fault=sporadic(5)), site(3), site(4)],
        link=rough(seed, copies=0.1),
        seed=seed,
    )
    load(cluster, 0, 2, 9, 6, repeated=3)
    load(cluster, 1, 2, 9, 3, repeated=3)
    cluster.at(6, lambda: cluster.reload(0, race_policy="codns2004"))
    cluster.at(8, lambda: cluster.kill(3))
    return cluster.run(10)


def digest(seed):
    """The length of the transcript, and its hash."""
    transcript = run(seed).transcript
    return len(transcript), hashlib.sha256(repr(transcript).encode()).hexdigest()


@pytest.fixture(scope="module")
def elsewhere():
    """What two processes with other hash seeds get, at the same time."""
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent.parent)])
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SCENARIO],
            cwd=here,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    return [process.communicate(timeout=60)[0].split() for process in started]


def test_the_transcript_does_not_depend_on_the_hash_seed(elsewhere):
    length, text = digest(1)
    assert elsewhere == [[str(length), text]] * 2
    assert length > 300


def test_another_seed_is_another_transcript():
    assert digest(2) != digest(1)
