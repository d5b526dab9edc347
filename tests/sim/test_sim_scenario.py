"""Scenario files: what they may say, and what they are told when it is wrong."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from codns.config.problems import ConfigError
from codns.core import local_path, path_signs
from codns.sim import constants, load
from codns.sim.constants import overridden
from codns.sim.scenario import NODES_MAX, Scenario

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "conf" / "simulations").glob("*.yaml"))


def problems(text, overrides=None):
    with pytest.raises(ConfigError) as error:
        load.parse(text, overrides, "fleet.yaml")
    return str(error.value).splitlines()


def test_nothing_is_a_scenario():
    assert load.parse("") == Scenario()
    assert load.nodes_of(Scenario()) == 20


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_right(path):
    scenario = load.load(path)
    assert scenario.title != Scenario().title
    constants.check(scenario.constants)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("duratoin: 5m", "fleet.yaml:1: duratoin: unknown key; did you mean duration?"),
        ("duration: 300", "300 has no unit; write 300s"),
        ("workload: {rate: fast}", 'workload.rate: "fast" is not a number'),
        ("workload: {rate: true}", "workload.rate: true is not a number"),
        ("workload: {rate: -1}", "workload.rate: -1 is out of range: 0 to 100000"),
        ("workload: {zipf: 4}", "workload.zipf: 4 is out of range: 0 to 3"),
        ("workload: {ttl: {soon: 1}}", 'workload.ttl.soon: "soon" is not a duration'),
        ("workload: {ttl: {60s: 0}}", "workload.ttl: has no weight over 0"),
        ("network: {modle: lan}", "network.modle: unknown key; did you mean network.model?"),
        ("network: {model: moon}", '"moon" is not one of lan, region, continent, world'),
        ("network: {loss: 5}", "network.loss: 5 is not a share; write it like 10%"),
        ("network: {coordinates: a, matrix: b}", "network.matrix: and coordinates: one of them"),
        (
            "sites: {a: {nameservers: [god]}}",
            "sites.a.nameservers[0]: no nameserver god; there are good",
        ),
        ("faults: [{site: b}]", "faults[0].site: no site b; there are site"),
        ("faults: [{what: bang}]", '"bang" is not one of nameservers, nodes, partition'),
        ("warm_up: 10m", "warm_up: is not before the end: nothing would be counted"),
        (
            "authorities: {latency: {median: 2s, p99: 1s}}",
            "authorities.latency.p99: is less than the median",
        ),
        (
            "nameservers: {good: {failures: [{delay: {median: 2s, p99: 1s}}]}}",
            "nameservers.good.failures[0].delay.p99: is less than the median",
        ),
        (
            "faults: [{delay: {median: 0, p99: 1s}}]",
            "faults[0].delay.median: 0 is the median of nothing but zeros",
        ),
        ("constants: {TRICKLE: 4}", "constants.TRICKLE: is not module.NAME of codns.core"),
        ("heartbeats: none", '"none" is not one of full, abstract'),
        (
            f"sites: {{a: {{count: {NODES_MAX}, nodes: 2}}}}",
            f"sites: {2 * NODES_MAX} nodes; at most {NODES_MAX} are simulated",
        ),
        ("{duration: 4w, workload: {rate: 5}}", "lookups; at most 10,000,000 are simulated"),
        ("a: [", "fleet.yaml:1: not YAML"),
    ],
)
def test_problems(text, said):
    assert any(said in line for line in problems(text)), problems(text)


def test_all_problems_at_once_and_where_they_are():
    text = "seed: -1\nnetwork:\n  loss: 2\n"
    found = problems(text, {"race.policy": "best"})
    assert [line.split(": ")[0] for line in found] == [
        "fleet.yaml:1",
        "fleet.yaml:3",
        "command line",
    ]


def test_overrides_and_files_beside_the_scenario(tmp_path):
    path = tmp_path / "fleet.yaml"
    path.write_text("network: {matrix: rtt.txt}\nworkload: {trace: queries.txt}\n")
    scenario = load.load(path, {"race.policy": "off", "constants.local_path.TRICKLE": 4})
    assert scenario.network.matrix == str(tmp_path / "rtt.txt")
    assert scenario.workload.trace == str(tmp_path / "queries.txt")
    assert scenario.race.policy == "off"
    assert scenario.constants == {"local_path.TRICKLE": 4.0}
    path.write_text("network: {coordinates: places.txt}\n")
    assert load.load(path).network.coordinates == str(tmp_path / "places.txt")


def test_other_numbers_of_nodes():
    scenario = load.parse("sites: {a: {count: 8, nodes: 2}, b: {count: 2}}")
    assert load.nodes_of(load.scaled(scenario, 180)) == 180
    assert load.nodes_of(load.scaled(scenario, 1)) == 3  # one site of each kind at least
    with pytest.raises(ConfigError, match="0 is out of range: 1 to 20000"):
        load.scaled(scenario, 0)


def test_plain_values():
    assert load.checked({"seed": 7}) == replace(Scenario(), seed=7)
    with pytest.raises(ConfigError, match="no nameserver x"):
        load.checked({"sites": {"a": {"nameservers": ["x"]}}})


class TestConstants:
    def test_they_are_changed_wherever_they_were_imported_and_put_back(self):
        before = path_signs.BAD_MAX
        assert before == local_path.BAD_MAX
        with overridden({"local_path.TRICKLE": 4, "path_signs.BAD_MAX": 3}):
            assert local_path.TRICKLE == 4
            assert isinstance(local_path.TRICKLE, int)
            assert path_signs.BAD_MAX == local_path.BAD_MAX == 3
        assert local_path.TRICKLE == 8
        assert path_signs.BAD_MAX == local_path.BAD_MAX == before

    @pytest.mark.parametrize(
        ("path", "said"),
        [
            ("nowhere.X", "codns.core has no module nowhere"),
            ("local_path.NOTHING", "codns.core.local_path has no number NOTHING"),
            ("local_path.LocalPath", "codns.core.local_path has no number LocalPath"),
        ],
    )
    def test_what_is_none(self, path, said):
        with pytest.raises(ConfigError, match=said):
            constants.check({path: 1.0})
