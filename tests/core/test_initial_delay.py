"""The initial delay's policies (DESIGN 4, RULES 5.5): exact values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codns.core.gaps import RemoteTimes
from codns.core.initial_delay import NO_TOKEN, Adaptive, Codns2004, Off, Shadow, make


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


@pytest.mark.parametrize(
    ("times", "delay"),
    [
        ([], 0.050),
        ([0.001] * 31, 0.050),  # under 32 samples
        ([0.001] * 32, 0.010),  # 3 ms, clamped
        ([0.020] * 256, 0.020),  # p97 = p50
        ([0.300] * 256, 0.200),  # clamped
        ([0.020] * 249 + [0.150] * 7, 0.020),  # p97 is the 249th of 256, the 8th slowest
        ([0.020] * 248 + [0.150] * 8, 0.060),
        ([0.020] * 240 + [0.150] * 16, 0.060),  # 6 % slow: p97 is 150, held by 3 x p50
        ([0.020] * 240 + [5.000] * 16, 0.060),  # a twentieth lost does not run to the clamp
        ([0.040] * 240 + [0.100] * 16, 0.100),  # p97 under 3 x p50
        ([0.004] * 192 + [0.150] * 64, 0.012),
        ([0.300] * 256 + [0.020] * 256, 0.020),  # only the last 256
        ([0.020] * 256 + [0.090] * 255, 0.090),
    ],
)
def test_adaptive_is_p97_or_three_medians(times, delay):
    policy = Adaptive()
    finished(policy, times)
    assert policy.delay(1.0, failing=False) == pytest.approx(delay)


def test_adaptive_p97_is_the_nearest_rank():
    policy = Adaptive()
    finished(policy, [0.020] * 247 + [0.050] + [0.055] + [0.060] * 7)
    assert policy.delay(1.0, failing=False) == 0.055  # the 249th of 256


def test_adaptive_while_failing_is_zero_and_learns_nothing():
    policy = Adaptive()
    finished(policy, [0.020] * 64)
    assert policy.delay(1.0, failing=True) == 0.0
    token = policy.begin(1.0, failing=True)
    assert token == NO_TOKEN
    policy.end(token, 3.0)
    assert policy.explain(2.0, failing=False)["samples"] == 64


@pytest.mark.parametrize(
    ("out", "age", "delay"),
    [
        (16, 0.020, 0.020),  # not slower than the p97 of the finished: says nothing
        (16, 0.045, 0.045),  # 16 of 272 unfinished: the p97 is their age
        (16, 0.500, 0.060),  # 3 x p50
        (5, 0.500, 0.020),  # 5 of 261: fewer than 3 %
        (256, 0.500, 0.060),  # a stall: a quarter of the finished count, the median stands
        (256, 0.045, 0.045),
    ],
)
def test_adaptive_counts_an_unfinished_miss_as_at_least_its_age(out, age, delay):
    policy = Adaptive()
    finished(policy, [0.020] * 256)
    for _ in range(out):
        policy.begin(1.0, failing=False)
    assert policy.delay(1.0 + age, failing=False) == pytest.approx(delay)


def test_adaptive_hundreds_in_flight_do_not_pass_for_quick_answers():
    """10,000 misses a second at 30 ms: 300 are out, all of them younger than 30 ms."""
    policy = Adaptive()
    finished(policy, [0.030] * 256)
    for number in range(300):
        policy.begin(1.0 + number / 10_000, failing=False)
    assert policy.delay(1.030, failing=False) == pytest.approx(0.030)


def test_adaptive_forgets_what_is_dropped():
    policy = Adaptive()
    finished(policy, [0.020] * 64)
    for _ in range(64):
        policy.drop(policy.begin(1.0, failing=False))
    assert policy.delay(5.0, failing=False) == 0.020


def test_adaptive_ends_a_miss_once():
    policy = Adaptive()
    token = policy.begin(0.0, failing=False)
    policy.end(token, 0.1)
    policy.end(token, 0.1)
    assert policy.explain(1.0, failing=False)["samples"] == 1


def test_adaptive_is_at_most_64_samples_and_50_ms_old():
    policy = Adaptive()
    finished(policy, [0.020] * 64)
    assert policy.delay(1.0, failing=False) == 0.020
    finished(policy, [0.050] * 63, now=1.0)
    assert policy.delay(1.049, failing=False) == 0.020
    assert policy.delay(1.051, failing=False) == 0.050
    finished(policy, [0.055] * 64, now=1.0)
    assert policy.delay(1.052, failing=False) == 0.055


def test_a_fixed_delay_is_adaptive_with_equal_bounds():
    policy = Adaptive(delay_max=0.150, delay_min=0.150)
    assert policy.delay(0.0, failing=False) == 0.150
    finished(policy, [0.001] * 64)
    assert policy.delay(1.0, failing=False) == 0.150
    assert policy.delay(1.0, failing=True) == 0.0


def test_adaptive_explains_itself():
    policy = Adaptive()
    finished(policy, [0.020] * 240 + [0.150] * 16)
    assert policy.explain(1.0, failing=False) == {
        "policy": "adaptive",
        "sends": True,
        "delay": pytest.approx(0.060),
        "samples": 256,
        "p50": 0.020,
        "p97": 0.150,
    }


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from("bed")), max_size=300))
def test_adaptive_stays_within_its_clamps(events):
    policy, now, tokens = Adaptive(), 0.0, []
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
    policy = Shadow()
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
    policy = make(name, RemoteTimes(), 0.1, 0.02)
    assert type(policy) is kind
    assert (policy.name, policy.sends) == (name, sends)


def test_make_refuses_other_names():
    with pytest.raises(KeyError):
        make("psychic", RemoteTimes())
