"""The state file: written whole, rarely, and never believed further than it goes."""

import json
import os
import random
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from codns.core.node import Node
from codns.core.settings import PeerSettings, Settings
from codns.master import statefile
from codns.master.discovery import ADDRESSES_MAX
from codns.master.statefile import FILE_SIZE_MAX, FIRST_S, INTERVAL_S, State, StateFile, parse

SRV = "srv:_codns._udp.example."
STATE = State(
    {SRV: ["192.0.2.1:7353", "[2001:db8::1]:7353"]},
    {"corp.example.": {"seconds": 5000, "why": "known here, not to a peer"}},
)


class Keeper:
    """A state file in a folder, and what it logs."""

    def __init__(self, folder):
        self.log = []
        self.file = StateFile(folder, lambda *line: self.log.append(line))
        self.path = None if folder is None else folder / statefile.NAME

    def save(self, state):
        trio.run(self.file.save, state)

    def events(self):
        return [event for _, event, _ in self.log]


@pytest.fixture
def keeper(tmp_path):
    return Keeper(tmp_path)


def test_what_was_written_is_read(keeper, tmp_path):
    assert keeper.file.load() == State()
    keeper.save(STATE)
    assert Keeper(tmp_path).file.load() == STATE
    assert [path.name for path in tmp_path.iterdir()] == ["peers.json"]
    assert stat.S_IMODE(keeper.path.stat().st_mode) & 0o137 == 0
    assert keeper.log == []


def test_the_folder_is_made(tmp_path):
    keeper = Keeper(tmp_path / "codns")
    keeper.save(STATE)
    assert keeper.file.load() == STATE


def test_no_folder_nothing_kept():
    keeper = Keeper(None)
    assert keeper.file.load() == State()
    keeper.save(STATE)
    trio.run(keeper.file.run, lambda: STATE)  # has nothing to do
    assert keeper.log == []


def test_only_what_is_sound_is_read(keeper):
    keeper.path.write_text(
        json.dumps(
            {
                "nodes": {
                    SRV: ["192.0.2.1:7353", "192.0.2.1", "0.0.0.0:1", "x", "[::1]:0", ""],
                    "another": [],
                },
                "zones": {"a.example.": 5, "b.example.": {"seconds": "x"}},
                "later": {"version": 2},
            }
        )
    )
    state = keeper.file.load()
    assert state.nodes == {SRV: ["192.0.2.1:7353"], "another": []}
    peers = PeerSettings("192.0.2.1:7353")
    node = Node(Settings(peers=peers), random.Random(1), 0.0)
    assert node.load_learned_zones(state.zones, 0.0) == 0
    assert node.load_learned_zones(STATE.zones, 0.0) == 1
    assert node.learned_zones(100.0) == {
        "corp.example.": {"seconds": 4900, "why": "known here, not to a peer"}
    }


@given(
    st.one_of(
        st.binary(max_size=300),
        st.text(max_size=300).map(str.encode),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(st.sampled_from(["nodes", "zones", "x"]), inner, max_size=3)
            ),
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_arbitrary_bytes(data):
    """ValueError is all that may come of a file; and what is read does no harm further on."""
    try:
        state = parse(data)
    except ValueError:
        return
    node = Node(Settings(peers=PeerSettings("192.0.2.1:7353")), random.Random(1), 0.0)
    node.load_learned_zones(state.zones, 0.0)
    statefile._compared(state)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b'{"nodes": {"' + b"x" * 1025 + b'": []}}',
        json.dumps({"nodes": {str(n): [] for n in range(4097)}}).encode(),
        json.dumps({"zones": {str(n): 1 for n in range(1025)}}).encode(),
        b" " * (FILE_SIZE_MAX + 1),
        b"{" + b'"x":' + b"\xff" * 10 + b"}",
    ],
    ids=["empty", "cut", "deep", "long name", "many nodes", "many zones", "large", "no text"],
)
def test_files_that_are_not_used(keeper, data):
    keeper.path.write_bytes(data)
    assert keeper.file.load() == State()
    assert keeper.events() == ["state file is not used"]
    keeper.save(STATE)
    assert keeper.file.load() == STATE


def test_a_list_read_has_an_end(keeper):
    many = [f"192.0.{n // 256}.{n % 256}:7353" for n in range(ADDRESSES_MAX + 1)]
    keeper.path.write_text(json.dumps({"nodes": {SRV: many}}))
    assert keeper.file.load().nodes[SRV] == many[:-1]


def test_what_is_no_file(tmp_path):
    keeper = Keeper(tmp_path)
    os.mkfifo(keeper.path)
    assert keeper.file.load() == State()  # and it does not wait for a writer
    keeper.path.unlink()
    keeper.path.mkdir()
    assert keeper.file.load() == State()
    keeper.save(STATE)
    assert keeper.events() == ["state file is not used"] * 2 + ["state file cannot be written"]


def test_a_folder_that_cannot_be_written_is_one_warning(tmp_path):
    (tmp_path / "file").write_text("")
    keeper = Keeper(tmp_path / "file" / "state")
    assert keeper.file.load() == State()
    for seconds in (1, 2, 3):
        keeper.save(State({}, {"a.example.": {"seconds": 3600 * seconds, "why": "x"}}))
    assert keeper.events().count("state file cannot be written") == 1
    (tmp_path / "file").unlink()
    (tmp_path / "file").mkdir()
    keeper.save(STATE)
    assert keeper.file.load() == STATE


def test_no_thread_is_left(keeper, monkeypatch):
    """A limit on processes is no reason to end the daemon."""

    async def refuse(*_args, **_options):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(statefile.trio.to_thread, "run_sync", refuse)
        keeper.save(STATE)
    assert keeper.events() == ["state file cannot be written"]
    keeper.save(STATE)
    assert keeper.file.load() == STATE


def test_a_link_in_the_way_is_not_followed(keeper, tmp_path):
    target = tmp_path / "target"
    (tmp_path / "peers.json.new").symlink_to(target)
    keeper.save(STATE)
    assert not target.exists()
    assert keeper.events() == ["state file cannot be written"]


_FULL = """
import resource, signal, sys
from pathlib import Path
from codns.master import statefile
resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
many = [f"192.0.2.{n}:7353" for n in range(200)]
try:
    statefile.write(Path(sys.argv[1]), statefile.State({"srv:x.": many}, {}))
except OSError as error:
    print("refused", end="")
"""


def test_a_full_disk_leaves_the_old_file(keeper):
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    keeper.save(STATE)
    done = subprocess.run(
        [sys.executable, "-c", _FULL, str(keeper.path)],
        capture_output=True,
        check=True,
        cwd=Path(statefile.__file__).parents[2],
    )
    assert done.stdout == b"refused"
    assert keeper.file.load() == STATE


def test_it_is_written_when_it_changed_at_most_once_a_minute(keeper, monkeypatch):
    async def at_once(write, *args, **_options):
        write(*args)  # a thread takes real time, which a clock that jumps does not wait for

    monkeypatch.setattr(statefile.trio.to_thread, "run_sync", at_once)
    zone = STATE.zones["corp.example."]
    contents = [
        STATE,
        STATE,
        State(STATE.nodes, {"corp.example.": zone | {"seconds": 4900}}),
        State({SRV: ["192.0.2.9:7353"]}, STATE.zones),
    ]
    asked, writes = [], []

    def content():
        asked.append(round(trio.current_time() - start, 3))
        writes.append(keeper.path.exists() and keeper.path.stat().st_ino)
        return contents[min(len(asked), len(contents)) - 1]

    async def main():
        nonlocal start
        start = trio.current_time()
        with trio.move_on_after(FIRST_S + 4.5 * INTERVAL_S):
            await keeper.file.run(content)

    start = 0.0
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.02))
    assert asked == pytest.approx([FIRST_S + n * INTERVAL_S for n in range(5)], abs=0.1)
    # not there; written; the same; older zones are no news; another list
    assert writes[0] is False
    assert writes[1] == writes[2] == writes[3] != writes[4]
    assert keeper.file.load() == contents[-1]


def test_the_end_writes_it_with_what_is_left_of_the_zones(keeper):
    keeper.save(STATE)
    older = State(STATE.nodes, {"corp.example.": {"seconds": 4000, "why": "x"}})

    async def main():
        with trio.CancelScope() as scope:
            scope.cancel()  # ended at once
            await keeper.file.close(older)

    trio.run(main)
    assert keeper.file.load() == older
    empty = Keeper(keeper.path.parent / "other")
    trio.run(empty.file.close, State())
    assert not empty.path.exists()
