"""Real nameservers on loopback for the tests beside this file."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
import real_zone

from bench import servers
from bench.servers import Server

SEED = 2004


class Zones(NamedTuple):
    """Zone files by origin, and the signed ones' keys."""

    files: dict[str, Path]
    anchors: list[str]


@pytest.fixture(scope="session")
def zones(tmp_path_factory: pytest.TempPathFactory) -> Zones:
    """All the zones; the two signed ones with BIND's tools."""
    folder = tmp_path_factory.mktemp("zones")
    files, anchors = {}, []
    for origin, nsec3 in ((real_zone.SIGNED, False), (real_zone.HASHED, True)):
        files[origin], anchor = real_zone.signed_zone(folder, origin, SEED, nsec3=nsec3)
        anchors.append(anchor)
    for origin, text in (
        (real_zone.PLAIN, real_zone.plain_zone(SEED)),
        (real_zone.REVERSE, real_zone.reverse_zone()),
    ):
        files[origin] = folder / f"{origin}zone"
        files[origin].write_text(text)
    return Zones(files, anchors)


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The unsigned zones, for tests that need no signing tools."""
    folder = tmp_path_factory.mktemp("plain")
    files = {real_zone.PLAIN: folder / "zone", real_zone.REVERSE: folder / "reverse"}
    files[real_zone.PLAIN].write_text(real_zone.plain_zone(SEED))
    files[real_zone.REVERSE].write_text(real_zone.reverse_zone())
    return files


@pytest.fixture(scope="session")
def plain_nsd(
    plain: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """nsd with the unsigned zones; nobody stops or signals this one."""
    with servers.nsd(tmp_path_factory.mktemp("nsd"), plain) as server:
        yield server.wait_ready(real_zone.PLAIN)


@pytest.fixture(scope="module")
def plain_codns(plain_nsd: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """codns in front of it, one a module; nobody stops or signals this one either."""
    with servers.codns(tmp_path_factory.mktemp("codns"), [plain_nsd.address]) as server:
        yield server.wait_ready(real_zone.PLAIN)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Server], Server]]:
    """Servers that live as long as the test: `start(servers.nsd(...))`."""
    with ExitStack() as stack:
        yield stack.enter_context
