"""The event loop's lag: both measures, in virtual and in real time."""

import time

import pytest
import trio
import trio.testing

from codns.master.lag import TICK_S, WINDOW_S, Lag


def busy(seconds):
    """Keep the processor, as a slow piece of code would."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def test_a_stall_is_seen_however_short():
    async def main():
        lag = Lag()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lag.run)
            await trio.testing.wait_all_tasks_blocked()
            busy(0.03)
            await trio.sleep(0.001)
            nursery.cancel_scope.cancel()
        return lag

    lag = trio.run(main)
    assert lag.recent()[1] >= 0.03
    assert lag.longest_turn_s >= 0.03


def test_lateness_is_sampled_ten_times_a_second_and_kept_for_ten_to_twenty():
    async def main():
        lag = Lag()
        clock = trio.lowlevel.current_clock()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lag.run)
            await trio.sleep(1.05)
            before = sum(lag.histogram.counts)
            clock.jump(0.3)  # nobody ran for so long
            await trio.lowlevel.checkpoint()
            await trio.testing.wait_all_tasks_blocked()
            late = lag.recent()[0]
            status = lag.status()
            await trio.sleep(2 * WINDOW_S)
            after = lag.recent()[0]
            nursery.cancel_scope.cancel()
        return before, late, status, after

    clock = trio.testing.MockClock(autojump_threshold=0)
    before, late, status, after = trio.run(main, clock=clock)
    assert before == 10
    assert 0.3 - TICK_S <= late <= 0.3
    assert status["late_s"] == late
    assert status["lag"]["count"] == 11
    assert status["lag"]["sum_s"] == pytest.approx(late)
    assert after == 0.0
