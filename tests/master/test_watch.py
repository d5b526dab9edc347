"""Changes are noticed at the next look. Virtual time, real files."""

import os

import pytest
import trio
import trio.testing

from codns.master.watch import Watcher, file_fingerprint


def test_a_change_is_told_once_and_at_the_next_look():
    state = {"print": 0}
    told: list[tuple[float, int]] = []

    async def scenario():
        watcher = Watcher(
            lambda: state["print"], lambda: told.append((trio.current_time(), state["print"]))
        )
        state["print"] = 1  # between the making and the first look
        async with trio.open_nursery() as nursery:
            await nursery.start(watcher.run)
            await trio.sleep(4.5)
            state["print"] = 2
            await trio.sleep(0.5)
            state["print"] = 3  # 2 was never seen
            await trio.sleep(5.5)
            state["print"] = 1  # back at 10.5: a change too
            await trio.sleep(10)
            nursery.cancel_scope.cancel()

    trio.run(scenario, clock=trio.testing.MockClock(autojump_threshold=0))
    assert told == [(2.0, 1), (6.0, 3), (12.0, 1)]


def test_again_is_a_change_at_the_next_look():
    """Who could not make anything of a change looks again."""
    seen = []
    watcher = Watcher(lambda: 1, lambda: seen.append(1))
    assert not watcher.look()
    watcher.again()
    assert watcher.look()
    assert not watcher.look()
    assert seen == [1]


def test_the_interval_is_given():
    looks: list[float] = []

    async def scenario():
        def fingerprint() -> int:
            looks.append(trio.current_time())
            return 0

        with trio.move_on_after(1.75):
            await Watcher(fingerprint, lambda: None, 0.5).run()

    trio.run(scenario, clock=trio.testing.MockClock(autojump_threshold=0))
    assert looks == [0.0, 0.5, 1.0, 1.5]


def replaced(path):
    """As resolvconf and editors do: another file of the same size and time, renamed."""
    new = path.with_suffix(".new")
    new.write_text(path.read_text())
    status = path.stat()
    os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))
    new.rename(path)


def grown(path):
    status = path.stat()
    path.write_text("nameserver 192.0.2.1\nnameserver 192.0.2.2\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def written(path):
    path.write_text("nameserver 192.0.2.9\n")
    os.utime(path, ns=(5, 5))


def pointed_elsewhere(path):
    target = path.with_name("stub-resolv.conf")
    target.write_text("nameserver 127.0.0.53\n")
    path.unlink()
    path.symlink_to(target)


@pytest.mark.parametrize(
    "change",
    [replaced, grown, written, pointed_elsewhere, lambda path: path.unlink()],
    ids=["replaced", "grown", "written", "pointed elsewhere", "gone"],
)
def test_ways_a_file_changes(tmp_path, change):
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 192.0.2.1\n")
    told: list[str] = []
    watcher = Watcher(lambda: file_fingerprint(str(path)), lambda: told.append("changed"))
    assert not watcher.look()
    change(path)
    assert watcher.look()
    assert not watcher.look()
    assert told == ["changed"]


def test_the_target_of_a_symlink_is_watched(tmp_path):
    target = tmp_path / "target"
    target.write_text("a")
    link = tmp_path / "link"
    link.symlink_to(target)
    before = file_fingerprint(str(link))
    target.write_text("ab")
    assert file_fingerprint(str(link)) != before


def test_a_file_that_is_not_there(tmp_path):
    assert file_fingerprint(str(tmp_path / "none")) is None
    (tmp_path / "loop").symlink_to("loop")
    assert file_fingerprint(str(tmp_path / "loop")) is None
