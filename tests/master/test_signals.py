"""Signals arrive as calls in the loop."""

import signal

import pytest
import trio

from codns.master.signals import handle_signals


@pytest.mark.parametrize(
    ("sent", "calls"),
    [
        ([signal.SIGHUP], ["reload"]),
        ([signal.SIGTERM], ["SIGTERM"]),
        ([signal.SIGINT], ["SIGINT"]),
        ([signal.SIGHUP, signal.SIGHUP, signal.SIGTERM], ["reload", "reload", "SIGTERM"]),
        ([signal.SIGTERM, signal.SIGTERM], ["SIGTERM", "SIGTERM"]),
    ],
)
def test_each_signal_is_a_call(sent, calls):
    seen: list[str] = []
    before = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]

    async def scenario():
        send, receive = trio.open_memory_channel[str](10)
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                await nursery.start(
                    handle_signals, send.send_nowait, lambda: send.send_nowait("reload")
                )
                for number in sent:
                    signal.raise_signal(number)
                    seen.append(await receive.receive())
                nursery.cancel_scope.cancel()

    trio.run(scenario)
    assert seen == calls
    after = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    assert after == before
