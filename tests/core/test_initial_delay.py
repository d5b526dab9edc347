"""The initial delay's policies (DESIGN 4, RULES 5.5): exact values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codns.core.budget import Budget, Payment
from codns.core.gaps import RemoteTimes
from codns.core.initial_delay import (
    DELAY_MAX_S,
    NO_TOKEN,
    OPEN_S,
    SAMPLES_MAX,
    Adaptive,
    Codns2004,
    Off,
    Shadow,
    make,
)


def paper(remote_time: float | None = None) -> Codns2004:
    remote = RemoteTimes()
    for _ in range(16 if remote_time is not None else 0):
        remote.add(remote_time)
    return Codns2004(remote)


def play(policy: Codns2004, script: str) -> float:
    """r: remote won. l: local won, no peer asked. a: local won, a peer had been asked."""
    for event in script:
        if event == "r":
            policy.remote_won()
        else:
            policy.local_won(remote_asked=event == "a")
    return round(policy.delay(0.0, failing=False), 9)


@pytest.mark.parametrize(
    ("script", "delay"),
    [
        ("", 0.200),
        ("l", 0.200),
        ("a", 0.200),
        ("r", 0.100),  # a remote win halves
        ("rr", 0.050),
        ("rrr", 0.025),
        ("rrrrr", 0.010),  # 6.25 ms, raised to initial_delay_min
        ("rrrrrrrr", 0.010),  # 8 of 16: not yet more than half
        ("rrrrrrrrr", 0.0),  # 9 of 16
        ("rl", 0.10625),  # + 200/32 ms
        ("rll", 0.1125),
        ("ra", 0.100),  # a local win with a peer asked leaves it
        ("rr" + "l" * 24, 0.200),  # 24 x 6.25 = 150
        ("rr" + "l" * 23, 0.19375),
        ("rrrrr" + "l" * 31, 0.200),  # 10 + 31 x 6.25 = 203.75
        ("rrrr" + "l" * 29, 0.19375),  # 12.5 + 29 x 6.25
        ("r" * 9 + "a" * 7, 0.0),  # the 9 are still among the last 16
        ("r" * 9 + "a" * 8, 0.100),  # leaving 0: no remote times known, 100 ms
        ("r" * 9 + "l" * 8, 0.100),  # the win that leaves 0 adds nothing
        ("r" * 9 + "l" * 9, 0.10625),
        ("r" * 9 + "l" * 8 + "r", 0.050),  # 8 of 16 again: halved
    ],
)
def test_codns2004(script, delay):
    assert play(paper(), script) == delay


@pytest.mark.parametrize(
    ("remote_time", "delay"), [(0.045, 0.045), (0.005, 0.020), (0.390, 0.200)]
)
def test_codns2004_leaves_zero_at_mean_and_one_sigma_of_remote_times(remote_time, delay):
    assert play(paper(remote_time), "r" * 9 + "a" * 8) == pytest.approx(delay)


def test_codns2004_32_clean_lookups_reset_it_whatever_it_was():
    policy = Codns2004(RemoteTimes(), delay_max=5.0)  # a site that wants only outage cover
    assert play(policy, "rrrrrrrr") == round(5 / 256, 9)
    assert play(policy, "l" * 32) == 5.0


def test_codns2004_is_zero_while_failing():
    assert paper().delay(0.0, failing=True) == 0.0


def test_codns2004_explains_itself():
    policy = paper()
    play(policy, "rll")
    assert policy.explain(0.0, failing=False) == {
        "policy": "codns2004",
        "sends": True,
        "delay": pytest.approx(0.1125),
        "clean": 2,
        "remote_won": 1,
        "of": 16,
        "remote_spread": 0.100,
    }


@given(st.text("rla", max_size=200))
def test_codns2004_is_zero_or_within_its_clamps(script):
    policy = paper()
    for event in script:
        delay = play(policy, event)
        assert delay == 0 or 0.010 <= delay <= 0.200
    if script.endswith("l" * 32):
        assert delay == 0.200


def finished(policy: Adaptive, times: list[float], now: float = 0.0) -> None:
    for time in times:
        policy.end(policy.begin(now, failing=False), time)


def paid(budget: Budget, helped: str) -> Budget:
    """y: a remote query that gave its token back; n: one that did not; b: the peer was BUSY."""
    for how in helped:
        for _ in range(10):
            budget.earn()
        assert budget.take(1, 0.0, failing=False) is Payment.PAID
        if how == "y":
            budget.refund()
        elif how == "b":
            budget.declined()
    return budget


@pytest.mark.parametrize(
    ("times", "delay"),
    [
        ([], 0.050),
        ([0.001] * 31, 0.050),  # under 32 samples
        ([0.001] * 32, 0.010),  # clamped
        ([0.020] * 256, 0.020),
        ([0.300] * 256, 0.200),  # clamped
        ([0.020] * 236 + [0.150] * 20, 0.020),  # 8 % of 256 are 20
        ([0.020] * 235 + [0.150] * 21, 0.150),
        ([0.020] * 200 + [5.000] * 56, 0.200),  # a fifth lost: until it is seen that help pays
        ([0.300] * 256 + [0.020] * 256, 0.020),  # only the last 256
        ([0.020] * 256 + [0.090] * 255, 0.090),
    ],
)
def test_adaptive_asks_for_the_slowest_8_of_100_while_help_does_not_pay(times, delay):
    policy = Adaptive(Budget())
    finished(policy, times)
    assert policy.delay(1.0, failing=False) == pytest.approx(delay)


@pytest.mark.parametrize(
    ("share", "helped", "above", "delay"),
    [
        (0.1, "", 0.08, 0.092),
        (0.1, "nnnn", 0.08, 0.092),
        (0.2, "", 0.16, 0.084),  # race.budget: 20 %
        (0.0, "", 0.0, 0.100),  # none at all: the slowest; and no token for it
        (0.1, "y", 0.16, 0.084),  # 1 of 1, and one that is counted always
        (0.1, "yn" * 64, 0.153, 0.085),  # half of them: twice as many may be asked for
        (0.1, "yyyn" * 32, 0.281, 0.072),
        (0.1, "y" * 200, 0.9, 0.010),  # all of them: at once, within the clamp
        (0.1, "y" * 200 + "n" * 128, 0.0814, 0.092),  # and back, when it pays no longer
        (0.1, "y" * 4, 0.385, 0.062),
        (0.1, "yb" * 4, 0.385, 0.062),  # BUSY says nothing of whether help pays
    ],
)
def test_adaptive_asks_for_more_where_help_pays(share, helped, above, delay):
    policy = Adaptive(paid(Budget(share), helped))
    finished(policy, [number / 1000 for number in range(1, 101)])
    said = policy.explain(1.0, failing=False)
    assert said["above"] == pytest.approx(above, rel=0.02)
    assert said["delay"] == pytest.approx(delay, abs=0.0011)


def test_adaptive_while_failing_is_zero_and_learns_nothing():
    policy = Adaptive(Budget())
    finished(policy, [0.020] * 64)
    assert policy.delay(1.0, failing=True) == 0.0
    token = policy.begin(1.0, failing=True)
    assert token == NO_TOKEN
    policy.end(token, 3.0)
    assert policy.explain(2.0, failing=False)["samples"] == 64


@pytest.mark.parametrize(
    ("out", "age", "delay"),
    [
        (30, 0.020, 0.020),  # not slower than the finished: says nothing
        (30, 0.045, 0.045),  # 30 of 286 unfinished: that is more than 8 %
        (30, 0.500, 0.200),
        (22, 0.500, 0.020),  # 22 of 278: less
        (256, 0.045, 0.045),  # a stall: a quarter as many as are finished count
    ],
)
def test_adaptive_counts_an_unfinished_miss_as_at_least_its_age(out, age, delay):
    policy = Adaptive(Budget())
    finished(policy, [0.020] * 256)
    for _ in range(out):
        policy.begin(1.0, failing=False)
    assert policy.delay(1.0 + age, failing=False) == pytest.approx(delay)


def test_adaptive_hundreds_in_flight_do_not_pass_for_quick_answers():
    """10,000 misses a second at 30 ms: 300 are out, all of them younger than 30 ms."""
    policy = Adaptive(Budget())
    finished(policy, [0.030] * 256)
    for number in range(300):
        policy.begin(1.0 + number / 10_000, failing=False)
    assert policy.delay(1.030, failing=False) == pytest.approx(0.030)


def test_adaptive_forgets_what_is_dropped():
    policy = Adaptive(Budget())
    finished(policy, [0.020] * 64)
    for _ in range(64):
        policy.drop(policy.begin(1.0, failing=False))
    assert policy.delay(5.0, failing=False) == 0.020


def test_adaptive_ends_a_miss_once():
    policy = Adaptive(Budget())
    token = policy.begin(0.0, failing=False)
    policy.end(token, 0.1)
    policy.end(token, 0.1)
    assert policy.explain(1.0, failing=False)["samples"] == 1


def test_adaptive_is_at_most_64_samples_and_50_ms_old():
    policy = Adaptive(Budget())
    finished(policy, [0.020] * 64)
    assert policy.delay(1.0, failing=False) == 0.020
    finished(policy, [0.050] * 63, now=1.0)
    assert policy.delay(1.049, failing=False) == 0.020
    assert policy.delay(1.051, failing=False) == 0.050
    finished(policy, [0.055] * 64, now=1.0)
    assert policy.delay(1.052, failing=False) == 0.055


def test_a_fixed_delay_is_adaptive_with_equal_bounds():
    policy = Adaptive(Budget(), delay_max=0.150, delay_min=0.150)
    assert policy.delay(0.0, failing=False) == 0.150
    finished(policy, [0.001] * 64)
    assert policy.delay(1.0, failing=False) == 0.150
    assert policy.delay(1.0, failing=True) == 0.0


def test_adaptive_explains_itself():
    policy = Adaptive(Budget())
    finished(policy, [0.020] * 200 + [0.150] * 56)
    assert policy.explain(1.0, failing=False) == {
        "policy": "adaptive",
        "sends": True,
        "delay": pytest.approx(0.150),
        "samples": 256,
        "median": 0.020,
        "above": 0.0,  # 22 % took as long; 8 % were to take longer
    }


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from("bed")), max_size=300))
def test_adaptive_stays_within_its_clamps(events):
    policy, now, tokens = Adaptive(Budget()), 0.0, []
    for step, kind in events:
        now += step
        if kind == "b":
            tokens.append((policy.begin(now, failing=False), now))
        elif tokens:
            token, begun = tokens.pop()
            if kind == "e":
                policy.end(token, now - begun)
            else:
                policy.drop(token)
        assert 0.010 <= policy.delay(now, failing=False) <= 0.200


def test_off_never_asks_and_learns_nothing():
    policy = Off()
    token = policy.begin(0.0, failing=False)
    policy.end(token, 1.0)
    policy.drop(token)
    policy.remote_won()
    policy.local_won(remote_asked=False)
    assert policy.delay(0.0, failing=True) is None
    assert policy.explain(0.0, failing=False) == {"policy": "off", "sends": False, "delay": None}


def test_shadow_decides_as_adaptive_and_sends_nothing():
    policy = Shadow(Budget())
    finished(policy, [0.020] * 64)
    assert policy.delay(1.0, failing=False) == 0.020
    assert (policy.name, policy.sends) == ("shadow", False)


@pytest.mark.parametrize(
    ("name", "kind", "sends"),
    [
        ("codns2004", Codns2004, True),
        ("adaptive", Adaptive, True),
        ("shadow", Shadow, False),
        ("off", Off, False),
    ],
)
def test_make_knows_the_configured_names(name, kind, sends):
    policy = make(name, RemoteTimes(), Budget(), 0.1, 0.02)
    assert type(policy) is kind
    assert (policy.name, policy.sends) == (name, sends)


def test_make_refuses_other_names():
    with pytest.raises(KeyError):
        make("psychic", RemoteTimes(), Budget())


def test_a_miss_whose_end_is_never_told_does_not_stand_for_silence_for_ever():
    policy = Adaptive(Budget())
    for _ in range(SAMPLES_MAX):
        policy.end(policy.begin(0.0, failing=False), 0.02)
    for _ in range(60):
        policy.begin(1.0, failing=False)
    assert policy.delay(2.0, failing=False) == DELAY_MAX_S
    assert policy.delay(1.0 + OPEN_S, failing=False) == DELAY_MAX_S
    assert policy.delay(1.1 + OPEN_S, failing=False) == 0.02


@pytest.mark.parametrize(
    ("took", "above"), [(0.001, 0.0), (0.05, 0.0), (0.5, 1.0)], ids=["least", "between", "most"]
)
def test_explain_tells_the_share_that_took_longer_than_the_delay(took, above):
    """Not the share that was wanted: the delay is within its bounds."""
    policy = Adaptive(Budget())
    for _ in range(SAMPLES_MAX):
        policy.end(policy.begin(0.0, failing=False), took)
    assert policy.explain(1.0, failing=False)["above"] == above


def test_shadow_does_not_know_what_pays():
    """Whatever was sent before a reload made it the policy."""
    budget = Budget()
    for _ in range(40):
        budget.take(1, 0.0, failing=False)
        budget.refund()
    assert budget.pays(0.0) > 0.9
    policy = Shadow(budget)
    for number in range(SAMPLES_MAX):
        policy.end(policy.begin(0.0, failing=False), number / 1000)
    assert policy.delay(1.0, failing=False) == 0.2
