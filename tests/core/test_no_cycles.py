"""What is over is freed at once: no lookup and no race waits for the garbage collector.

The daemon leaves the oldest generation to itself (`master.daemon`), so a lookup that lives through
a young collection and is part of a cycle then is never freed. They live up to 10 s; a soak of an
hour found them.
"""

import gc
import sys

import pytest
from cluster_world import Cluster
from node_world import answers, failing, negative, silent, until

from codns.core.lookup import Lookup
from codns.core.race import Race
from codns.core.remote import RemoteAttempt

WELL = answers(0.020)


def late_in_part(query, now):
    """Every third answer comes after a peer's, every third never."""
    number = int(query.question[0].name[0][1:])
    return [WELL, answers(0.600), silent][number % 3](query, now)


def leftovers(local, peers):
    """Count what is kept by nothing but itself after 60 s with 150 lookups at node 0."""
    cluster = Cluster([local, *peers])
    cluster.run(4.0)
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for number in range(150):
            name = f"n{number}.d{number % 50}.example"
            cluster.ask(0, name, at=4.5 + number / 10)
            cluster.ask(0, name, at=5.3 + number / 10, client="another")
            cluster.ask(0, name, at=12.0 + number / 10, client="later")
        cluster.run(60.0)
        raced = len(cluster.checks.races)
        cluster.checks.races.clear()  # the test's own
        gc.collect()
        found = [type(each) for each in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    return raced, {kind: found.count(kind) for kind in (Lookup, Race, RemoteAttempt)}


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="counts references")
@pytest.mark.parametrize(
    ("local", "peers"),
    [
        (until(6.0, WELL, silent), [WELL, WELL]),
        (until(6.0, WELL, silent), [silent, WELL]),
        (until(6.0, WELL, silent), [silent, silent]),
        (until(6.0, WELL, failing(0.01)), [WELL, WELL]),
        (until(6.0, WELL, failing(0.01)), [failing(0.01), failing(0.01)]),
        (until(6.0, WELL, silent), [negative(0.03), negative(0.03)]),
        (until(6.0, WELL, answers(0.400)), [WELL, answers(0.300)]),
        (until(6.0, WELL, answers(3.000)), [silent, answers(4.000)]),
        (until(6.0, WELL, answers(0.400)), [negative(0.03), negative(0.03)]),
        (until(6.0, WELL, late_in_part), [WELL, silent]),
        (until(6.0, WELL, until(12.0, silent, WELL)), [silent, silent]),
    ],
)
def test_nothing_waits_for_the_collector(local, peers):
    raced, found = leftovers(local, peers)
    assert raced > 10
    assert found == {Lookup: 0, Race: 0, RemoteAttempt: 0}
