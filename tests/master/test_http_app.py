"""The app: what is answered, to whom, and what is hidden from whom."""

import json

import pytest
from web_world import HOSTILE, NEIGHBOURS, PEERS, FleetInside

from codns.config.schema import Config
from codns.core.node import Node
from codns.core.settings import Settings
from codns.master.http_app import HIDDEN, App
from codns.master.http_message import HttpError, Request


@pytest.fixture(scope="module")
def inside():
    return FleetInside()


def ask(app, path, method="GET", *, trusted=False, **query):
    """Return (status, body as bytes)."""
    try:
        response = app(Request(method, path, query, trusted))
    except HttpError as error:
        response = error.response()
    body = response.body
    return response.status, body if isinstance(body, bytes) else b"".join(body)


def told(app, path, **options):
    status, body = ask(app, path, **options)
    assert status == 200, body
    return json.loads(body)


def test_the_whole_state_is_one_json_document(inside):
    said = told(App(inside), "/status")
    assert len(said["peers"]) == PEERS
    assert [peer["neighbour"] for peer in said["peers"]] == sorted(
        (peer["neighbour"] for peer in said["peers"]), reverse=True
    )
    assert said["cooperation"]["path"]["state"] == "recovering"
    assert said["slaves"]["up"] == 2
    assert len(said["races"]) == 20
    assert told(App(inside), "/v1/status") == said
    summary = told(App(inside), "/v1/summary")
    assert {**summary, "peers": said["peers"]} == said


def test_it_is_made_in_slices(inside):
    response = App(inside)(Request("GET", "/status", {}, False))
    slices = list(response.body)
    assert len(slices) > PEERS / 128
    assert max(map(len, slices)) < 64 << 10


def test_a_node_without_peers():
    node = Node(Settings(nameservers=("192.0.2.1#53",)), FleetInside(peers=1).node.rng, 0.0)
    lonely = FleetInside(peers=1)
    lonely.node = node
    said = told(App(lonely), "/status")
    assert (said["peers"], said["races"], said["cooperation"]) == ([], [], None)
    assert told(App(lonely), "/v1/peers") == []


@pytest.mark.parametrize("path", ["/status", "/v1/summary", "/v1/races"])
@pytest.mark.parametrize("details", [False, True])
@pytest.mark.parametrize("trusted", [False, True])
def test_names_that_clients_ask_for_are_hidden_over_tcp(path, details, trusted):
    app = App(FleetInside(details=details, peers=20))
    _, body = ask(app, path, trusted=trusted)
    shown = details or trusted
    assert (HOSTILE.encode() in body) is shown
    assert (b"slow.example" in body) is (shown and path != "/v1/races")
    assert (HIDDEN.encode() in body) is not shown


def test_peers_and_only_the_neighbours(inside):
    assert len(told(App(inside), "/v1/peers")) == PEERS
    near = told(App(inside), "/v1/peers", neighbours="1")
    assert len(near) == NEIGHBOURS
    assert len(told(App(inside), "/v1/history")) == 110


@pytest.mark.parametrize(
    ("ailing", "unready", "healthz", "readyz"),
    [
        ([], [], 200, 200),
        ([], ["no nameserver answers"], 200, 503),
        (["no slave is up"], [], 503, 503),
    ],
)
def test_health(ailing, unready, healthz, readyz):
    inside = FleetInside(peers=1)
    inside.ailing, inside.unready = lambda: ailing, lambda: unready
    status, body = ask(App(inside), "/healthz")
    assert (status, json.loads(body)) == (healthz, {"ok": not ailing, "problems": ailing})
    status, body = ask(App(inside), "/readyz")
    both = ailing + unready
    assert (status, json.loads(body)) == (readyz, {"ok": not both, "problems": both})


@pytest.mark.parametrize(
    ("method", "path", "trusted", "said"),
    [
        ("GET", "/nothing", False, 404),
        ("GET", "/../etc/passwd", False, 404),
        ("GET", "/page.css/", False, 404),
        ("GET", "/metrics", False, 404),  # nobody renders them here
        ("POST", "/status", True, 405),
        ("DELETE", "/", True, 405),
        ("GET", "/v1/explain", False, 403),
        ("GET", "/v1/cache", False, 403),
        ("GET", "/v1/cache/lookup", False, 403),
        ("POST", "/v1/cache/flush", False, 403),
        ("POST", "/v1/reload", False, 403),
        ("GET", "/v1/cache/flush", True, 405),
        ("HEAD", "/v1/reload", True, 405),
        ("POST", "/v1/explain", True, 405),
        ("HEAD", "/status", False, 200),
    ],
)
def test_what_is_there_and_for_whom(inside, method, path, trusted, said):
    before = inside.reloads
    assert ask(App(inside), path, method, trusted=trusted)[0] == said
    assert inside.reloads == before


def test_metrics_are_whoever_renders_them(inside):
    assert ask(App(inside, lambda: ("text/x", b"a 1\n")), "/metrics") == (200, b"a 1\n")
    app = App(inside, lambda: ("text/x", iter([b"a ", b"1\n"])))
    assert ask(app, "/metrics") == (200, b"a 1\n")


def test_the_page_is_locked_up(inside):
    app = App(inside)
    for path, kind in (("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/java")):
        response = app(Request("GET", path, {}, False))
        assert response.kind.startswith(kind)
        headers = dict(response.headers)
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        # Nothing from elsewhere, nothing inline, no markup made of strings
        assert isinstance(response.body, bytes)
        foreign = response.body.replace(b"http://www.w3.org/2000/svg", b"")
        assert b"http://" not in foreign
        assert b"https://" not in foreign
        assert b"<style" not in response.body
        assert b" style=" not in response.body
        assert b"eval(" not in response.body


# -- verbs, with a real node ---------------------------------------------------------------------


@pytest.fixture
def real():
    inside = FleetInside(peers=1)
    inside.node = Node(Settings(nameservers=("192.0.2.1#53",)), inside.node.rng, 0.0)
    inside.config = Config()
    return inside


def verb(inside, path, method="GET", **query):
    return ask(App(inside), path, method, trusted=True, **query)


def test_explain(real):
    status, body = verb(real, "/v1/explain", name="WWW.Bücher.example", type="28")
    said = json.loads(body)
    assert (status, said["name"], said["type"]) == (200, "www.xn--bcher-kva.example.", 28)
    assert said["nameservers"] == ["192.0.2.1#53"]


@pytest.mark.parametrize(
    ("path", "method", "query", "said"),
    [
        ("/v1/explain", "GET", {}, "name: is missing"),
        ("/v1/explain", "GET", {"name": "a..b"}, "name: a label of 'a..b' has 0 octets"),
        ("/v1/explain", "GET", {"name": "a" * 64}, "octets, not 1 to 63"),
        ("/v1/explain", "GET", {"name": "a", "type": "AAAA"}, "type: write a number up to 65535"),
        ("/v1/explain", "GET", {"name": "a", "type": "65536"}, "type: write a number up to 65535"),
        ("/v1/explain", "GET", {"name": "a", "type": ""}, "type: write a number up to 65535"),
        ("/v1/cache/lookup", "GET", {}, "name: is missing"),
        ("/v1/cache/flush", "POST", {}, "say one of name=, zone= or all=1"),
        ("/v1/cache/flush", "POST", {"all": "0"}, "say one of name=, zone= or all=1"),
        ("/v1/cache/flush", "POST", {"all": "1", "name": "a"}, "say one of name=, zone= or all=1"),
        ("/v1/cache/flush", "POST", {"zone": ""}, "name: is missing"),
    ],
)
def test_verbs_without_sense(real, path, method, query, said):
    status, body = verb(real, path, method, **query)
    assert status == 400
    assert said in json.loads(body)["error"]


def test_flushing_nothing_and_listing_nothing(real):
    assert verb(real, "/v1/cache/flush", "POST", all="1") == (200, b'{"flushed":0}\n')
    assert verb(real, "/v1/cache") == (200, b"")
    assert verb(real, "/v1/cache/lookup", name="a.example") == (200, b"")


def test_reload(real):
    assert verb(real, "/v1/reload", "POST") == (200, b'{"ok":true,"problems":[]}\n')
    assert real.reloads == 1
    real.reload = lambda: ["f:1: lisen: unknown key"]
    status, body = verb(real, "/v1/reload", "POST")
    assert status == 409
    assert json.loads(body) == {"ok": False, "problems": ["f:1: lisen: unknown key"]}
