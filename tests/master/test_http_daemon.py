"""HTTP and the control socket of a real daemon: nothing done to them disturbs DNS."""

import http.client
import json
import os
import signal
import socket
import threading

import pytest
from daemon_rig import WAIT_S, FakeNameserver, ask, running

JSON = "log: {format: json}\n"


class Control(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path):
        super().__init__("codns", timeout=WAIT_S)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(self._path))


def asked(connection, path, method="GET"):
    connection.request(method, path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A daemon with everything, its HTTP address and its control socket."""
    folder = tmp_path_factory.mktemp("http")
    config, control = folder / "codns.yaml", folder / "control.sock"
    config.write_text(JSON)
    nameserver = FakeNameserver()
    arguments = ("--http", "127.0.0.1:0", "--control", str(control))
    with running(*arguments, nameserver=nameserver, config=config) as codns:
        _, body = asked(Control(control), "/v1/summary")
        host, _, port = json.loads(body)["http"]["listen"].rpartition(":")
        codns.http, codns.control, codns.config = (host, int(port)), control, config
        yield codns
        assert codns.stop() == 0
        assert not control.exists()
        assert [line for line in codns.log if line["level"] == "error"] == []
    nameserver.close()


def get(world, path):
    return asked(http.client.HTTPConnection(*world.http, timeout=WAIT_S), path)


def test_health_readiness_and_state(world):
    (address,) = world.addresses
    ask(address, "a.example")
    assert get(world, "/healthz")[0] == 200
    assert get(world, "/readyz")[0] == 200
    status, body = get(world, "/status")
    said = json.loads(body)
    assert (status, said["pid"], said["ailing"]) == (200, world.process.pid, [])
    assert said["loop"]["lag"]["count"] >= 0
    assert get(world, "/metrics")[0] == 200
    assert get(world, "/v1/cache")[0] == 403


def test_a_flush_makes_the_next_query_a_miss(world):
    (address,) = world.addresses
    ask(address, "flushed.example")
    before = json.loads(get(world, "/v1/summary")[1])["answers"]["local"]
    ask(address, "flushed.example")
    assert asked(Control(world.control), "/v1/cache/flush?name=flushed.example", "POST") == (
        200, b'{"flushed":1}\n',
    )  # fmt: skip
    ask(address, "flushed.example")
    assert json.loads(get(world, "/v1/summary")[1])["answers"]["local"] == before + 1


def test_queries_go_on_whatever_is_sent_to_http(world):
    """Garbage, floods of connections and half requests on one side, a client on the other."""
    (address,) = world.addresses
    garbage = [
        b"\0" * 9000,
        os.urandom(5000),
        b"GET /" + b"a" * 20_000,
        b"GET / HTTP/1.1\r\n" * 500,
    ]
    held = []

    def harass():
        for number in range(200):
            sock = socket.create_connection(world.http, WAIT_S)
            try:
                sock.sendall(garbage[number % 4])
                if number % 3:
                    sock.close()
                else:
                    held.append(sock)
            except OSError:
                sock.close()

    harassing = threading.Thread(target=harass)
    harassing.start()
    answered = 0
    while harassing.is_alive() or answered < 50:
        assert ask(address, f"n{answered}.example").answer
        answered += 1
    harassing.join()
    assert get(world, "/healthz")[0] == 200
    for sock in held:
        sock.close()


def test_a_reload_by_socket_says_what_is_wrong_and_changes_hosts(world):
    world.config.write_text(JSON + "http: {hosts: [node7.example]}\nlisen: 1\n")
    status, body = asked(Control(world.control), "/v1/reload", "POST")
    assert status == 409
    assert "lisen: unknown key; did you mean listen?" in json.loads(body)["problems"][0]
    assert json.loads(get(world, "/status")[1])["reload"]["problems"]
    connection = http.client.HTTPConnection(*world.http, timeout=WAIT_S)
    connection.request("GET", "/healthz", headers={"Host": "node7.example"})
    assert connection.getresponse().status == 421
    connection.close()
    world.config.write_text(JSON + "http: {hosts: [node7.example]}\n")
    assert asked(Control(world.control), "/v1/reload", "POST")[0] == 200
    connection = http.client.HTTPConnection(*world.http, timeout=WAIT_S)
    connection.request("GET", "/healthz", headers={"Host": "node7.example"})
    assert connection.getresponse().status == 200
    connection.close()
    # A failed reload is an error in the log, as it should be: not one that the fixture looks for
    world.log[:] = [line for line in world.log if not line["event"].startswith("reload failed")]


def test_a_nameserver_that_is_gone_is_not_ready(tmp_path):
    config = tmp_path / "codns.yaml"
    config.write_text(JSON + "nameservers: ['127.0.0.1:9']\n")
    with running("--http", "127.0.0.1:0", "--control", f"{tmp_path}/c", config=config) as codns:
        (address,) = codns.addresses
        ask(address, "a.example")  # SERVFAIL: the kernel refuses it
        status, body = asked(Control(tmp_path / "c"), "/readyz")
        assert (status, json.loads(body)["problems"]) == (
            503, ["no nameserver answers, and no peer can be asked"],
        )  # fmt: skip
        assert asked(Control(tmp_path / "c"), "/healthz")[0] == 200


def test_the_second_daemon_with_a_chosen_path_does_not_start(world):
    with (
        pytest.raises(AssertionError) as caught,
        running("--control", str(world.control), "--nameserver", "127.0.0.1:9"),
    ):
        pass
    assert f"{world.control} is in use by " in str(caught.value)
    assert asked(Control(world.control), "/healthz")[0] == 200


def test_sigterm_ends_it_with_connections_open(tmp_path):
    config = tmp_path / "codns.yaml"
    config.write_text(JSON)
    arguments = ("--http", "127.0.0.1:0", "--control", f"{tmp_path}/c")
    with running(*arguments, "--nameserver", "127.0.0.1:9", config=config) as codns:
        idle = Control(tmp_path / "c")
        idle.request("GET", "/healthz")
        idle.getresponse().read()
        codns.process.send_signal(signal.SIGTERM)
        assert codns.process.wait(WAIT_S) == 0
        idle.close()
    assert not (tmp_path / "c").exists()
