"""`codns demo`: what codns is for, in one minute, with real daemons on loopback.

Four nodes with a nameserver each are peers; node 1's nameserver stalls, dies and comes back, under
a steady load. A fifth node has the same nameserver, the same load and no peers. On a terminal one
watches it; elsewhere it is told line by line; in the end there is a table, and one sentence with
the figures. They are measured, not promised: the exit code is 1 when a run does not show that the
peers masked the failure.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Protocol

import click
import msgspec
import trio

from codns.cli import demo_plan, demo_story
from codns.cli.demo_figures import Measured
from codns.cli.demo_fleet import ENDS, DemoError, Fleet
from codns.cli.demo_plan import MEMBERS, NODES, Phase
from codns.cli.demo_told import TELL_S, Spec, Told
from codns.cli.output import NEGATIVE, Common, print_json
from codns.cli.screen import show

SEED: Final = 2004  # the same lookups at the same instants in every run
START_S: Final = 60.0  # a very slow machine; two seconds are usual
LOOK_S: Final = 0.1  # at what is being started
STATUS_S: Final = 0.5  # as often as the nodes are asked how they are
READ_SIZE: Final = 65_536


class Show(Protocol):
    """Somebody who is told how it goes."""

    def starting(self, up: int, acquainted: int) -> None:
        """So many nodes are up, so many have met all the others."""

    def update(self, measured: Measured, port: int) -> None:
        """Something may have changed."""

    def close(self) -> None:
        """It is over."""


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(demo_plan.SECONDS_MIN, demo_plan.SECONDS_MAX),
    default=demo_plan.SECONDS,
    metavar="N",
    help="How long it plays [60].",
)
@click.pass_context
def demo(context: click.Context, seconds: float) -> None:
    """Show what peers are for: four nodes on loopback, one with a failing nameserver.

    No root, no network, nothing left behind. Ctrl-C ends it. Exit code 0: the failure was masked.
    """
    common: Common = context.obj
    with (
        _ended_by_signals(),
        TemporaryDirectory(prefix="codns-demo-", ignore_cleanup_errors=True) as name,
    ):
        spec = Spec(seconds=seconds, rate=demo_plan.RATE, seed=SEED, nodes=[])
        fleet = Fleet(Path(name), spec)
        try:
            player = Player(fleet, seconds, _show(seconds, as_json=common.json))
            player.play()
        finally:
            for number in ENDS:
                signal.signal(number, _unheard)  # it is ending; half of that is worse
            fleet.close()
    if common.json:
        print_json(demo_story.as_json(player.measured, seconds))
    else:
        _conclude(player.measured)
    if not player.measured.verdict().masked:
        context.exit(NEGATIVE)


def _unheard(_number: int, _frame: object) -> None:
    """Not SIG_IGN: Python complains of what came before it was set."""


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """While no loop runs, let the first of the signals raise KeyboardInterrupt.

    A second one, sent right behind it, would be raised in the middle of the cleaning up.
    """

    def first(_number: int, _frame: object) -> None:
        for number in ENDS:
            signal.signal(number, _unheard)
        raise KeyboardInterrupt

    usual = [signal.signal(number, first) for number in ENDS]
    try:
        yield
    finally:
        for number, handler in zip(ENDS, usual, strict=True):
            signal.signal(number, handler)


def _show(seconds: float, *, as_json: bool) -> Show:
    dumb = os.environ.get("TERM", "dumb") in ("dumb", "unknown")
    if not as_json and sys.stdout.isatty() and not dumb:
        from codns.cli.demo_view import Screen  # noqa: PLC0415 - 100 ms, for terminals only

        return Screen(seconds)
    return Lines(seconds, err=as_json)


def _conclude(measured: Measured) -> None:
    show([demo_story.summary(measured)])
    click.echo()
    click.echo(click.wrap_text(demo_story.conclusion(measured), 79))
    click.echo(click.style(click.wrap_text(demo_story.lateness(measured), 79), dim=True))


class Lines:
    """A line at the begin and the end of each phase, for a file or a pipe."""

    def __init__(self, seconds: float, *, err: bool) -> None:
        self._seconds = seconds
        self._err = err
        self._said: list[Phase] = []
        self._started = False

    def starting(self, up: int, acquainted: int) -> None:  # noqa: ARG002 - it is quick
        """Once is enough."""
        if not self._started:
            self._started = True
            self._say(f"starting {MEMBERS} nodes on loopback")

    def update(self, measured: Measured, port: int) -> None:  # noqa: ARG002 - nobody types here
        """Say what begins and what it came to."""
        phase = measured.phase()
        if phase in self._said:
            return
        if self._said:
            self._say(demo_story.outcome(measured, self._said[-1]), indent=True)
        self._said.append(phase)
        text = demo_story.announcement(phase, self._seconds)
        self._say(f"{phase.start:4.0f} s  {text}")

    def close(self) -> None:
        """The table says the rest."""

    def _say(self, text: str, *, indent: bool = False) -> None:
        click.echo(" " * 8 * indent + text, err=self._err)


class Player:
    """Starts the fleet, plays, and measures. `play` returns when it is over."""

    def __init__(self, fleet: Fleet, seconds: float, show: Show) -> None:
        self.measured = Measured(demo_plan.phases(seconds))
        self._fleet = fleet
        self._show = show
        self._over = trio.Event()
        self._error: DemoError | None = None
        self._interrupted = False

    def play(self) -> None:
        """Play. DemoError, click.Abort."""
        try:
            self._show.starting(0, 0)
            # Not within the loop: the nodes end with the thread that started them
            self._fleet.start()
            trio.run(self._run)
        except* KeyboardInterrupt:  # a second signal, while the first one was being obeyed
            self._interrupted = True
        finally:
            self._show.close()
        if self._error is not None:
            raise self._error
        if self._interrupted:
            raise click.Abort

    async def _run(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._heed_signals, nursery.cancel_scope)
                await self._wait_until_ready()
                nursery.start_soon(self._redraw)
                nursery.start_soon(self._listen)
                self._fleet.begin()
                await self._ask_nodes()
                nursery.cancel_scope.cancel()
        except* DemoError as group:
            error: BaseException = group
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            assert isinstance(error, DemoError)
            self._error = error

    async def _heed_signals(self, scope: trio.CancelScope) -> None:
        with trio.open_signal_receiver(*ENDS) as received:
            async for _ in received:
                self._interrupted = True
                scope.cancel()

    # -- nodes ----------------------------------------------------------------------------------

    async def _wait_until_ready(self) -> None:
        """Wait until all answer, and the four have met. DemoError."""
        with trio.move_on_after(START_S):
            while True:
                self._fleet.check()
                for node in range(MEMBERS):
                    await self._ask(node)
                up, acquainted = self._progress()
                self._show.starting(up, acquainted)
                if up == MEMBERS and acquainted == NODES:
                    return
                await trio.sleep(LOOK_S)
        up, acquainted = self._progress()
        raise DemoError(
            f"after {START_S:.0f} s {up} of {MEMBERS} nodes are up and {acquainted} of {NODES}"
            " have met the others; is the machine very busy? Node 1 said:"
            f" {self._fleet.log_of(0)}"
        )

    def _progress(self) -> tuple[int, int]:
        told = [self.measured.cooperation(node) for node in range(NODES)]
        acquainted = sum(each is not None and each["peers_up"] == NODES - 1 for each in told)
        return self.measured.up(), acquainted

    async def _ask_nodes(self) -> None:
        """Ask how they are until the play is over, and once more then. DemoError."""
        over = False
        while not over:
            over = self._over.is_set()
            for node in range(MEMBERS):
                await self._ask(node)
            self._fleet.check(world=not self._over.is_set())
            with trio.move_on_after(STATUS_S):
                await self._over.wait()

    async def _ask(self, node: int) -> None:
        told = await trio.to_thread.run_sync(self._fleet.status, node, abandon_on_cancel=True)
        self.measured.status(node, told)

    # -- the world ------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Take what the world tells until it is over. DemoError."""
        kept = b""
        async with trio.lowlevel.FdStream(os.dup(self._fleet.output())) as stream:
            async for data in stream:
                *lines, kept = (kept + data).split(b"\n")
                for line in lines:
                    self._take(msgspec.json.decode(line, type=Told))
                if self._over.is_set():
                    return
        raise DemoError(f"the load broke off: {self._fleet.log_of(MEMBERS)}")

    def _take(self, told: Told) -> None:
        if told.looked is not None:
            self.measured.looked(told.looked)
        if told.silent is not None:
            self.measured.silent = told.silent[1]
        if told.end:
            self._over.set()

    async def _redraw(self) -> None:
        while True:
            self._show.update(self.measured, self._fleet.port)
            await trio.sleep(TELL_S)
