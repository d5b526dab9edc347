"""The daemon as HTTP sees it: what is told of the shell around the node, and is it well?"""

import os
import platform
from typing import TYPE_CHECKING, NamedTuple

import trio

from codns import __version__
from codns.config.schema import Config
from codns.core.node import Node
from codns.master.history import History
from codns.master.pool import Pool

if TYPE_CHECKING:
    from codns.master.daemon import Daemon


class Reload(NamedTuple):
    """What became of the last reload; `at` on the loop's clock."""

    at: float
    problems: list[str]


class Inside:
    """A `http_app.Inside`, of a daemon that runs."""

    def __init__(self, daemon: "Daemon", node: Node, pool: Pool) -> None:
        self._daemon = daemon
        self._node = node
        self._pool = pool
        self._history = History(node, trio.current_time())

    async def run(self) -> None:
        """Keep the history until cancelled."""
        await self._history.run()

    def history(self) -> list[dict[str, object]]:
        """Return the last minutes in steps, oldest first."""
        return self._history.rows(self.clock())

    @property
    def config(self) -> Config:
        """What is in effect."""
        return self._daemon.config

    @property
    def node(self) -> Node:
        """The brain."""
        return self._node

    def clock(self) -> float:
        """Return the node's time."""
        return trio.current_time()

    def shell(self) -> dict[str, object]:
        """Return what is the daemon's and not the node's, as JSON can carry it."""
        daemon, pool = self._daemon, self._pool
        reloaded = daemon.reloaded
        return {
            "version": __version__,
            "python": platform.python_version(),
            "pid": os.getpid(),
            "listen": daemon.addresses,
            "nameservers_from": daemon._site.origin,
            "config": str(daemon._path) if daemon._path is not None else None,
            "ailing": self.ailing(),
            "unready": self.unready(),
            "slaves": {
                "up": len(pool.processes()),
                "wanted": pool._count,
                "restarts": pool.restarts,
                "outstanding": pool.outstanding(),
            },
            "tcp": {"connections": daemon._tcp.connections, **daemon._counts},
            "loop": daemon.web.lag.status(),
            "http": daemon.web.status(),
            "log": {"lost": daemon._log.lost},
            "reload": None
            if reloaded is None
            else {"ago_s": self.clock() - reloaded.at, "problems": reloaded.problems},
            "link": daemon.peers.status() if daemon.peers is not None else None,
        }

    def ailing(self) -> list[str]:
        """Say why it is not healthy; nothing if it is."""
        return [] if self._pool.processes() else ["no slave is up"]

    def unready(self) -> list[str]:
        """Say why a question that is not cached cannot be answered now; nothing if it can."""
        problems = []
        if self._daemon._stopping.is_set():
            problems.append("it is ending")
        if not self._node.can_answer(self.clock()):
            problems.append("no nameserver answers, and no peer can be asked")
        return problems

    def reload(self) -> list[str]:
        """Read the configuration again; returns what is wrong with it."""
        return self._daemon.reload()
