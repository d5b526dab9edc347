"""One fleet in several processes: nothing is different, and what goes wrong in one is told."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
from itertools import combinations
from pathlib import Path

import pytest

from codns.config.problems import ConfigError
from codns.core.messages import HeartbeatRequest, Query, Report
from codns.sim import load, parts
from codns.sim.cluster import Parcel
from codns.sim.introductions import Greeting
from codns.sim.kernel import Kernel
from codns.sim.network import site_numbers
from codns.sim.parts import BATCH_MAX, Exchange, Plan, plan
from codns.sim.runs import Run
from codns.sim.simulation import network_of

ROOT = Path(__file__).resolve().parents[2]

EVERYTHING = """
duration: 30s
warm_up: 5s
sites:
  a: {count: 5, nodes: 2}
  b: {count: 4, nameservers: [good, good]}
  c: {count: 3, shared: true}
workload: {rate: 2, names: 50, unique: 10%}
churn: {up: 20s, down: 3s}
network: {loss: 1%, reordering: 5%}
faults:
  - {at: 5s, lasts: 5s, what: nameservers, share: 30%, loss: 0%, servfail: 100%}
  - {at: 8s, lasts: 5s, what: nodes, share: 30%}
  - {at: 12s, lasts: 5s, what: partition, site: a, share: 50%}
  - {at: 16s, lasts: 5s, what: links, loss: 30%, delay: {median: 5ms, p99: 20ms}}
  - {at: 20s, lasts: 5s, what: authorities, share: 50%}
  - {at: 24s, lasts: 5s, what: flaky, share: 50%}
"""
TRACED = """
sites: {a: {count: 4}}
warm_up: 0s
duration: 40s
workload: {trace: queries.txt}
"""
SICK = """
duration: 40s
warm_up: 5s
sites: {healthy: {count: 5}, sick: {count: 1}}
workload: {rate: 2}
faults: [{at: 10s, lasts: 20s, site: sick}]
"""  # fmt: skip


@pytest.mark.parametrize(
    ("text", "policy", "processes"),
    [
        (EVERYTHING, "adaptive", 2),
        (EVERYTHING, "adaptive", 3),
        (EVERYTHING, "codns2004", 2),
        (EVERYTHING, "stub", 2),
        (TRACED, "adaptive", 2),
    ],
)
def test_the_same_comes_out(tmp_path, text, policy, processes):
    (tmp_path / "queries.txt").write_text(
        "1.0 a.example.com A 0\n2.5 b.example.com AAAA 3\n" + "c.example.com A\n" * 20
    )
    run = Run(text, str(tmp_path / "x.yaml"), (("policy", policy), ("seed", 3)))
    one, some = run.carry_out(), run.carry_out(None, processes)
    assert one.report is not None
    assert one.report["groups"]["all"]["lookups"] > 10
    assert some.report == one.report  # the count of events too


def test_progress_is_told():
    told = []
    outcome = Run(SICK, "x.yaml", ()).carry_out(told.append, 2)
    assert outcome.report is not None
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert outcome.seconds > 0


# What goes wrong


def seed_with_the_sick_one_in(part: int) -> int:
    """The parent is part 0; where sites are depends on the seed."""
    for seed in range(100):
        scenario = load.parse(SICK, {"seed": seed})
        if plan(scenario, network_of(scenario), 2).part_of[5] == part:
            return seed
    raise AssertionError


@pytest.mark.parametrize("part", [0, 1])
def test_a_broken_promise_is_told_whoever_finds_it(part):
    """A deadline that is later than the one that is checked."""
    seed = seed_with_the_sick_one_in(part)
    settings = (("policy", "off"), ("seed", seed), ("constants.resolver.DEADLINE_S", 9))
    outcome = Run(SICK, "x.yaml", settings).carry_out(None, 2)
    assert outcome.report is None
    assert outcome.violation.startswith("node 5 (10.0.0.6:7353)")
    assert f"(seed {seed})" in outcome.violation


def test_a_process_that_is_killed_is_told(monkeypatch):
    """Out of memory, mostly."""
    started = parts.get_context("spawn").Process.start

    def start(process):
        started(process)
        os.kill(process.pid, signal.SIGKILL)

    monkeypatch.setattr(parts.get_context("spawn").Process, "start", start)
    outcome = Run(SICK, "x.yaml", ()).carry_out(None, 2)
    assert outcome.report is None
    assert "one of the processes was ended by signal 9" in str(outcome.problems[0])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"network.model": "lan"}, "network: nodes 0.3 ms apart are too near to be parted"),
        ({"heartbeats": "abstract"}, "heartbeats: abstract ones are read from all nodes at once"),
    ],
)
def test_what_cannot_be_parted(settings, said):
    outcome = Run(SICK, "x.yaml", tuple(settings.items())).carry_out(None, 2)
    assert said in str(outcome.problems[0])
    assert "only --jobs 1 will do" in str(outcome.problems[0])


def test_the_command(tmp_path):
    path = tmp_path / "fleet.yaml"
    path.write_text(SICK)
    command = [sys.executable, "-m", "codns", "simulate", str(path), "--json", "--jobs"]
    one, two = (
        subprocess.run([*command, jobs], cwd=ROOT, capture_output=True, check=True)
        for jobs in ("1", "2")
    )
    assert one.stdout == two.stdout
    assert b"events in" in two.stderr


# The plan


@pytest.mark.parametrize("wanted", [2, 3, 7])
def test_what_belongs_together_is_not_parted(wanted):
    scenario = load.parse(EVERYTHING)
    network = network_of(scenario)
    cut = plan(scenario, network, wanted)
    sites = site_numbers(scenario)
    assert set(cut.part_of) == set(range(max(cut.part_of) + 1))
    assert 2 <= len(set(cut.part_of)) <= wanted
    for one, other in combinations(range(len(sites)), 2):
        if sites[one] == sites[other] or min(one, other) >= 14:  # kind c shares its nameserver
            assert cut.part_of[one] == cut.part_of[other]
    apart = [
        network.rtt(one, other) / 2
        for one, other in combinations(range(len(sites)), 2)
        if cut.part_of[one] != cut.part_of[other]
    ]
    assert cut.lookahead_s == min(apart)


def test_parts_have_much_the_same_work():
    scenario = load.parse("sites: {a: {count: 300}, b: {count: 100, rate: 20}}")
    cut = plan(scenario, network_of(scenario), 4)
    work = [0.0] * 4
    for node, part in enumerate(cut.part_of):
        work[part] += 24 if node < 300 else 100
    assert max(work) / min(work) < 1.05


def test_one_site_is_one_part():
    scenario = load.parse("{warm_up: 1s, duration: 5s, sites: {a: {count: 1, nodes: 3}}}")
    assert set(plan(scenario, network_of(scenario), 4).part_of) == {0}
    run = Run("{warm_up: 1s, duration: 5s, sites: {a: {count: 1, nodes: 3}}}", "x.yaml", ())
    assert run.carry_out(None, 4).report == run.carry_out().report


# The exchange


def test_what_is_posted_arrives_however_much_it_is():
    """Three parts in threads; everybody posts to everybody what arrives much later."""
    rng = random.Random(5)
    report = Report(0.010, False, True, (b"12345678",), 1, 32, "1")
    cut, count = Plan([0, 1, 2], 0.001), 3
    kernels = [Kernel() for _ in range(count)]
    links: list[parts.Links] = [{} for _ in range(count)]
    for one, other in combinations(range(count), 2):
        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        links[one][other], links[other][one] = pair
    exchanges = [Exchange(cut, links[me]) for me in range(count)]
    posted = [
        Parcel(rng.uniform(1.0, 2.0), target, source, 0, 1, what)
        for source in range(count)
        for target in range(count)
        for what in [
            Greeting(challenge=True, echo=False),
            Query(7, b"\1a\0", 1, 1, False, True),
            *[HeartbeatRequest(number, True, report) for number in range(3 * BATCH_MAX)],
        ]
        if source != target
    ]
    arrived: list[list[tuple[float, Parcel]]] = [[], [], []]
    for me, exchange in enumerate(exchanges):

        def deliver(parcel, me=me):
            kernels[me].at(parcel.time, lambda p: arrived[me].append((kernels[me].now, p)), parcel)

        exchange.deliver = deliver
        mine = [parcel for parcel in posted if parcel.source == me]
        kernels[me].at(0.5, lambda mine, exchange=exchange: [*map(exchange.post, mine)], mine)
    threads = [
        threading.Thread(target=exchange.run, args=(kernel, 3.0), daemon=True)
        for exchange, kernel in zip(exchanges, kernels, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    for me in range(count):
        expected = sorted((p for p in posted if p.target == me), key=lambda parcel: parcel.time)
        assert arrived[me] == [(parcel.time, parcel) for parcel in expected]
        assert kernels[me].now == 3.0
    for link in (link for mine in links for link in mine.values()):
        link.close()


def test_an_exchange_with_one_that_is_gone():
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    exchange = Exchange(Plan([0, 1], 0.001), {1: here})
    there.close()
    with here, pytest.raises((EOFError, OSError)):
        exchange.run(Kernel(), 1.0)


def test_too_near_is_an_error_before_anything_is_started():
    scenario = load.parse(SICK, {"network.model": "lan"})
    with pytest.raises(ConfigError):
        plan(scenario, network_of(scenario), 2)
