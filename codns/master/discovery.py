"""The list of peers: addresses at once, names as DNS tells them, the last good answer otherwise.

A fleet must not fall apart because DNS does: that is when peers are needed. So:

  1. addresses count from the start; nothing here is waited for by anybody
  2. a name has the addresses it had at its last good answer, in an earlier run too (`statefile`)
  3. an answer is asked for again when its TTL is over, 30 s to 1 h, earlier by up to a tenth
  4. no answer is asked for again after 1 s, doubling to 60 s, each half to one and a half times;
     and at once when the nameservers change
  5. an empty answer, or NXDOMAIN, is taken for somebody's slip and changes nothing either; who
     wants no peers any more takes the name out of `nodes`

The list is in the order of `nodes`, each address once. Answers differ in their order from time to
time: they are compared as sets, so that only news is passed on.
"""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple

import trio

from codns.config.units import is_name

TTL_MIN_S: Final = 30.0  # a TTL of 0 is no wish to be asked all the time
TTL_MAX_S: Final = 3600.0  # a list that grew should be seen the same hour
EARLY: Final = 0.1  # of the TTL, at random: a fleet does not ask as one
RETRY_MIN_S: Final = 1.0
RETRY_MAX_S: Final = 60.0  # a nameserver that is back should be used within a minute
ADDRESSES_MAX: Final = 4096  # core's list of peers holds as many

Log = Callable[[str, str, dict[str, object]], None]


class NoAnswerError(Exception):
    """No nameserver gave an answer; the text says what happened instead."""


class Found(NamedTuple):
    """Addresses, "192.0.2.7:7353", in the answer's order, and for how many seconds they hold."""

    addresses: list[str]
    ttl: int


Resolve = Callable[[str], Awaitable[Found]]


class _Name:
    """One name of the list."""

    __slots__ = ("addresses", "asked", "empty", "failures", "node", "nudged", "scope")

    def __init__(self, node: str, addresses: Sequence[str]) -> None:
        self.node = node
        self.addresses = list(addresses)
        self.asked = False  # somebody or nobody has answered since the start
        self.failures = 0  # running
        self.empty = False
        self.nudged = trio.Event()
        self.scope = trio.CancelScope()


class Discovery:
    """Keeps the list. `changed` is called with it whenever it is another one.

    `saved` are the last good answers of an earlier run, by node. `resolve` raises `NoAnswerError`.
    """

    def __init__(
        self,
        resolve: Resolve,
        changed: Callable[[list[str]], None],
        log: Log,
        rng: random.Random,
        saved: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._resolve = resolve
        self._changed = changed
        self._log = log
        self._rng = rng
        self._saved = dict(saved or {})
        self._nodes: tuple[str, ...] = ()
        self._names: dict[str, _Name] = {}
        self._nursery: trio.Nursery | None = None
        self._told: frozenset[str] | None = None

    def set_nodes(self, nodes: Sequence[str]) -> None:
        """Use these entries of `peers.nodes`; what is known of those that stay is kept."""
        self._nodes = tuple(nodes)
        old, self._names = self._names, {}
        for node in filter(is_name, nodes):
            name = old.pop(node, None)
            if name is None:
                name = _Name(node, self._saved.get(node, ()))
                if self._nursery is not None:
                    self._nursery.start_soon(self._follow, name)
            self._names[node] = name
        for name in old.values():
            name.scope.cancel()
        self._tell()

    def addresses(self) -> list[str]:
        """Return the list as it is now."""
        found: dict[str, None] = {}
        for node in self._nodes:
            name = self._names.get(node)
            found |= dict.fromkeys(name.addresses) if name is not None else {node: None}
        if len(found) > ADDRESSES_MAX:
            fields: dict[str, object] = {"addresses": len(found), "used": ADDRESSES_MAX}
            self._log("warning", "list of peers is too long", fields)
        return list(found)[:ADDRESSES_MAX]

    def good(self) -> dict[str, list[str]]:
        """Return the last good answer of each name, for the state file."""
        return {node: name.addresses for node, name in self._names.items() if name.addresses}

    @property
    def settled(self) -> bool:
        """Has every name been asked for once, whatever came of it?"""
        return all(name.asked for name in self._names.values())

    def nudge(self) -> None:
        """The nameservers are others: ask again for what had no answer."""
        for name in self._names.values():
            if name.failures:
                name.nudged.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow the names until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for name in self._names.values():
                nursery.start_soon(self._follow, name)
            task_status.started()
            await trio.sleep_forever()

    async def _follow(self, name: _Name) -> None:
        with name.scope:
            while True:
                name.nudged = trio.Event()
                wait_s = await self._look(name)
                with trio.move_on_after(wait_s):
                    await name.nudged.wait()

    async def _look(self, name: _Name) -> float:
        """Ask for one name; return the seconds until it is asked for again."""
        fields: dict[str, object] = {"name": name.node, "addresses": len(name.addresses)}
        try:
            found = await self._resolve(name.node)
        except NoAnswerError as error:
            if not name.failures:
                fields["reason"] = str(error)
                self._log("warning", "peers' name has no answer, the last list stays", fields)
            wait_s = min(RETRY_MIN_S * 2.0**name.failures, RETRY_MAX_S)
            name.failures = min(name.failures + 1, 16)
            self._answered(name)
            return wait_s * (0.5 + self._rng.random())
        name.failures = 0
        if found.addresses:
            name.addresses = found.addresses
            self._saved[name.node] = found.addresses
        elif not name.empty:
            self._log("warning", "peers' name has no addresses, the last list stays", fields)
        name.empty = not found.addresses
        self._answered(name)
        ttl_s = min(max(found.ttl, TTL_MIN_S), TTL_MAX_S)
        return max(ttl_s * (1 - EARLY * self._rng.random()), TTL_MIN_S)

    def _answered(self, name: _Name) -> None:
        first = not name.asked
        name.asked = True
        self._tell(again=first and self.settled)

    def _tell(self, *, again: bool = False) -> None:
        """Pass the list on, if it is news, or `again`: now it is all that can be known."""
        addresses = self.addresses()
        if again or frozenset(addresses) != self._told:
            self._told = frozenset(addresses)
            self._changed(addresses)
