"""The pool with real slave processes: nothing is lost when they die, hang or choke."""

import errno
import os
import signal
import struct
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import trio

from codns.core.model import SendJob
from codns.master import pool as pool_module
from codns.master import worker as worker_module
from codns.master.pool import BACKOFF_MIN_S, HANG_S, STEADY_S, WAITING_MAX, Pool
from codns.wire.build import upstream_query
from codns.wire.name import from_text
from codns.wire.outcome import Outcome

WAIT_S = 15.0
WIRE = upstream_query(from_text("www.example.org."), 1, 1, do=False, cd=False)
RECORD = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 300, 4) + bytes((192, 0, 2, 1))


class Rig:
    """A pool, the loop that reads for it, and a nameserver that answers when it is let."""

    def __init__(self):
        self.results = []
        self.events = []
        self.udp = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
        self.udp.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 1 << 20)
        self.answering = True
        self.held = []  # (query, client) while not answering
        self.news = trio.Event()
        self.pool = None
        self.ended = False
        self._readers = {}

    def on_results(self, results):
        self.results.extend(results)
        self.wake()

    def log(self, level, event, fields):
        self.events.append((level, event, fields))
        self.wake()

    def wake(self):
        self.news.set()
        self.news = trio.Event()

    async def until(self, condition):
        with trio.fail_after(WAIT_S):
            while not condition():
                await self.news.wait()

    def said(self, event):
        return [fields for _, said, fields in self.events if said == event]

    def job(self, number, *, timeout_s=10.0, server=None):
        return SendJob(number, server or self.address, 0, timeout_s, WIRE)

    async def answer(self, asked, client):
        end = len(asked) - 11
        header = asked[:2] + bytes((0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0))
        await self.udp.sendto(header + asked[12:end] + RECORD, client)

    async def release(self):
        """Answer what was held back, and everything from now on."""
        self.answering = True
        held, self.held = self.held, []
        for asked, client in held:
            await self.answer(asked, client)

    async def serve(self):
        while True:
            asked, client = await self.udp.recvfrom(4096)
            if self.answering:
                await self.answer(asked, client)
            else:
                self.held.append((asked, client))
                self.wake()

    async def read(self, nursery):
        """What the master's loop does: a reader for each descriptor there is."""

        async def reader(fileno, scope):
            with scope:
                while fileno in self.pool.filenos():
                    try:
                        await trio.lowlevel.wait_readable(fileno)
                    except trio.ClosedResourceError:
                        return
                    self.pool.on_readable(fileno)

        def changed():
            filenos = set(self.pool.filenos())
            for fileno in [fileno for fileno in self._readers if fileno not in filenos]:
                self._readers.pop(fileno).cancel()
            for fileno in filenos - set(self._readers):
                scope = self._readers[fileno] = trio.CancelScope()
                nursery.start_soon(reader, fileno, scope)
            self.wake()

        self.pool.on_change = changed

    async def run_pool(self, *, task_status):
        await self.pool.run(task_status=task_status)
        self.ended = True
        self.wake()

    @asynccontextmanager
    async def running(self, count=1, **options):
        self.pool = Pool(count, self.on_results, log=self.log, **options)
        with self.udp:
            await self.udp.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1#{self.udp.getsockname()[1]}"
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.serve)
                await self.read(nursery)
                with trio.fail_after(WAIT_S):
                    await nursery.start(self.run_pool)
                yield self.pool
                self.pool.shutdown()
                nursery.cancel_scope.cancel()


def outcomes(rig):
    return {result.job: result.outcome for result in rig.results}


def run(scenario):
    """Run a scenario with a rig of its own."""

    async def main():
        await scenario(Rig())

    trio.run(main)


def test_answers():
    async def scenario(rig):
        async with rig.running(2) as pool:
            assert len(pool.filenos()) == 2
            for number in range(100):
                pool.submit([rig.job(number)])
            assert pool.outstanding() == 100
            await rig.until(lambda: len(rig.results) == 100)
            assert pool.outstanding() == 0
        assert outcomes(rig) == dict.fromkeys(range(100), Outcome.ANSWER)
        assert {result.body for result in rig.results} == {RECORD}

    run(scenario)


def test_batches_alternate():
    async def scenario(rig):
        rig.answering = False
        async with rig.running(2) as pool:
            for first in (0, 10, 20, 30):
                pool.submit([rig.job(first + number) for number in range(10)])
            shares = [sorted(worker.jobs) for worker in pool._workers.values()]
            assert sorted(shares) == [
                [*range(10), *range(20, 30)],
                [*range(10, 20), *range(30, 40)],
            ]
            await rig.until(lambda: len(rig.held) == 40)
            await rig.release()
            await rig.until(lambda: len(rig.results) == 40)

    run(scenario)


def test_nothing_to_submit():
    async def scenario(rig):
        async with rig.running() as pool:
            pool.submit([])
            assert pool.outstanding() == 0
            pool.on_readable(99999)  # not one of ours (any more)

    run(scenario)


@pytest.mark.parametrize("count", [1, 2])
def test_killed_under_load(count):
    """SIGKILL: its jobs go to another slave at once, or to its successor; none is lost."""

    async def scenario(rig):
        rig.answering = False
        async with rig.running(count) as pool:
            for first in range(0, 500, 10):
                pool.submit([rig.job(first + number) for number in range(10)])
            await rig.until(lambda: len(rig.held) == 500)
            victim = pool.processes()[0]
            os.kill(victim, signal.SIGKILL)
            await rig.release()  # half of it goes to ports that nobody has any more
            await rig.until(lambda: len(rig.results) == 500)
            await rig.until(lambda: rig.said("slave died"))
            await rig.until(lambda: len(pool.filenos()) == count)
            assert victim not in pool.processes()
            assert [fields["status"] for fields in rig.said("slave died")] == [-signal.SIGKILL]
            assert len(rig.said("slave is up")) == count + 1
        assert outcomes(rig) == dict.fromkeys(range(500), Outcome.ANSWER)

    run(scenario)


def test_its_jobs_have_the_time_they_had():
    async def scenario(rig):
        rig.answering = False
        async with rig.running(2) as pool:
            pool.submit([rig.job(1, timeout_s=1.0)])
            await rig.until(lambda: len(rig.held) == 1)
            start = trio.current_time()
            holder = next(worker for worker in pool._workers.values() if worker.jobs)
            os.kill(holder.process.pid, signal.SIGKILL)
            await rig.until(lambda: len(rig.held) == 2)
            (entry,) = [worker.jobs[1] for worker in pool._workers.values() if worker.jobs]
            assert 0 < entry[0].timeout_s < 1.0
            await rig.until(lambda: rig.results)
            assert trio.current_time() - start < 1.5
        assert outcomes(rig) == {1: Outcome.TIMEOUT}

    run(scenario)


def test_stopped_is_noticed():
    """SIGSTOP: silent for 2 s after a ping, killed, and its jobs are answered by the other."""

    async def scenario(rig):
        async with rig.running(2) as pool:
            stopped = pool.processes()[0]
            os.kill(stopped, signal.SIGSTOP)
            start = trio.current_time()
            for number in range(20):
                pool.submit([rig.job(number)])
            await rig.until(lambda: len(rig.results) == 10)
            await rig.until(lambda: len(rig.results) == 20)
            assert HANG_S <= trio.current_time() - start < HANG_S + 3
            await rig.until(lambda: rig.said("slave died"))
            (died,) = rig.said("slave died")
            assert (died["reason"], died["status"]) == ("hung for 2 s", -signal.SIGKILL)
        assert outcomes(rig) == dict.fromkeys(range(20), Outcome.ANSWER)

    run(scenario)


def test_a_silent_slave_gets_no_new_jobs():
    async def scenario(rig):
        async with rig.running(2) as pool:
            stopped = pool._order[0]
            os.kill(stopped.process.pid, signal.SIGSTOP)
            pool.submit([rig.job(1)])
            pool.submit([rig.job(2)])
            await rig.until(lambda: len(rig.results) == 1)
            with trio.fail_after(WAIT_S):
                while stopped in pool._order:
                    await trio.lowlevel.checkpoint()
            for number in range(10, 20):
                pool.submit([rig.job(number)])
            await rig.until(lambda: len(rig.results) == 11)
            os.kill(stopped.process.pid, signal.SIGCONT)  # before its time is over: forgiven
            await rig.until(lambda: len(rig.results) == 12)
            assert stopped.fd in pool.filenos()
        assert not rig.said("slave died")

    run(scenario)


def test_a_job_that_took_two_slaves_is_given_up():
    async def scenario(rig):
        rig.answering = False
        async with rig.running() as pool:
            pool.submit([rig.job(1)])
            for seen in (1, 2):
                await rig.until(lambda seen=seen: len(rig.held) == seen)
                os.kill(pool.processes()[0], signal.SIGKILL)
                await rig.until(lambda seen=seen: len(rig.said("slave died")) == seen)
            await rig.until(lambda: rig.results)
            assert pool.outstanding() == 0
            assert pool._deaths == {}
        assert outcomes(rig) == {1: Outcome.OVERLOAD}

    run(scenario)


def test_no_slave_at_all(monkeypatch):
    """Jobs wait for the next slave: so many, and not longer than they have time."""
    monkeypatch.setattr(pool_module, "WAITING_MAX", 101)

    async def scenario(rig):
        async with rig.running() as pool:
            os.kill(pool.processes()[0], signal.SIGKILL)
            await rig.until(lambda: not pool.filenos())
            pool.submit([rig.job(0, timeout_s=0.001)])
            pool.submit([rig.job(number) for number in range(1, 104)])
            assert pool.outstanding() == 101
            await rig.until(lambda: len(rig.results) == 104)
        expected = dict.fromkeys(range(104), Outcome.ANSWER)
        expected |= dict.fromkeys((0, 101, 102, 103), Outcome.OVERLOAD)
        assert outcomes(rig) == expected

    assert WAITING_MAX == 8192  # what clients may have outstanding (RULES 4.1)
    run(scenario)


def test_a_slave_dies_while_there_are_no_descriptors(monkeypatch):
    """Waiting for its end takes one; without, it is looked at now and then. Nothing raises."""

    def refuse(_pid):
        raise OSError(errno.EMFILE, "too many open files")

    async def scenario(rig):
        async with rig.running(2) as pool:
            monkeypatch.setattr(pool_module.os, "pidfd_open", refuse)
            os.kill(pool.processes()[0], signal.SIGKILL)
            await rig.until(lambda: rig.said("slave died"))
            assert rig.said("slave died")[0]["status"] == -signal.SIGKILL
            pool.submit([rig.job(1)])
            await rig.until(lambda: len(rig.results) == 1 and len(pool.filenos()) == 2)
        assert outcomes(rig) == {1: Outcome.ANSWER}

    run(scenario)


def test_back_off_doubles(monkeypatch):
    """And begins anew after one that lived for ten seconds, by the pool's clock."""
    ahead_s = 0.0
    times = []

    def clock():
        return trio.current_time() + ahead_s

    def start(_now, _nofile, _forgery):
        nonlocal ahead_s
        times.append(trio.current_time())
        if len(times) == 5:
            ahead_s = STEADY_S
        raise OSError("no more processes")

    async def scenario(rig):
        async with rig.running(clock=clock) as pool:
            monkeypatch.setattr(pool_module, "Worker", start)
            os.kill(pool.processes()[0], signal.SIGKILL)
            await rig.until(lambda: len(rig.said("slave could not be started")) == 6)
            gaps = [later - earlier for earlier, later in pairwise(times)]
            wanted = [BACKOFF_MIN_S * factor for factor in (2, 4, 8, 16, 1)]
            for gap, least in zip(gaps, wanted, strict=True):
                assert gap >= least
            assert gaps[-1] < gaps[-2]
            monkeypatch.undo()
            await rig.until(lambda: len(pool.filenos()) == 1)

    run(scenario)


def test_more_than_the_channel_holds(monkeypatch):
    """A slave that does not read for a moment: what it was sent waits, nothing blocks."""
    monkeypatch.setattr(worker_module, "SEND_BUFFER", 4096)

    async def scenario(rig):
        async with rig.running() as pool:
            os.kill(pool.processes()[0], signal.SIGSTOP)
            for first in range(0, 1000, 10):
                pool.submit([rig.job(first + number) for number in range(10)])
            (worker,) = pool._workers.values()
            assert len(worker._backlog) > 50_000
            os.kill(pool.processes()[0], signal.SIGCONT)
            await rig.until(lambda: len(rig.results) == 1000)
            assert not worker._backlog
        assert outcomes(rig) == dict.fromkeys(range(1000), Outcome.ANSWER)
        assert not rig.said("slave died")

    run(scenario)


def test_a_choked_slave_may_die(monkeypatch):
    monkeypatch.setattr(worker_module, "SEND_BUFFER", 4096)

    async def scenario(rig):
        async with rig.running() as pool:
            os.kill(pool.processes()[0], signal.SIGSTOP)
            pool.submit([rig.job(number) for number in range(1000)])
            os.kill(pool.processes()[0], signal.SIGKILL)
            await rig.until(lambda: len(rig.results) == 1000)
        assert outcomes(rig) == dict.fromkeys(range(1000), Outcome.ANSWER)

    run(scenario)


def test_cancelled_jobs_are_not_heard_of_again():
    async def scenario(rig):
        rig.answering = False
        async with rig.running() as pool:
            pool.submit([rig.job(number) for number in range(10)])
            await rig.until(lambda: len(rig.held) == 10)
            pool.cancel_all()
            assert pool.outstanding() == 0
            await rig.release()
            pool.submit([rig.job(10)])
            await rig.until(lambda: rig.results)
        assert outcomes(rig) == {10: Outcome.ANSWER}

    run(scenario)


def test_few_files_are_told_once():
    async def scenario(rig):
        async with rig.running(2, nofile=500) as pool:
            for number in range(4):
                pool.submit([rig.job(number)])
            await rig.until(lambda: rig.said("limit of open files is low: fewer source ports"))
            await rig.until(lambda: len(rig.results) == 4)
            pool._warn_of_few_ports()
        (fields,) = rig.said("limit of open files is low: fewer source ports")
        assert fields == {"limit": 500, "nameservers": 1, "ports": 186, "wanted": 512}

    run(scenario)


def test_nonsense_from_a_slave_is_its_death():
    async def scenario(rig):
        async with rig.running(2) as pool:
            worker = next(iter(pool._workers.values()))
            worker._tail = b"\xff\xff\xff\xff\x01"
            worker.ask(0.0)
            await rig.until(lambda: rig.said("slave died"))
            await rig.until(lambda: len(pool.filenos()) == 2)
        (fields,) = rig.said("slave died")
        assert "4294967295 bytes" in fields["reason"]

    run(scenario)


def test_shutdown_leaves_no_process():
    async def scenario(rig):
        async with rig.running(3) as pool:
            processes = [worker.process for worker in pool._workers.values()]
            os.kill(processes[0].pid, signal.SIGSTOP)  # even one that does not hear
            start = trio.current_time()
            pool.shutdown()
            await rig.until(lambda: rig.ended)
            assert trio.current_time() - start < 3
        assert [process.returncode for process in processes] == [-signal.SIGKILL, 0, 0]
        assert pool.filenos() == []
        pool.submit([rig.job(1)])  # late, and harmless

    run(scenario)
