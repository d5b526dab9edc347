"""Noticing that a file changed: a look every 2 s.

inotify would be quicker, but it watches inodes: resolv.conf is replaced by rename, is a symlink
into /run that gets pointed elsewhere, or sits on a mount where no event ever fires. One stat every
2 s costs nothing, sees all of these, and 2 s is short beside how long a network takes to change.

A half-written file may be seen. It is read, judged, and read again at the next look, when its
fingerprint has changed once more.
"""

import os
from collections.abc import Callable, Hashable
from typing import Final

import trio

INTERVAL_S: Final = 2.0


def file_fingerprint(path: str) -> Hashable:
    """Return what changes when the file's content does: None while it cannot be looked at.

    Follows symlinks. The inode tells a rename even where size and time are the same.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - a plain path, no object per look
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class Watcher:
    """Call `changed` when `fingerprint()` is no longer what it was.

    Make it *before* reading what it watches: the first fingerprint is taken here, so a change
    between the reading and the first look is not lost.
    """

    def __init__(
        self,
        fingerprint: Callable[[], Hashable],
        changed: Callable[[], None],
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._fingerprint = fingerprint
        self._changed = changed
        self._interval_s = interval_s
        self._known: Hashable = fingerprint()

    def look(self) -> bool:
        """Look now: call `changed` and return True if there is something new."""
        seen = self._fingerprint()
        if seen == self._known:
            return False
        self._known = seen  # before the call: what it reads is at least as new as this
        self._changed()
        return True

    def again(self) -> None:
        """Take the next look for news, whatever it sees: this one could not be made use of."""
        self._known = object()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look every `interval_s` seconds of trio's clock, until cancelled."""
        task_status.started()
        while True:
            await trio.sleep(self._interval_s)
            self.look()
