"""The slave as a process: what it loads, how it lives and ends."""

import os
import signal
import socket
import subprocess
import sys
from time import monotonic

from slave_rig import ROOT, query, record, reply

from codns.slave.main import Slave
from codns.wire.batch import pack_job
from codns.wire.outcome import Outcome

FOREIGN = ("trio", "asyncio", "dns", "msgspec", "click", "logging", "argparse", "ssl", "yaml")


def test_it_loads_little():
    code = "import sys, codns.slave.main; print('\\n'.join(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    tops = {name.split(".")[0] for name in loaded}
    assert not tops & set(FOREIGN)
    ours = {".".join(name.split(".")[:2]) for name in loaded if name.startswith("codns")}
    assert ours == {"codns", "codns.slave", "codns.wire"}


def test_it_ends_with_its_master(own_slave):
    slave = own_slave
    slave.job(1)  # even with an exchange outstanding
    assert slave.close() == 0


def test_signals_of_a_terminal_are_the_masters_business(own_slave, nameserver):
    slave = own_slave
    os.kill(slave.process.pid, signal.SIGINT)
    os.kill(slave.process.pid, signal.SIGTERM)
    slave.job(1)
    asked, client = nameserver.receive()
    nameserver.send(reply(asked, record()), client)
    assert slave.result().outcome is Outcome.ANSWER
    assert slave.process.poll() is None


def test_an_idle_slave_sleeps(nameserver):
    """No socket, nothing outstanding: no end to the wait. Else until the next thing is due."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        slave = Slave(theirs, 1024)
        assert slave._patience(monotonic() + 1) is None
        slave._exchanges.ports.add_server(0, nameserver.address)
        slave._exchanges.take(pack_job(1, 0, 0, 50.0, query()), 0)
        assert slave._patience(monotonic() + 1) == 0  # the set of sockets is growing
        while slave._exchanges.ports.growing:
            slave._exchanges.ports.grow(monotonic())
        assert 15 < slave._patience(monotonic() + 100) <= 30.02  # no exchange takes longer
        slave._exchanges.expire(monotonic() + 31)
        assert 50 < slave._patience(monotonic() + 100) <= 100  # sockets grow old
        for port in list(slave._exchanges.ports.by_fd.values()):
            slave._exchanges.ports.close(port)
        slave._epoll.close()


def test_results_wait_for_a_slow_reader(own_slave, nameserver):
    """More than the channel's buffers hold: kept, and written when the master reads."""
    slave = own_slave
    big = record(bytes(1000), rtype=16)
    count, batch = 2000, 100
    for first in range(0, count, batch):
        slave.jobs([pack_job(first + n, 0, 0, 30.0, query()) for n in range(batch)])
        for _ in range(batch):
            asked, client = nameserver.receive()
            nameserver.send(reply(asked, big), client)
    jobs = sorted(slave.result().job for _ in range(count))
    assert jobs == list(range(count))


def test_jobs_in_pieces(slave, nameserver):
    """A stream has no borders: frames may arrive a byte at a time."""
    for byte in pack_job(5, 0, 0, 10.0, query()):
        slave.channel.sendall(bytes((byte,)))
    asked, client = nameserver.receive()
    nameserver.send(reply(asked, record()), client)
    assert slave.result().job == 5
