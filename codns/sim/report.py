"""What a run comes to: plain values, the same bytes for the same seed.

Shares are fractions of 1, times seconds, rates per second. Of each kind of site, and of all nodes
together ("all"):

    lookups     what clients asked; `hits` of them were answered from the node's own cache, at
                once; the others are misses, and all times are theirs
    latency     mean, quantiles (nearest rank), `over_1s`: the share slower than a second, and
                `time_over_1s`: the share of all waiting that was in these
    failed      misses that got an error, or an answer after 5 s
    availability  mean over nodes, `least`, and the share of nodes over 99.9 % (see `meter`)
    remote      sent, won, lost, failed, busy, timeout, `wasted` (sent and not won), all per miss;
                `median_sent`, that of the nodes; `first_peer`: the share of wins that the peer
                contacted first had
    served      queries of peers that were answered a second, mean of nodes and busiest node
    nameservers queries a second, mean and busiest; `peak`: the most in one second anywhere
"""

from collections.abc import Sequence
from statistics import median
from typing import Any, Final

from codns import __version__
from codns.sim.meter import SLOW_S, Node
from codns.sim.simulation import Simulation
from codns.sim.tally import Counts, since

QUANTILES: Final = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p99_9": 99.9}
AVAILABLE: Final = 0.999  # CoDNS 5.4's mark
# For plots: shares of lookups that take longer
TAIL: Final = tuple(round(10 ** (-step / 8), 6) for step in range(33))
LISTED_MAX: Final = 1_000  # nodes that are told one by one: 50 KB of JSON
DIGITS: Final = 6  # of times and shares: a microsecond, a millionth
REMOTE: Final = ("sent", "remote_won", "remote_lost", "remote_failed", "remote_busy")

Values = dict[str, Any]


def report(simulation: Simulation) -> Values:
    """Return the figures of a run that is over."""
    scenario = simulation.scenario
    kinds = list(dict.fromkeys(simulation.kinds))
    groups = {"all": list(range(len(simulation.kinds)))}
    if len(kinds) > 1:
        for kind in kinds:
            groups[kind] = [i for i, other in enumerate(simulation.kinds) if other == kind]
    seconds = scenario.duration - scenario.warm_up
    remote = [
        since(after, before)
        for after, before in zip(simulation.ended[0], simulation.begun[0], strict=True)
    ]
    return {
        "title": scenario.title,
        "version": __version__,
        "seed": scenario.seed,
        "policy": simulation.policy,
        "nodes": len(simulation.kinds),
        "measured_s": seconds,
        "events": simulation.cluster.kernel.events,
        "groups": {
            name: _group(simulation, name, nodes, remote, seconds)
            for name, nodes in groups.items()
        },
        "by_node": _by_node(simulation, remote, seconds),
        "compare": dict(scenario.compare.get(simulation.policy, {})),
    }


def _by_node(simulation: Simulation, remote: list[Counts], seconds: float) -> Values | None:
    """Return lists with a value for each node; None for what nobody would read."""
    nodes = simulation.meter.nodes
    if len(nodes) > LISTED_MAX:
        return None
    pairs = list(zip(nodes, remote, strict=True))
    return {
        "mean": [_share(sum(node.times), len(node.times)) for node in nodes],
        "over_1s": [
            _share(sum(time > SLOW_S for time in node.times), len(node.times)) for node in nodes
        ],
        "available": [_rounded(1 - node.down_s / seconds) for node in nodes],
        "sent": [_share(counts.get("sent", 0), len(node.times)) for node, counts in pairs],
        "won": [_share(counts.get("remote_won", 0), len(node.times)) for node, counts in pairs],
    }


def _group(
    simulation: Simulation, name: str, indices: list[int], remote: list[Counts], seconds: float
) -> Values:
    nodes = [simulation.meter.nodes[index] for index in indices]
    own = [remote[index] for index in indices]
    misses = [len(node.times) for node in nodes]
    asked = [simulation.asked_of[index] for index in indices]
    sent = sum(counts.get("sent", 0) for counts in own)
    wins = simulation.first_wins
    return {
        "nodes": len(nodes),
        **_latency(nodes),
        "availability": _availability(nodes, seconds),
        "remote": _remote(own, sum(misses), misses)
        | {
            "first_peer": _share(wins.get(0, 0), sum(wins.values())) if name == "all" else None,
            "wasted": _share(sent - sum(c.get("remote_won", 0) for c in own), sum(misses)),
        },
        "served": {
            "mean": _rounded(sum(asked) / len(asked) / seconds),
            "busiest": _rounded(max(asked) / seconds),
        },
        "nameservers": _nameservers(simulation, name, seconds),
    }


def _latency(nodes: Sequence[Node]) -> Values:
    times = sorted(time for node in nodes for time in node.times)
    hits, failed = sum(node.hits for node in nodes), sum(node.failed for node in nodes)
    total = sum(times)
    slow = [time for time in times if time > SLOW_S]
    values: Values = {
        "lookups": len(times) + hits,
        "hits": _share(hits, len(times) + hits),
        "misses": len(times),
        "mean": _rounded(total / len(times)) if times else None,
    }
    for name, percent in QUANTILES.items():
        values[name] = _rounded(quantile(times, percent)) if times else None
    values["tail"] = [
        [share, _rounded(quantile(times, 100 - 100 * share))] for share in TAIL if times
    ]
    values["over_1s"] = _share(len(slow), len(times))
    values["time_over_1s"] = _share(sum(slow), total)
    values["failed"] = _share(failed, len(times))
    return values


def _availability(nodes: Sequence[Node], seconds: float) -> Values:
    each = [1 - node.down_s / seconds for node in nodes]
    return {
        "mean": _rounded(sum(each) / len(each)),
        "least": _rounded(min(each)),
        "over_99_9": _share(sum(value > AVAILABLE for value in each), len(each)),
    }


def _remote(own: list[Counts], misses: int, by_node: list[int]) -> Values:
    values: Values = {}
    for name in REMOTE:
        count = sum(counts.get(name, 0) for counts in own)
        values[name.removeprefix("remote_")] = _share(count, misses)
    values["unanswered"] = _share(sum(counts.get("remote_timeout", 0) for counts in own), misses)
    each = [
        counts.get("sent", 0) / count for counts, count in zip(own, by_node, strict=True) if count
    ]
    values["median_sent"] = _rounded(median(each)) if each else None
    values["budget_denied"] = _share(sum(counts.get("denied", 0) for counts in own), misses)
    values["saved_s"] = _rounded(sum(counts.get("saved_s", 0.0) for counts in own))
    return values


def _nameservers(simulation: Simulation, name: str, seconds: float) -> Values:
    rates, drops, peak = [], 0.0, 0
    for address, kind in simulation.server_kinds.items():
        if name not in ("all", kind):
            continue
        counts = since(simulation.ended[1][address], simulation.begun[1][address])
        rates.append(counts["queries"] / seconds)
        drops += counts["dropped"]
        peak = max(peak, simulation.servers[address].peak)
    return {
        "mean": _rounded(sum(rates) / len(rates)),
        "busiest": _rounded(max(rates)),
        "peak": peak,
        "dropped": int(drops),
    }


def quantile(ordered: Sequence[float], percent: float) -> float:
    """Return the nearest-rank quantile: the least value that `percent` % do not exceed."""
    rank = -(-percent * len(ordered) // 100)  # rounded up
    return ordered[max(int(rank), 1) - 1]


def _share(part: float, whole: float) -> float | None:
    return _rounded(part / whole) if whole else None


def _rounded(value: float) -> float:
    return round(value, DIGITS)
