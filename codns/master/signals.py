"""Signals as calls in the event loop.

SIGTERM and SIGINT ask for a clean stop, SIGHUP for a reload. The callbacks run in a task, never in
a signal handler, so they may touch anything the loop owns. Signals of one kind that arrive while
the loop is busy count once: two reloads in a row are one. A second request to stop is passed on
too; the daemon takes it as "at once".
"""

import signal
from collections.abc import Callable
from typing import Final

import trio

_STOP: Final = (signal.SIGTERM, signal.SIGINT)


async def handle_signals(
    stop: Callable[[str], None],
    reload: Callable[[], object],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Call `stop(name of the signal)` or `reload()` for each signal, until cancelled.

    Started once the handlers are in place. Only in the main thread.
    """
    with trio.open_signal_receiver(*_STOP, signal.SIGHUP) as received:
        task_status.started()
        async for number in received:
            if number in _STOP:
                stop(signal.Signals(number).name)
            else:
                reload()
