"""Who has a port: the answer to "address already in use".

The kernel lists sockets with their inode in /proc/net, and processes with the inodes of what they
have open in /proc/*/fd. Without root only one's own processes can be looked into; then nobody is
found, and the caller says so.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

_LISTEN: Final = "0A"  # the state of a listening TCP socket in /proc/net/tcp
_MAPPED: Final = bytes(10) + b"\xff\xff"

# /proc/*/comm is cut at 15 characters
_FULL_NAMES: Final = {"systemd-resolve": "systemd-resolved"}


class Holder(NamedTuple):
    """A process that has a port."""

    name: str
    pid: int


def find_holder(proc: Path, kind: str, packed: bytes, port: int) -> Holder | None:
    """Return who has `port` on an address that excludes ours, as far as can be seen.

    `proc` is where procfs is, `kind` "udp" or "tcp", `packed` the address as 4 or 16 bytes.
    """
    inodes = {
        f"socket:[{inode}]"
        for table in (kind, f"{kind}6")
        for address, at, state, inode in _sockets(proc / "net" / table)
        if at == port and (kind == "udp" or state == _LISTEN) and _exclude(address, packed)
    }
    if not inodes:
        return None
    pids = sorted(int(p.name) for p in proc.iterdir() if p.name.isdigit())
    for pid in pids:
        if _has_open(proc / str(pid) / "fd", inodes):
            return Holder(_name(proc / str(pid)), pid)
    return None


def process_name(pid: int) -> str:
    """Return what a process calls itself."""
    return _name(Path("/proc") / str(pid))


def _exclude(held: bytes, wanted: bytes) -> bool:
    """Can the two not be bound at once? A wildcard takes in every address of its family."""
    if len(held) == len(wanted):
        return held == wanted or not any(held) or not any(wanted)
    return held == bytes(16)  # [::] without IPV6_V6ONLY has IPv4 as well


def _sockets(table: Path) -> Iterator[tuple[bytes, int, str, str]]:
    """Yield (local address, port, state, inode) of each line of a table in /proc/net."""
    try:
        lines = table.read_text("ascii").splitlines()[1:]
    except OSError:
        return
    for line in lines:
        fields = line.split()
        host, _, port = fields[1].partition(":")
        # The address is written as native 32-bit words: 0100007F is 127.0.0.1 on this machine
        words = (int(host[i : i + 8], 16) for i in range(0, len(host), 8))
        address = b"".join(struct.pack("=I", word) for word in words)
        if address.startswith(_MAPPED):
            address = address[12:]
        yield address, int(port, 16), fields[3], fields[9]


def _has_open(folder: Path, links: set[str]) -> bool:
    try:
        return any(_link(path) in links for path in folder.iterdir())
    except OSError:  # not ours to look into, or it has just ended
        return False


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _name(process: Path) -> str:
    try:
        name = (process / "comm").read_text("utf-8", "replace").strip()
    except OSError:
        name = "a program"
    return _FULL_NAMES.get(name, name)
