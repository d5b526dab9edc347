"""The chaos bench judges rightly, and its table says what there is."""

import ast
import random
import subprocess
import sys
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from bench.chaos import judge, net, table
from bench.chaos.fleet import NODES, placed
from bench.chaos.judge import Act, Afflicted, judged
from bench.chaos.nameservers import DATAGRAM_SIZE, GARBAGE, SILENT, WELL, respond
from bench.chaos.otherversion import encode_more
from bench.chaos.table import FAKED, LATE_S, ROWS, Allowed
from bench.masking.client import ANSWER, SERVFAIL, SILENCE, Lookup
from codns.core.messages import Query
from codns.peer.codec import decode
from codns.wire.build import upstream_query
from codns.wire.digest import digest, matches
from codns.wire.errors import WireError
from codns.wire.name import from_text

ROOT = Path(__file__).resolve().parents[2]
TESTS = {path.name: path for path in (ROOT / "tests").rglob("test_*.py")}


def lookup(at_s, latency_s=0.004, outcome=ANSWER, *, node=0, name="a."):
    return Lookup(0, node, name, at_s, latency_s, outcome, miss=True, retried=False)


# -- the table ----------------------------------------------------------------------------------


def test_the_readme_is_the_table():
    assert table.README.read_text() == table.rendered(), "run: python -m bench.chaos.table"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_a_row_names_exists(row):
    for test in row.shown:
        file, _, function = test.partition("::")
        names = {
            node.name
            for node in ast.walk(ast.parse(TESTS[file].read_text()))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert function in names, test


# -- the judge ----------------------------------------------------------------------------------

MENDED = 10.0


@pytest.mark.parametrize(
    ("lookups", "allowed", "wrong"),
    [
        ([lookup(1)] * 9, Allowed(), 0),
        ([lookup(1, LATE_S)], Allowed(), 0),
        ([lookup(1, LATE_S + 0.01)], Allowed(), 2),  # late, and over the slowest
        ([lookup(1, 2.0)], Allowed(late=1.0, slowest_s=2.0), 0),
        ([lookup(1, 2.1)], Allowed(late=1.0, slowest_s=2.0), 1),
        ([lookup(1, 0.01, SERVFAIL)], Allowed(), 1),
        ([lookup(1, 10.0, SILENCE)], Allowed(), 1),
        ([lookup(1, 10.0, SILENCE)] * 4 + [lookup(1)] * 4, Allowed(failed=0.5), 0),
        ([lookup(1, 10.0, SILENCE)] * 5 + [lookup(1)] * 3, Allowed(failed=0.5), 1),
        ([lookup(1, 0.01, SERVFAIL, name="k.")], Allowed(failed=1.0, only_new=True), 1),
        ([lookup(1, 0.01, SERVFAIL, name="n.")], Allowed(failed=1.0, only_new=True), 0),
        ([lookup(11, 0.01, SERVFAIL)], Allowed(failed=1.0, after_s=1.0), 0),
        ([lookup(11.1, 0.01, SERVFAIL)], Allowed(failed=1.0, after_s=1.0), 1),
        ([lookup(11.1, 2.0)], Allowed(late=1.0, slowest_s=2.0, after_s=1.0), 1),
    ],
)
def test_what_is_allowed(lookups, allowed, wrong):
    found = judged(lookups, allowed, MENDED, {"k."})
    assert len(found) == wrong, found


def test_each_lookup_is_judged_where_it_was_on_its_way():
    act = Act([Afflicted("partition", 2, 10.0, 15.0)], 10.0, 20.0)
    lookups = [
        lookup(9.0, 5.0, SERVFAIL, node=2),  # on its way when it began
        lookup(12.0, 0.1, node=2),
        lookup(12.0, 0.1, SERVFAIL, node=0),
        lookup(21.0, 0.1, SERVFAIL, node=1),  # after it
    ]
    found = {(each.fault, each.node): each for each in judge.of_acts([act], lookups, 3)}
    assert set(found) == {("partition", 2), ("(other nodes)", 0), ("(other nodes)", 1)}
    hit = found["partition", 2]
    assert (hit.lookups, hit.failed, hit.mending_s, len(hit.wrong)) == (2, 1, 5.0, 1)
    assert found["(other nodes)", 0].wrong
    assert not found["(other nodes)", 1].lookups
    rest = judge.between([act], lookups, 3)
    assert [each.lookups for each in rest] == [0, 1, 0]
    assert rest[1].wrong
    errors = judge.of_acts([act._replace(error="not well")], [], 3)
    assert errors[0].wrong == ("not well",)
    assert [row[-1] for row in judge.rows([*found.values()])] == ["1 times NOT"] * 2


def test_what_a_node_has_answered_counts_from_its_last_start():
    acts = [Act([Afflicted("master-killed", 0, 5.0, 6.0)], 5.0, 8.0)]
    lookups = [lookup(4.0, name="old."), lookup(9.0, name="new."), lookup(9.0, 3.0, name="slow.")]
    assert judge.answered(lookups, acts, 0, 10.0) == {"new."}
    assert judge.answered(lookups, acts, 0, 5.0) == {"old."}
    assert judge.answered(lookups, [], 0, 20.0) == {"old.", "new.", "slow."}


def test_two_faults_are_on_two_nodes_and_a_clock_jumps_where_it_can():
    for seed in range(50):
        pairs = placed(["loss", "clock-jumps"], random.Random(seed))
        nodes = dict(pairs)
        assert nodes["clock-jumps"] == FAKED - 1
        assert nodes["loss"] in range(NODES)
        assert nodes["loss"] != nodes["clock-jumps"]


# -- the nameservers and the other version ------------------------------------------------------


@pytest.mark.parametrize("mode", GARBAGE)
def test_garbage_is_garbage(mode):
    """None of it may pass: it does not match, or cannot be read, whatever chance draws."""
    query = upstream_query(from_text("www.site.example."), 1, 1, do=False, cd=False)
    for seed in range(200):
        response = respond(query, mode, random.Random(seed))[:4096]  # what a slave reads
        if matches(query, response):
            with pytest.raises(WireError):
                digest(query, response)


def test_a_well_nameserver_and_a_silent_one():
    query = dns.message.make_query("www.site.example", "A")
    chance = random.Random(0)
    assert respond(query.to_wire(), SILENT, chance) is None
    answer = dns.message.from_wire(respond(query.to_wire(), WELL, chance))
    assert answer.rcode() == dns.rcode.NOERROR
    assert answer.answer[0][0].address.startswith("198.1")
    private = dns.message.make_query("private.corp.example", "A").to_wire()
    answer = dns.message.from_wire(respond(private, WELL, chance))
    assert answer.answer[0][0].address == "10.0.0.1"
    huge = respond(query.to_wire(), "huge", chance)
    assert DATAGRAM_SIZE - 16 < len(huge) <= DATAGRAM_SIZE


def test_a_field_more_is_understood():
    query = Query(7, from_text("www.example."), 1, 1, False, False)
    assert decode(encode_more(query)) == query


# -- the command --------------------------------------------------------------------------------


def test_an_unknown_fault_is_told():
    done = subprocess.run(
        [sys.executable, "-m", "bench.chaos", "--only", "earthquake"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 2
    assert "unknown: earthquake; there are slave-killed" in done.stderr


def test_without_root_it_says_so(monkeypatch):
    monkeypatch.setattr(net.os, "geteuid", lambda: 65534)
    monkeypatch.delenv(net.INSIDE, raising=False)
    with pytest.raises(net.ChaosError, match="needs root"):
        net.enter("bench.chaos", [])
