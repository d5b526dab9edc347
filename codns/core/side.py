"""One local path as the race sees it: its judgement and its initial delay.

A path is the nameservers of one zone together (`core.local_path`); a node has one for all names,
and one more for each zone with nameservers of its own. It stays while they do.
"""

from math import inf
from random import Random

from codns.core.initial_delay import InitialDelay
from codns.core.local_path import LocalPath
from codns.core.local_path import State as PathState


class Side:
    """A local path, with its deadline for `core.timers`."""

    __slots__ = ("due", "path", "policy", "servers")

    def __init__(
        self,
        servers: tuple[str, ...],
        policy: InitialDelay,
        rng: Random,
        now: float,
        *,
        probing: bool,
    ) -> None:
        self.servers = servers
        self.path = LocalPath(servers, rng, now, probing=probing)
        self.policy = policy
        self.due = inf

    def configure(self, servers: tuple[str, ...], now: float, *, probing: bool) -> None:
        """Use these nameservers."""
        self.path.probing = probing
        if servers != self.servers:
            self.servers = servers
            self.path.configure(servers, now)

    def fire(self, now: float) -> None:
        """Time has passed for the judgement."""
        self.path.handle_timeout(now)

    @property
    def failing(self) -> bool:
        """It is not to be relied on."""
        return self.path.state is PathState.FAILING

    @property
    def healthy(self) -> bool:
        """It may serve peers too."""
        return self.path.state is PathState.HEALTHY
