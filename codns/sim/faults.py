"""What breaks at given times and heals, and nodes that come and go."""

import random
from typing import TYPE_CHECKING, Any

from codns.sim.scenario import Fault
from codns.sim.trouble import Trouble, planned

if TYPE_CHECKING:
    from codns.sim.simulation import Simulation


class Faults:
    """Sets all that a scenario wants broken."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation = simulation
        for number, fault in enumerate(simulation.scenario.faults):
            self._plan(fault, planned(fault), simulation._rng(f"fault/{number}"))
        churn = simulation.scenario.churn
        if churn.up:
            for index in range(len(simulation.kinds)):
                rng = simulation._rng(f"churn/{index}")
                self._leaves(index, rng)

    def _plan(self, fault: Fault, trouble: Trouble, rng: random.Random) -> None:
        simulation, network = self._simulation, self._simulation.network
        if fault.what == "nameservers":
            addresses = [
                address
                for address, kind in simulation.server_kinds.items()
                if fault.site in (None, kind)
            ]
            for address in _some(addresses, fault.share, rng):
                simulation.servers[address].troubles.add(iter((trouble,)))
        elif fault.what == "authorities":
            simulation.authorities.fails(trouble, fault.share)
        else:
            kinds = simulation.kinds
            of_kind = [i for i, kind in enumerate(kinds) if fault.site in (None, kind)]
            nodes = frozenset(_some(of_kind, fault.share, rng))
            if fault.what == "partition":
                network.partition(trouble, nodes)
            elif fault.what == "links":
                network.lossy(trouble, nodes)
            elif fault.what == "flaky":
                network.flaky(trouble, nodes)
            else:
                for index in sorted(nodes):
                    simulation.cluster.at(fault.at, self._stop, index)
                    simulation.cluster.at(fault.at + fault.lasts, self._start, index)

    def _leaves(self, index: int, rng: random.Random) -> None:
        churn = self._simulation.scenario.churn
        cluster = self._simulation.cluster
        down_at = cluster.now + rng.expovariate(1 / churn.up)
        up_at = down_at + rng.expovariate(1 / churn.down) if churn.down else down_at
        cluster.at(down_at, self._stop, index)

        def returns(_: object) -> None:
            self._start(index)
            self._leaves(index, rng)

        cluster.at(up_at, returns)

    def _stop(self, index: int) -> None:
        simulation = self._simulation
        simulation.here(index)
        if simulation.cluster[index].alive:
            simulation.tally.ended(index)
            simulation.cluster.stop(index)

    def _start(self, index: int) -> None:
        simulation = self._simulation
        simulation.here(index)
        if not simulation.cluster[index].alive:
            simulation.cluster.start(index)


def _some(all_of_them: list[Any], share: float, rng: random.Random) -> list[Any]:
    """Return a share of them, at least one unless the share is 0."""
    count = round(share * len(all_of_them))
    if share and not count:
        count = 1
    return rng.sample(all_of_them, min(count, len(all_of_them)))
