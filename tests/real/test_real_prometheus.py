"""A real Prometheus against a real small fleet: every panel and every alert has data to look at.

Three nodes; the nameserver of the first keeps its answers back, so that its peers help it, and
lets them go later, so that it is known what that saved. Prometheus scrapes once before all that
and once after, which is what a rate needs.
"""

import json
import math
import re
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import dns.message
import dns.query
import pytest
import real_ask
import yaml
from real_zone import PLAIN

from bench import servers
from codns.peer import keyfile

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "master"))

from daemon_rig import FakeNameserver, udp_client

pytestmark = pytest.mark.real("prometheus", "promtool", "nsd", "setpriv")

DEPLOY = Path(__file__).resolve().parent.parent.parent / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yaml"
WAIT_S = 20.0
NODES = 3
NAMES = 30


def text(address):
    return "{}:{}".format(*address)


class Prometheus:
    """One that scrapes each second, with our alerts."""

    def __init__(self, folder, targets, stack):
        self.address = servers.free_address()
        jobs = [{"job_name": "codns", "static_configs": [{"targets": targets}]}]
        every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config = folder / "prometheus.yml"
        config.write_text(
            json.dumps({"global": every, "rule_files": [str(ALERTS)], "scrape_configs": jobs})
        )
        command = [
            servers.program("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder}/tsdb",
            f"--web.listen-address={text(self.address)}",
        ]
        self.server = stack.enter_context(
            servers.Server("prometheus", command, self.address, folder)
        )
        self.server.wait_said("Server is ready to receive web requests")

    def api(self, path, **query):
        url = f"http://{text(self.address)}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=WAIT_S) as response:
            answer = json.load(response)
        assert answer["status"] == "success"
        return answer["data"]

    def query(self, expression):
        """The values there are, NaN among them."""
        result = self.api("query", query=expression)
        values = [result] if result["resultType"] == "scalar" else result["result"]
        return [float(one["value"][1]) for one in values]

    def wait_for(self, expression):
        """Return when this is something."""
        deadline = time.monotonic() + WAIT_S
        while not self.query(expression):
            assert time.monotonic() < deadline, (expression, self.api("targets"))
            self.server._pause()


def configure(folder, node, nameserver, listed, http):
    """Write a node's configuration."""
    peers = {
        "listen": listed[node],
        "nodes": listed,
        "key_file": str(folder / "key"),
        "heartbeat": "200ms",
    }
    path = folder / f"node{node}.yaml"
    config = {
        "nameservers": [nameserver],
        "slaves": 1,
        "state_dir": None,
        "control": None,
        "http": {"listen": http},
        "peers": peers,
    }
    path.write_text(json.dumps(config))  # which is YAML
    return path


def ask(node, *names, transport="udp"):
    wires = [dns.message.make_query(name, "A").to_wire() for name in names]
    return [answer[3] & 15 for answer in real_ask.exchange(node.address, wires, transport)]


def busy(nodes, held):
    """Something of everything."""
    sick, *well = nodes
    for number, node in enumerate(well):
        names = [f"n{number}-{i}.wild.{PLAIN}" for i in range(NAMES)]
        assert set(ask(node, *names)) == {0}
        assert set(ask(node, *names)) == {0}
        assert set(ask(node, *names[:5], transport="tcp")) == {0}
        assert ask(node, f"no.such.{PLAIN}", f"no.such.{PLAIN}") == [3, 3]
    held.hold()
    for start in range(0, NAMES, 10):
        assert set(ask(sick, *(f"s{start + i}.wild.{PLAIN}" for i in range(10)))) == {0}
    held.release()
    with udp_client(("::1", sick.port), socket.AF_INET6) as client:
        client.send(dns.message.make_query("localhost", "A").to_wire())
        assert client.recv(512)


@pytest.fixture(scope="module")
def world(plain_nsd, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "key").write_text(keyfile.generate())
    (folder / "key").chmod(0o600)
    listed = [text(servers.free_address()) for _ in range(NODES)]
    http = [text(servers.free_address()) for _ in range(NODES)]
    with ExitStack() as stack:
        held = FakeNameserver()
        stack.callback(held.close)
        nodes = []
        for node in range(NODES):
            own = held.text if node == 0 else text(plain_nsd.address)
            config = configure(folder, node, own, listed, http[node])
            address = servers.free_address()
            options = ["-c", str(config)]
            if node == 0:
                options += ["--listen", f"[::1]:{address[1]}"]
            started = servers.codns(folder, [], address=address, options=options)
            nodes.append(stack.enter_context(started))
        prometheus = Prometheus(folder, http, stack)
        for node in nodes:
            node.wait_said(" ready ")
        prometheus.wait_for(f"sum(codns_neighbours_eligible) == {NODES * (NODES - 1)}")
        busy(nodes, held)
        answered = 2 * (2 * NAMES + 7) + NAMES + 1
        prometheus.wait_for(f"sum(codns_dns_responses_total) >= {answered}")
        prometheus.wait_for("sum(codns_remote_saved_seconds_count) > 0")
        yield prometheus, http


def filled(expression):
    """Put in what Grafana would for its variables."""
    for variable, value in {
        "$__rate_interval": "30s",
        "$job": "codns",
        "$instance": ".*",
    }.items():
        expression = expression.replace(variable, value)
    return expression


def panels():
    dashboard = json.loads((DEPLOY / "grafana" / "codns.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield f"{panel['title']} {target['refId']}", filled(target["expr"])


def alerts():
    for rule in yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]:
        # As 0 or 1, or there is nothing to see while all is well
        yield rule["alert"], re.sub(r" (==|<|>) ", r" \1 bool ", rule["expr"])


def test_every_panel_has_data(world):
    prometheus, _ = world
    expressions = dict(panels())
    assert len(expressions) > 80
    for name, expression in expressions.items():
        values = prometheus.query(expression)
        assert values, (name, expression)
        assert not all(map(math.isnan, values)), (name, expression)


def test_every_alert_has_data(world):
    prometheus, _ = world
    for name, expression in alerts():
        assert " bool " in expression
        values = prometheus.query(expression)
        assert values, (name, expression)
        assert set(values) <= {0.0, 1.0}


def test_every_alert_is_evaluated_without_an_error(world):
    prometheus, _ = world
    (group,) = prometheus.api("rules")["groups"]
    assert len(group["rules"]) == len(dict(alerts()))
    assert {rule["health"] for rule in group["rules"]} == {"ok"}


def test_what_the_fleet_did_is_told(world):
    prometheus, _ = world
    responses = "sum(codns_dns_responses_total{%s})"
    assert prometheus.query(responses % 'source="peer"')[0] >= NAMES - 10
    assert prometheus.query(responses % 'source="cache"')[0] >= 2 * NAMES
    assert prometheus.query(responses % 'rcode="NXDOMAIN"') == [4]
    assert prometheus.query('sum(codns_dns_requests_total{family="ipv6"})') == [1]
    assert prometheus.query('sum(codns_dns_requests_total{proto="tcp"})') == [10]
    ended = prometheus.query("sum(codns_remote_queries_total)")
    assert prometheus.query("sum(codns_served_queries_total)")[0] >= ended[0] > 0
    assert prometheus.query("sum(codns_peer_up)") == [NODES * (NODES - 1)]
    assert prometheus.query("sum(codns_slaves)") == [NODES]


def test_the_linter_has_nothing_to_say(world):
    _, (http, *_) = world
    with urllib.request.urlopen(f"http://{http}/metrics", timeout=WAIT_S) as response:
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        metrics = response.read()
    assert promtool("check", "metrics", input=metrics) == ""


@pytest.mark.parametrize(
    "arguments",
    [("check", "rules", "alerts.yaml"), ("test", "rules", "alerts-test.yaml")],
    ids=" ".join,
)
def test_promtool_is_content_with_the_alerts(arguments):
    assert "SUCCESS" in promtool(*arguments)


def promtool(*arguments, **options):
    """What it says, if it finds no fault."""
    done = subprocess.run(
        [servers.program("promtool"), *arguments],
        cwd=ALERTS.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stdout.decode()
    return done.stdout.decode()
