"""`codns simulate`: what cooperation gains a fleet, what it costs, and which policy is best."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from codns.cli.output import Common, Unreachable, print_json, print_table
from codns.cli.simulate_table import compared, rows
from codns.config.load import read_file
from codns.sim import runs
from codns.sim.runs import ClusterError, Outcome, Run

NEGATIVE: Final = 1


def _axis(_: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, Any]:
    axes: dict[str, Any] = {}
    for text in given:
        key, equals, values = text.partition("=")
        if not equals or not key.strip() or not values.strip():
            raise click.BadParameter(f"{text!r} is not key=value,value", param=parameter)
        if key.strip() in axes:
            raise click.BadParameter(f"{key.strip()} stands there twice", param=parameter)
        axes[key.strip()] = [_value(value.strip()) for value in values.split(",")]
    return axes


def _value(text: str) -> object:
    """Return a value as YAML would: numbers and truth, the rest is text."""
    words: dict[str, object] = {"true": True, "false": False, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _policies(_: click.Context, parameter: click.Parameter, given: str | None) -> list[str]:
    policies = [word.strip() for word in given.split(",")] if given else []
    for policy in policies:
        if policy not in runs.POLICIES:
            known = ", ".join(runs.POLICIES)
            raise click.BadParameter(f"no policy {policy!r}; there are {known}", param=parameter)
    return policies


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--seed", type=click.IntRange(0, 1 << 48), help="Another seed than the file's.")
@click.option(
    "--policy",
    callback=_policies,
    metavar="POLICY,...",
    help="adaptive, codns2004, off, shadow; stub: no codns at all.",
)
@click.option("--nodes", type=click.IntRange(1, 20_000), help="About so many, in proportion.")
@click.option("--heartbeats", type=click.Choice(["full", "abstract"]), help="For large fleets.")
@click.option(
    "--set", "settings", callback=_axis, multiple=True, metavar="KEY=VALUE", help="Any setting."
)
@click.option(
    "--sweep", callback=_axis, multiple=True, metavar="KEY=A,B,C", help="A run for each value."
)
@click.option("--scheduler", metavar="ADDRESS", help="Run on a dask cluster: tcp://host:8786.")
@click.option("--jobs", type=click.IntRange(1, 256), help="Processes [for a sweep: all cores].")
@click.option("--plot", type=click.Path(path_type=Path), metavar="OUT.png", help="Draw the tails.")
@click.option("--no-checks", is_flag=True, help="Watch no promises: a little faster.")
@click.pass_context
def simulate(context: click.Context, /, file: Path, **options: Any) -> None:
    """Simulate the fleet that FILE describes; print what its clients would see.

    Examples of scenarios are in conf/simulations. With the same seed the output has the same
    bytes. How fast it went is told on standard error.
    """
    common: Common = context.obj
    plot: Path | None = options["plot"]
    if plot is not None:
        from codns.cli import simulate_plot  # noqa: PLC0415 - only with --plot

        simulate_plot.check(plot)
    axes: dict[str, Any] = dict(options["sweep"])
    if options["policy"]:
        axes = {"policy": options["policy"], **axes}
    run = Run(read_file(file), str(file), _fixed(options), not options["no_checks"])
    planned = runs.sweep(run, axes)
    for one in planned:
        one.scenario()  # all that is wrong, before hours of work
    outcomes = _carry_out(planned, options["scheduler"], options["jobs"])
    _failed(context, outcomes)
    if plot is not None:
        simulate_plot.draw(plot, outcomes, list(axes))
    if common.json:
        told = [{"settings": dict(o.settings), **(o.report or {})} for o in outcomes]
        print_json({"runs": told})
    else:
        print_table(rows(outcomes, list(axes)))
        if lines := compared(outcomes):
            click.echo("")
            print_table(lines)
    _speed(outcomes)


def _fixed(options: dict[str, Any]) -> tuple[tuple[str, object], ...]:
    """Return the settings that all runs have."""
    own: dict[str, object] = {key: options[key] for key in ("seed", "nodes", "heartbeats")}
    for key, values in options["settings"].items():
        if len(values) != 1:
            raise click.UsageError(f"--set {key} has {len(values)} values; --sweep takes many")
        own[key] = values[0]
    return tuple((key, value) for key, value in own.items() if value is not None)


def _carry_out(planned: Sequence[Run], scheduler: str | None, jobs: int | None) -> list[Outcome]:
    found: dict[int, Outcome] = {}
    with _progress(len(planned)) as tell:
        if len(planned) == 1 and scheduler is None:
            return [planned[0].carry_out(tell, jobs or 1)]
        try:
            if scheduler is not None:
                source = runs.on_cluster(planned, scheduler)
            else:
                source = runs.here(planned, jobs)
            for number, outcome in source:
                found[number] = outcome
                tell(len(found) / len(planned))
        except ClusterError as error:
            raise Unreachable(str(error)) from None
    return [found[number] for number in range(len(planned))]


@contextmanager
def _progress(count: int) -> Iterator[Any]:
    """Give what is called with the share that is done."""
    if not sys.stderr.isatty():
        yield lambda _share: None
        return
    from rich.console import Console  # noqa: PLC0415 - 50 ms, for terminals only
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("simulating" if count == 1 else f"{count} runs", total=1.0)
        yield lambda share: progress.update(task, completed=share)


def _failed(context: click.Context, outcomes: Sequence[Outcome]) -> None:
    """Tell what was not as it was asked for; leave, if anything went wrong."""
    for outcome in outcomes:
        if outcome.note:
            click.echo(f"codns simulate: {outcome.note}", err=True)
        settings = " ".join(f"{key}={value}" for key, value in outcome.settings)
        for problem in outcome.problems:
            click.echo(f"codns simulate: {problem}", err=True)
        if outcome.violation:
            click.echo(f"codns simulate: a promise was broken; {settings}", err=True)
            click.echo(outcome.violation, err=True)
    if any(outcome.problems for outcome in outcomes):
        context.exit(2)
    if any(outcome.violation for outcome in outcomes):
        context.exit(NEGATIVE)


def _speed(outcomes: Sequence[Outcome]) -> None:
    events = sum(outcome.report["events"] for outcome in outcomes if outcome.report)
    seconds = sum(outcome.seconds for outcome in outcomes)
    rate = events / seconds if seconds else 0.0
    said = f"{events:,} events in {seconds:.1f} s of processor time: {rate:,.0f} a second"
    click.echo(said, err=True)
