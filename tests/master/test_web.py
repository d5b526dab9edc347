"""The two sockets put together: taken ports, many connections, who is trusted."""

import http.client
import json
import socket
import stat
from pathlib import Path

import pytest
import trio
import trio.testing
from web_world import FleetInside, WebThread

from codns.config.paths import CONTROL
from codns.config.schema import Config, HttpSettings
from codns.master.control_socket import ControlSocket
from codns.master.http_connection import HttpLimits
from codns.master.sockets import BindError
from codns.master.web import AGAIN_S, Web

WAIT_S = 20.0


def get(address, path="/healthz", **headers):
    connection = http.client.HTTPConnection(*address, timeout=WAIT_S)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body


@pytest.fixture(scope="module")
def served():
    web = WebThread(FleetInside(peers=300))
    yield web
    web.close()


def test_it_answers_over_tcp(served):
    assert get(served.address) == (200, b'{"ok":true,"problems":[]}\n')
    status, body = get(served.address, "/status")
    assert (status, len(json.loads(body)["peers"])) == (200, 300)


def test_the_host_check_is_in_place(served):
    assert get(served.address, Host="evil.example")[0] == 421
    assert get(served.address, Via="1.1 squid")[0] == 403
    assert get(served.address, "/v1/cache")[0] == 403


def test_who_is_idle_longest_makes_room_and_the_busy_stay():
    web = WebThread(FleetInside(peers=1), limits=HttpLimits(connections=3))
    try:
        clients = [socket.create_connection(web.address, WAIT_S) for _ in range(3)]
        for client in clients:  # one after the other they have spoken: 0 is idle longest
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
        assert get(web.address)[0] == 200
        assert clients[0].recv(4096) == b""
        clients[1].sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert clients[1].recv(4096).startswith(b"HTTP/1.1 200")
        for client in clients:
            client.close()
    finally:
        web.close()


def test_are_all_busy_the_next_is_closed():
    web = WebThread(FleetInside(peers=1), limits=HttpLimits(connections=2))
    try:
        busy = [socket.create_connection(web.address, WAIT_S) for _ in range(2)]
        for client in busy:
            # The first answer shows that the connection was taken, the rest that it is busy
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /half")
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            get(web.address)
        assert web.server.refused >= 1
        for client in busy:
            client.close()
    finally:
        web.close()


# -- opening -------------------------------------------------------------------------------------


@pytest.fixture
def log():
    lines = []
    yield lambda *line: lines.append(line)
    assert all(level in ("info", "warning", "error") for level, _, _ in lines)


def lines_of(log):
    return log.__closure__[0].cell_contents


def config(listen=None, control=None):
    return Config(http=HttpSettings(listen=listen), control=control)


def test_nothing_is_opened_where_nothing_is_wanted(log):
    web = Web(config(), log, {})
    assert (web.address, web.control, lines_of(log)) == (None, None, [])
    web.release()


def test_a_taken_port_is_logged_and_tried_again(log):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        web = Web(config(f"127.0.0.1:{port}"), log, {})
        assert web.address is None
    ((level, event, fields),) = lines_of(log)
    assert (level, event) == ("error", "metrics and status are not served")
    assert fields["reason"].startswith(f"127.0.0.1:{port} is in use by codns itself")

    async def main():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(web.run, FleetInside(peers=1))
            await trio.sleep(AGAIN_S + 1)
            address = web.address
            nursery.cancel_scope.cancel()
        return address

    clock = trio.testing.MockClock(autojump_threshold=0)
    assert trio.run(main, clock=clock) == f"127.0.0.1:{port}"
    assert lines_of(log)[1][:2] == ("info", "metrics and status are served now")
    web.release()


def test_a_chosen_control_path_that_lives_ends_the_start(log, tmp_path):
    path = tmp_path / "control.sock"
    other = ControlSocket(path, 1)
    with pytest.raises(BindError, match="is in use by codns itself"):
        Web(config(control=str(path)), log, {})
    other.release()


def test_a_control_path_that_cannot_be_used_is_warned_of(log, tmp_path):
    web = Web(config(control=str(tmp_path / "a" / "b" / "c.sock")), log, {})
    ((level, event, fields),) = lines_of(log)
    assert (level, web.control) == ("warning", None)
    assert event == "no control socket: `codns status` and the like cannot work"
    assert "No such file or directory" in fields["reason"]


def test_the_default_path_falls_back_to_the_login_s_folder(log, tmp_path, monkeypatch):
    """As for who may not write to /run: here the first place is simply no good."""
    places = [Path("/proc/codns/control.sock"), tmp_path / "codns" / "control.sock"]
    monkeypatch.setattr("codns.master.web.control_places", lambda *_: places)
    web = Web(config(control=CONTROL), log, {})
    assert (web.control, lines_of(log)) == (str(places[1]), [])
    assert stat.S_IMODE(places[1].stat().st_mode) == 0o660
    second = Web(config(control=CONTROL), log, {})  # a second daemon of the same user
    assert second.control is None
    assert lines_of(log)[0][0] == "warning"
    web.release()
    second.release()
