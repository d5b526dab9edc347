"""How long this machine makes others wait: a ping between two idle processes, beside a run.

`python -m bench.masking.echo FILE`: a parent sends a datagram every 5 ms to its child, which sends
it back; round trips go to FILE when standard input ends. Neither has anything else to do, so what
they wait for is a processor. A run beside which 1 in 1,000 waits longer than 10 ms has measured
the machine and not the resolvers, and is void.
"""

import os
import select
import signal
import socket
import sys
import time
from array import array
from pathlib import Path
from typing import Final

EVERY_S: Final = 0.005
PATIENCE_S: Final = 1.0


def reply(sock: socket.socket) -> None:
    """The child: send everything back until the other end closes."""
    while message := sock.recv(16):
        sock.send(message)


def ping(sock: socket.socket) -> "array[float]":
    """The parent: round trips in seconds, with the time of each before it."""
    found = array("d")
    due = time.monotonic()
    sock.settimeout(PATIENCE_S)
    while True:
        due = max(due + EVERY_S, time.monotonic())
        wait = max(0.0, due - time.monotonic())
        if select.select([sys.stdin], [], [], wait)[0]:
            return found
        sent = time.monotonic()
        sock.send(b"ping")
        sock.recv(16)
        found.extend((sent, time.monotonic() - sent))


def main() -> None:
    """Both processes."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child == 0:
        here.close()
        reply(there)
        os._exit(0)
    there.close()
    print("ready", flush=True)
    try:
        Path(sys.argv[1]).write_bytes(ping(here).tobytes())
    finally:
        os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    main()
