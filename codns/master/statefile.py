"""`state_dir`/peers.json: what a node should not have to learn anew after a restart.

    {"nodes": {"srv:_codns._udp.example.net.": ["192.0.2.7:7353", ...]},
     "zones": {"corp.example.": {"seconds": 86000, "why": "..."}}}

The last good answers to the names in `peers.nodes`, used when DNS is dead at the start, and the
private zones learned (`core/private.py`), with what is left of their day: no time of day is
written or compared. Both are hints. A file that is missing, cut or nonsense is a start without
them, and a folder that cannot be written to is one warning, no more.

Written when the content is another one, at most once a minute, and at the end: to a file beside
it, to the disk, then renamed, so that a crash leaves the old one. In a thread: a disk that takes
its time must not hold up anybody's query.
"""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import trio

from codns.config.units import Peer
from codns.master.discovery import ADDRESSES_MAX

NAME: Final = "peers.json"
INTERVAL_S: Final = 60.0
FIRST_S: Final = 5.0  # by then the names have been asked for: a first run's list is safe early
END_S: Final = 2.0  # a disk may hold up the end for so long
FILE_SIZE_MAX: Final = 1 << 20  # 4,096 addresses and 256 zones are a third of it
_NODES_MAX: Final = 4096  # as many as `peers.nodes` has entries
_ZONES_MAX: Final = 1024  # four times what core keeps: a later version may keep more
_HOUR: Final = 3600  # zones' seconds count down all the time; that alone is news once an hour

_Text = Annotated[str, msgspec.Meta(max_length=1024)]  # a name has 255 bytes, escaped 4 times that

Log = Callable[[str, str, dict[str, object]], None]


class State(msgspec.Struct, frozen=True):
    """What is kept. `nodes` is `Discovery.good()`, `zones` is `Node.learned_zones()`."""

    nodes: Annotated[dict[_Text, list[_Text]], msgspec.Meta(max_length=_NODES_MAX)] = {}
    zones: Annotated[dict[_Text, Any], msgspec.Meta(max_length=_ZONES_MAX)] = {}


class StateFile:
    """The file of one node; `folder` None: nothing is kept."""

    def __init__(self, folder: Path | None, log: Log) -> None:
        self._path = None if folder is None else folder / NAME
        self._log = log
        # What stands in the file, as far as it is compared; none is as good as an empty one
        self._written: object = _compared(State())
        self._failed = False

    def load(self) -> State:
        """Return what an earlier run kept, as far as it is sound."""
        if self._path is None:
            return State()
        try:
            state = parse(_read(self._path))
        except FileNotFoundError:
            return State()
        except (OSError, ValueError) as error:
            fields: dict[str, object] = {"file": str(self._path), "reason": _reason(error)}
            self._log("warning", "state file is not used", fields)
            self._written = None
            return State()
        self._written = _compared(state)
        return state

    async def run(self, content: Callable[[], State]) -> None:
        """Write `content()` whenever it is another one, until cancelled."""
        if self._path is None:
            return
        await trio.sleep(FIRST_S)
        while True:
            await self.save(content())
            await trio.sleep(INTERVAL_S)

    async def save(self, state: State) -> None:
        """Write it, if it is news. Never raises for what the disk does."""
        compared = _compared(state)
        if self._path is None or compared == self._written:
            return
        try:
            await trio.to_thread.run_sync(write, self._path, state, abandon_on_cancel=True)
        except (OSError, RuntimeError) as error:  # the latter: no thread is left
            if not self._failed:
                fields: dict[str, object] = {"file": str(self._path), "reason": _reason(error)}
                self._log("warning", "state file cannot be written", fields)
            self._failed = True
            return
        self._failed = False
        self._written = compared

    async def close(self, state: State) -> None:
        """Write it at the end, whatever the end is."""
        with trio.move_on_after(END_S, shield=True):
            self._written = None if state != State() else self._written
            await self.save(state)


def parse(data: bytes) -> State:
    """Return what a file's bytes say, without the addresses that are none. ValueError."""
    try:
        state = msgspec.json.decode(data, type=State)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("not written by codns, or cut") from None
    nodes = {
        node: [address for address in addresses if _is_address(address)][:ADDRESSES_MAX]
        for node, addresses in state.nodes.items()
    }
    return State(nodes, state.zones)


def write(path: Path, state: State) -> None:
    """Write the file so that it is there whole, now and after a crash. OSError."""
    path.parent.mkdir(mode=0o750, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(beside, flags, 0o640), "wb") as file:
        file.write(msgspec.json.encode(state))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # the rename itself
    finally:
        os.close(folder)


def _read(path: Path) -> bytes:
    # Not blocking: a FIFO would hold the daemon's start for ever
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("no regular file")
        data = file.read(FILE_SIZE_MAX + 1)
    if len(data) > FILE_SIZE_MAX:
        raise ValueError(f"over {FILE_SIZE_MAX} bytes")
    return data


def _is_address(text: str) -> bool:
    try:
        return Peer().read(text) == text
    except ValueError:
        return False


def _compared(state: State) -> object:
    """Return what makes a content another one: not each second that a zone grows older."""
    zones = {
        zone: (entry.get("why"), _hours(entry.get("seconds")))
        if isinstance(entry, Mapping)
        else entry
        for zone, entry in state.zones.items()
    }
    return state.nodes, zones


def _hours(seconds: object) -> object:
    return seconds // _HOUR if isinstance(seconds, int) else seconds


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
