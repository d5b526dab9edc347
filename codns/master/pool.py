"""The master's slaves: started, fed with jobs, watched, replaced.

A slave ends its life in one of two ways. It dies: its end of the channel closes, which is seen at
once. Or it hangs (stopped, swapped out, in a loop): while jobs are outstanding it is pinged, and
when it has said nothing for 2 s it is killed, which makes it the first case. Either way its jobs
go to another slave with the time they have left. A job that took two slaves with it is not given
a third: it may be what kills them. A dead slave is replaced after 50 ms, doubling to 5 s while
the replacements die young. With no slave at all jobs wait, a bounded number of them.

Results are read by the master's own loop (`filenos`, `on_readable`): a trio task in between would
cost more than the reading. What the pool itself has to say of a job (`OVERLOAD`) comes from
`on_readable` or from a task of `run`, never from within `submit`.
"""

import os
import resource
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import trio

from codns.core.model import SendJob
from codns.master.forgery import Forgery
from codns.master.worker import Worker
from codns.slave.limits import PORTS, ports_each
from codns.wire.batch import PING, Result, pack_token
from codns.wire.outcome import Outcome

WAITING_MAX: Final = 8192  # jobs while no slave is up: what clients may have outstanding
PING_S: Final = 0.5
SUSPECT_S: Final = 0.75  # no word so long after a ping: new jobs go to the others meanwhile
HANG_S: Final = 2.0
START_S: Final = 10.0  # from starting a slave to its first word, on a machine that is busy
BACKOFF_MIN_S: Final = 0.05
BACKOFF_MAX_S: Final = 5.0
STEADY_S: Final = 10.0  # who lived so long did not die of its start: back-off begins anew
DEATHS_MAX: Final = 2  # slaves that one job may take with it
END_LOOK_S: Final = 0.01  # between looks whether a slave has ended, where nothing can tell of it
END_S: Final = 1.0  # at shutdown, before those still there are killed

Log = Callable[[str, str, dict[str, Any]], None]


def _own_failure(job: int) -> Result:
    """What the pool says of a job that no slave could carry out: nobody's fault but ours."""
    return Result(job, Outcome.OVERLOAD, 0, False, False, False, 0, 0, 0, 0.0, b"", b"", b"")


class Pool:
    """`count` slaves. `on_results` gets what came of the jobs, many at a time.

    `log` takes (level, event, fields). `nofile` caps the descriptors of a slave below what the
    system grants. `on_change` is called whenever `filenos` changed.
    """

    def __init__(
        self,
        count: int,
        on_results: Callable[[list[Result]], None],
        *,
        log: Log,
        clock: Callable[[], float] = trio.current_time,
        nofile: int | None = None,
    ) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self.restarts = 0
        self.forgery = Forgery(log, clock)
        self._count = count
        self._on_results = on_results
        self._log = log
        self._clock = clock
        self._nofile = nofile
        self._workers: dict[int, Worker] = {}  # those that are up, by descriptor
        self._order: list[Worker] = []  # those that get new jobs
        self._next = 0
        self._waiting: deque[tuple[SendJob, float]] = deque()  # -> since when
        self._deaths: dict[int, int] = {}  # job -> slaves it saw die
        self._own: list[Result] = []
        self._wake = trio.Event()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._warned = False
        self._scope: trio.CancelScope | None = None

    # -- the master's loop ---------------------------------------------------------------------

    def submit(self, jobs: list[SendJob]) -> None:
        """Give jobs to a slave, the next one's turn. Never waits, never raises."""
        if not jobs:
            return
        now = self._clock()
        order = self._order
        while order:
            self._next = (self._next + 1) % len(order)
            worker = order[self._next]
            try:
                worker.give(jobs, now)
            except OSError:
                for job in jobs:
                    worker.jobs.pop(job.job, None)
                self._lost(worker, "slave's channel broke")
                continue
            return
        for job in jobs:
            self._wait(job, now)

    def filenos(self) -> list[int]:
        """The descriptors to watch for reading. One that is not listed any more may be closed."""
        return list(self._workers)

    def on_readable(self, fileno: int) -> None:
        """Read what a slave has written, and pass it on. It may be dead afterwards."""
        worker = self._workers.get(fileno)
        if worker is None:
            return
        try:
            results = worker.read()
        except OSError as error:
            self._lost(worker, str(error))
            return
        if self._deaths:
            for result in results:
                self._deaths.pop(result.job, None)
        if results:
            self._on_results(results)

    @property
    def waiting(self) -> bool:
        """Do jobs wait for a slave: there is none, or it does not read as fast as they come?"""
        if self._waiting:
            return True
        return any(worker.stuck.is_set() for worker in self._order)

    def outstanding(self) -> int:
        """Jobs that no result came for yet."""
        return len(self._waiting) + sum(len(worker.jobs) for worker in self._workers.values())

    def processes(self) -> list[int]:
        """The process ids of the slaves that are up."""
        return [worker.process.pid for worker in self._workers.values()]

    def cancel_all(self) -> None:
        """Forget all jobs: no results will come for them."""
        for worker in self._workers.values():
            worker.jobs.clear()
        self._waiting.clear()
        self._own.clear()
        self._deaths.clear()

    def shutdown(self) -> None:
        """End the slaves and `run`."""
        if self._scope is not None:
            self._scope.cancel()

    # -- life ----------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the slaves alive until cancelled; started when each has been up once."""
        first = [trio.Event() for _ in range(self._count)]
        try:
            async with trio.open_nursery() as nursery:
                self._scope = nursery.cancel_scope
                nursery.start_soon(self._deliver)
                nursery.start_soon(self._watch)
                for number, event in enumerate(first):
                    nursery.start_soon(self._keep, number, event)
                for event in first:
                    await event.wait()
                task_status.started()
        finally:
            self._scope = None
            with trio.CancelScope(shield=True):
                await self._end()

    async def _keep(self, number: int, first: trio.Event) -> None:
        """Start a slave, and another whenever it died."""
        delay_s = BACKOFF_MIN_S
        while True:
            started = self._clock()
            try:
                worker = Worker(started, self._nofile, self.forgery)
            except OSError as error:
                self._log("error", "slave could not be started", {"reason": str(error)})
            else:
                self._processes.append(worker.process)
                try:
                    await self._live(worker, number, first)
                finally:
                    worker.close()
                worker.process.kill()  # it may have closed its channel and be there all the same
                status = await self._exit_status(worker.process)
                fields = {"slave": number, "reason": worker.reason, "status": status}
                self._log("warning", "slave died", fields)
            if self._clock() - started >= STEADY_S:
                delay_s = BACKOFF_MIN_S
            await trio.sleep(delay_s)
            delay_s = min(2 * delay_s, BACKOFF_MAX_S)
            self.restarts += 1

    async def _live(self, worker: Worker, number: int, first: trio.Event) -> None:
        """From its start to its death."""
        try:
            worker.write(pack_token(PING, 0))
            with trio.fail_after(START_S):
                while not worker.up:
                    await trio.lowlevel.wait_readable(worker.sock)
                    worker.read()
        except trio.TooSlowError:
            worker.reason = "not a word from it since its start"
            return
        except OSError as error:
            worker.reason = str(error)
            return
        self._log("info", "slave is up", {"slave": number, "pid": worker.process.pid})
        self._workers[worker.fd] = worker
        self._order.append(worker)
        self.on_change()
        self._submit_waiting()
        first.set()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._unstick, worker)
            await worker.dead.wait()
            nursery.cancel_scope.cancel()

    async def _unstick(self, worker: Worker) -> None:
        """Write what its socket did not take at once."""
        try:
            while True:
                await worker.stuck.wait()
                if worker.dead.is_set():  # in the same turn: its socket is closed
                    return
                await trio.lowlevel.wait_writable(worker.sock)
                worker.write_backlog()
        except trio.ClosedResourceError:
            return
        except OSError as error:
            self._lost(worker, str(error))

    async def _watch(self) -> None:
        """Ping those that owe something, kill those that hang."""
        last = self._clock()
        while True:
            await trio.sleep(PING_S)
            now = self._clock()
            stalled, last = now - last > 2 * PING_S, now
            for worker in list(self._workers.values()):
                if stalled and worker.asked_at is not None:
                    worker.asked_at = now  # it was we who did not run: judge nobody by that
                self._check(worker, now)
            up = self._workers.values()
            prompt = [worker for worker in up if worker.silence(now) < SUSPECT_S]
            self._order = prompt or list(up)
            self._submit_waiting()
            self._warn_of_few_ports()

    def _check(self, worker: Worker, now: float) -> None:
        if worker.silence(now) >= HANG_S:
            self.on_readable(worker.fd)  # its word may be there, and only we did not look
            if worker.silence(now) >= HANG_S:
                worker.process.kill()
                self._lost(worker, f"hung for {HANG_S:.0f} s")
        if worker.jobs and not worker.dead.is_set():
            try:
                worker.ask(now)
            except OSError as error:
                self._lost(worker, str(error))

    async def _deliver(self) -> None:
        """Pass on what the pool itself has to say of jobs."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            results, self._own = self._own, []
            if results:
                self._on_results(results)

    # -- jobs without a slave --------------------------------------------------------------------

    def _lost(self, worker: Worker, reason: str) -> None:
        """It is dead: move its jobs."""
        if self._workers.pop(worker.fd, None) is None:
            return
        if worker in self._order:
            self._order.remove(worker)
        worker.reason = reason
        self.on_change()  # before its descriptor is closed, and may become another's
        worker.close()
        now = self._clock()
        moved = []
        for job, sent_at in worker.jobs.values():
            deaths = self._deaths.get(job.job, 0) + 1
            if deaths >= DEATHS_MAX:
                self._fail(job.job)
                continue
            later = _later(job, now - sent_at)
            if later is None:
                self._fail(job.job)
            else:
                self._deaths[job.job] = deaths
                moved.append(later)
        worker.jobs.clear()
        self.submit(moved)

    def _wait(self, job: SendJob, now: float) -> None:
        if len(self._waiting) < WAITING_MAX:
            self._waiting.append((job, now))
        else:
            self._fail(job.job)

    def _submit_waiting(self) -> None:
        """Send what waited for a slave, or give it up when its time is over."""
        if not self._waiting:
            return
        now = self._clock()
        waiting, self._waiting = self._waiting, deque()
        ready = []
        for job, since in waiting:
            later = _later(job, now - since)
            if later is None:
                self._fail(job.job)
            elif self._order:
                ready.append(later)
            else:
                self._waiting.append((job, since))
        self.submit(ready)

    def _fail(self, job: int) -> None:
        self._deaths.pop(job, None)
        self._own.append(_own_failure(job))
        self._wake.set()

    # -- processes -------------------------------------------------------------------------------

    def _warn_of_few_ports(self) -> None:
        if self._warned:
            return
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if limit == resource.RLIM_INFINITY:
            limit = sys.maxsize
        if self._nofile is not None:
            limit = min(limit, self._nofile)
        # None was asked yet: there is one all the same, or there would be nothing to warn of
        servers = max([1, *(worker.servers for worker in self._workers.values())])
        ports = ports_each(limit, servers)
        if ports < PORTS:
            self._warned = True
            fields = {"limit": limit, "nameservers": servers, "ports": ports, "wanted": PORTS}
            self._log("warning", "limit of open files is low: fewer source ports", fields)

    async def _exit_status(self, process: subprocess.Popen[bytes]) -> int | None:
        """Wait for a process that is ending; None if it does not end in time."""
        if process.poll() is None:
            with trio.move_on_after(END_S):
                await _ended(process)
        if process.poll() is not None:
            self._processes.remove(process)
        return process.returncode

    async def _end(self) -> None:
        """Close all channels, wait a little, kill who is still there."""
        workers = list(self._workers.values())
        self._workers.clear()
        self._order.clear()
        self.on_change()
        for worker in workers:
            worker.close()
        with trio.move_on_after(END_S):
            for process in list(self._processes):
                await self._exit_status(process)
        for process in self._processes:
            process.kill()
        for process in list(self._processes):
            await self._exit_status(process)


async def _ended(process: subprocess.Popen[bytes]) -> None:
    """Return when it has ended."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:  # no descriptor is left, which is no reason to end with it
        while process.poll() is None:  # noqa: ASYNC110 - nobody would tell
            await trio.sleep(END_LOOK_S)
        return
    try:
        await trio.lowlevel.wait_readable(descriptor)
    finally:
        os.close(descriptor)


def _later(job: SendJob, elapsed_s: float) -> SendJob | None:
    """The same job with the time it has left; None if it has none."""
    left_s = job.timeout_s - elapsed_s
    return job._replace(timeout_s=left_s) if left_s > 0 else None
