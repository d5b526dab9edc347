"""The ways between nodes: how far apart they are, and what happens to datagrams.

Distance is a round trip of |x - y| + height of both, in a plane (Vivaldi's model: the height is
the way from a host to the core, which no coordinates in a plane express). Named models:

    lan        0.3 ms everywhere
    region     20 x 20 ms, height 0.5 .. 2 ms
    continent  60 x 30 ms, height 2 .. 8 ms: about 20 ms to neighbours, 80 ms coast to coast
    world      12 cities on 260 x 100 ms, each 6 x 6 ms, height 1 .. 5 ms

or a file: "x y" or "x y height" a line, or a square matrix of round trips, all in ms. Nodes of a
site are at the same place, 0.3 ms apart. `Network` is a `links.Link`.
"""

import random
from array import array
from math import hypot
from pathlib import Path
from typing import Final, NamedTuple

from codns.config.problems import ConfigError, Problem
from codns.core.messages import Message, QueryReply
from codns.sim.scenario import Network as Settings
from codns.sim.scenario import Scenario
from codns.sim.trouble import Trouble

SITE_RTT_S: Final = 0.0003  # two hosts of one switch
FILE_SIZE_MAX: Final = 64 << 20  # a matrix of 3,000 nodes; more belongs into coordinates
CITIES: Final = 12

_BOXES: Final = {
    "region": (0.020, 0.020, 0.0005, 0.002),
    "continent": (0.060, 0.030, 0.002, 0.008),
}


class Place(NamedTuple):
    """Where a site is, in seconds."""

    x: float
    y: float
    height: float


class Network:
    """How long a message takes from node to node; None: it is lost."""

    __slots__ = (
        "_cut", "_flaky", "_height", "_jitter", "_loss", "_losses", "_matrix", "_reordering",
        "_rngs", "_site_of", "_x", "_y", "lost",
    )  # fmt: skip

    def __init__(self, settings: Settings, site_of: list[int], rng: random.Random) -> None:
        self._loss = settings.loss
        self._jitter = settings.jitter
        self._reordering = settings.reordering
        self._site_of = site_of
        self._matrix: list[list[float]] = []
        places: list[Place] = []
        if settings.matrix:
            self._matrix = _read_matrix(Path(settings.matrix), len(site_of))
        elif settings.coordinates:
            places = _read_places(Path(settings.coordinates), max(site_of) + 1)
        elif settings.model != "lan":
            places = [_drawn(settings.model, rng) for _ in range(max(site_of) + 1)]
        # By site. Asked for each message: arrays are a quarter of what places take in the cache
        self._x = array("d", [place.x for place in places])
        self._y = array("d", [place.y for place in places])
        self._height = array("d", [place.height for place in places])
        # What befalls a node's datagrams follows from what it sends, not from what others do
        self._rngs = [random.Random(rng.getrandbits(64)) for _ in site_of]
        self._cut: list[tuple[Trouble, frozenset[int]]] = []
        self._losses: list[tuple[Trouble, frozenset[int]]] = []
        self._flaky: list[tuple[Trouble, frozenset[int]]] = []
        self.lost = 0

    @property
    def by_site(self) -> bool:
        """Are all nodes of a site at one place?"""
        return not self._matrix

    def longitude(self, site: int) -> float:
        """Return where a site is from west to east in seconds; its number, if nobody knows."""
        return self._x[site] if self._x else float(site)

    # -- faults ---------------------------------------------------------------------------------

    def partition(self, trouble: Trouble, nodes: frozenset[int]) -> None:
        """These nodes are cut off from all others, not from each other."""
        self._cut.append((trouble, nodes))

    def lossy(self, trouble: Trouble, nodes: frozenset[int]) -> None:
        """Datagrams from and to these nodes are lost, or late."""
        self._losses.append((trouble, nodes))

    def flaky(self, trouble: Trouble, nodes: frozenset[int]) -> None:
        """Answers to queries of these nodes are lost, heartbeats are not."""
        self._flaky.append((trouble, nodes))

    def heal(self) -> None:
        """Nothing is lost any more."""
        self._loss = self._reordering = 0.0
        self._cut, self._losses, self._flaky = [], [], []

    # -- datagrams ------------------------------------------------------------------------------

    def rtt(self, source: int, target: int) -> float:
        """Return the undisturbed round trip in seconds."""
        if self._matrix:
            return self._matrix[source][target]
        here, there = self._site_of[source], self._site_of[target]
        x, y, height = self._x, self._y, self._height
        if here == there or not x:
            return SITE_RTT_S
        return hypot(x[here] - x[there], y[here] - y[there]) + height[here] + height[there]

    def __call__(self, source: int, target: int, message: Message, now: float) -> float | None:
        """Return the one-way delay of a datagram."""
        rng = self._rngs[source]
        delay = self.rtt(source, target) / 2 * (1 + self._jitter * rng.random())
        if self._reordering and rng.random() < self._reordering:
            delay *= 1 + rng.random()
        if (self._loss and rng.random() < self._loss) or (
            self._cut and self.severed(source, target, now)
        ):
            self.lost += 1
            return None
        for trouble, nodes in self._losses:
            if trouble.start <= now < trouble.end and (source in nodes or target in nodes):
                if rng.random() < trouble.loss:
                    self.lost += 1
                    return None
                delay += trouble.delay(rng) if trouble.delay is not None else 0.0
        if self._flaky and isinstance(message, QueryReply) and self._silent(source, rng, now):
            self.lost += 1
            return None
        return delay

    def severed(self, source: int, target: int, now: float) -> bool:
        """Are the two cut off from each other?"""
        return any(
            trouble.start <= now < trouble.end and (source in nodes) != (target in nodes)
            for trouble, nodes in self._cut
        )

    def _silent(self, source: int, rng: random.Random, now: float) -> bool:
        return any(
            trouble.start <= now < trouble.end and source in nodes and rng.random() < trouble.loss
            for trouble, nodes in self._flaky
        )


def site_numbers(scenario: Scenario) -> list[int]:
    """Return the number of each node's site."""
    numbers: list[int] = []
    site = 0
    for kind in scenario.sites.values():
        for _ in range(kind.count):
            numbers += [site] * kind.nodes
            site += 1
    return numbers


def _drawn(model: str, rng: random.Random) -> Place:
    if model == "world":
        city = random.Random(f"city/{rng.randrange(CITIES)}")
        x, y = city.uniform(0, 0.26), city.uniform(0, 0.10)
        near = rng.uniform(0, 0.006), rng.uniform(0, 0.006)
        return Place(x + near[0], y + near[1], rng.uniform(0.001, 0.005))
    width, depth, low, high = _BOXES[model]
    return Place(rng.uniform(0, width), rng.uniform(0, depth), rng.uniform(low, high))


def _numbers(path: Path, key: str) -> list[list[float]]:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_SIZE_MAX + 1)
    except OSError as error:
        raise _wrong(path, key, f"cannot be read: {error.strerror}") from None
    if len(data) > FILE_SIZE_MAX:
        raise _wrong(path, key, f"larger than {FILE_SIZE_MAX >> 20} MiB")
    rows = []
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        text = line.partition("#")[0].replace(",", " ")
        if not text.strip():
            continue
        try:
            row = [float(word) / 1000 for word in text.split()]
        except ValueError:
            raise _wrong(path, key, "is not numbers in ms", number) from None
        if not all(0 <= value < 1000 for value in row):
            raise _wrong(path, key, "has a time under 0 ms or over 1000 s", number)
        rows.append(row)
    return rows


def _read_matrix(path: Path, nodes: int) -> list[list[float]]:
    rows = _numbers(path, "network.matrix")
    if len(rows) < nodes or any(len(row) < nodes for row in rows[:nodes]):
        text = f"is no matrix of {nodes} nodes: {len(rows)} rows"
        raise _wrong(path, "network.matrix", text)
    return rows


def _read_places(path: Path, sites: int) -> list[Place]:
    rows = _numbers(path, "network.coordinates")
    if len(rows) < sites or any(len(row) not in (2, 3) for row in rows[:sites]):
        text = f"has not 2 or 3 numbers for each of {sites} sites: {len(rows)} rows"
        raise _wrong(path, "network.coordinates", text)
    return [Place(row[0], row[1], row[2] if len(row) > 2 else 0.0) for row in rows[:sites]]


def _wrong(path: Path, key: str, text: str, line: int | None = None) -> ConfigError:
    return ConfigError([Problem(key, text, line, str(path))])
