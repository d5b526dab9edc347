"""One TCP connection: pipelining, order, back-pressure, half-close. Virtual time."""

import gc
import weakref

import pytest
import trio
from tcp_world import LOOPBACK, World, answer, framed, query, run, settle

from codns.master.connection import SEND_SIZE_MAX
from codns.master.tcp import TcpLimits

LIMITS = TcpLimits()


def test_pipelined_queries_are_handed_over_at_once_and_answered_out_of_order():
    async def scenario():
        world = World()
        async with trio.open_nursery() as nursery:
            client = world.connect(nursery)
            await client.send_all(framed(query(1), query(2), query(3)))
            await settle()
            assert world.asked == [(0.0, 1), (0.0, 2), (0.0, 3)]
            for ident in (3, 1, 2):
                world.clients[0].reply(answer(ident))
                await settle()
            assert world.sends == [framed(answer(3)), framed(answer(1)), framed(answer(2))]
            await client.aclose()
        assert world.counts["tcp_queries"] == 3

    run(scenario)


def test_the_client_is_told_apart_by_its_connection():
    async def scenario():
        world = World(prompt=True)
        async with trio.open_nursery() as nursery:
            a, b = world.connect(nursery), world.connect(nursery, b"\xc0\x00\x02\x01")
            await a.send_all(framed(query(1), query(2)))
            await settle()
            await b.send_all(framed(query(1)))
            await settle()
            first, again, other = world.clients
            assert first is again
            assert (first.transport, first.address) == ("tcp", LOOPBACK)
            assert other.address == b"\xc0\x00\x02\x01"
            assert first.key != other.key
            await a.aclose()
            await b.aclose()

    run(scenario)


def test_a_message_may_come_in_single_bytes():
    async def scenario():
        world = World()
        async with trio.open_nursery() as nursery:
            client = world.connect(nursery)
            for byte in framed(query(7), query(8)):
                await client.send_all(bytes([byte]))
                await settle()
            assert world.idents == [7, 8]
            await client.aclose()

    run(scenario)


def test_answers_ready_together_leave_in_one_send():
    async def scenario():
        world = World(prompt=True)
        async with trio.open_nursery() as nursery:
            client = world.connect(nursery)
            await client.send_all(framed(query(1), query(2), query(3)))
            await settle()
            assert world.sends == [framed(answer(1), answer(2), answer(3))]
            await client.aclose()

    run(scenario)


def test_a_send_takes_no_more_than_the_greatest_message_does():
    async def scenario():
        world = World()
        async with trio.open_nursery() as nursery:
            client = world.connect(nursery)
            await client.send_all(framed(query(1), query(2), query(3), query(4)))
            await settle()
            for ident, size in ((1, 65535), (2, 40000), (3, 25533), (4, 12)):
                world.clients[0].reply(answer(ident, size))
            await settle()
            # 40000 + 2 + 25533 + 2 is 65537, the most; the fourth is too much by its 14 bytes
            assert [len(data) for data in world.sends] == [SEND_SIZE_MAX, SEND_SIZE_MAX, 14]
            await client.aclose()

    run(scenario)


def test_queries_over_the_limit_wait_and_none_is_lost():
    async def scenario():
        world = World()
        async with trio.open_nursery() as nursery:
            client = world.connect(nursery)
            await client.send_all(framed(*(query(n) for n in range(300))))
            await settle()
            assert world.idents == list(range(128))
            assert world.counts["tcp_paused"] == 1
            world.clients[0].reply(answer(5))
            await settle()
            assert world.idents == list(range(129))
            for ident in range(300):
                world.clients[0].reply(answer(ident))
                await settle()
            assert world.idents == list(range(300))
            await client.aclose()

    run(scenario)


def test_what_is_never_answered_makes_room_after_5_s():
    async def scenario():
        world = World()
        async with trio.open_nursery() as nursery:
            client = world.connect(nursery)
            await client.send_all(framed(*(query(n) for n in range(130))))
            await trio.sleep(6)
            assert world.asked[127:] == [(0.0, 127), (5.0, 128), (5.0, 129)]
            world.clients[0].reply(answer(3))  # nobody counts on it any more
            world.clients[0].reply(answer(128))
            await settle()
            assert world.sends == [framed(answer(128))]
            await client.aclose()

    run(scenario)


def test_queries_are_forgotten_each_at_its_own_time():
    async def scenario():
        world = World(TcpLimits(outstanding=2))
        async with trio.open_nursery() as nursery:
            client = world.connect(nursery)
            await client.send_all(framed(query(1)))
            await trio.sleep(0.5)
            await client.send_all(framed(query(2), query(3), query(4)))
            await trio.sleep(6)
            assert world.asked == [(0.0, 1), (0.5, 2), (5.0, 3), (5.5, 4)]
            await client.aclose()

    run(scenario)


@pytest.mark.parametrize(
    ("second", "handed_over", "duplicates"),
    [
        (query(1), [1], 1),  # the very same: the first one's answer serves it
        (query(1, 31), [1, 1], 0),  # another with the same id: waits its turn
    ],
)
def test_an_id_in_flight_is_not_used_twice(second, handed_over, duplicates):
    async def scenario():
        world = World()
        async with trio.open_nursery() as nursery:
            client = world.connect(nursery)
            await client.send_all(framed(query(1), second))
            await settle()
            assert world.idents == [1]
            world.clients[0].reply(answer(1))
            await settle()
            assert world.idents == handed_over
            assert world.counts["tcp_duplicates"] == duplicates
            world.clients[0].reply(answer(1, 60))
            await settle()
            assert len(world.sends) == len(handed_over)
            await client.aclose()

    run(scenario)


def test_reading_stops_while_256_kib_are_unsent():
    async def scenario():
        world = World()
        async with trio.open_nursery() as nursery:
            client = world.connect(nursery, lockstep=True)
            nursery.start_soon(client.send_all, framed(*(query(n) for n in range(6))))
            await settle()
            for ident in range(5):
                world.clients[0].reply(answer(ident, 65000))  # four are just under the limit
            await settle()
            nursery.start_soon(client.send_all, framed(query(6)))
            await settle()
            assert world.idents == [0, 1, 2, 3, 4, 5]
            assert world.counts["tcp_paused"] == 1
            assert len(await client.receive_some(65002)) == 65002  # the first send is done
            await settle()
            assert world.idents == [0, 1, 2, 3, 4, 5, 6]
            await client.aclose()

    run(scenario)


def test_when_all_together_have_too_much_unsent_only_who_takes_all_is_read():
    async def scenario():
        world = World(TcpLimits(unsent_size_all=150_000))
        async with trio.open_nursery() as nursery:
            greedy = [world.connect(nursery, lockstep=True) for _ in range(2)]
            for client in greedy:
                await client.send_all(framed(query(1), query(2)))
                await settle()
            for client in world.clients:
                if client.key == world.clients[0].key:
                    continue
                client.reply(answer(1, 50_000))
            for ident in (1, 2):
                world.clients[0].reply(answer(ident, 50_000))
            await settle()
            assert len(world.idents) == 4
            for client in greedy:  # 150,000 wait: read no more, though each has less than its own
                nursery.start_soon(client.send_all, framed(query(3), query(4)))
            await settle()
            assert len(world.idents) == 4
            assert world.counts["tcp_unsent"] == 2
            fresh = world.connect(nursery, lockstep=True)
            await fresh.send_all(framed(query(5)))  # owes nothing: it is served
            await settle()
            assert world.idents[4:] == [5]
            assert len(await greedy[1].receive_some(50_002)) == 50_002  # and who has taken all
            await settle()
            assert world.idents[5:] == [3, 4]
            nursery.cancel_scope.cancel()
        assert world.listener._unsent.size == 0

    run(scenario)


def test_an_answer_makes_room_before_it_is_sent():
    async def scenario():
        world = World(TcpLimits(outstanding=1))
        async with trio.open_nursery() as nursery:
            client = world.connect(nursery, lockstep=True)
            await client.send_all(framed(query(1), query(2)))
            await settle()
            assert world.idents == [1]
            world.clients[0].reply(answer(1))  # and the client does not take it
            await settle()
            assert world.idents == [1, 2]
            await client.aclose()

    run(scenario)


@pytest.mark.parametrize("idle_s", [4.0, 10.0, 60.0])
def test_a_client_that_takes_no_answers_is_closed_after_10_s(idle_s):
    async def scenario():
        world = World(TcpLimits(idle_s=idle_s))
        async with trio.open_nursery() as nursery:
            client = world.connect(nursery, lockstep=True)
            await trio.sleep(3)
            await client.send_all(framed(query(1)))
            await settle()
            world.clients[0].reply(answer(1))
            await trio.sleep(9.9)
            assert world.listener.connections == 1
            await trio.sleep(0.2)
            assert world.listener.connections == 0
            await client.aclose()
        assert world.counts["tcp_closed_slow"] == 1

    run(scenario)


@pytest.mark.parametrize(
    ("data", "counter"),
    [
        (b"\0\0", "tcp_closed_malformed"),
        (framed(query(1)[:11]), "tcp_closed_malformed"),
        (framed(answer(1)), "tcp_closed_malformed"),  # a response: QR=1
        (b"\x10\x01", "tcp_closed_oversize"),  # 4,097 announced: none of it is waited for
    ],
)
def test_what_no_client_sends_ends_the_connection_at_once(data, counter):
    async def scenario():
        world = World()
        async with trio.open_nursery() as nursery:
            client = world.connect(nursery)
            await client.send_all(data)
            assert await world.ended(client) == 0.0
            await client.aclose()
        assert world.asked == []
        assert world.counts == {"tcp_connections": 1, counter: 1}

    run(scenario)


@pytest.mark.parametrize("size", [12, 4096])
def test_the_smallest_and_the_greatest_query(size):
    async def scenario():
        world = World(prompt=True)
        async with trio.open_nursery() as nursery:
            client = world.connect(nursery)
            await client.send_all(framed(query(1, size)))
            await settle()
            assert world.sends == [framed(answer(1))]
            await client.aclose()

    run(scenario)


def test_after_a_half_close_outstanding_answers_still_come():
    async def scenario():
        world = World()
        async with trio.open_nursery() as nursery:
            client = world.connect(nursery)
            await client.send_all(framed(query(1), query(2)) + b"\0\x20")  # and half a third
            await client.send_eof()
            await trio.sleep(1)
            world.clients[0].reply(answer(2))
            await trio.sleep(3)
            world.clients[0].reply(answer(1))
            assert await world.ended(client) == 4.0
            assert world.sends == [framed(answer(2)), framed(answer(1))]
        assert world.counts["tcp_closed_client"] == 1

    run(scenario)


def test_after_a_half_close_there_is_time_to_take_the_answers():
    async def scenario():
        world = World()
        async with trio.open_nursery() as nursery:
            client = world.connect(nursery, lockstep=True)
            await client.send_all(framed(query(1)) + b"\0")  # what has no end is not waited for
            await client.send_eof()
            await trio.sleep(4)
            world.clients[0].reply(answer(1))
            await trio.sleep(9)
            assert world.listener.connections == 1
            assert await client.receive_some(100) == framed(answer(1))
            assert await world.ended(client) == 13.0
        assert world.counts["tcp_closed_client"] == 1

    run(scenario)


def test_after_a_half_close_what_is_never_answered_is_not_waited_for():
    async def scenario():
        world = World()
        async with trio.open_nursery() as nursery:
            client = world.connect(nursery)
            await client.send_all(framed(query(1)))
            await client.send_eof()
            assert await world.ended(client) == 5.0

    run(scenario)


def test_a_reply_to_a_connection_that_is_gone_is_dropped():
    async def scenario():
        world = World()
        async with trio.open_nursery() as nursery:
            client = world.connect(nursery)
            await client.send_all(framed(query(1)))
            await settle()
            await client.send_all(b"\0\0")
            await settle()
            assert world.listener.connections == 0
            world.clients[0].reply(answer(1))
            await settle()
        assert world.sends == []

    run(scenario)


def test_a_client_that_breaks_off_is_counted():
    async def scenario():
        world = World()
        async with trio.open_nursery() as nursery:
            client = world.connect(nursery)
            await client.send_all(framed(query(1)))
            await settle()
            await client.receive_stream.aclose()  # nobody reads any more
            world.clients[0].reply(answer(1))
            await settle()
            assert world.listener.connections == 0
            await client.aclose()
        assert world.counts["tcp_closed_reset"] == 1

    run(scenario)


def test_a_connection_that_has_ended_is_freed_at_once():
    """It must not wait for the collector, which leaves old objects alone (`master.daemon`)."""

    async def scenario():
        gc.collect()
        gc.disable()
        try:
            world = World()
            async with trio.open_nursery() as nursery:
                client = world.connect(nursery)
                await client.send_all(framed(query(1), query(2)))
                await settle()
                (connection,) = world.listener._open.values()
                ended = weakref.ref(connection)
                del connection
                world.clients[0].reply(answer(1))
                await client.aclose()
            who = world.clients[1]
            assert ended() is None
            who.reply(answer(2))  # a lookup that goes on answers nobody
        finally:
            gc.enable()

    run(scenario)
