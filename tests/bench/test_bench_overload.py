"""The overload benchmark: its parts by exact values, and its client against a server of ours."""

import json
import socket
import subprocess
import sys
import threading
from array import array

import dns.message
import dns.rcode
import dns.rrset
import pytest

from bench.common import BenchError
from bench.overload import crowd, figures, flood, report, tcp, traffic
from bench.overload.__main__ import arguments
from bench.overload.figures import CACHED, UNIQUE
from bench.overload.quota import Quota
from bench.overload.traffic import GOOD, NONE, OTHER, PATIENCE_S, SERVFAIL, SHED, Phase, Records
from bench.servers import ROOT
from codns.core.state import CLIENTS_MAX
from codns.wire.shed import shed_tail

ZONE = "bench.example."


def records(*rows):
    """Of (due, kind, outcome, latency)."""
    made = Records(array("d"), array("f"), array("f"), array("B"), array("B"), 0, 0)
    for due_s, kind, outcome, latency_s in rows:
        made.due_s.append(due_s)
        made.late_s.append(0.0)
        made.kind.append(kind)
        made.outcome.append(outcome)
        made.latency_s.append(latency_s)
    return made


# what follows from the records


def test_what_became_of_the_queries_of_one_kind():
    seen = records(
        (0.5, UNIQUE, GOOD, 0.1),
        (1.0, UNIQUE, GOOD, 0.25),
        (1.5, UNIQUE, SHED, 0.1),
        (1.5, CACHED, GOOD, 0.1),
        (2.0, UNIQUE, NONE, -1.0),
        (2.0, UNIQUE, SERVFAIL, 0.1),
        (2.0, UNIQUE, OTHER, 0.1),
        (2.5, UNIQUE, GOOD, PATIENCE_S + 1),
        (2.875, UNIQUE, GOOD, 0.5),  # after the end
        (3.0, UNIQUE, GOOD, 0.1),
    )
    kind = figures.kind(seen, UNIQUE, 1.0, 3.0)
    assert kind == (3.5, 0.5, 1.0, 0.5, 0.5, 1.0, 0.5, 0.5, 0.5)
    assert kind.share == pytest.approx(2 / 7)


def test_an_answer_counts_when_it_comes_whenever_it_was_asked_for():
    seen = records((0.5, UNIQUE, GOOD, 1.0), (1.75, UNIQUE, GOOD, 0.5))
    assert [figures.kind(seen, UNIQUE, n, n + 1.0).answered for n in (0.0, 1.0, 2.0)] == [0, 1, 1]


def step(offered, answered):
    return figures.Kind(offered, answered, answered, 0, 0, 0, 0, 0.1, 0.1)


def test_the_ramp_ends_when_a_tenth_does_not_come_twice():
    well, bad = step(100, 91), step(100, 89)
    assert not figures.is_over([bad])
    assert not figures.is_over([bad, well])
    assert not figures.is_over([well, bad])
    assert figures.is_over([well, bad, bad])
    assert figures.peak([step(50, 50), well, bad]) == 90
    assert figures.peak([bad]) == 89


def steady(start, end, outcome=GOOD, latency=0.01, every=0.001):
    count = round((end - start) / every)
    return [(start + i * every, UNIQUE, outcome, latency) for i in range(count)]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (steady(10, 12), 0.0),
        (steady(10, 10.45, NONE, -1.0) + steady(10.45, 12), 0.5),
        (steady(10, 10.65, latency=0.2) + steady(10.65, 12), 0.7),  # slow is not well
        (steady(10, 12, latency=0.09), None),
        (steady(10, 11.85) + steady(11.85, 12, SHED), None),  # a relapse
        (steady(10, 11.7, SHED) + steady(11.7, 12), None),  # too short to tell
    ],
    ids=["at once", "silent", "slow", "always slow", "relapse", "too short"],
)
def test_recovery_is_when_all_is_well_and_stays_so(rows, expected):
    found = figures.recovery_s(records(*rows), 10.0, 12.0, 0.02)
    assert found == (None if expected is None else pytest.approx(expected))


def test_what_is_normal_is_the_worst_tenth_of_a_second():
    rows = steady(0, 1) + steady(0.55, 0.56, latency=0.5) + steady(1, 2, latency=0.9)
    assert figures.tenths_p99_s(records(*rows), 0.0, 1.0) == 0.5
    assert figures.tenths_p99_s(records(), 0.0, 1.0) == 0.0


# the client


def test_its_queries_and_what_it_takes_answers_for():
    wire = b"\x12\x34" + traffic.tail("u1-www", ZONE)
    query = dns.message.from_wire(wire)
    assert query.question[0].to_text() == "u1-www.bench.example. IN A"
    assert query.edns == 0
    response = dns.message.make_response(query)
    assert traffic.outcome(response.to_wire()) == OTHER  # NODATA
    response.answer.append(dns.rrset.from_text(query.question[0].name, 1, "IN", "A", "192.0.2.1"))
    assert traffic.outcome(response.to_wire()) == GOOD
    failure = dns.message.make_response(query)
    failure.set_rcode(dns.rcode.SERVFAIL)
    assert traffic.outcome(failure.to_wire()) == SERVFAIL
    assert traffic.outcome(wire[:2] + shed_tail(wire[2:])) == SHED


class Server:
    """Answers cached names; of the others every second, and sheds the rest. Notes who asked."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sources, self.names = set(), []
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while wire := self.sock.recvfrom(4096):
            wire, source = wire
            if not wire:
                return
            name = wire[13 : 13 + wire[12]]
            self.sources.add(source)
            self.names.append(name)
            if name.startswith(b"u") and len(self.names) % 2:
                self.sock.sendto(wire[:2] + shed_tail(wire[2:]), source)
            else:
                record = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\xc0\0\2\1"
                counts = b"\0\1\0\1\0\0\0\0"
                self.sock.sendto(wire[:2] + b"\x81\x80" + counts + wire[12:-11] + record, source)

    def close(self):
        self.sock.sendto(b"", self.sock.getsockname())
        self.thread.join(10)
        self.sock.close()


def test_it_asks_as_planned_from_many_addresses_and_notes_what_came():
    server = Server()
    client = traffic.Client(server.sock.getsockname(), ZONE, 1)
    client.warm()
    warm = len(server.names)
    seen = client.play([Phase(400.0, 100.0, 0.4), Phase(200.0, 100.0, 0.4)])
    server.close()
    for sock in client.sockets:
        sock.close()
    client.poll.close()
    planned = len(seen.due_s)
    assert planned == pytest.approx(0.4 * 500 + 0.4 * 300, rel=0.25)
    assert len(server.names) - warm == planned
    assert (seen.lost, seen.strays) == (0, 0)
    assert list(seen.due_s) == sorted(seen.due_s)
    assert min(seen.late_s) >= 0
    unique = [name for name in server.names[warm:] if name.startswith(b"u")]
    assert len(unique) == len(set(unique)) == list(seen.kind).count(UNIQUE)
    assert set(server.names[:warm]) == {b"hot%d" % i for i in range(traffic.HOT)}
    outcomes = {UNIQUE: {GOOD, SHED}, CACHED: {GOOD}}
    for kind, outcome, latency_s in zip(seen.kind, seen.outcome, seen.latency_s, strict=True):
        assert outcome in outcomes[kind]
        assert latency_s > 0
    assert len({host for host, _ in server.sources}) == traffic.ADDRESSES
    assert len({port for _, port in server.sources}) == traffic.SOCKETS


# the quota


def test_a_quota_of_either_version(tmp_path):
    first = tmp_path / "one" / "cpu"
    first.mkdir(parents=True)
    (first / "cpu.cfs_quota_us").write_text("-1")
    with pytest.raises(BenchError, match="no cpu controller"):  # a folder that is no cgroup
        Quota("x", tmp_path / "one")
    (first / "x").mkdir()
    (first / "x" / "cpu.cfs_quota_us").write_text("-1")
    quota = Quota("x", tmp_path / "one")
    quota.grant(0.25, 20_000)
    assert (first / "x" / "cpu.cfs_quota_us").read_text() == "5000"
    assert (first / "x" / "cpu.cfs_period_us").read_text() == "20000"

    second = tmp_path / "two"
    (second / "x").mkdir(parents=True)
    (second / "cgroup.subtree_control").write_text("memory")
    (second / "x" / "cpu.max").write_text("max 100000")
    (second / "x" / "cpu.stat").write_text("usage_usec 1\nnr_periods 7\nnr_throttled 3\n")
    quota = Quota("x", second)
    assert (second / "cgroup.subtree_control").read_text() == "+cpu"
    quota.grant(0.25, 20_000)
    assert (second / "x" / "cpu.max").read_text() == "5000 20000"
    assert quota.throttled() == (7, 3)


def test_without_cgroups_the_error_names_the_remedy(tmp_path):
    with pytest.raises(BenchError, match="mount -t cgroup"):
        Quota("x", tmp_path)


# the crowd


def test_the_crowd_meets_the_limit_of_an_address_and_that_of_all():
    made = [crowd.Member(n) for n in range(tcp.CONNECTIONS)]
    by_address = {}
    for member in made:
        by_address.setdefault(member.address, []).append(member)
    greedy = by_address.pop("127.31.0.1")
    assert len(greedy) == 1_000
    assert max(map(len, by_address.values())) < 256 < len(greedy)
    assert {member.kind for member in greedy} == set(crowd.KINDS)


def test_what_the_crowd_asks():
    made = crowd.Crowd(("127.0.0.1", 1), ZONE, 3)
    size = int.from_bytes(made.greed[:2], "big")
    query = dns.message.from_wire(made.greed[2 : 2 + size])
    assert query.question[0].to_text() == "big.bench.example. IN TXT"
    assert len(made.greed) == crowd.PIPELINED * (2 + size)
    slow = dns.message.from_wire(made.slow[2:])
    assert slow.question[0].to_text() == "u.bench.example. IN A"
    made.poll.close()


def test_the_crowd_is_refused_and_tries_again():
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        command = [sys.executable, "-m", "bench.overload.crowd", "127.0.0.1"]
        command += [str(server.getsockname()[1]), ZONE, "6", "1.5"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        server.settimeout(10)
        for _ in range(12):
            server.accept()[0].close()
        kept = [server.accept()[0] for _ in range(6)]
        told = process.communicate(timeout=20)[0].splitlines()
        for sock in kept:
            sock.close()
    assert told[0] == "ready"
    assert json.loads(told[1])["refused"] >= 12
    assert json.loads(told[1])["offered"] >= 18


# the report


def result(**changes):
    kinds = (step(100.0, 90.0), step(10.0, 10.0))
    values = {
        "steps": [(100.0, step(100.0, 100.0))],
        "peak": 100.0,
        "phases": dict.fromkeys(("normal", "overload", "recovery"), kinds),
        "recovery_s": 0.5,
        "punctual": figures.Punctual(0.001, 0.002, 0.01, 0),
        "samples": [flood.Sample(n, 60.0, 50.0, 0.25 * n, 64.0) for n in range(60)],
        "counted": {'codns_queries_dropped_total{reason="backlog"}': 7.0, "codns_cache": 1.0},
        "throttled": (100, 90),
    }
    return flood.Result(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({}, 0),
        ({"peak": 101.0}, 1),
        ({"recovery_s": None}, 1),
        ({"recovery_s": 2.1}, 1),
        ({"samples": [flood.Sample(n, 60.0, 50.0 + n, 0.25 * n, 64.0) for n in range(60)]}, 1),
        ({"samples": [flood.Sample(n, 60, 50, n / 4, CLIENTS_MAX + 1) for n in range(60)]}, 1),
    ],
)
def test_each_aim_can_be_missed(changes, missed):
    lines = report.of_flood(result(**changes), flood.Lengths())
    assert sum(line.startswith("MISSED") for line in lines) == missed
    assert any("dropped_total" in line for line in lines)
    assert not any(line.startswith("doubtful") for line in lines)


@pytest.mark.parametrize(
    "changes",
    [
        {"punctual": figures.Punctual(0.001, 0.1, 0.2, 0)},
        {"samples": [flood.Sample(n, 60.0, 50.0, 0.2 * n, 64.0) for n in range(60)]},
    ],
)
def test_it_says_when_its_figures_are_doubtful(changes):
    lines = report.of_flood(result(**changes), flood.Lengths())
    assert sum(line.startswith("doubtful") for line in lines) == 1


def test_the_limit_it_compares_with_is_that_of_codns():
    assert report.OUTSTANDING_MAX == CLIENTS_MAX


def test_what_others_notice_of_the_crowd():
    quiet, busy = step(100.0, 100.0), step(100.0, 100.0)._replace(p50_s=0.2, p99_s=0.4)
    samples = [flood.Sample(0.0, 60.0, 50.0, 0.0, None)]
    told = {"offered": 10_000, "refused": 9_000}
    well = tcp.Result((quiet, quiet), (quiet, quiet), told, {}, samples, 1_100, 60)
    assert not any("MISSED" in line for line in report.of_tcp(well))
    bad = report.of_tcp(well._replace(beside=(quiet, busy)))
    assert sum("MISSED" in line for line in bad) == 2
    document = json.loads(json.dumps(report.document("tcp", well, {"quick": True})))
    assert document["crowd"]["refused"] == 9_000
    assert document["beside"][0]["offered"] == 100.0


def test_the_command_line():
    assert arguments([]).what == "all"
    assert arguments(["tcp", "--quick"]).quick
    with pytest.raises(SystemExit):
        arguments(["--setting", "refuse"])
