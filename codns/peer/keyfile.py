"""The key file: what makes a node a member of its cluster (RULES 8.4).

One key a line, base64 of 32 bytes; `#` begins a comment. The first key seals, all of them open, so
keys are changed without a moment in which nodes do not understand each other:

    1. append the new key to the file of every node, reload
    2. move it to the first line on every node, reload
    3. delete the old one on every node, reload

Whoever reads the file can give the whole fleet wrong addresses, so a file that others may read is
refused. No message here ever shows a key.
"""

import base64
import binascii
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from codns.peer.seal import KEY_SIZE, KEYS_MAX

MODE_MAX: Final = 0o640  # RULES 8.4: the owner writes, a group may read
FILE_SIZE_MAX: Final = 65_536  # 8 keys and many comments


class KeyFileError(Exception):
    """A key file that cannot be used: the text names the file, the cause and the remedy."""


def generate(random: Callable[[int], bytes] = os.urandom) -> str:
    """Return the content of a key file with one new key: what `codns keygen` prints."""
    return (
        "# codns cluster key: the same file on every node, mode 0640 or stricter.\n"
        "# The first key seals, all open. To change keys, with a reload of every node after each\n"
        "# step: append the new one everywhere, move it to the first line everywhere, delete the\n"
        "# old one.\n" + base64.b64encode(random(KEY_SIZE)).decode("ascii") + "\n"
    )


def load(path: Path) -> list[bytes]:
    """Return the keys in a file, in its order. Raises KeyFileError."""
    try:
        # Not blocking: a FIFO would hold the daemon's start for ever.
        with open(
            path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)
        ) as file:
            mode = os.fstat(file.fileno()).st_mode
            # The mode first: a file that is refused is not read.
            check_mode(mode, path)
            content = file.read(FILE_SIZE_MAX + 1)
    except OSError as error:
        raise unreadable(error, path) from None
    if len(content) > FILE_SIZE_MAX:
        raise KeyFileError(f"{path}: over {FILE_SIZE_MAX} bytes; is it a key file?")
    return parse(content.decode("utf-8", "replace"), path)


def unreadable(error: OSError, path: Path) -> KeyFileError:
    """Return what to tell the operator of a file that could not be read."""
    if isinstance(error, FileNotFoundError):
        return KeyFileError(f"{path}: no such key file; make one with `codns keygen`")
    if isinstance(error, PermissionError):
        remedy = f"chown root:codns {path}, or the group codns runs as"
        return KeyFileError(f"{path}: this user may not read it; {remedy}")
    return KeyFileError(f"{path}: {error.strerror}; peers.key_file must name a file")


def check_mode(mode: int, path: Path) -> None:
    """Refuse what is no regular file or allows more than 0640. Raises KeyFileError."""
    if not stat.S_ISREG(mode):
        raise KeyFileError(f"{path}: no regular file; peers.key_file must name one")
    permissions = stat.S_IMODE(mode)
    if permissions & ~MODE_MAX:
        raise KeyFileError(
            f"{path}: mode {permissions:04o} lets others use the key; chmod 0640 {path},"
            " and change the key if somebody may have read it"
        )


def parse(text: str, path: Path) -> list[bytes]:
    """Return the keys in the text of a file, in its order. Raises KeyFileError."""
    keys: list[bytes] = []
    lines: list[int] = []
    for number, line in enumerate(text.splitlines(), 1):
        encoded = line.partition("#")[0].strip()
        if not encoded:
            continue
        key = _key(encoded, f"{path}, line {number}")
        if key in keys:
            raise KeyFileError(
                f"{path}, line {number}: the key of line {lines[keys.index(key)]} again; delete"
                " one of them"
            )
        keys.append(key)
        lines.append(number)
    if not keys:
        raise KeyFileError(f"{path}: holds no key; make one with `codns keygen`")
    if len(keys) > KEYS_MAX:
        raise KeyFileError(f"{path}: {len(keys)} keys, over {KEYS_MAX}; delete those not in use")
    return keys


def _key(encoded: str, where: str) -> bytes:
    remedy = "a key is one line of 44 characters as `codns keygen` prints it"
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise KeyFileError(f"{where}: no base64; {remedy}") from None
    if len(key) != KEY_SIZE:
        raise KeyFileError(f"{where}: {len(key)} bytes, not {KEY_SIZE}; {remedy}")
    return key
