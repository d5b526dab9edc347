"""How long a TCP connection may say nothing, or half of something. Exact virtual times."""

import pytest
import trio
from tcp_world import World, answer, framed, query, run, settle

from codns.master.tcp import TcpLimits

Q = framed(query(1))


@pytest.mark.parametrize(
    ("sends", "answered_at", "ends_at", "counter"),
    [
        # (when, what) the client sends; when query 1 is answered; when and why it is closed
        ([], None, 5.0, "tcp_closed_idle"),
        ([(4.0, Q[:1])], None, 5.0, "tcp_closed_idle"),  # the first message, not its first byte
        ([(0.0, Q[:9])], None, 5.0, "tcp_closed_incomplete"),
        ([(4.9, Q)], 4.9, 14.9, "tcp_closed_idle"),
        ([(0.0, Q)], 0.0, 10.0, "tcp_closed_idle"),
        ([(0.0, Q)], 3.0, 13.0, "tcp_closed_idle"),  # an answer is a message too
        ([(0.0, Q)], None, 10.0, "tcp_closed_idle"),
        ([(0.0, Q), (9.5, framed(query(2)))], 0.0, 19.5, "tcp_closed_idle"),
        ([(0.0, Q), (9.0, b"\0")], 0.0, 10.0, "tcp_closed_idle"),  # a byte is no message
        ([(0.0, Q), (2.0, b"\0")], 0.0, 7.0, "tcp_closed_incomplete"),
        # a byte a second, for ever: the message has 5 s from its first one
        (
            [(0.0, Q)] + [(float(n), b"\x01") for n in range(1, 6)],
            0.0,
            6.0,
            "tcp_closed_incomplete",
        ),
        # the end of one message and the start of the next in one segment
        ([(0.0, Q[:9]), (4.0, Q[9:] + b"\0")], 4.0, 9.0, "tcp_closed_incomplete"),
        ([(0.0, Q[:9]), (4.0, Q[9:])], 4.0, 14.0, "tcp_closed_idle"),
    ],
)
def test_patience(sends, answered_at, ends_at, counter):
    async def scenario():
        world = World()

        async def reply():
            await trio.sleep_until(answered_at)
            await settle()
            world.clients[0].reply(answer(1))

        async def send():
            for when, data in sends:
                await trio.sleep_until(when)
                await client.send_all(data)

        async with trio.open_nursery() as nursery:
            client = world.connect(nursery)
            nursery.start_soon(send)
            if answered_at is not None:
                nursery.start_soon(reply)
            assert await world.ended(client) == ends_at
            await client.aclose()
        assert world.counts[counter] == 1
        assert world.listener.connections == 0

    run(scenario)


def test_a_pause_of_ours_is_not_held_against_an_incomplete_message():
    async def scenario():
        world = World(TcpLimits(outstanding=1))
        async with trio.open_nursery() as nursery:
            client = world.connect(nursery)
            await client.send_all(framed(query(1), query(2)) + b"\0")
            await trio.sleep(4)
            world.clients[0].reply(answer(1))  # 2 is handed over; outstanding again: no reading
            # 2 is forgotten at 9.0, reading goes on, and the rest has 5 s from then
            assert await world.ended(client) == 14.0
            await client.aclose()
        assert world.asked == [(0.0, 1), (4.0, 2)]
        assert world.counts["tcp_closed_incomplete"] == 1

    run(scenario)


def test_when_connections_are_scarce_quiet_ones_have_2_s():
    async def scenario():
        world = World(TcpLimits(connections=8))
        async with trio.open_nursery() as nursery:
            ends = {}

            async def follow(name, client):
                ends[name] = await world.ended(client)
                await client.aclose()

            waiting = world.connect(nursery)  # has asked, and waits for its answer
            await waiting.send_all(framed(query(1)))
            nursery.start_soon(follow, "waiting", waiting)
            for n in range(5):
                nursery.start_soon(follow, n, world.connect(nursery))
            await trio.sleep(1)
            assert world.counts["tcp_pressure"] == 0  # 6 of 8 are not more than 3/4
            nursery.start_soon(follow, "last", world.connect(nursery))
            await trio.sleep(0.5)
            assert world.counts["tcp_pressure"] == 1
            await trio.sleep_until(3.5)
            # the five had been quiet since 0.0; then 2 of 8 are left, and patience is back:
            # but the last one was due to speak by 6.0
            assert ends == dict.fromkeys(range(5), 2.0)
            world.clients[0].reply(answer(1))
            await trio.sleep(20)
            assert ends["last"] == 6.0
            assert ends["waiting"] == 13.5

    run(scenario)


def test_scarcity_holds_for_connections_that_come_meanwhile():
    async def scenario():
        world = World(TcpLimits(connections=4))
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                waiting = world.connect(nursery)
                await waiting.send_all(framed(query(1)))
            assert await world.ended(world.connect(nursery)) == 2.0
            await settle()
            assert await world.ended(world.connect(nursery)) == 4.0
            assert world.counts["tcp_pressure"] == 1
            nursery.cancel_scope.cancel()

    run(scenario)


def test_those_quiet_for_longer_are_closed_one_after_the_other():
    """All at once would be hundreds of cancellations without a pause, and UDP would wait."""

    async def scenario():
        world, ends = World(TcpLimits(connections=8), prompt=True), []

        async def follow(client):
            await client.send_all(framed(query(1)))
            ends.append(await world.ended(client))

        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(follow, world.connect(nursery))
            await trio.sleep_until(4.0)
            world.connect(nursery)
            await trio.sleep_until(11.0)
            # from the fourth on half of the limit is left, and patience is back
            assert sorted(ends) == [4.0, 4.001, 4.002, 10.0, 10.0, 10.0]
            nursery.cancel_scope.cancel()

    run(scenario)
