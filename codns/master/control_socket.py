"""The control socket's file: made, replaced when it is a dead daemon's, removed in the end.

A socket's file stays when its daemon dies, and then refuses connections: it is replaced. One that
answers belongs to a daemon that lives, and is left to it. Whoever may write to the socket may
flush the cache, so its mode is 0660 from its first moment on; its group is for `chgrp` or the
folder's setgid bit to choose.

The path's folder is made if only it is missing: /run/codns, where no unit has made it.
"""

import contextlib
import errno
import os
import socket
import stat
import struct
from pathlib import Path
from typing import Final

from codns.master.holder import process_name

MODE: Final = 0o660
FOLDER_MODE: Final = 0o755  # who may speak to the daemon is said by the socket's own mode
LOOK_S: Final = 1.0  # a daemon that hangs for longer is not waited for, it is there all the same

_UCRED: Final = struct.Struct("3i")  # pid, uid, gid: SO_PEERCRED of unix(7)


class ControlError(Exception):
    """The socket cannot be had. The text is one line: cause and remedy.

    `taken`: by a daemon that lives.
    """

    def __init__(self, text: str, *, taken: bool = False) -> None:
        super().__init__(text)
        self.taken = taken


class ControlSocket:
    """The listening socket at `path`."""

    def __init__(self, path: Path, backlog: int) -> None:
        self.path = path
        try:
            if not path.parent.exists():
                path.parent.mkdir(mode=FOLDER_MODE)
            _refuse_if_alive(path)
            self.sock = _made(path, backlog)
            self._inode = path.stat().st_ino
        except OSError as error:
            said = error.strerror or str(error)
            remedy = "set `control` to a path that this user may write to, or to null"
            raise ControlError(f"{path}: {said}: {remedy}") from error

    def release(self) -> None:
        """Close it, and remove its file unless that is another's by now."""
        self.sock.close()
        with contextlib.suppress(OSError):
            if self.path.stat().st_ino == self._inode:
                self.path.unlink()


def _made(path: Path, backlog: int) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        before = os.umask(0o777 & ~MODE)  # from its first moment on it is open to nobody else
        try:
            sock.bind(str(path))
        finally:
            os.umask(before)
        sock.listen(backlog)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _refuse_if_alive(path: Path) -> None:
    """ControlError if somebody answers at `path`, or if it is no socket."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ControlError(f"{path} is there and no socket: remove it or change `control`")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(LOOK_S)
        try:
            sock.connect(str(path))
        except OSError as error:
            if error.errno in (errno.ECONNREFUSED, errno.ENOENT):
                return  # nobody listens: left over
            if not isinstance(error, BlockingIOError | TimeoutError):
                raise
            pid = 0
        else:
            data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
            pid = _UCRED.unpack(data)[0]
    who = f"{process_name(pid)} (pid {pid})" if pid else "another process"
    itself = "codns itself" if pid == os.getpid() else who
    remedy = "stop it, or give this one another path with `control` or --control"
    raise ControlError(f"{path} is in use by {itself}: {remedy}", taken=True)
