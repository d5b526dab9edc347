"""The judgement of the local path (RULES 6.1-6.4): every transition, at its exact time."""

from math import inf
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codns.core import local_path
from codns.core.local_path import TRANSITIONS, LocalPath, Route, State, Why
from codns.wire.name import from_text

SERVER, SECOND = "192.0.2.1#53", "192.0.2.2#53"
HEALTHY, FAILING, RECOVERING = State.HEALTHY, State.FAILING, State.RECOVERING


class Middle(Random):
    """A source whose every draw is 0.5: each step takes exactly the dwell."""

    def random(self) -> float:
        return 0.5


def path(*servers: str, probing: bool = True) -> LocalPath:
    return LocalPath(servers or (SERVER,), Middle(), 0.0, probing=probing)


def failed(at: float = 0.0, servers: tuple[str, ...] = (SERVER,)) -> LocalPath:
    made = path(*servers)
    for _ in range(9):
        made.lost(at)
    assert made.state is FAILING
    return made


def recovering(at: float = 0.0) -> LocalPath:
    """Failing at `at`, in its first step 3 s later."""
    made = failed(at)
    probe(made, at + 1, 3)
    assert made.state is RECOVERING
    return made


def probe(made: LocalPath, start: float, count: int, *, good: bool = True) -> None:
    for number in range(count):
        made.handle_timeout(start + number)
        made.probed(SERVER, start + number, good=good)


def last(made: LocalPath) -> tuple[float, State, State, Why, float]:
    return tuple(made.changes[-1])


# -- healthy to failing -------------------------------------------------------------------------


def test_starts_healthy_and_silent_about_it():
    made = path()
    assert (made.state, made.share, made.changes) == (HEALTHY, 1.0, [])
    assert made.next_timeout() == inf


@pytest.mark.parametrize(
    ("script", "state"),
    [
        ("l" * 8, HEALTHY),
        ("l" * 9, FAILING),  # more than 8, though of fewer than 16
        ("lw" * 8, HEALTHY),  # 8 of 16
        ("lw" * 8 + "l", HEALTHY),  # the oldest bad one is out: 8 of 16
        ("lw" * 8 + "ll", FAILING),  # a good one is out
        ("l" * 8 + "w" * 16 + "l" * 8, HEALTHY),
        ("bw" * 20, HEALTHY),  # never two bad probes running
        ("b", HEALTHY),
        ("bb", FAILING),
        ("bgb", HEALTHY),
        ("bwb", HEALTHY),  # a real exchange was won in between
        ("lllllllb" + "wl", FAILING),  # bad probes and lost races add up
    ],
)
def test_bad_samples_and_bad_probes(script, state):
    made = path()
    for number, event in enumerate(script):
        now = number * 0.1
        if event == "l":
            made.lost(now)
        elif event == "w":
            made.won(now)
        else:
            made.probed(SERVER, now, good=event == "g")
    assert made.state is state


def test_samples_of_a_minute_ago_do_not_count():
    made = path()
    for _ in range(8):
        made.lost(0.0)
    made.lost(60.0)
    assert made.state is HEALTHY
    for _ in range(8):
        made.lost(61.0)
    assert last(made) == (61.0, HEALTHY, FAILING, Why.BAD_SAMPLES, 0.0)


@pytest.mark.parametrize(
    ("delay", "local", "lost_at"),
    [
        (0.000, inf, 0.020),  # peer first, local never came
        (0.000, 0.019, None),  # close behind: neither won nor lost
        (0.000, 0.021, 0.020),
        (0.010, inf, 0.020),
        (0.050, inf, 0.050),  # the delay, if that is longer
        (0.050, 0.049, None),
        (0.200, inf, 0.200),
    ],
)
def test_lost_means_20_ms_or_the_delay_behind_the_peer(delay, local, lost_at):
    made = path()
    handles = [made.overtaken(delay, 0.0) for _ in range(9)]
    if local != inf:
        if lost_at is not None:
            made.handle_timeout(lost_at)
        for handle in handles:
            made.caught_up(handle, local)
    assert made.next_timeout() == (lost_at if local == inf else inf)
    made.handle_timeout(5.0 if lost_at is None else lost_at)
    assert (made.state is FAILING) == (lost_at is not None)


def test_a_local_attempt_given_up_behind_a_peer_is_lost_at_once_and_once():
    made = path()
    for number in range(5):
        handle = made.overtaken(0.2, 0.0)
        made.gave_up(handle, 0.01)
        made.gave_up(handle, 0.02)
        assert made.explain(0.02)["samples"]["lost"] == number + 1
    made.handle_timeout(1.0)
    assert made.explain(1.0)["samples"]["lost"] == 5


def send(made: LocalPath, names: list[str], now: float) -> None:
    for text in names:
        made.sent(from_text(text), now)


FOUR = ["a.x.example", "b.y.example", "c.x.example", "d.y.example"]


def test_300_ms_of_silence_for_four_lookups_of_two_domains():
    made = path()
    send(made, FOUR[:3], 1.0)
    assert made.next_timeout() == inf
    send(made, FOUR[3:], 1.1)
    assert made.next_timeout() == pytest.approx(1.4)
    made.handle_timeout(1.399)
    assert made.state is HEALTHY
    made.handle_timeout(made.next_timeout())
    assert last(made) == (pytest.approx(1.4), HEALTHY, FAILING, Why.SILENCE, 0.0)


@pytest.mark.parametrize("says", ["answer", "servfail", "probe"])
def test_any_sign_of_life_ends_the_silence(says):
    made = path()
    send(made, FOUR, 1.0)
    if says == "probe":
        made.probed(SERVER, 1.2, good=True)
    else:
        made.answered(1.2, from_text("a.x.example") if says == "servfail" else None)
    assert made.next_timeout() == inf
    made.handle_timeout(1.3)
    assert made.state is HEALTHY


def test_servfails_that_peers_contradict():
    made = path()
    names = [from_text(f"n.d{number}.example{number}") for number in range(9)]
    for number in range(7):
        made.answered(number * 0.1)
    for name in names:
        made.answered(1.0, name)
    for name in names[:3]:
        made.contradicted(name, 1.1)
    assert made.state is HEALTHY
    made.contradicted(names[3], 1.2)
    assert last(made) == (1.2, HEALTHY, FAILING, Why.SERVFAILS, 0.0)


def test_with_two_nameservers_the_path_fails_only_when_both_do():
    made = path(SERVER, SECOND)
    for number in range(40):
        made.probed(SERVER, number, good=False)
        made.probed(SECOND, number, good=True)
    assert made.state is HEALTHY
    assert made.explain(40.0)["samples"]["probe_bad"] == 0
    made.probed(SECOND, 40, good=False)
    assert made.state is HEALTHY
    made.probed(SECOND, 41, good=False)
    assert last(made)[2:4] == (FAILING, Why.BAD_PROBES)


# -- what lookups do ----------------------------------------------------------------------------


def routes(made: LocalPath, count: int) -> str:
    return "".join({0: "R", 1: "-", 2: "t"}[made.route()] for _ in range(count))


def test_healthy_lookups_race():
    assert routes(path(), 20) == "R" * 20


def test_failing_every_8th_trickles():
    assert routes(failed(), 24) == ("-" * 7 + "t") * 3


def test_recovering_a_quarter_then_half_then_all():
    made = recovering()
    assert (made.share, routes(made, 8)) == (0.25, "---R---R")
    probe(made, 4, 4)
    assert (made.share, routes(made, 8)) == (0.5, "-R-R-R-R")
    probe(made, 8, 4)
    assert (made.share, routes(made, 8)) == (1.0, "R" * 8)
    probe(made, 12, 4)
    assert (made.state, routes(made, 8)) == (HEALTHY, "R" * 8)


# -- recovery -----------------------------------------------------------------------------------


def test_three_good_probes_running_start_recovery():
    made = failed()
    for number, good in enumerate([True, True, False, True, True, True], 1):
        assert made.state is FAILING
        made.probed(SERVER, number, good=good)
    assert last(made) == (6, FAILING, RECOVERING, Why.GOOD_PROBES, 0.25)


def test_good_probes_from_before_it_failed_do_not_count():
    made = path()
    probe(made, 0, 10)
    for _ in range(16):
        made.lost(10.0)
    probe(made, 11, 2)
    assert made.state is FAILING


def test_any_of_two_nameservers_brings_it_back():
    made = failed(servers=(SERVER, SECOND))
    for number in range(1, 4):
        made.probed(SERVER, number, good=False)
        made.probed(SECOND, number, good=True)
    assert made.state is RECOVERING


def test_each_step_needs_its_time_and_four_good_samples():
    made = recovering()  # the first step ends at 5.0
    for _ in range(3):
        made.won(4.0)
    assert made.next_timeout() == inf
    made.won(4.5)
    assert made.next_timeout() == 5.0
    made.handle_timeout(4.999)
    assert made.share == 0.25
    made.handle_timeout(5.0)
    assert last(made) == (5.0, RECOVERING, RECOVERING, Why.GOOD_SAMPLES, 0.5)
    for _ in range(3):
        made.won(8.0)  # its time was over at 7.0
    assert made.share == 0.5
    made.won(8.5)
    assert last(made) == (8.5, RECOVERING, RECOVERING, Why.GOOD_SAMPLES, 1.0)
    for _ in range(4):
        made.won(10.5)
    assert last(made) == (10.5, RECOVERING, HEALTHY, Why.ALL_STEPS, 1.0)


def test_steps_are_spread_by_the_random_source():
    made = LocalPath((SERVER,), Random(7), 0.0)
    draw = Random(7).random()
    for _ in range(9):
        made.lost(0.0)
    probe(made, 1, 3)
    for _ in range(4):
        made.won(3.0)
    assert made.next_timeout() == 3.0 + 2.0 * (0.5 + draw)


@pytest.mark.parametrize(
    ("script", "state"),
    [
        ("lll", RECOVERING),  # fewer than four samples
        ("wlll", FAILING),
        ("wwll", RECOVERING),  # half is no majority
        ("wwlll", FAILING),
        ("bb", FAILING),
        ("wwwl", RECOVERING),
    ],
)
def test_a_bad_majority_falls_back(script, state):
    made = recovering()
    for number, event in enumerate(script):
        now = 3.0 + number * 0.1
        if event == "b":
            made.probed(SERVER, now, good=False)
        elif event == "l":
            made.lost(now)
        else:
            made.won(now)
    assert made.state is state


def test_silence_while_recovering_falls_back():
    made = recovering()
    send(made, FOUR, 3.5)
    made.handle_timeout(3.8)
    assert last(made)[1:4] == (RECOVERING, FAILING, Why.SILENCE)


def test_a_servfail_that_a_peer_contradicts_is_lost_while_recovering():
    made = recovering()
    for number in range(4):
        made.answered(3.5, from_text(f"n{number}.x.example"))
        made.contradicted(from_text(f"n{number}.x.example"), 3.6)
    assert last(made)[1:4] == (RECOVERING, FAILING, Why.BAD_SAMPLES)


def fall_back(made: LocalPath, now: float) -> None:
    for _ in range(4):
        made.lost(now)


def test_falling_back_doubles_the_dwell_up_to_60_s():
    made, now, dwells = recovering(), 3.0, []
    for _ in range(7):
        now += 0.5
        fall_back(made, now)
        assert made.state is FAILING
        fell = now
        while made.state is FAILING:
            now += 1
            made.probed(SERVER, now, good=True)
        dwells.append(made.explain(now)["dwell"])
        assert now - fell == dwells[-1]  # 3 good probes were there long before
    assert dwells == [4, 8, 16, 32, 60, 60, 60]


def test_the_dwell_is_halved_for_each_good_five_minutes():
    made, now = recovering(), 3.0
    for _ in range(3):
        fall_back(made, now)
        while made.state is FAILING:
            now += 1
            made.probed(SERVER, now, good=True)
    while made.state is RECOVERING:
        now += 1
        made.handle_timeout(now)
        made.probed(SERVER, now, good=True)
    well = [made.explain(now + after)["dwell"] for after in (0, 299, 300, 600, 900, 1e9)]
    assert well == [16, 16, 8, 4, 2, 2]
    for _ in range(9):
        made.lost(now + 600)
    assert made.explain(now + 600)["dwell"] == 4


def test_the_first_failure_holds_nothing_back():
    made = failed()
    assert made.explain(0.0)["held_for"] == 0.0


def test_without_probes_won_trickle_lookups_bring_it_back():
    made = path(probing=False)
    for _ in range(9):
        made.lost(0.0)
    for event in "wwlww":
        (made.won if event == "w" else made.lost)(1.0)
    assert made.state is FAILING
    made.won(2.0)
    assert made.state is RECOVERING


# -- configuration ------------------------------------------------------------------------------


def test_no_nameserver_is_failing_without_trickle():
    made = LocalPath((), Middle(), 0.0)
    assert (made.state, made.why) == (FAILING, Why.NO_NAMESERVER)
    assert routes(made, 16) == "-" * 16
    made.configure((SERVER,), 5.0)
    assert last(made) == (5.0, FAILING, HEALTHY, Why.NAMESERVERS, 1.0)


def test_new_nameservers_start_with_a_clean_slate_kept_ones_do_not():
    made = failed()
    made.configure((SERVER, SECOND), 1.0)
    assert made.state is FAILING
    made.configure(("192.0.2.9#53",), 2.0)
    assert made.state is HEALTHY
    made.probed(SERVER, 3.0, good=False)  # a late verdict on one that is gone
    assert made.explain(3.0)["probes"] == {"192.0.2.9#53": 0}


def test_losing_the_last_nameserver_is_told_once():
    made = path()
    made.configure((), 1.0)
    made.configure((), 2.0)
    assert [change.why for change in made.changes] == [Why.NO_NAMESERVER]


# -- the whole ----------------------------------------------------------------------------------


def test_the_docstring_has_every_transition():
    text = " ".join((local_path.__doc__ or "").split())
    for (state, why), after in TRANSITIONS.items():
        start = "any" if why in {Why.NO_NAMESERVER, Why.NAMESERVERS} else state.value
        assert f"{start} {why.value} {after.value} " in text


def test_explain_says_why():
    made = failed(2.0)
    made.probed(SERVER, 3.0, good=True)
    assert made.explain(4.0) == {
        "state": "failing",
        "why": "bad samples",
        "for": 2.0,
        "share": 0.0,
        "samples": {"won": 0, "lost": 0, "probe_good": 1, "probe_bad": 0},
        "probes": {SERVER: 1},
        "servfails": 0,
        "dwell": 2.0,
        "held_for": 0.0,
    }
    assert recovering().explain(3.5)["step_for"] == 1.5


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["won", "lost", "good", "bad", "sent", "answered", "over", "route"]),
        st.floats(0.001, 5),
    ),
    max_size=150,
)


def drive(made: LocalPath, steps: list[tuple[str, float]]) -> float:
    now = 0.0
    for number, (event, step) in enumerate(steps):
        now += step
        made.handle_timeout(now)
        if event in {"won", "lost"}:
            getattr(made, event)(now)
        elif event in {"good", "bad"}:
            made.probed(SERVER, now, good=event == "good")
        elif event == "sent":
            made.sent(from_text(f"a.d{number}.example"), now)
        elif event == "answered":
            made.answered(now)
        elif event == "over":
            made.overtaken(0.1, now)
        else:
            assert (made.route() is Route.RACE) or made.state is not HEALTHY
        assert made.next_timeout() >= 0
        assert made.share == {HEALTHY: 1.0, FAILING: 0.0}.get(made.state, made.share)
    return now


@settings(max_examples=60)
@given(STEPS)
def test_whatever_happened_a_good_nameserver_is_back_within_ten_minutes(steps):
    made = LocalPath((SERVER,), Random(1), 0.0)
    end = now = drive(made, steps)
    while made.state is not HEALTHY:
        now += 1
        made.handle_timeout(now)
        made.probed(SERVER, now, good=True)
        assert now < end + 600
    for change in made.changes:
        assert TRANSITIONS[change.before, change.why] is change.after


@settings(max_examples=30)
@given(STEPS, st.integers(0, 9))
def test_the_same_random_source_gives_the_same_run(steps, seed):
    runs = []
    for _ in range(2):
        made = LocalPath((SERVER,), Random(seed), 0.0)
        drive(made, steps)
        runs.append(made.changes)
    assert runs[0] == runs[1]


def test_a_timer_that_was_served_is_not_due_again():
    made = recovering()
    for _ in range(4):
        made.won(4.0)
    made.handle_timeout(64.5)  # long asleep: those samples are gone, the step goes on
    assert made.state is RECOVERING
    assert made.next_timeout() == inf
