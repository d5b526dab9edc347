"""A node of the demo: `codns`, which ends when the demo does, however that ends.

    python -m codns.cli.demo_node PID -c FILE run      started by `codns demo`, not by hand

Linux is asked for a SIGTERM when the parent is gone (prctl(2), PR_SET_PDEATHSIG), so that a demo
that was killed leaves nothing running. PID is the parent's: has it died before we could ask, there
is nothing to wait for.
"""

import ctypes
import os
import signal
import sys
from typing import Final

from codns.cli import main

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def end_with(parent: int) -> None:
    """End when the parent ends. OSError if the kernel will not have it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    if os.getppid() != parent:
        sys.exit(0)


if __name__ == "__main__":
    end_with(int(sys.argv[1]))
    main(sys.argv[2:])
