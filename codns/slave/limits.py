"""How many sockets a slave may hold open, and how it divides them (RULES 9.2).

The guess a forger has to make is id times port: 16 bits of id and, with 512 sockets to choose
from, 9 of port, behind the kernel's own choice of each port. One descriptor a socket: where the
system grants too few for 512 per nameserver, the sets become smaller, never the protection of
another nameserver's set to nothing.
"""

from typing import Final

PORTS: Final = 512  # per nameserver, RULES 9.2
PORTS_LEAST: Final = 8  # a set smaller than that is not worth the name; then opening just fails
TCP_MAX: Final = 256  # exchanges over TCP at once: a descriptor and up to 64 KiB each
DESCRIPTORS_OTHER: Final = 32  # standard ones, epoll, the channel
# Sockets retired while an exchange is still outstanding live on beside their successors
RETIRED_SHARE: Final = 8


def ports_each(nofile: int, servers: int) -> int:
    """Sockets per nameserver when `nofile` descriptors are granted and `servers` are in use."""
    room = nofile - TCP_MAX - DESCRIPTORS_OTHER
    room -= room // RETIRED_SHARE
    return max(PORTS_LEAST, min(PORTS, room // max(1, servers)))
