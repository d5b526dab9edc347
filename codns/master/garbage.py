"""When objects in cycles are looked for: between two turns of the loop, a little at a time.

Nearly all that codns makes is freed at once, as it forms no cycles (test_no_cycles.py). The rest
is the collector's, and Python's own timetable for it does not suit a loop that others wait for:

  * It counts objects made less objects freed. Where as many old ones go as new ones come, as with
    thousands of TCP connections, it looks at nothing for a while, and then at 46,000 objects in
    one go. That was 15 to 57 ms, several times in ten seconds, in which nobody was answered.
  * What survives two looks is looked at again when its number has grown by a quarter. With 200,000
    answers in the cache that takes 380 ms, so we had switched it off. But nothing else empties
    Python's free lists (up to 2,000 tuples of each size, and more), which filled up for hours:
    4,000 to 6,000 blocks an hour, which nobody could tell from a leak. And a cycle that lives for
    some seconds would be there for good.

So it does not run by itself:

  young    every `YOUNG_S` in which something is done: what was made meanwhile, 2 ms in a crowd
  middle   with every `MIDDLE`th of these, what survived so many of them
  full     everything but what was there at the start, when the loop has just waited for `QUIET_S`
           and no task is due for as long. At least `FULL_S` after the last one, and later if that
           took long: 25 ms every ten minutes, 380 ms every three hours. Who is never quiet is held
           up after `FORCED` times that

`begin` is called when all is set up: what is there then stays for good, and is never looked at.
"""

import gc
import time
from math import inf
from typing import Final

import trio

YOUNG_S: Final = 0.020
MIDDLE: Final = 8
FULL_S: Final = 600.0
FULL_SHARE: Final = 0.00004  # of all time, at most: of 25,000 queries one waits for it
FORCED: Final = 6
QUIET_S: Final = 0.030  # no query for so long: under some 30 a second there is such a pause


class Garbage(trio.abc.Instrument):
    """`full` looks at everything so far, which found `found` objects and took `full_s` seconds."""

    def __init__(self) -> None:
        self.found = 0
        self.full = 0  # looks
        self.full_s = 0.0
        self._young_at = inf
        self._looks = 0
        self._full_at = inf
        self._forced_at = inf
        self._waiting_since = inf
        self._quiet = False

    def begin(self) -> None:
        """Forget what is garbage now; what is not is there to stay."""
        gc.collect()
        gc.freeze()
        gc.disable()
        now = trio.current_time()
        self._young_at = now + YOUNG_S
        self._next_full(now, 0.0)

    async def run(self) -> None:
        """Look, after `begin`, until cancelled; then Python's own timetable holds again."""
        trio.lowlevel.add_instrument(self)
        try:
            await trio.sleep_forever()
        finally:
            trio.lowlevel.remove_instrument(self)
            gc.unfreeze()
            gc.enable()

    def before_io_wait(self, timeout: float) -> None:
        """Nothing is to be done for `timeout`, unless something comes."""
        now = self._waiting_since = trio.current_time()
        quiet = self._quiet and timeout >= QUIET_S
        if now >= self._full_at and (quiet or now >= self._forced_at):
            self._look_at_all(now)

    def after_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - trio's signature
        """A turn begins."""
        now = trio.current_time()
        self._quiet = now - self._waiting_since >= QUIET_S
        if now >= self._young_at:
            self._young_at = now + YOUNG_S
            self._looks += 1
            gc.collect(0 if self._looks % MIDDLE else 1)

    def _look_at_all(self, now: float) -> None:
        begun = time.thread_time()
        self.found += gc.collect()
        took = time.thread_time() - begun
        self.full += 1
        self.full_s += took
        self._next_full(now, took)

    def _next_full(self, now: float, took: float) -> None:
        pause = max(FULL_S, took / FULL_SHARE)
        self._full_at = now + pause
        self._forced_at = now + FORCED * pause
