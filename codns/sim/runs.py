"""Runs of scenarios: one, or a sweep over settings, on all cores or on a cluster of machines.

A run is told by plain values, so it can be sent to another process, and its result is plain
values too. Where it is carried out changes nothing in it.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from codns.config.problems import ConfigError, Problem
from codns.sim import constants, load, part_processes
from codns.sim.checks import ViolationError
from codns.sim.parts import WholeError
from codns.sim.report import Values, report
from codns.sim.scenario import Scenario
from codns.sim.simulation import STUB, Simulation

RUNS_MAX: Final = 10_000  # of one sweep: weeks of work; three lists of 20 values are 8,000
POLICIES: Final = ("adaptive", "codns2004", "off", "shadow", STUB)
COUNTED: Final = "nodes"  # an override of all sites' counts together


class Run(NamedTuple):
    """One run of a sweep. `settings` are overrides by path; "policy" and "nodes" may be there."""

    text: str
    source: str
    settings: tuple[tuple[str, object], ...]
    checked: bool = True

    def scenario(self) -> Scenario:
        """Return the scenario; ConfigError if it is none."""
        settings = {key: value for key, value in self.settings if key not in ("policy", COUNTED)}
        wanted = dict(self.settings)
        policy = wanted.get("policy")
        if policy is not None and policy != STUB:
            settings["race.policy"] = policy
        scenario = load.parse(self.text, settings, self.source)
        nodes = wanted.get(COUNTED)
        if isinstance(nodes, int):
            scenario = load.scaled(scenario, nodes)
        constants.check(scenario.constants)
        return load.resolved(scenario, Path(self.source).parent)

    def carry_out(
        self, progress: Callable[[float], None] | None = None, processes: int = 1
    ) -> "Outcome":
        """Simulate it, in so many processes if it can be."""
        policy, note = dict(self.settings).get("policy"), ""
        try:
            if processes > 1:
                try:
                    simulation, took = part_processes.simulate(self, processes, progress)
                    return Outcome(self.settings, report(simulation), took)
                except WholeError as error:
                    note = f"one process only: {error}"
            scenario = self.scenario()
            began = time.process_time()
            simulation = Simulation(
                scenario, policy=str(policy) if policy else None, checked=self.checked
            ).run(progress)
        except ConfigError as error:
            return Outcome(self.settings, problems=tuple(error.problems))
        except ViolationError as violation:
            return Outcome(self.settings, violation=str(violation))
        took = time.process_time() - began
        return Outcome(self.settings, report(simulation), took, note=note)


class Outcome(NamedTuple):
    """What came of a run: a report, or what was wrong. `seconds` of processor time.

    `note`: what was not done as it was asked for.
    """

    settings: tuple[tuple[str, object], ...]
    report: Values | None = None
    seconds: float = 0.0
    problems: tuple[Problem, ...] = ()
    violation: str = ""
    note: str = ""


class ClusterError(Exception):
    """No cluster to run on."""


def sweep(run: Run, axes: Mapping[str, Sequence[object]]) -> list[Run]:
    """Return a run for each combination of values, the last axis changing first."""
    combinations = product(*([(key, value) for value in values] for key, values in axes.items()))
    runs = [run._replace(settings=(*run.settings, *settings)) for settings in combinations]
    if len(runs) > RUNS_MAX:
        text = f"{len(runs):,} runs; at most {RUNS_MAX:,} make one sweep"
        raise ConfigError([Problem("sweep", text, source="command line")])
    return runs


def here(runs: Sequence[Run], workers: int | None = None) -> Iterator[tuple[int, Outcome]]:
    """Yield (number, outcome) as runs end, carried out on this machine's cores."""
    workers = min(workers or os.cpu_count() or 1, len(runs))
    if workers <= 1:
        for number, run in enumerate(runs):
            yield number, run.carry_out()
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        numbers: dict[Future[Outcome], int] = {
            pool.submit(Run.carry_out, run): number for number, run in enumerate(runs)
        }
        for future in as_completed(numbers):
            yield numbers[future], future.result()


def on_cluster(
    runs: Sequence[Run], address: str, timeout_s: float = 10.0
) -> Iterator[tuple[int, Outcome]]:
    """Yield (number, outcome) as runs end, carried out by the workers of a dask scheduler."""
    distributed: Any
    try:
        import distributed  # noqa: PLC0415 - an extra, and a second to import
    except ImportError:
        raise ClusterError("--scheduler needs dask: pip install 'codns[cluster]'") from None
    try:
        _knock(address, timeout_s)
        client = distributed.Client(address, timeout=timeout_s, set_as_default=False)
    except (OSError, ValueError) as error:
        text = f"no dask scheduler at {address}: {error}; `dask scheduler` starts one"
        raise ClusterError(text) from None
    with client:
        numbers = {
            client.submit(Run.carry_out, run, pure=False): number
            for number, run in enumerate(runs)
        }
        for future in distributed.as_completed(numbers, loop=client.loop):
            yield numbers[future], future.result()


def _knock(address: str, timeout_s: float) -> None:
    """Raise OSError if nobody listens there: dask itself goes on trying until its time is over."""
    parts = urlsplit(address)
    if parts.scheme == "tcp" and parts.hostname and parts.port:
        socket.create_connection((parts.hostname, parts.port), timeout_s).close()
