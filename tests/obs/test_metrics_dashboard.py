"""The dashboard and the alerts as files: whole, and as their generator makes them.

Grafana is in no registry, so what it imports is checked here by its documented model: unique ids,
panels on the grid that do not overlap, known kinds, and every variable defined.
"""

import itertools
import json
import re

import pytest
import yaml
from metrics_world import Cluster, answers, metrics_of

from deploy.grafana.generate import TARGET, WIDTH, text

FOLDER = TARGET.parent.parent / "prometheus"
KINDS = {"row", "stat", "timeseries", "heatmap", "state-timeline", "table"}
# Said by other panels in other words, or for a look at one node
NOT_SHOWN = {
    "codns_budget_refunded_total",
    "codns_budget_taken_total",
    "codns_config_last_reload_success_timestamp_seconds",
    "codns_http_connections",
    "codns_local_path_changes_total",
    "codns_peer_eligible",
    "codns_peer_link_datagrams_total",
    "codns_private_zones_learned",
    "codns_race_policy",
    "codns_upstream_exchanges_total",
    "codns_upstream_loops_total",
    "codns_upstream_srtt_seconds",
}
UNITS = {"short", "reqps", "s", "percentunit", "bytes", "Bps"}


@pytest.fixture(scope="module")
def dashboard():
    return json.loads(TARGET.read_text())


def test_the_file_is_what_its_generator_makes():
    assert TARGET.read_text() == text(), "run: python -m deploy.grafana.generate"


def test_what_identifies_it(dashboard):
    assert dashboard["uid"]
    assert dashboard["title"] == "codns"
    assert dashboard["schemaVersion"] >= 36  # the first with data sources as type and uid
    assert "id" not in dashboard  # Grafana gives one


def test_panels_are_whole(dashboard):
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["type"] in KINDS
        assert panel["title"]
        if panel["type"] == "row":
            continue
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        refs = [target["refId"] for target in panel["targets"]]
        assert refs
        assert len(set(refs)) == len(refs)
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"]
            assert target["expr"].count("(") == target["expr"].count(")")
            assert "SELECTED" not in target["expr"]
            assert 'instance=~"$instance"' in target["expr"], target["expr"]


def test_every_metric_is_shown_but_those_named_above(dashboard):
    shown = set(re.findall(r"codns_[a-z0-9_]+", json.dumps(dashboard)))
    told = set()
    for family in metrics_of(Cluster([answers(0.02), answers(0.02)])).collect():
        end = {"counter": "_total", "histogram": "_bucket"}.get(family.type, "")
        told.add(family.name + end)
    told = {name for name in told if name.startswith("codns_")}
    assert told - shown == NOT_SHOWN


def test_panels_do_not_overlap(dashboard):
    taken = set()
    for panel in dashboard["panels"]:
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= WIDTH
        cells = set(
            itertools.product(
                range(grid["x"], grid["x"] + grid["w"]), range(grid["y"], grid["y"] + grid["h"])
            )
        )
        assert not cells & taken, panel["title"]
        taken |= cells


def test_variables_are_defined(dashboard):
    defined = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z][a-z_]*)", json.dumps(dashboard)))
    assert used == defined == {"datasource", "job", "instance"}


def test_labels_of_legends_are_kept_by_their_expressions(dashboard):
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            kept = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", target["expr"]))))
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept, target


def test_every_alert_is_tested_firing_and_not_firing():
    rules = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"][0]["rules"]
    tests = yaml.safe_load((FOLDER / "alerts-test.yaml").read_text())["tests"]
    assert [test["name"] for test in tests] == [rule["alert"] for rule in rules]
    for rule, test in zip(rules, tests, strict=True):
        expected = [looked.get("exp_samples", []) for looked in test["promql_expr_test"]]
        assert len(expected[0]) == len(expected[-1]) == 0, "before, and after"
        (fires,) = expected[1]
        assert f'alertname="{rule["alert"]}"' in fires["labels"]
        assert f'severity="{rule["labels"]["severity"]}"' in fires["labels"]
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}
        assert "{{ $labels.instance }}" in rule["annotations"]["summary"]
