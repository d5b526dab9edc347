"""Who gets a TCP connection, and how all of them end. Virtual time."""

import pytest
import trio
from tcp_world import LOOPBACK, World, answer, framed, query, run, settle

from codns.master.tcp import COUNTERS, TcpLimits

OTHER = b"\xc0\x00\x02\x01"
STRANGER = b"\xc6\x33\x64\x01"


@pytest.mark.parametrize(
    ("present", "address", "refusal"),
    [
        ([], LOOPBACK, None),
        ([], STRANGER, "tcp_refused_acl"),
        ([LOOPBACK] * 2, LOOPBACK, "tcp_refused_address"),
        ([LOOPBACK] * 2, OTHER, None),
        ([LOOPBACK, LOOPBACK, OTHER], OTHER, "tcp_refused_full"),
    ],
)
def test_admission(present, address, refusal):
    async def scenario():
        world = World(TcpLimits(connections=3, connections_per_address=2))
        world.denied.add(STRANGER)
        async with trio.open_nursery() as nursery:
            for each in present:
                world.connect(nursery, each)
            await settle()
            client = world.connect(nursery, address)
            await settle()
            assert world.listener.connections == len(present) + (refusal is None)
            if refusal:
                assert await world.ended(client) == 0.0
                assert world.counts[refusal] == 1
            nursery.cancel_scope.cancel()

    run(scenario)


def test_a_connection_that_ended_makes_room():
    async def scenario():
        world = World(TcpLimits(connections=3, connections_per_address=1))
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                client = world.connect(nursery)
                await settle()
                await client.aclose()
                await settle()
        assert world.counts == {"tcp_connections": 5, "tcp_closed_client": 5}

    run(scenario)


def test_stop_ends_quiet_connections_now_and_others_when_they_are_answered():
    async def scenario():
        world = World()
        async with trio.open_nursery() as nursery:
            quiet, busy = world.connect(nursery), world.connect(nursery)
            await busy.send_all(framed(query(1)))
            await trio.sleep(1)
            world.listener.stop()
            assert await world.ended(quiet) == 1.0
            await busy.send_all(framed(query(2)))  # too late: not read
            await trio.sleep(0.5)
            world.clients[0].reply(answer(1))
            assert await world.ended(busy) == 1.5
        assert world.idents == [1]
        assert world.sends == [framed(answer(1))]
        assert world.counts["tcp_closed_stop"] == 2

    run(scenario)


def test_queries_read_before_stop_are_still_handed_over():
    async def scenario():
        world = World(TcpLimits(outstanding=1))
        async with trio.open_nursery() as nursery:
            client = world.connect(nursery)
            await client.send_all(framed(query(1), query(2)))
            await settle()
            world.listener.stop()
            for ident in (1, 2):
                world.clients[0].reply(answer(ident))
                await settle()
            assert await world.ended(client) == 0.0
        assert world.sends == [framed(answer(1)), framed(answer(2))]

    run(scenario)


def test_cancelling_ends_what_stop_left():
    async def scenario():
        world = World()
        async with trio.open_nursery() as nursery:
            client = world.connect(nursery)
            await client.send_all(framed(query(1)))
            await settle()
            world.listener.stop()
            nursery.cancel_scope.deadline = trio.current_time() + 2
        assert world.now() == 2.0
        assert world.listener.connections == 0
        assert world.counts["tcp_closed_stop"] == 1
        world.clients[0].reply(answer(1))  # late, and for nobody

    run(scenario)


@pytest.mark.parametrize(
    ("files", "connections", "per_address"),
    [(20000, 1024, 256), (1280, 1024, 256), (1024, 768, 256), (400, 144, 144), (64, 16, 16)],
)
def test_limits_leave_files_for_the_rest(files, connections, per_address):
    limits = TcpLimits.within(files)
    assert (limits.connections, limits.connections_per_address) == (connections, per_address)


def test_counters_are_listed_once():
    assert len(set(COUNTERS)) == len(COUNTERS)
