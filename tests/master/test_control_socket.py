"""The control socket's file: made, replaced, left to who lives, removed."""

import os
import socket
import stat

import pytest

from codns.config.units import SOCKET_PATH_MAX
from codns.master.control_socket import ControlError, ControlSocket

BACKLOG = 4


def listener(path):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(path))
    sock.listen()
    return sock


def reaches(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(str(path))
    return True


def test_it_is_for_owner_and_group_and_goes_in_the_end(tmp_path):
    path = tmp_path / "control.sock"
    control = ControlSocket(path, BACKLOG)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert reaches(path)
    assert [p.name for p in tmp_path.iterdir()] == ["control.sock"]
    control.release()
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_made_but_not_its_parents(tmp_path):
    path = tmp_path / "codns" / "control.sock"
    ControlSocket(path, BACKLOG).release()
    assert path.parent.is_dir()
    with pytest.raises(ControlError, match="No such file or directory: set `control` to a path"):
        ControlSocket(tmp_path / "a" / "b" / "control.sock", BACKLOG)


def test_what_a_dead_daemon_left_is_replaced(tmp_path):
    path = tmp_path / "control.sock"
    listener(path).close()
    assert path.exists()
    control = ControlSocket(path, BACKLOG)
    assert reaches(path)
    control.release()


def test_a_living_daemon_keeps_its_own(tmp_path):
    path = tmp_path / "control.sock"
    with listener(path) as other, pytest.raises(ControlError) as caught:
        ControlSocket(path, BACKLOG)
    other.close()
    assert caught.value.taken
    assert str(caught.value).startswith(f"{path} is in use by codns itself: stop it, or give")


def test_what_is_no_socket_is_not_touched(tmp_path):
    path = tmp_path / "control.sock"
    path.write_text("precious")
    with pytest.raises(ControlError, match="is there and no socket: remove it"):
        ControlSocket(path, BACKLOG)
    assert path.read_text() == "precious"


def test_who_took_the_path_over_keeps_it(tmp_path):
    path = tmp_path / "control.sock"
    first = ControlSocket(path, BACKLOG)
    path.unlink()
    second = ControlSocket(path, BACKLOG)
    first.release()
    assert reaches(path)
    second.release()


def test_the_longest_path_that_the_configuration_takes(tmp_path):
    os.chdir(tmp_path)  # pytest's own path may be long: what counts is the text given to bind
    path = tmp_path / ("x" * (SOCKET_PATH_MAX - len(str(tmp_path)) - 1))
    assert len(str(path)) == SOCKET_PATH_MAX
    ControlSocket(path, BACKLOG).release()
