"""Probes of one nameserver (RULES 6.5): when, which question, what verdict."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codns.core.probe import NAMES_MAX, Prober, Question
from codns.wire import const
from codns.wire.name import from_text
from codns.wire.outcome import Outcome

NAME, OTHER = from_text("www.example."), from_text("other.example.")
ROOT = b"\0"


class Zero(Random):
    """A source that draws 0: the first probe leaves at once."""

    def random(self) -> float:
        return 0.0


def prober(*, validation: bool = False) -> Prober:
    return Prober(Zero(), 0.0, validation=validation)


def ask(made: Prober, now: float, *, wanted: bool = False) -> Question:
    question, verdict = made.handle_timeout(now, wanted=wanted)
    assert question is not None
    assert verdict is None
    return question


def answer(made: Prober, question: Question, elapsed: float, at: float, **more) -> bool | None:
    outcome = more.get("outcome", Outcome.ANSWER)
    return made.ended(question.token, outcome, elapsed, at, ad=more.get("ad", False))


# -- when ---------------------------------------------------------------------------------------


def run(made: Prober, end: float, queried: tuple[float, ...] = (), won: tuple = ()) -> list[float]:
    """Answer each probe after 2 ms; return when probes left."""
    left, events = [], sorted([(at, "q") for at in queried] + [(at, "w") for at in won])
    while True:
        now = made.next_timeout()
        while events and events[0][0] < now:
            at, kind = events.pop(0)
            if kind == "q":
                made.queried(at)
            else:
                made.won()
            now = made.next_timeout()
        if now > end:
            return left
        question, _ = made.handle_timeout(now, wanted=False)
        if question is not None:
            left.append(round(now, 6))
            answer(made, question, 0.002, now + 0.002)


@pytest.mark.parametrize(
    ("queried", "won", "left"),
    [
        ((), (), [0, 5, 10, 15]),  # idle
        ((0.5,), (), [0, 1.5, 2.5, 3.5, 4.5, 5.5, 10.5, 15.5]),  # busy for 5 s after a query
        ((7.25,), (), [0, 5, 8.25, 9.25, 10.25, 11.25, 12.25, 17.25]),
        ((0.5,), (1.0, 3.0), [0, 2.5, 4.5, 5.5, 10.5, 15.5]),  # not where one was won
        ((), (2.0, 7.0), [0, 15]),
    ],
)
def test_a_second_while_busy_five_when_idle_none_where_one_was_won(queried, won, left):
    assert run(prober(), 17.5, queried, won) == left


def test_wanted_it_probes_though_one_was_won():
    made = prober()
    answer(made, ask(made, 0.0), 0.002, 0.002)
    made.won()
    ask(made, 5.0, wanted=True)


def test_the_first_leaves_at_a_random_point_of_the_first_second():
    starts = [Prober(Random(seed), 10.0).next_timeout() for seed in range(50)]
    assert all(10.0 <= start < 11.0 for start in starts)
    assert len(set(starts)) == 50
    assert Prober(Random(3), 10.0).next_timeout() == starts[3]


def test_one_waits_for_its_verdict_at_a_time():
    made = prober()
    ask(made, 0.0)
    assert made.next_timeout() == 0.1
    assert made.handle_timeout(0.05, wanted=True) == (None, None)


def test_too_early_it_does_nothing():
    made = prober()
    answer(made, ask(made, 0.0), 0.002, 0.002)
    assert made.handle_timeout(4.9, wanted=True) == (None, None)


# -- which question -----------------------------------------------------------------------------


def asked(made: Prober, now: float) -> tuple[bytes, int]:
    question = ask(made, now, wanted=True)
    answer(made, question, 0.002, now)
    return question.name, question.qtype


def test_the_root_ns_when_nothing_is_known():
    made = prober()
    question = ask(made, 0.0)
    assert question[1:] == (ROOT, const.NS, const.IN, False, 2.0)


@pytest.mark.parametrize(
    ("learned", "now", "name"),
    [
        ([(NAME, 300, 0.0)], 10.0, NAME),
        ([(NAME, 300, 0.0)], 270.0, NAME),  # 30 s left
        ([(NAME, 300, 0.0)], 271.0, ROOT),
        ([(NAME, 29, 0.0)], 0.0, ROOT),
        ([(NAME, 300, 0.0), (OTHER, 60, 0.0)], 10.0, OTHER),  # the newest
        ([(NAME, 300, 0.0), (OTHER, 60, 0.0)], 31.0, NAME),
        ([(NAME, 3600, 0.0)] + [(OTHER, 40, 0.0)] * 50, 20.0, NAME),  # the longest-lived is kept
        ([(NAME, 3600, 0.0), (OTHER, 90, 3500.0)], 3571.0, ROOT),
    ],
)
def test_the_newest_name_that_must_be_in_its_cache(learned, now, name):
    made = prober()
    for known, ttl, at in learned:
        made.learn(known, const.A, const.IN, ttl, at)
    assert asked(made, now) == (name, const.NS if name == ROOT else const.A)


def test_names_are_bounded():
    made = prober()
    for number in range(1000):
        made.learn(from_text(f"n{number}.example."), const.A, const.IN, 60, 0.0)
    assert len(made._names) == NAMES_MAX


# -- verdicts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (Outcome.ANSWER, True),
        (Outcome.NXDOMAIN, True),
        (Outcome.SERVFAIL, True),  # any rcode is life
        (Outcome.REFUSED, True),
        (Outcome.LAME, True),
        (Outcome.UNREACHABLE, False),
        (Outcome.TIMEOUT, False),
        (Outcome.OVERLOAD, None),  # our own doing
    ],
)
def test_what_an_end_says(outcome, verdict):
    made = prober()
    assert answer(made, ask(made, 0.0), 0.01, 0.01, outcome=outcome) is verdict
    assert made.verdict is verdict
    assert made.next_timeout() == 5.0


@pytest.mark.parametrize(
    ("times", "silence"),
    [
        ([], 0.100),
        ([0.002] * 9, 0.100),
        ([0.050] * 9, 0.200),  # 4 medians
        ([0.050] * 5 + [0.001] * 4, 0.200),
        ([0.300] * 16 + [0.040] * 16, 0.160),  # of the last 16
    ],
)
def test_silence_is_four_medians_and_at_least_100_ms(times, silence):
    made = prober()
    now = 0.0
    for time in times:
        question = ask(made, now, wanted=True)
        answer(made, question, time, now + time)
        now += 5
    assert made.silence_s() == pytest.approx(silence)
    ask(made, now, wanted=True)
    assert made.next_timeout() == pytest.approx(now + silence)
    assert made.handle_timeout(now + silence, wanted=True) == (None, False)
    assert made.bad_running == 1


def test_a_late_answer_changes_no_verdict_but_is_learned():
    """A nameserver that became slow is alive: only the first probes call it silent."""
    made, now, verdicts = prober(), 0.0, []
    for _ in range(5):
        question = ask(made, now, wanted=True)
        judge = made.next_timeout()
        if judge <= now + 0.150:
            verdicts.append(made.handle_timeout(judge, wanted=True)[1])
            assert answer(made, question, 0.150, now + 0.150) is None
        else:
            verdicts.append(answer(made, question, 0.150, now + 0.150))
        now += 5
    assert verdicts == [False, True, True, True, True]


def test_runs_are_counted():
    made, now = prober(), 0.0
    for good in (True, True, False, False, False, True):
        question = ask(made, now, wanted=True)
        answer(made, question, 0.01, now, outcome=Outcome.ANSWER if good else Outcome.UNREACHABLE)
        now += 5
        runs = (made.good_running, made.bad_running)
    assert runs == (1, 0)


def test_an_unknown_token_is_nothing():
    assert prober().ended(77, Outcome.TIMEOUT, 1.0, 1.0, ad=False) is None


# -- validates ----------------------------------------------------------------------------------


def test_ad_on_a_do_question_of_the_root_soa():
    made = prober(validation=True)
    question = ask(made, 0.0)
    assert question[1:] == (ROOT, const.SOA, const.IN, True, 2.0)
    assert not made.validates(0.0)
    assert answer(made, question, 1.5, 1.5, ad=True) is None  # no verdict, no time
    assert made.silence_s() == 0.100
    assert made.validates(601.0)
    assert not made.validates(601.5)


def test_it_is_asked_each_five_minutes_though_real_exchanges_are_won():
    made, asked_at, now = prober(validation=True), [], 0.0
    while now < 700:
        made.won()
        question, _ = made.handle_timeout(now, wanted=False)
        if question is not None:
            asked_at.append(now)
            assert question.do
            answer(made, question, 0.1, now, ad=True)
        now = made.next_timeout()
    assert asked_at == [0.0, 300.0, 600.0]


def test_ad_0_ends_it():
    made = prober(validation=True)
    answer(made, ask(made, 0.0), 0.1, 0.1, ad=True)
    for now in range(5, 305, 5):
        answer(made, ask(made, now, wanted=True), 0.002, now)
    question = ask(made, 305.0)
    assert question.do
    answer(made, question, 0.1, 305.1, ad=False)
    assert not made.validates(305.1)


def test_unanswered_it_is_no_verdict_and_asked_again_after_30_s():
    made = prober(validation=True)
    assert answer(made, ask(made, 0.0), 2.0, 2.0, outcome=Outcome.TIMEOUT) is None
    assert made.verdict is None
    asked_do = []
    for now in range(5, 70, 5):
        question = ask(made, now, wanted=True)
        answer(made, question, 0.01, now, outcome=Outcome.ANSWER, ad=True)
        if question.do:
            asked_do.append(now)
    assert asked_do == [30]


def test_explain():
    made = prober()
    answer(made, ask(made, 0.0), 0.002, 0.002)
    assert made.explain(1.0) == {
        "verdict": True,
        "good_running": 1,
        "bad_running": 0,
        "silence": 0.1,
        "next_in": 4.0,
        "validates": False,
    }


@given(
    st.lists(
        st.tuples(st.sampled_from(list(Outcome)), st.floats(0.001, 3), st.booleans()), max_size=60
    )
)
def test_it_never_stops_probing_and_asks_at_most_once_a_second(ends):
    made, left = Prober(Random(1), 0.0), []
    for outcome, elapsed, busy in ends:
        now = made.next_timeout()
        question, _ = made.handle_timeout(now, wanted=True)
        if busy:
            made.queried(now)
        if question is not None:
            left.append(now)
            if not question.do:
                judge = made.next_timeout()
                if now + elapsed > judge:
                    assert made.handle_timeout(judge, wanted=True) == (None, False)
            made.ended(question.token, outcome, elapsed, now + elapsed, ad=False)
        assert made.next_timeout() <= now + 5.0 + 12.0
    assert all(later - earlier >= 0.999 for earlier, later in pairwise(left))
