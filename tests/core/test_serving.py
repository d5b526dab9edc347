"""Serving peers: the window, the queue, who goes first, what is told BUSY and when."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codns.core.serving import (
    BATCH,
    SPAN_S,
    WAIT_MAX_S,
    WINDOW_MAX,
    WINDOW_MIN,
    WINDOW_START,
    Busy,
    Refusal,
    Serving,
    Start,
    Typical,
)


def offered(serving: Serving[int], count: int, now: float = 0.0, peers: int = 1000) -> str:
    """Offer `count` queries of as many peers: S started, q queued, F queue full, s share."""
    letters = {Refusal.QUEUE_FULL: "F", Refusal.SHARE: "s", Refusal.UNHEALTHY: "u"}
    text = ""
    for number in range(count):
        effects = serving.offer(f"peer{number % peers}", number, now)
        if not effects:
            text += "q"
        else:
            (effect,) = effects
            text += "S" if isinstance(effect, Start) else letters[effect.reason]
    return text


def test_window_queue_busy():
    serving = Serving[int]()
    assert offered(serving, 100) == "S" * 32 + "q" * 64 + "F" * 4
    assert (serving.in_service, serving.queued) == (32, 64)


@pytest.mark.parametrize(
    ("served", "window"), [(31, 32), (32, 33), (63, 33), (64, 34), (10**5, WINDOW_MAX)]
)
def test_one_more_for_each_32_served(served, window):
    serving = Serving[int]()
    for number in range(served):
        serving.offer("a", number, 0.0)
        serving.finished("a", served=True)
    assert serving.window == window


def test_what_failed_was_not_served():
    serving = Serving[int]()
    for number in range(100):
        serving.offer("a", number, 0.0)
        serving.finished("a", served=False)
    assert (serving.window, serving.in_service) == (32, 0)


def test_an_end_starts_the_next_in_the_queue():
    serving = Serving[int]()
    offered(serving, 34)
    assert serving.finished("peer5", served=True) == [Start("peer32", 32)]
    assert serving.finished("peer6", served=True) == [Start("peer33", 33)]
    assert serving.finished("peer7", served=True) == []
    assert serving.in_service == 31


def test_an_end_of_nothing_changes_nothing():
    serving = Serving[int]()
    offered(serving, 1)
    assert serving.finished("stranger", served=True) == []
    serving.finished("peer0", served=True)
    serving.finished("peer0", served=True)
    assert serving.in_service == 0


def test_200_ms_in_the_queue():
    serving = Serving[int]()
    offered(serving, 33, now=1.0)
    assert serving.next_timeout() == 1.0 + WAIT_MAX_S
    serving.offer("late", 99, 1.1)
    assert serving.handle_timeout(1.199) == []
    assert serving.handle_timeout(1.2) == [Busy("peer32", 32, Refusal.WAITED)]
    assert serving.next_timeout() == pytest.approx(1.3)
    assert serving.finished("peer0", served=True) == [Start("late", 99)]
    assert serving.next_timeout() is None
    assert serving.handle_timeout(9.0) == []


# No peer takes all


def test_one_peer_has_half_of_the_window_and_half_of_the_queue():
    serving = Serving[int]()
    assert offered(serving, 60, peers=1) == "S" * 16 + "q" * 32 + "s" * 12
    assert serving.offer("other", 1, 0.0) == [Start("other", 1)]


def test_the_queue_is_served_in_turns():
    serving = Serving[int]()
    offered(serving, 32, peers=2)
    for number in range(3):
        serving.offer("peer0", 100 + number, 0.0)
    for number in range(3):
        serving.offer("c", 200 + number, 0.0)
    started = [serving.finished("peer0", served=True)[0] for _ in range(6)]
    assert [(start.peer, start.query) for start in started] == [
        ("peer0", 100), ("c", 200), ("peer0", 101), ("c", 201), ("peer0", 102), ("c", 202),
    ]  # fmt: skip


def test_a_peer_at_its_share_does_not_hold_up_the_others():
    serving = Serving[int]()
    offered(serving, 20, peers=1)
    for number in range(16):
        assert serving.offer(f"other{number}", number, 0.0) == [Start(f"other{number}", number)]
    assert serving.offer("x", 7, 0.0) == []
    assert serving.finished("other1", served=True) == [Start("x", 7)]  # peer0 waited longer
    assert serving.finished("peer0", served=True) == [Start("peer0", 16)]


# Local first, and healthy


def test_local_first():
    serving = Serving[int]()
    assert serving.set_local_waiting(True, 0.0) == []
    assert serving.offer("a", 1, 0.0) == []
    assert serving.set_local_waiting(False, 0.1) == [Start("a", 1)]


@pytest.mark.parametrize(
    ("told_at", "window"),
    [
        ([0.0], 16),
        ([0.0, 0.5, 0.999], 16),  # once a second
        ([0.0, 1.0], 8),
        ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], WINDOW_MIN),
    ],
)
def test_halved_while_local_clients_wait(told_at, window):
    serving = Serving[int]()
    for now in told_at:
        serving.set_local_waiting(True, now)
    assert serving.window == window


def test_a_halved_window_is_emptied_before_anything_starts():
    serving = Serving[int]()
    offered(serving, 40)
    serving.set_local_waiting(True, 0.0)
    serving.set_local_waiting(False, 0.01)
    starts = [serving.finished(f"peer{number}", served=False) for number in range(18)]
    assert [len(start) for start in starts] == [0] * 16 + [1] * 2  # 32 in service, 16 allowed
    assert serving.in_service == 16


def test_not_healthy_is_busy_at_once_and_empties_the_queue():
    serving = Serving[int]()
    offered(serving, 34)
    assert serving.set_healthy(False) == [
        Busy("peer32", 32, Refusal.UNHEALTHY),
        Busy("peer33", 33, Refusal.UNHEALTHY),
    ]
    assert serving.next_timeout() is None
    assert serving.offer("a", 1, 0.0) == [Busy("a", 1, Refusal.UNHEALTHY)]
    assert serving.finished("peer0", served=True) == []
    assert serving.set_healthy(True) == []
    assert serving.offer("a", 1, 0.0) == [Start("a", 1)]


# The median


def batches(typical: Typical, seconds: float, elapsed_s: float, start: float) -> list[bool]:
    """32 samples a second of `elapsed_s`; what each batch said."""
    verdicts = []
    for second in range(int(seconds)):
        for number in range(BATCH):
            verdict = typical.sample(elapsed_s, start + second + number / BATCH)
            if number == BATCH - 1:
                verdicts.append(verdict)
            else:
                assert not verdict
    return verdicts


@pytest.mark.parametrize(
    ("usual_ms", "now_ms", "slow"),
    [
        (10, 20, False),
        (10, 21, True),
        (40, 79, False),
        (40, 81, True),
        (0.3, 9, False),  # under 10 ms nobody suffers
        (0.3, 11, True),
    ],
)
def test_over_twice_its_ten_minute_value(usual_ms, now_ms, slow):
    typical = Typical()
    assert not any(batches(typical, 60, usual_ms / 1000, 0.0))
    assert typical.usual(60.0) == usual_ms / 1000
    assert batches(typical, 3, now_ms / 1000, 60.0) == [slow] * 3


def test_the_first_batch_has_nothing_to_be_compared_with():
    assert batches(Typical(), 1, 5.0, 0.0) == [False]


def test_a_slow_minute_does_not_become_usual_but_ten_do():
    typical = Typical()
    batches(typical, 300, 0.010, 0.0)
    assert all(batches(typical, 60, 0.050, 300.0))
    batches(typical, 600, 0.050, 360.0)
    assert typical.usual(960.0) == 0.050
    assert not any(batches(typical, 10, 0.050, 960.0))


def test_the_ten_minutes_are_bounded_and_forgotten():
    typical = Typical()
    batches(typical, 2000, 0.010, 0.0)
    assert len(typical._history) == 60
    assert typical.usual(2000.0 + 60 * SPAN_S) is None


def test_an_idle_node_judges_by_eight_samples():
    typical = Typical()
    batches(typical, 20, 0.010, 0.0)
    verdicts = [typical.sample(0.050, 30.0 + number) for number in range(8)]
    assert verdicts == [False] * 7 + [True]


def test_a_slow_local_path_halves_the_window_once_a_second():
    serving = Serving[int]()
    for number in range(64):
        serving.local_time(0.010, number / 32)
    for number in range(64):
        serving.local_time(0.030, 10.0 + number / 64)  # two batches in one second
    assert serving.window == WINDOW_START // 2
    for number in range(64):
        serving.local_time(0.030, 11.5 + number / 64)
    assert serving.window == WINDOW_START // 4


# Whatever happens

steps = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), st.integers(0, 5)),
        st.tuples(st.just("finish"), st.integers(0, 5)),
        st.tuples(st.just("time"), st.integers(1, 300)),
        st.tuples(st.just("wait"), st.booleans()),
        st.tuples(st.just("health"), st.booleans()),
    ),
    max_size=300,
)


@given(steps)
def test_everything_offered_is_started_or_refused_once(sequence):
    serving = Serving[int]()
    now, offered_count, ended = 0.0, 0, []
    running = {f"p{number}": 0 for number in range(6)}

    def note(effects):
        for effect in effects:
            ended.append(effect.query)
            if isinstance(effect, Start):
                running[effect.peer] += 1

    for step, value in sequence:
        if step == "offer":
            note(serving.offer(f"p{value}", offered_count, now))
            offered_count += 1
        elif step == "finish" and running[f"p{value}"]:
            running[f"p{value}"] -= 1
            note(serving.finished(f"p{value}", served=True))
        elif step == "time":
            now += value / 1000
            note(serving.handle_timeout(now))
        elif step == "wait":
            note(serving.set_local_waiting(value, now))
        elif step == "health":
            note(serving.set_healthy(value))
        assert serving.in_service == sum(running.values()) <= WINDOW_START
        assert serving.queued == offered_count - len(ended) <= 2 * WINDOW_START
        assert max(running.values()) <= WINDOW_START // 2
    note(serving.handle_timeout(now + WAIT_MAX_S))
    assert sorted(ended) == list(range(offered_count))
    assert serving.next_timeout() is None


def test_no_hash_seed_and_no_random_in_it():
    """The same offers in the same order: the same starts."""
    transcripts = []
    for _ in range(2):
        rng = random.Random(5)
        serving = Serving[int]()
        log = []
        for number in range(500):
            log += serving.offer(f"p{rng.randrange(9)}", number, number / 1000)
            if rng.random() < 0.6:
                log += serving.finished(f"p{rng.randrange(9)}", served=True)
            log += serving.handle_timeout(number / 1000)
        transcripts.append(log)
    assert transcripts[0] == transcripts[1]
