"""The keys of HTTP, the control socket and the query log."""

from pathlib import Path

import pytest

from codns.config import load, rules
from codns.config.paths import CONTROL, control_places
from codns.config.problems import ConfigError
from codns.config.units import SOCKET_PATH_MAX, HttpHost, SocketPlace


def problems(text):
    with pytest.raises(ConfigError) as caught:
        load.parse(text, source="f")
    return [str(problem) for problem in caught.value.problems]


def test_values():
    config = load.parse("""
        http: {listen: "[::1]", hosts: [Node7.Example.NET, "*.nodes.example."], details: true}
        control: null
        log: {queries: 0.5%}
    """)
    assert config.http.listen == "[::1]:9853"
    assert config.http.hosts == ("node7.example.net", "*.nodes.example")
    assert config.http.details
    assert config.control is None
    assert config.log.queries == 0.005


def test_null_and_an_empty_list_are_values():
    config = load.parse("http: {listen: null, hosts: []}")
    assert config.http.listen is None
    assert config.http.hosts == ()


def test_the_command_line_can_say_null():
    said = {"http.listen": load.NULL, "control": load.NULL}
    config = load.parse("control: /tmp/a.sock", said)
    assert config.http.listen is None
    assert config.control is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("control: run/codns.sock", "is not an absolute path; write it like /etc/codns/x"),
        (f"control: /{'x' * SOCKET_PATH_MAX}", "is over 107 bytes, too long a path"),
        ("http: {hosts: [a.example:9853]}", "is not a host name; write it without port or path"),
        ("http: {hosts: [http://a.example]}", "is not a host name; write it without"),
        ("http: {hosts: ['*.*.example']}", "is not a host name; write it without port or path"),
        ("http: {hosts: ['a*.example']}", "is not a host name; write it without port or path"),
        ("http: {hosts: [a..b]}", "is not a domain name"),
        ("http: {hosts: a}", "is not a list; write [a, b]"),
        ("http: {listen: 9853}", "is not an address; write it like"),
        ("http: {details: 1}", "1 is not true or false"),
        ("log: {queries: 5}", "5 is not a share; write it like 10%"),
    ],
)
def test_problems(text, said):
    (problem,) = problems(text)
    assert said in problem


@pytest.mark.parametrize("listen", ["127.0.0.1:53", "0.0.0.0:53"])
def test_http_has_no_place_where_clients_are_heard(listen):
    said = "f:1: http.listen: 127.0.0.1:53 is where clients are heard: choose another port"
    assert problems(f'http: {{listen: "127.0.0.1:53"}}\nlisten: ["{listen}"]') == [said]


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ('{listen: "127.0.0.1", details: true}', False),
        ('{listen: "[::1]", details: true}', False),
        ('{listen: "0.0.0.0", details: false}', False),
        ('{listen: "0.0.0.0", details: true}', True),
        ('{listen: "192.0.2.1", details: true}', True),
        ("{listen: null, details: true}", False),
    ],
)
def test_names_shown_to_others_are_warned_of(text, warned):
    said = rules.warnings(load.parse(f"http: {text}"))
    assert [line.partition(":")[0] for line in said] == ["http.details"] * warned


def test_the_longest_path_and_a_pattern_are_kept_as_they_are():
    path = "/" + "x" * (SOCKET_PATH_MAX - 1)
    assert SocketPlace().read(path) == path
    assert HttpHost().read("*.example") == "*.example"


@pytest.mark.parametrize(
    ("control", "environ", "places"),
    [
        (CONTROL, {}, [CONTROL]),
        (CONTROL, {"XDG_RUNTIME_DIR": "/run/user/7"}, [CONTROL, "/run/user/7/codns/control.sock"]),
        (CONTROL, {"XDG_RUNTIME_DIR": "relative"}, [CONTROL]),
        ("/tmp/a.sock", {"XDG_RUNTIME_DIR": "/run/user/7"}, ["/tmp/a.sock"]),
    ],
)
def test_where_the_control_socket_is(control, environ, places):
    assert control_places(control, environ) == list(map(Path, places))
