"""Random faults in random fleets: what nobody thought of, many times over.

`scenario(seed)` makes a small fleet with a random part of everything that can go wrong, all of it
over by `HEALED_S`. `run(seed)` carries it out under all `checks`; then it lets the fleet settle
and asks on every node: each must get a good answer, soon. A failure tells the seed, and the same
seed shows it again:  python -m codns.sim.swarm SEED
"""

import random
import sys
from typing import Any, Final

from codns.sim.host import Ask
from codns.sim.load import checked
from codns.sim.meter import PERIOD_S
from codns.sim.scenario import Scenario
from codns.sim.simulation import Simulation

HEALED_S: Final = 15.0
SETTLED_S: Final = 75.0  # a peer that is down is tried again after 60 s at most (RULES 7.2)
SPACED_S: Final = 0.2  # between the last questions: they are not to be load
ZONE_S_MAX: Final = 0.2  # of the authorities that are asked last: they are no excuse
ANSWERED_S: Final = 1.0  # good again: well under any deadline, over every healthy path


def scenario(seed: int) -> Scenario:
    """Return the scenario of a seed."""
    rng = random.Random(f"swarm/{seed}")
    kinds = {
        f"kind{number}": {
            "count": rng.randint(1, 2),
            "nodes": rng.choice((1, 1, 1, 2, 3)),
            "nameservers": rng.choice((["fine"], ["fine"], ["fine", "fine"], ["tight"])),
            "shared": rng.random() < 0.2,
        }
        for number in range(rng.choice((1, 2, 2, 3)))
    }
    values: dict[str, Any] = {
        "title": f"swarm {seed}",
        "seed": seed,
        "warm_up": "1s",
        "duration": f"{HEALED_S:g}s",
        "sites": kinds,
        "nameservers": {
            "fine": {"validates": rng.random() < 0.3, "loss": _percent(rng, 0.05)},
            "tight": {"rate": rng.choice((50, 200)), "queue": rng.choice((5, 50))},
        },
        "authorities": {
            "slow": _percent(rng, 0.1),
            "broken": _percent(rng, 0.1),
            "nxdomain": _percent(rng, 0.2),
        },
        "network": {
            "model": rng.choice(("lan", "region", "continent", "world")),
            "loss": _percent(rng, 0.1),
            "jitter": _percent(rng, 0.5),
            "reordering": _percent(rng, 0.3),
        },
        "workload": {
            "rate": rng.choice((0.5, 2, 5)),
            "names": rng.choice((20, 500)),
            "unique": _percent(rng, 0.5),
            "ttl": {rng.choice(("0s", "1s", "5s")): 1.0, "300s": 1.0},
        },
        "race": {
            "policy": rng.choice(("adaptive", "adaptive", "codns2004", "shadow", "off")),
            "max_remote": rng.randint(1, 5),
            "budget": rng.choice(("0%", "10%", "50%")),
        },
        "cache": {"stale": rng.choice(("0s", "1d")), "entries": rng.choice((10, 1000))},
        "peers": {"neighbours": rng.randint(1, 10)},
        "probe": rng.choice(("auto", "auto", "off")),
        "faults": [_fault(rng, list(kinds)) for _ in range(rng.randint(0, 6))],
    }
    return checked(values)


def _percent(rng: random.Random, most: float) -> str:
    return f"{rng.choice((0.0, rng.random() * most)) * 100:.2f}%"


def _fault(rng: random.Random, kinds: list[str]) -> dict[str, Any]:
    at = rng.uniform(0, HEALED_S - 0.2)
    fault: dict[str, Any] = {
        "at": f"{at:.3f}s",
        "lasts": f"{rng.uniform(0.1, HEALED_S - at):.3f}s",
        "what": rng.choice(
            ("nameservers", "nameservers", "nodes", "partition", "links", "authorities", "flaky")
        ),
        "share": f"{rng.choice((10, 30, 50, 100))}%",
        "loss": rng.choice(("100%", "100%", "90%", "20%", "0%")),
        "servfail": rng.choice(("0%", "0%", "50%", "100%")),
    }
    if rng.random() < 0.5:
        fault["site"] = rng.choice(kinds)
    if rng.random() < 0.3:
        fault["delay"] = {"median": f"{rng.choice((20, 300, 3000))}ms", "p99": "5s"}
    return fault


def run(seed: int) -> Simulation:
    """Carry it out; ViolationError if a promise is broken."""
    simulation = Simulation(scenario(seed)).run()
    cluster = simulation.cluster
    simulation.network.heal()
    for server in simulation.servers.values():
        server.heal()
    zone = _fine_zone(simulation)
    asks: list[Ask] = []
    now = cluster.now
    end = now + SETTLED_S
    for host in cluster.hosts:
        # Without probes only clients' lookups show that a nameserver is well again
        for number in range(int(SETTLED_S) if simulation.scenario.probe == "off" else 0):
            at = now + number + host.index / len(cluster)
            cluster.ask(host.index, f"settling{number}.n{host.index}.z{zone}.example", at=at)
        end += SPACED_S
        asks.append(cluster.ask(host.index, f"healed{host.index}.z{zone}.example", at=end))
    cluster.run(end + PERIOD_S)
    cluster.checks.alive_again(asks, ANSWERED_S)
    return simulation


def _fine_zone(simulation: Simulation) -> int:
    """Return a zone whose authorities are no excuse: neither broken nor slow for everybody."""
    for number in range(1000):
        name = simulation.cluster.book.name(f"healed.z{number}.example")
        zone = simulation.authorities.facts(name).zone
        if zone.mode == "fine" and zone.typical < ZONE_S_MAX:
            return number
    raise LookupError("no zone is fine")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        done = run(int(argument))
        print(f"{argument}: {done.cluster.kernel.events} events, all promises kept")
