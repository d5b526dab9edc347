"""A share of one core for a program, by a cgroup: so that a small machine can overload it.

The period decides how the share arrives. With the usual 100 ms a program that may use a quarter
runs for 25 ms and is then stopped for 75, which is what its latencies show, not its queues. The
kernel ends a turn at a tick (4 ms at 250 Hz), so a period under 20 ms shortens the stops no more:
measured with a busy loop, the stop is 72 ms at a period of 100, 16 ms at 20 and 16 ms at 10.
"""

import contextlib
import os
import time
from pathlib import Path
from typing import Final, Self

from bench.common import BenchError

PERIOD_US: Final = 20_000
ROOT: Final = Path("/sys/fs/cgroup")
WEIGHT: Final = {"cpu.shares": 16_384, "cpu.weight": 1_600}  # 16 x what a process usually has
GONE_S_MAX: Final = 5.0  # from a process's end to its absence from the group
REMEDY: Final = (
    "run it as root where the cpu controller of cgroups may be used: cgroup v1 mounted at "
    "/sys/fs/cgroup/cpu (mount -t cgroup -o cpu cpu /sys/fs/cgroup/cpu), or cgroup v2 at "
    '/sys/fs/cgroup with "cpu" in cgroup.subtree_control'
)


class Quota:
    """A new cgroup, v1 or v2. Use it as a context manager: it is removed in the end."""

    def __init__(self, name: str, root: Path = ROOT) -> None:
        """BenchError if there is none to be had; its text names the remedy."""
        self.v1 = (root / "cpu" / "cpu.cfs_quota_us").exists()
        self.folder = (root / "cpu" if self.v1 else root) / name
        try:
            if not self.v1:
                self._delegate(root)
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise BenchError(f"no cgroup with a cpu quota ({error}): {REMEDY}") from error
        if not (self.folder / ("cpu.cfs_quota_us" if self.v1 else "cpu.max")).exists():
            with contextlib.suppress(OSError):
                self.folder.rmdir()
            raise BenchError(f"no cpu controller in {self.folder}: {REMEDY}")

    @staticmethod
    def _delegate(root: Path) -> None:
        control = root / "cgroup.subtree_control"
        if "cpu" not in control.read_text().split():
            control.write_text("+cpu")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        deadline = time.monotonic() + GONE_S_MAX
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                self.folder.rmdir()
                return
            time.sleep(0.05)

    @property
    def prefix(self) -> list[str]:
        """Words before a command that start it within the group, with all its children."""
        return ["sh", "-c", f'echo $$ > {self.folder}/cgroup.procs && exec "$@"', "quota"]

    def grant(self, share: float, period_us: int = PERIOD_US) -> None:
        """Let it have `share` of one core from now on, whatever else runs on this machine."""
        quota_us = int(share * period_us)
        weight = "cpu.shares" if self.v1 else "cpu.weight"
        (self.folder / weight).write_text(str(WEIGHT[weight]))
        if self.v1:
            (self.folder / "cpu.cfs_quota_us").write_text("-1")  # any period goes with it
            (self.folder / "cpu.cfs_period_us").write_text(str(period_us))
            (self.folder / "cpu.cfs_quota_us").write_text(str(quota_us))
        else:
            (self.folder / "cpu.max").write_text(f"{quota_us} {period_us}")

    def throttled(self) -> tuple[int, int]:
        """Return (periods, those in which it was stopped) so far."""
        lines = (self.folder / "cpu.stat").read_text().splitlines()
        fields = dict(line.split() for line in lines)
        return int(fields["nr_periods"]), int(fields["nr_throttled"])


def pin(pid: int, processors: set[int]) -> None:
    """Keep a process on these."""
    with contextlib.suppress(OSError):  # a machine with other numbers
        os.sched_setaffinity(pid, processors)


def prefer(pid: int) -> None:
    """It stands for other machines: what else runs here shall not slow it down.

    A nice value is not enough: beside a crowd on the same processor queries left 4 ms late, a turn
    of the scheduler. Real time is: whoever has it runs as soon as it has something to do.
    """
    with contextlib.suppress(OSError):  # only root may
        os.setpriority(os.PRIO_PROCESS, pid, -15)
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))
