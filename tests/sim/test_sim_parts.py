"""One fleet in several processes: nothing is different, and what goes wrong in one is told."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
from itertools import combinations
from multiprocessing import get_context
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest

from codns.config.problems import ConfigError
from codns.core.messages import HeartbeatRequest, Query, Report
from codns.sim import load, part_processes, parts
from codns.sim.cluster import Parcel
from codns.sim.introductions import Greeting
from codns.sim.kernel import Kernel
from codns.sim.network import site_numbers
from codns.sim.parts import BATCH_MAX, Exchange, GoneError, Links, Plan, WholeError, plan
from codns.sim.report import report as report_of
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


def linked(count: int) -> list[Links]:
    """Return the links of so many parts."""
    links: list[Links] = [{} for _ in range(count)]
    for one, other in combinations(range(count), 2):
        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        links[one][other], links[other][one] = pair
    return links


def together(*works) -> None:
    """Do all at once, in threads; raise what any of them raises."""
    errors: list[BaseException] = []

    def guarded(work) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


def in_threads(run: Run, count: int) -> dict:
    """Return the report of a fleet in parts; a process each would take a second each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "LOOKS", 0)  # threads take turns
        return _in_threads(run, count)


def _in_threads(run: Run, count: int) -> dict:
    scenario = run.scenario()
    cut = plan(scenario, network_of(scenario), count)
    links = linked(max(cut.part_of) + 1)
    made: dict[int, tuple] = {}

    def work(me: int) -> None:
        simulation, _ = part_processes._carry_out(run, run.scenario(), cut, me, links[me], None)
        nodes = [node for node, part in enumerate(cut.part_of) if part == me]
        made[me] = simulation, part_processes._part(simulation, nodes, 0.0)

    together(*[lambda me=me: work(me) for me in range(len(links))])
    whole = made[0][0]
    for me in range(1, len(links)):
        part_processes._merge(whole, made[me][1])
    for link in (link for mine in links for link in mine.values()):
        link.close()
    return report_of(whole)


@pytest.mark.parametrize(
    ("text", "policy", "count"),
    [
        (EVERYTHING, "adaptive", 3),
        (EVERYTHING, "codns2004", 2),
        (EVERYTHING, "stub", 2),
        (TRACED, "adaptive", 2),
    ],
    ids=["adaptive", "codns2004", "stub", "a trace"],
)
def test_the_same_comes_out(tmp_path, text, policy, count):
    (tmp_path / "queries.txt").write_text(
        "1.0 a.example.com A 0\n2.5 b.example.com AAAA 3\n"
        + "c.example.com A\n" * 20
        + "99 late.example.com A 3\n98 late.example.com A 1\n"
    )
    run = Run(text, str(tmp_path / "x.yaml"), (("policy", policy), ("seed", 3)))
    one = run.carry_out().report
    assert one["groups"]["all"]["lookups"] > 10
    assert in_threads(run, count) == one  # the count of events too


def test_the_same_comes_out_of_processes():
    run = Run(EVERYTHING, "x.yaml", (("duration", "16s"),))
    one, some = run.carry_out(), run.carry_out(None, 3)
    assert one.report is not None
    assert some.report == one.report


UNIQUE = """
duration: 150s
warm_up: 1s
peers: {heartbeat: 30s}
sites: {a: {count: 4}}
workload: {rate: 0.1, unique: 100%}
nameservers: {good: {loss: 20%}}
"""
EQUAL = """
duration: 20s
warm_up: 1s
sites: {a: {count: 6}}
workload: {rate: 2}
network: {matrix: matrix.txt, jitter: 0%}
"""


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize(
    "text",
    [
        "{duration: 3s, warm_up: 1s, sites: {a: {count: 9}}}",
        UNIQUE,  # forgotten names that are asked again
        EQUAL,  # messages that arrive at one instant
    ],
    ids=["short", "unique", "equal"],
)
def test_the_same_comes_out_whatever_the_seed(tmp_path, text, count, seed):
    rows = ["20 " * 6 for _ in range(6)]
    (tmp_path / "matrix.txt").write_text("\n".join(rows))
    run = Run(text, str(tmp_path / "x.yaml"), (("seed", seed),))
    assert in_threads(run, count) == run.carry_out().report


def test_progress_is_told():
    told = []
    outcome = Run(SICK, "x.yaml", ()).carry_out(told.append, 2)
    assert outcome.report is not None
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert outcome.seconds > 0


# What goes wrong


def parts_pipe():
    return get_context("spawn").Pipe(duplex=False)


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
    started = SpawnProcess.start

    def start(process):
        started(process)
        os.kill(process.pid, signal.SIGKILL)

    monkeypatch.setattr(SpawnProcess, "start", start)
    outcome = Run(SICK, "x.yaml", ()).carry_out(None, 2)
    assert outcome.report is None
    assert "one of the processes was ended by signal 9" in str(outcome.problems[0])


def test_processes_that_cannot_be_started_are_told(monkeypatch):
    def start(_process):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(SpawnProcess, "start", start)
    outcome = Run(SICK, "x.yaml", ()).carry_out(None, 2)
    said = "jobs: 2 processes cannot be started: Resource temporarily unavailable"
    assert said in str(outcome.problems[0])


def test_what_this_process_raises_is_raised():
    """And nobody is left behind: the files that are open are those of before."""
    before = len(list(Path("/proc/self/fd").iterdir()))

    def full(_share):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        Run(SICK, "x.yaml", ()).carry_out(full, 2)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_mistake_of_another_process_is_raised_with_its_traceback(tmp_path):
    """What only the others meet: no test can break them otherwise than before they start."""
    way, result = parts_pipe()
    part_processes._work(Run("{", "x.yaml", ()), Plan([0, 1], 0.001), 1, {}, result)
    with pytest.raises(ConfigError):
        part_processes._received(way)
    part_processes._work(Run(SICK, "x.yaml", ()), Plan([0, 1], 0.001), 1, {}, result)
    with pytest.raises(RuntimeError, match=r"(?s)in another process.*Traceback.*KeyError"):
        part_processes._received(way)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"network.model": "lan"}, "nodes 0.3 ms apart are too near to be parted"),
        ({"heartbeats": "abstract"}, "abstract heartbeats are read from all nodes at once"),
    ],
)
def test_what_cannot_be_parted_takes_one_process_and_says_so(tmp_path, settings, said):
    run = Run(SICK, "x.yaml", (("duration", "12s"), *settings.items()))
    outcome = run.carry_out(None, 2)
    assert outcome.note == f"one process only: {said}"
    assert outcome.report == run.carry_out().report is not None
    path = tmp_path / "fleet.yaml"
    path.write_text(SICK)
    arguments = [f"--set={key}={value}" for key, value in settings.items()]
    command = [sys.executable, "-m", "codns", "simulate", str(path), "--jobs", "2", *arguments]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    assert said.encode() in ran.stderr


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


@pytest.mark.parametrize(
    "pairs",
    [
        [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)],
        [(0, 1)],  # the third hears of it all the same
        [(2, 0)],
        [(1, 2), (2, 1)],
        [],
    ],
)
@pytest.mark.parametrize("many", [1, 3 * BATCH_MAX + 1])
def test_what_is_posted_arrives_however_much_it_is(pairs, many):
    """Three parts in threads; what arrives is sent back once."""
    rng = random.Random(5)
    report = Report(0.010, False, True, (b"12345678",), 1, 32, "1")
    cut = Plan([0, 1, 2], 0.25)
    links, kernels = linked(3), [Kernel() for _ in range(3)]
    exchanges = [Exchange(cut, links[me]) for me in range(3)]
    sent: list[Parcel] = []
    arrived: list[tuple[float, Parcel]] = []

    def send(parcel: Parcel) -> None:
        sent.append(parcel)
        exchanges[parcel.source].post(parcel)

    def arrive(parcel: Parcel) -> None:
        arrived.append((kernels[parcel.target].now, parcel))
        if not parcel.boot:
            later, back = parcel.time + 0.25 + rng.random(), parcel.source
            send(parcel._replace(time=later, target=back, source=parcel.target, boot=1))

    for me, exchange in enumerate(exchanges):
        exchange.deliver = lambda parcel, me=me: kernels[me].at(parcel.time, arrive, parcel)
    whats = [Greeting(challenge=True, echo=False), Query(7, b"\1a\0", 1, 1, False, True)]
    whats += [HeartbeatRequest(number, True, report) for number in range(many)]
    for source, target in pairs:
        for number, what in enumerate(whats):
            parcel = Parcel(rng.uniform(1.0, 2.0), number, target, source, 0, 1, what)
            kernels[source].at(0.5, send, parcel)
    together(*[lambda me=me: exchanges[me].run(kernels[me], 4.0) for me in range(3)])
    assert len(arrived) == len(sent) == 2 * len(pairs) * (many + 2)
    assert all(now == parcel.time for now, parcel in arrived)
    assert sorted(map(repr, sent)) == sorted(repr(parcel) for _, parcel in arrived)
    assert [kernel.now for kernel in kernels] == [4.0] * 3
    for link in (link for mine in links for link in mine.values()):
        link.close()


def test_what_comes_too_late_is_a_mistake_and_no_event():
    links, kernel = linked(2), Kernel()
    kernel.run(2.0)
    one, other = Exchange(Plan([0, 1], 0.25), links[0]), Exchange(Plan([0, 1], 0.25), links[1])
    one.deliver = other.deliver = print
    other.post(Parcel(1.0, 1, 0, 1, 0, -1, Greeting(challenge=True, echo=False)))
    with pytest.raises(RuntimeError, match="is late: it is 2"):
        together(lambda: one.run(kernel, 3.0), lambda: other._swap(Kernel()))
    for link in (link for mine in links for link in mine.values()):
        link.close()


def test_an_exchange_with_one_that_is_gone():
    links = linked(2)
    exchange = Exchange(Plan([0, 1], 0.001), links[0])
    links[1][0].close()
    with links[0][1], pytest.raises(GoneError):
        exchange.run(Kernel(), 1.0)


def test_too_near_is_an_error_before_anything_is_started():
    scenario = load.parse(SICK, {"network.model": "lan"})
    with pytest.raises(WholeError):
        plan(scenario, network_of(scenario), 2)
