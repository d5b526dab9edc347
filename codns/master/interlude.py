"""UDP is served between the steps of other tasks, however many of them are due.

trio runs all tasks that can run before it looks for input again, and sets no limit to it. A
thousand TCP connections can be due at once: each has got a byte, or has been silent for as long as
the others. That is up to 1,000 steps of 30 us, during which no datagram was answered (10 to 29 ms
of the processor's time, measured with `bench.overload.crowd`). An instrument is what trio calls
between two steps, when no task is in the middle of anything: the pump has a look then, if it had
none for `TURN_S`. It costs a glance at the clock a step.
"""

from collections.abc import Callable

import trio


class Interlude(trio.abc.Instrument):
    """Calls `serve` between two steps once `after_s` have passed since trio's turn began."""

    def __init__(self, serve: Callable[[], None], after_s: float) -> None:
        self._serve = serve
        self._after_s = after_s
        self._due = 0.0

    def after_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - trio's signature
        """A turn begins: who waits for input is about to get it."""
        self._due = trio.current_time() + self._after_s

    def before_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002
        """Another step."""
        if trio.current_time() >= self._due:
            self._serve()
            self._due = trio.current_time() + self._after_s
