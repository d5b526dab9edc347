"""Scenarios, carried out: what is measured is what was made to happen."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from codns.config.problems import ConfigError
from codns.sim import load, runs
from codns.sim.report import report
from codns.sim.runs import ClusterError, Run
from codns.sim.simulation import Simulation

ROOT = Path(__file__).resolve().parents[2]

SICK = """
duration: 80s
warm_up: 10s
sites:
  healthy: {count: 6}
  sick: {count: 2}
workload: {rate: 2}
faults:
  - {at: 30s, lasts: 20s, site: sick}
"""


def simulated(text, policy=None, **options):
    return Simulation(load.parse(text), policy=policy, **options).run()


@pytest.fixture(scope="module")
def by_policy():
    return {policy: report(simulated(SICK, policy)) for policy in ("stub", "off", "adaptive")}


class TestReport:
    def test_cooperation_helps(self, by_policy):
        sick = {policy: values["groups"]["sick"] for policy, values in by_policy.items()}
        assert sick["stub"]["failed"] > 0.2 < sick["off"]["failed"]
        assert sick["adaptive"]["failed"] == 0
        assert sick["adaptive"]["mean"] < sick["off"]["mean"] / 5
        assert sick["stub"]["availability"]["mean"] < 0.85
        assert sick["adaptive"]["availability"]["mean"] == 1.0
        assert sick["adaptive"]["remote"]["won"] > 0.2

    def test_policies_see_the_same_queries(self, by_policy):
        lookups = [values["groups"]["all"]["lookups"] for values in by_policy.values()]
        assert len(set(lookups)) == 1
        assert lookups[0] == pytest.approx(8 * 70 * 2, rel=0.15)

    def test_who_asked_last_is_counted_whatever_the_stub_has_to_ask(self):
        scenario = """
            duration: 20s
            warm_up: 1s
            sites: {deaf: {count: 2, nameservers: [deaf, deaf, deaf]}}
            nameservers: {deaf: {loss: 100%}}
            workload: {rate: 2}
        """
        by_policy = [report(simulated(scenario, policy)) for policy in ("stub", "off")]
        lookups = [values["groups"]["all"]["lookups"] for values in by_policy]
        assert lookups[0] == lookups[1] > 0

    def test_groups_add_up(self, by_policy):
        groups = by_policy["adaptive"]["groups"]
        for key in ("lookups", "misses", "nodes"):
            assert groups["all"][key] == groups["healthy"][key] + groups["sick"][key]
        assert groups["all"]["p50"] <= groups["all"]["p99"] <= groups["all"]["tail"][-1][1]

    def test_remote_queries_add_up(self, by_policy):
        remote = by_policy["adaptive"]["groups"]["all"]["remote"]
        ended = sum(remote[key] for key in ("won", "lost", "failed", "busy", "unanswered"))
        assert remote["sent"] == pytest.approx(ended, abs=0.01)
        assert remote["wasted"] == pytest.approx(remote["sent"] - remote["won"], abs=1e-5)
        served = by_policy["adaptive"]["groups"]["all"]["served"]["mean"] * 8 * 70
        misses = by_policy["adaptive"]["groups"]["all"]["misses"]
        assert served == pytest.approx(remote["sent"] * misses, rel=0.02)

    def test_nothing_remote_without_peers(self, by_policy):
        for policy in ("stub", "off"):
            remote = by_policy[policy]["groups"]["all"]["remote"]
            assert (remote["sent"], remote["first_peer"]) == (0, None)


def test_all_kinds_of_faults_and_churn():
    text = """
    duration: 40s
    warm_up: 5s
    sites: {a: {count: 3, nodes: 2}, b: {count: 2, nameservers: [good, good]}}
    workload: {rate: 2, names: 50}
    churn: {up: 15s, down: 3s}
    faults:
      - {at: 5s, lasts: 5s, what: nameservers, share: 30%, loss: 0%, servfail: 100%}
      - {at: 8s, lasts: 5s, what: nodes, share: 30%}
      - {at: 12s, lasts: 5s, what: partition, site: a, share: 50%}
      - {at: 16s, lasts: 5s, what: links, loss: 30%}
      - {at: 20s, lasts: 5s, what: authorities, share: 50%}
      - {at: 24s, lasts: 5s, what: flaky, share: 50%}
    """
    simulation = simulated(text)
    events = [line.said for line in simulation.cluster.transcript.lines(event="fault")]
    assert events.count("stopped") > 8
    assert abs(events.count("stopped") - events.count("started")) <= 8
    assert sum(len(node.times) for node in simulation.meter.nodes) > 100
    hosts, servers = simulation.ended
    assert all(counts["sent"] >= 0 for counts in hosts)
    assert all(counts["queries"] > 0 for counts in servers.values())


def test_a_trace_is_asked_at_its_times(tmp_path):
    (tmp_path / "queries.txt").write_text(
        "1.0 a.example.com A 0\n2.5 b.example.com AAAA 1\nc.example.com A\n9999 d.example.com A\n"
    )
    path = tmp_path / "fleet.yaml"
    path.write_text(
        "sites: {a: {count: 2}}\nwarm_up: 0s\nduration: 60s\nworkload: {trace: queries.txt}\n"
    )
    simulation = Simulation(load.load(path)).run()
    asked = simulation.cluster.transcript.lines(event="query")
    assert [(line.at, line.node, line.about) for line in asked[:2]] == [
        (1.0, 0, "a.example.com. A"),
        (2.5, 1, "b.example.com. AAAA"),
    ]
    assert [line.about for line in asked[2:]] == ["c.example.com. A"]


def test_shared_nameservers_and_rates():
    text = """
    duration: 40s
    warm_up: 5s
    sites: {a: {count: 3, shared: true, rate: 5}, b: {count: 3, rate: 0}}
    """
    simulation = simulated(text, "off")
    assert len(simulation.servers) == 4
    groups = report(simulation)["groups"]
    assert groups["a"]["lookups"] == pytest.approx(3 * 35 * 5, rel=0.15)
    assert groups["b"]["lookups"] == 0
    assert groups["b"]["mean"] is None


def test_progress_is_told():
    told = []
    Simulation(load.parse("{warm_up: 1s, duration: 5s, sites: {a: {count: 2}}}")).run(told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) > 50


def test_checks_can_be_turned_off_and_change_nothing():
    with_them = report(simulated(SICK, "adaptive"))
    assert report(simulated(SICK, "adaptive", checked=False)) == with_them


def test_abstract_heartbeats_agree_with_full_ones():
    """A nameserver dies, nodes stop. To 5 % on a larger fleet: `bench.simulation abstract`."""
    text = SICK.replace("count: 6", "count: 24")
    text += "  - {at: 35s, lasts: 30s, what: nodes, site: healthy, share: 10%}\n"
    full = simulated(text)
    other = simulated(f"{text}\nheartbeats: abstract\n")
    assert other.cluster.kernel.events < full.cluster.kernel.events / 2
    full, other = (report(s)["groups"]["all"] for s in (full, other))
    for key in ("mean", "p95"):
        assert other[key] == pytest.approx(full[key], rel=0.15), key
    assert other["remote"]["won"] == pytest.approx(full["remote"]["won"], rel=0.15)
    assert other["failed"] == full["failed"] == 0


def codns(*arguments, **environment):
    command = [sys.executable, "-m", "codns", *map(str, arguments)]
    environ = {**os.environ, "COLUMNS": "200", **environment}
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, check=False)


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "fleet.yaml"
    path.write_text(SICK.replace("80s", "45s").replace("count: 6", "count: 3"))
    return path


class TestCommand:
    def test_the_same_seed_gives_the_same_bytes_under_any_hash_seed(self, small):
        said = [
            codns("simulate", small, "--json", "--seed", seed, PYTHONHASHSEED=str(hash_seed))
            for seed, hash_seed in ((5, 0), (5, 4242), (6, 0))
        ]
        assert [run.returncode for run in said] == [0, 0, 0]
        assert said[0].stdout == said[1].stdout != said[2].stdout
        assert b"events in" in said[0].stderr
        assert json.loads(said[0].stdout)["runs"][0]["seed"] == 5

    def test_a_sweep_is_the_same_on_one_core_and_on_two(self, small):
        arguments = (
            "simulate",
            small,
            "--policy",
            "off,adaptive",
            "--sweep",
            "peers.neighbours=2,3",
        )
        one, two = (codns(*arguments, "--jobs", jobs) for jobs in (1, 2))
        assert one.stdout == two.stdout
        lines = one.stdout.decode().splitlines()
        assert [line.split("  ")[0] for line in lines if "neighbours" in line] == [
            "policy=off neighbours=2",
            "policy=off neighbours=3",
            "policy=adaptive neighbours=2",
            "policy=adaptive neighbours=3",
        ]

    def test_the_table(self, small):
        said = codns("simulate", small, "--set", "race.policy=off", "--nodes", "4").stdout.decode()
        head, total, *_ = said.splitlines()
        assert head.split()[:6] == ["run", "nodes", "misses", "mean", "p50", "p90"]
        assert total.split()[0] == "off"

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--policy", "best"], "no policy 'best'; there are adaptive, codns2004, off"),
            (["--sweep", "race.policy"], "'race.policy' is not key=value,value"),
            (["--sweep", "a=1", "--sweep", "a=2"], "a stands there twice"),
            (["--set", "a=1,2"], "--set a has 2 values; --sweep takes many"),
            (["--sweep", "race.polcy=off"], "did you mean race.policy?"),
            (["--set", "constants.a.B=1"], "codns.core has no module a"),
            (["--sweep", "seed=" + ",".join(map(str, range(10_001)))], "10,001 runs; at most"),
            (["--plot", "/nowhere/x.png"], "cannot be written"),
        ],
    )
    def test_usage(self, small, arguments, said):
        if "--plot" in arguments:
            pytest.importorskip("matplotlib")
        run = codns("simulate", small, *arguments)
        assert run.returncode == 2
        assert said in run.stderr.decode()
        assert run.stdout == b""

    def test_a_plot(self, small, tmp_path):
        pytest.importorskip("matplotlib")
        out = tmp_path / "tails.png"
        run = codns("simulate", small, "--policy", "off,adaptive", "--plot", out)
        assert run.returncode == 0, run.stderr
        assert out.read_bytes().startswith(b"\x89PNG")

    def test_a_broken_promise(self, small):
        """A deadline that is later than the one that is checked."""
        run = codns(
            "simulate", small, "--policy", "off", "--set", "constants.resolver.DEADLINE_S=9"
        )
        assert run.returncode == 1
        said = run.stderr.decode()
        assert "a promise was broken; constants.resolver.DEADLINE_S=9 policy=off" in said
        assert "(seed 1)" in said
        assert (
            codns(
                "simulate", small, "--no-checks", "--set", "constants.resolver.DEADLINE_S=9"
            ).returncode
            == 0
        )


class TestRuns:
    def test_settings(self):
        run = Run("{}", "x.yaml", (("policy", "stub"), ("nodes", 40), ("seed", 9)))
        scenario = run.scenario()
        assert (scenario.seed, load.nodes_of(scenario)) == (9, 40)

    def test_files_that_are_missing_are_problems_of_the_run(self, tmp_path):
        run = Run("network: {matrix: none.txt}", str(tmp_path / "x.yaml"), ())
        (outcome,) = (outcome for _, outcome in runs.here([run]))
        assert "none.txt: network.matrix: cannot be read" in str(outcome.problems[0])

    def test_too_many(self):
        with pytest.raises(ConfigError, match="10,201 runs"):
            runs.sweep(Run("", "", ()), {"a": range(101), "b": range(101)})

    def test_no_scheduler(self):
        pytest.importorskip("distributed")
        with pytest.raises(ClusterError, match=r"no dask scheduler at tcp://127\.0\.0\.1:1"):
            list(runs.on_cluster([Run("", "", ())], "tcp://127.0.0.1:1", timeout_s=0.5))
