"""A nameserver on loopback for the tests here, and the command line as a function."""

import threading
from collections.abc import Callable, Iterator

import pytest
import trio
from click.testing import CliRunner, Result

from codns.cli import main
from codns.cli.embedded import Embedded


class Running(Embedded):
    """An embedded nameserver in a thread: `at` is its address and port."""

    at = ""


@pytest.fixture
def nameserver() -> Iterator[Running]:
    server = Running(synthesize=True)
    ready = threading.Event()
    ends: list[Callable[[], None]] = []

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            server.at = f"127.0.0.1:{await nursery.start(server.serve, '127.0.0.1', 0)}"
            token = trio.lowlevel.current_trio_token()
            ends.append(lambda: token.run_sync_soon(nursery.cancel_scope.cancel))
            ready.set()

    thread = threading.Thread(target=trio.run, args=(run,))
    thread.start()
    assert ready.wait(10)
    yield server
    ends[0]()
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def codns() -> Callable[..., Result]:
    """codns("query", "www.example") -> exit_code, stdout, stderr."""
    return lambda *args: CliRunner().invoke(main, list(map(str, args)))
