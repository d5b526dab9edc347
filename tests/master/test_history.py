"""The last ten minutes, step by step."""

import random

from codns.core.node import Node
from codns.core.settings import PeerSettings, Settings
from codns.master.history import STEP_S, STEPS_MAX, History


def node(peers=None):
    return Node(Settings(nameservers=("192.0.2.1#53",), peers=peers), random.Random(1), 0.0)


def test_a_step_holds_what_happened_in_it():
    seen = node()
    history = History(seen, 0.0)
    seen.stats.hit_counter("udp", 1, 0, negative=False).n += 5
    seen.stats.rcodes["local"][0] += 2
    seen.stats.duration["local"].add(0.003)
    seen.stats.duration["error"].add(4.5)
    history.step(STEP_S)
    seen.stats.rcodes["local"][3] += 1
    history.step(2 * STEP_S)
    first, second = history.rows(11.0)
    assert (first["ago_s"], first["seconds"]) == (6.0, 5.0)
    assert first["answers"]["cache"] == 5
    assert first["answers"]["local"] == 2
    assert sum(first["buckets"]) == 2
    assert (first["path"], first["initial_delay_s"]) == (None, None)
    assert second["answers"] == {**dict.fromkeys(first["answers"], 0), "local": 1}


def test_with_peers_it_knows_the_path():
    history = History(node(PeerSettings(me="192.0.2.7:7353")), 0.0)
    history.step(STEP_S)
    (row,) = history.rows(5.0)
    assert row["path"] == "healthy"
    assert row["initial_delay_s"] > 0


def test_the_oldest_steps_leave():
    history = History(node(), 0.0)
    for number in range(STEPS_MAX + 3):
        history.step(STEP_S * (number + 1))
    rows = history.rows(0.0)
    assert len(rows) == STEPS_MAX
    assert rows[0]["ago_s"] == -STEP_S * 4
