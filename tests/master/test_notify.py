"""What systemd is told, and when the watchdog is fed."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import trio
import trio.testing
from daemon_rig import ROOT, WAIT_S

from codns.master.notify import STATUS_SIZE_MAX, UNSENT_MAX, Notifier


class Systemd:
    """The other end: an unconnected datagram socket with a path."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(path)
        self.sock.settimeout(WAIT_S)

    def heard(self):
        """All datagrams there are, without waiting."""
        found = []
        self.sock.setblocking(False)
        try:
            while True:
                found.append(self.sock.recv(4096).decode())
        except BlockingIOError:
            self.sock.settimeout(WAIT_S)
            return found


@pytest.fixture(params=["file", "abstract"])
def systemd(request, tmp_path):
    name = str(tmp_path / "notify")
    manager = Systemd(name if request.param == "file" else "\0" + name)
    manager.name = name if request.param == "file" else "@" + name
    yield manager
    manager.sock.close()


@pytest.fixture
def notifier(systemd):
    made = Notifier({"NOTIFY_SOCKET": systemd.name})
    yield made
    made.close()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"NOTIFY_SOCKET": ""},
        {"NOTIFY_SOCKET": "relative"},
        {"NOTIFY_SOCKET": "vsock:2:1"},
        {"NOTIFY_SOCKET": "/nowhere/notify"},
    ],
)
def test_nobody_to_tell(environ):
    notifier = Notifier(environ)
    assert not notifier.listening
    notifier.ready("fine")
    notifier.reloading()
    trio.run(notifier.run, lambda: "fine")  # returns at once
    notifier.close()
    assert environ == {}


def test_what_is_said(systemd, notifier):
    notifier.ready("listening\nhere")
    notifier.reloading()
    notifier.ready("listening here")  # the same status is not said twice
    notifier.stopping("ending, 3 in flight")
    first, reloading, again, last = systemd.heard()
    assert first == "READY=1\nSTATUS=listening here"
    assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert reloading.rpartition("=")[2].isdigit()
    assert again == "READY=1"
    assert last == "STOPPING=1\nSTATUS=ending, 3 in flight"


def test_a_long_status_is_cut(systemd, notifier):
    notifier.ready("x" * (STATUS_SIZE_MAX + 1))
    assert systemd.heard() == ["READY=1\nSTATUS=" + "x" * STATUS_SIZE_MAX]


@pytest.mark.parametrize(
    ("environ", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "10000000"}, 10.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "7"}, 10.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_whose_watchdog(environ, watchdog_s):
    notifier = Notifier(environ, pid=7)
    assert notifier.watchdog_s == watchdog_s
    assert environ == {}


@pytest.mark.parametrize(
    ("watchdog", "at"),
    [
        ("10000000", [0.0, 2.5, 5.0, 7.5, 10.0]),  # four times in its 10 s
        ("", [0.0, 10.0]),  # for the status line alone
    ],
)
def test_when_it_is_fed(systemd, autojump_clock, watchdog, at):
    notifier = Notifier({"NOTIFY_SOCKET": systemd.name, "WATCHDOG_USEC": watchdog})
    times = []

    def status():
        times.append(trio.current_time())
        return f"at {times[-1] - times[0]}"

    async def run():
        with trio.move_on_after(10.1):
            await notifier.run(status)

    trio.run(run, clock=autojump_clock)
    assert [time - times[0] for time in times] == pytest.approx(at)
    said = systemd.heard()
    assert said[0] == ("WATCHDOG=1\n" if watchdog else "") + "STATUS=at 0.0"
    assert len(said) == len(at)
    notifier.close()


@pytest.fixture
def autojump_clock():
    return trio.testing.MockClock(autojump_threshold=0)


def fill(systemd, notifier):
    """Send until there is no room; returns how many got in."""
    sent = 0
    while not notifier._unsent:
        notifier.ready(f"number {sent}")
        sent += 1
    return sent - 1


def test_what_found_no_room_comes_later(systemd, notifier, autojump_clock):
    sent = fill(systemd, notifier)
    notifier.stopping("the end")
    assert len(systemd.heard()) == sent

    async def run():
        with trio.move_on_after(0.05):
            await notifier.run(lambda: "")

    trio.run(run, clock=autojump_clock)
    assert systemd.heard() == [f"READY=1\nSTATUS=number {sent}", "STOPPING=1\nSTATUS=the end"]


def test_what_waits_is_bounded_and_the_latest_counts(systemd, notifier):
    fill(systemd, notifier)
    for number in range(2 * UNSENT_MAX):
        notifier.ready(f"later {number}")
    assert len(notifier._unsent) == UNSENT_MAX
    systemd.heard()
    notifier.stopping("")
    assert systemd.heard()[-2:] == [f"READY=1\nSTATUS=later {2 * UNSENT_MAX - 1}", "STOPPING=1"]


def test_systemd_went_away(systemd, notifier):
    systemd.sock.close()
    notifier.ready("nobody hears it")
    assert notifier._unsent == []


def test_the_daemon_tells_all_of_it(tmp_path):
    """As a process, without systemd: ready, fed, reloading, fed no more when stopped, stopping."""
    systemd = Systemd(str(tmp_path / "notify"))
    config = tmp_path / "codns.yaml"
    config.write_text("nameservers: ['127.0.0.1:1']\n")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "WATCHDOG_USEC": "400000",
    }
    command = [sys.executable, "-m", "codns", "run", "--listen", "127.0.0.1:0", "-c", str(config)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

    def next_of(word):
        while True:
            text = systemd.sock.recv(4096).decode()
            if text.startswith(word):
                return text

    try:
        assert "; nameservers 127.0.0.1#1; " in next_of("READY=1")
        for _ in range(3):
            next_of("WATCHDOG=1")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert children
        for child in children:
            environ = Path(f"/proc/{child}/environ").read_bytes()
            assert b"NOTIFY_SOCKET" not in environ
            assert b"WATCHDOG" not in environ
        process.send_signal(signal.SIGHUP)
        next_of("RELOADING=1")
        next_of("READY=1")
        # A loop that does not turn feeds nobody
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        systemd.heard()
        systemd.sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            systemd.sock.recv(4096)
        systemd.sock.settimeout(WAIT_S)
        process.send_signal(signal.SIGCONT)
        next_of("WATCHDOG=1")
        process.terminate()
        next_of("STOPPING=1")
        assert process.wait(WAIT_S) == 0
    finally:
        process.kill()
        process.wait(WAIT_S)
        systemd.sock.close()
