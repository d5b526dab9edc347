"""The processes of a fleet in parts (`parts`): started, waited for, and put together.

This process simulates part 0 and makes the report of all. What goes wrong in another is raised
here as it would be without: broken promises and wrong files as they are, a mistake of ours with
its traceback. A process that dies takes the others with it, and is told of.
"""

import socket
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from codns.config.problems import ConfigError, Problem
from codns.sim.checks import ViolationError
from codns.sim.cluster import Elsewhere
from codns.sim.meter import Node
from codns.sim.parts import Exchange, GoneError, Links, Plan, plan
from codns.sim.scenario import Scenario
from codns.sim.simulation import Simulation, network_of
from codns.sim.tally import Counts

if TYPE_CHECKING:
    from codns.sim.runs import Run

PARTS_MAX: Final = 16  # 240 ends of sockets; ulimit -n is 1,024 where nobody has changed it
END_S: Final = 5.0  # what a process that has told its part may take to end


class Part(NamedTuple):
    """What a process found out about its nodes, for the one that makes the report."""

    meters: dict[int, Node]
    begun: tuple[dict[int, Counts], dict[str, Counts]]
    ended: tuple[dict[int, Counts], dict[str, Counts]]
    peaks: dict[str, int]
    asked_of: list[int]
    first_wins: dict[int, int]
    events: int
    seconds: float


class Failure(NamedTuple):
    """Why it found out nothing: one of these."""

    violation: str = ""
    problems: tuple[Problem, ...] = ()
    trace: str = ""


Way = Connection  # for one `Part` or one `Failure`


def simulate(
    run: "Run", processes: int, progress: Callable[[float], None] | None = None
) -> tuple[Simulation, float]:
    """Carry out a run in so many processes; this one is one of them.

    Returns the simulation as if there had been one, and the seconds of processor time of all.
    WholeError: only one can. ConfigError, ViolationError as without; the story of a violation
    has the lines of its part only. A fleet that is one site takes one process.
    """
    scenario = run.scenario()
    cut = plan(scenario, network_of(scenario), min(processes, PARTS_MAX))
    with ExitStack() as stack:
        try:
            links, ways, others = _started(stack, run, cut)
        except OSError as error:
            text = f"{max(cut.part_of) + 1} processes cannot be started: {error.strerror}"
            raise ConfigError([Problem("jobs", text, source="command line")]) from None
        try:
            simulation, seconds = _carry_out(run, scenario, cut, 0, links, progress)
            parts = [_received(way) for way in ways]
        except (GoneError, EOFError):
            for link in links.values():  # so that nobody waits for us
                link.close()
            raise _reason(ways, others) from None
    for part in parts:
        _merge(simulation, part)
    return simulation, seconds + sum(part.seconds for part in parts)


def _started(
    stack: ExitStack, run: "Run", cut: Plan
) -> tuple[Links, list[Way], list[SpawnProcess]]:
    """Start all parts but this one. Return its links, the others' results, and the others."""
    parts = max(cut.part_of) + 1
    context = get_context("spawn")
    links: list[Links] = [{} for _ in range(parts)]
    for one in range(parts):
        for other in range(one + 1, parts):
            pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            links[one][other], links[other][one] = pair
            for end in pair:
                stack.callback(end.close)
    ways: list[Way] = []
    others: list[SpawnProcess] = []
    for part in range(1, parts):
        mine, theirs = context.Pipe(duplex=False)
        ways.append(stack.enter_context(mine))
        with theirs:
            process = context.Process(target=_work, args=(run, cut, part, links[part], theirs))
            process.start()
            others.append(process)
            stack.push(lambda kind, *_, process=process: _end(process, at_once=kind is not None))
        for link in links[part].values():  # its alone: else nobody sees when it ends
            link.close()
    return links[0], ways, others


def _end(process: SpawnProcess, *, at_once: bool) -> None:
    if not at_once:
        process.join(END_S)
    process.kill()
    process.join()
    process.close()


def _carry_out(
    run: "Run",
    scenario: Scenario,
    cut: Plan,
    me: int,
    links: Links,
    progress: Callable[[float], None] | None,
) -> tuple[Simulation, float]:
    """Simulate one part. Returns the seconds of processor time too."""
    policy = dict(run.settings).get("policy")
    exchange = Exchange(cut, links)
    began = time.process_time()
    simulation = Simulation(
        scenario,
        policy=str(policy) if policy else None,
        checked=run.checked,
        elsewhere=Elsewhere(cut.elsewhere(me), exchange.post),
    )
    cluster = simulation.cluster
    exchange.deliver = cluster.deliver
    cluster.advance = lambda until: exchange.run(cluster.kernel, until)
    simulation.run(progress)
    return simulation, time.process_time() - began


def _work(run: "Run", cut: Plan, me: int, links: Links, result: Way) -> None:
    """What another process does; what it finds, or what went wrong, goes to `result`."""
    try:
        simulation, seconds = _carry_out(run, run.scenario(), cut, me, links, None)
        nodes = [node for node, part in enumerate(cut.part_of) if part == me]
        result.send(_part(simulation, nodes, seconds))
    except (GoneError, KeyboardInterrupt):
        pass  # who has ended first says why
    except ViolationError as violation:
        result.send(Failure(violation=str(violation)))
    except ConfigError as error:
        result.send(Failure(problems=tuple(error.problems)))
    except Exception:  # noqa: BLE001 - raised by the one that waits for us
        result.send(Failure(trace=traceback.format_exc()))


def _part(simulation: Simulation, nodes: list[int], seconds: float) -> Part:
    cluster = simulation.cluster
    servers = {address for node in nodes for address in cluster[node].servers}

    def own(counts: tuple[list[Counts], dict[str, Counts]]) -> Any:
        return (
            {node: counts[0][node] for node in nodes},
            {address: counts[1][address] for address in servers},
        )

    return Part(
        {node: simulation.meter.nodes[node] for node in nodes},
        own(simulation.begun),
        own(simulation.ended),
        {address: simulation.servers[address].peak for address in servers},
        simulation.asked_of,
        simulation.first_wins,
        cluster.kernel.events,
        seconds,
    )


def _merge(simulation: Simulation, part: Part) -> None:
    for node, meter in part.meters.items():
        simulation.meter.nodes[node] = meter
    for mine, theirs in ((simulation.begun, part.begun), (simulation.ended, part.ended)):
        for node, counts in theirs[0].items():
            mine[0][node] = counts
        mine[1].update(theirs[1])
    for address, peak in part.peaks.items():
        simulation.servers[address].peak = peak
    for node, asked in enumerate(part.asked_of):
        simulation.asked_of[node] += asked
    for place, wins in part.first_wins.items():
        simulation.first_wins[place] = simulation.first_wins.get(place, 0) + wins
    simulation.cluster.kernel.events += part.events


def _received(way: Way) -> Part:
    """Return what a process found; raise what went wrong there, or EOFError."""
    found = way.recv()
    if isinstance(found, Part):
        return found
    if found.violation:
        raise ViolationError(found.violation)
    if found.problems:
        raise ConfigError(list(found.problems))
    raise RuntimeError(f"in another process of the simulation:\n{found.trace}")


def _reason(ways: Sequence[Way], others: Sequence[SpawnProcess]) -> Exception:
    """Return why another process has gone: what it says, or how it ended."""
    for way in ways:
        try:
            _received(way)
        except (ViolationError, ConfigError, RuntimeError) as error:
            return error
        except EOFError:
            continue
    for process in others:
        process.join(END_S)
    signals = [-code for code in (process.exitcode or 0 for process in others) if code < 0]
    said = "one of the processes was ended"
    if signals:
        said += f" by signal {signals[0]}: is there memory for all of them?"
    return ConfigError([Problem("jobs", said, source="command line")])
