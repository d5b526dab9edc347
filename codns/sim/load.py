"""A scenario file, and what the command line says on top of it, to a `Scenario`.

Read with the daemon's means (`codns.config`): units, all problems at once, each with its line and
the nearest known key.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from codns.config import document
from codns.config.convert import convert_to
from codns.config.load import COMMAND_LINE, _placed, _put, read_file
from codns.config.problems import ConfigError, Problem, join
from codns.config.units import parse_duration
from codns.sim.beside import METRICS
from codns.sim.scenario import NODES_MAX, Latency, Scenario

STEPS_MAX: Final = 10_000_000  # lookups a run: two hours of work; a typing error is more


def load(path: Path, overrides: Mapping[str, object] | None = None) -> Scenario:
    """Return the scenario; ConfigError with every problem at once.

    `overrides` by path: {"race.policy": "off", "workload.rate": 5}. Files that the scenario
    names are relative to its own folder.
    """
    scenario = parse(read_file(path), overrides, str(path))
    return resolved(scenario, path.parent)


def parse(text: str, overrides: Mapping[str, object] | None = None, source: str = "") -> Scenario:
    """Return the scenario of a YAML text; see `load`."""
    try:
        read = document.parse(text)
    except ConfigError as error:
        raise ConfigError([p._replace(source=source) for p in error.problems]) from None
    values = read.values if read.values is not None else {}
    said = dict(overrides or {})
    if isinstance(values, dict):
        for path, value in said.items():
            section, _, rest = path.partition(".")
            if section == "constants" and rest:  # the names in it have dots
                inner = values.setdefault(section, {})
                if isinstance(inner, dict):
                    inner[rest] = value
            else:
                _put(values, path, value)
    scenario, problems = convert_to(Scenario, values)
    wrong = {problem.path.partition("[")[0] for problem in problems}
    if not wrong:
        problems += contradictions(scenario)
    problems = read.problems + problems
    if problems:
        raise ConfigError([_placed(p, read.lines, said, source) for p in problems])
    return scenario


def checked(values: object) -> Scenario:
    """Return the scenario of plain values, as YAML would give them; ConfigError as ever."""
    scenario, problems = convert_to(Scenario, values)
    problems += [] if problems else contradictions(scenario)
    if problems:
        raise ConfigError(problems)
    return scenario


def contradictions(scenario: Scenario) -> Iterator[Problem]:
    """Yield what single values cannot show."""
    models, sites = scenario.nameservers, scenario.sites
    for kind, site in sites.items():
        for position, model in enumerate(site.nameservers):
            if model not in models:
                place = join(f"sites.{kind}.nameservers", position)
                yield Problem(place, f"no nameserver {model}; there are {', '.join(models)}")
    nodes = nodes_of(scenario)
    if nodes > NODES_MAX:
        yield Problem("sites", f"{nodes} nodes; at most {NODES_MAX} are simulated")
    for position, fault in enumerate(scenario.faults):
        if fault.site is not None and fault.site not in sites:
            place = join("faults", position) + ".site"
            yield Problem(place, f"no site {fault.site}; there are {', '.join(sites)}")
    yield from _latencies(scenario)
    yield from _ttls(scenario)
    if scenario.warm_up >= scenario.duration:
        yield Problem("warm_up", "is not before the end: nothing would be counted")
    for policy, metrics in scenario.compare.items():
        for metric in metrics:
            if metric not in METRICS:
                place = f"compare.{policy}.{metric}"
                yield Problem(place, f"no such figure; there are {', '.join(METRICS)}")
    for name in scenario.constants:
        if name.count(".") != 1:
            yield Problem(f"constants.{name}", "is not module.NAME of codns.core")
    if scenario.network.coordinates and scenario.network.matrix:
        yield Problem("network.matrix", "and coordinates: one of them")
    steps = scenario.duration * nodes * scenario.workload.rate
    if steps > STEPS_MAX:
        text = f"{steps:,.0f} lookups; at most {STEPS_MAX:,} are simulated at a time"
        yield Problem("duration", text)


def nodes_of(scenario: Scenario) -> int:
    """Return how many nodes there are."""
    return sum(site.count * site.nodes for site in scenario.sites.values())


def ttls(scenario: Scenario) -> dict[int, float]:
    """Return TTLs in seconds, with their weights."""
    return {int(parse_duration(text)): part for text, part in scenario.workload.ttl.items()}


def _ttls(scenario: Scenario) -> Iterator[Problem]:
    for text in scenario.workload.ttl:
        try:
            parse_duration(text)
        except ValueError as error:
            yield Problem(f"workload.ttl.{text}", str(error))
    if not sum(scenario.workload.ttl.values()) > 0:
        yield Problem("workload.ttl", "has no weight over 0")


def _latencies(scenario: Scenario) -> Iterator[Problem]:
    found: list[tuple[str, Latency | None]] = [
        ("authorities.latency", scenario.authorities.latency),
        ("authorities.slow_latency", scenario.authorities.slow_latency),
        ("authorities.broken_latency", scenario.authorities.broken_latency),
    ]
    for name, model in scenario.nameservers.items():
        found.append((f"nameservers.{name}.hit", model.hit))
        for position, failure in enumerate(model.failures):
            found.append((f"nameservers.{name}.failures[{position}].delay", failure.delay))
    for position, fault in enumerate(scenario.faults):
        found.append((f"faults[{position}].delay", fault.delay))
    for path, latency in found:
        if latency is None:
            continue
        if latency.p99 < latency.median:
            yield Problem(f"{path}.p99", "is less than the median")
        if not latency.median and latency.p99:
            yield Problem(f"{path}.median", "0 is the median of nothing but zeros")


def scaled(scenario: Scenario, nodes: int) -> Scenario:
    """Return it with about so many nodes: each kind of site as often as before, in proportion."""
    now = nodes_of(scenario)
    if not 1 <= nodes <= NODES_MAX:
        text = f"{nodes} is out of range: 1 to {NODES_MAX}"
        raise ConfigError([Problem("nodes", text, source=COMMAND_LINE)])
    sites = {
        kind: replace(site, count=max(round(site.count * nodes / now), 1))
        for kind, site in scenario.sites.items()
    }
    return replace(scenario, sites=sites)


def resolved(scenario: Scenario, folder: Path) -> Scenario:
    """Return it with the files it names found beside its own."""
    network, workload = scenario.network, scenario.workload
    if network.coordinates:
        network = replace(network, coordinates=str(folder / network.coordinates))
    if network.matrix:
        network = replace(network, matrix=str(folder / network.matrix))
    if workload.trace:
        workload = replace(workload, trace=str(folder / workload.trace))
    return replace(scenario, network=network, workload=workload)
