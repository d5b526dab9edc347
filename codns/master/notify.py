"""What systemd is told: ready, reloading, stopping, alive (sd_notify(3)).

A few words in a datagram to the socket that NOTIFY_SOCKET names. Without the variable (no systemd)
all of this does nothing. The variables are taken out of the environment: the slaves are no units.

The watchdog is fed by a task of the event loop and by nothing else. So it starves when the loop is
stuck, when the process is stopped, and when the daemon has ended without noticing; a thread would
feed it through all of that. It is fed four times in WatchdogSec=: one late turn of a busy loop is
no reason to be killed.

A datagram that the other side has no room for is sent again with the next one: losing READY=1
would have us killed at the end of TimeoutStartSec=.
"""

import contextlib
import os
import socket
import time
from collections.abc import Callable, MutableMapping
from typing import Final

import trio

FEEDS: Final = 4  # in WatchdogSec=
STATUS_S: Final = 10.0  # the status line is for people: without a watchdog this often
AGAIN_S: Final = 0.1  # after a datagram that found no room
UNSENT_MAX: Final = 8  # a start, some reloads, an end; the oldest go, the latest state counts
STATUS_SIZE_MAX: Final = 500  # of the line in `systemctl status`; a long list of addresses is cut


class Notifier:
    """systemd's view of us. Make it before any child is started."""

    def __init__(
        self, environ: MutableMapping[str, str] | None = None, pid: int | None = None
    ) -> None:
        environ = os.environ if environ is None else environ
        path = environ.pop("NOTIFY_SOCKET", "")
        usec, meant = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        self._sock = _connected(path)
        self._unsent: list[str] = []
        self._said = ""
        self.watchdog_s: float | None = None
        for_us = meant in ("", str(os.getpid() if pid is None else pid))
        if for_us and usec.isascii() and usec.isdigit() and int(usec):
            self.watchdog_s = int(usec) / 1e6

    @property
    def listening(self) -> bool:
        """Is there somebody to tell?"""
        return self._sock is not None

    def ready(self, status: str) -> None:
        """Queries are answered: after the start, and after each reload."""
        self._tell("READY=1", status)

    def reloading(self) -> None:
        """Start a reload: the next is `ready`. systemd wants to know when, by its clock."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        """Begin the end."""
        self._tell("STOPPING=1", status)

    async def run(
        self,
        status: Callable[[], str],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Feed the watchdog and keep the status line, until cancelled."""
        task_status.started()
        if not self.listening:
            return
        interval_s = STATUS_S if self.watchdog_s is None else self.watchdog_s / FEEDS
        while True:
            self._tell("" if self.watchdog_s is None else "WATCHDOG=1", status())
            await trio.sleep(min(AGAIN_S, interval_s) if self._unsent else interval_s)

    def close(self) -> None:
        """Say no more."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _tell(self, state: str, status: str = "") -> None:
        line = " ".join(status.split())[:STATUS_SIZE_MAX]
        if line and line != self._said:
            self._said = line
            state = f"{state}\nSTATUS={line}".lstrip()
        if self._sock is None or not (state or self._unsent):
            return
        if state:
            self._unsent = [*self._unsent, state][-UNSENT_MAX:]
        while self._unsent:
            try:
                self._sock.send(self._unsent[0].encode())
            except BlockingIOError:
                return
            except OSError:  # systemd is being executed anew, or gone: it counts as told
                pass
            del self._unsent[0]


def _connected(path: str) -> socket.socket | None:
    """Return a socket to `path` (a file, or "@name" without one); None if there is nobody."""
    if not path.startswith(("/", "@")):
        return None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.setblocking(False)
    with contextlib.suppress(OSError):
        sock.connect("\0" + path[1:] if path.startswith("@") else path)
        return sock
    sock.close()
    return None
