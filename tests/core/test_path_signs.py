"""The signs of a sick path, one by one (RULES 6.2)."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codns.core.path_signs import Sample, Samples, Servfails, Silence
from codns.wire.name import from_text


def name(text: str) -> bytes:
    return from_text(text)


def test_samples_keep_the_last_16():
    samples = Samples()
    for _ in range(10):
        samples.add(Sample.LOST, 0.0)
    assert (len(samples), samples.bad, samples.good) == (10, 10, 0)
    for _ in range(12):
        samples.add(Sample.WON, 1.0)
    assert (len(samples), samples.bad, samples.good) == (16, 4, 12)
    assert samples.counts() == {"won": 12, "lost": 4, "probe_good": 0, "probe_bad": 0}


def test_samples_expire_at_60_s():
    samples = Samples()
    samples.add(Sample.PROBE_BAD, 0.0)
    samples.add(Sample.PROBE_GOOD, 1.0)
    samples.expire(59.9)
    assert (len(samples), samples.bad) == (2, 1)
    samples.expire(60.0)
    assert (len(samples), samples.bad) == (1, 0)


@given(st.lists(st.tuples(st.sampled_from(Sample), st.floats(0, 20)), max_size=100))
def test_samples_count_what_they_hold(events):
    samples, now = Samples(), 0.0
    for kind, step in events:
        now += step
        samples.add(kind, now)
        samples.expire(now)
        counts = samples.counts()
        assert samples.bad == counts["lost"] + counts["probe_bad"]
        assert sum(counts.values()) == len(samples) <= 16


@pytest.mark.parametrize(
    ("names", "due"),
    [
        ([], inf),
        (["a.x.example", "b.y.example", "c.x.example"], inf),  # three
        (["a.x.example", "b.y.example", "c.x.example", "d.x.example"], 0.33),
        (["a.x.example", "b.x.example", "c.x.example", "d.x.example"], inf),  # one domain
        (["a.x.example"] * 9 + ["b.y.example"], 0.39),
        (["b.y.example"] + ["a.x.example"] * 9, 0.33),  # complete with the fourth
        (["x.example", "a.x.example", "a.b.x.example", "y.example"], 0.33),
    ],
)
def test_silence_needs_four_lookups_of_two_domains(names, due):
    silence = Silence()
    for number, text in enumerate(names):
        silence.sent(name(text), number * 0.01)
    assert silence.due == pytest.approx(due)


def test_an_answer_starts_silence_anew():
    silence = Silence()
    for number in range(4):
        silence.sent(name(f"a.x{number}.example"), 0.0)
    assert silence.due == pytest.approx(0.3)
    silence.clear()
    assert silence.due == inf
    for number in range(3):
        silence.sent(name(f"a.x{number}.example"), 1.0)
    assert silence.due == inf


def test_silence_remembers_no_more_than_it_needs():
    silence = Silence()
    for number in range(1000):
        silence.sent(name(f"a{number}.x.example"), 0.0)
    assert len(silence.waiting) == 3


def fail(servfails: Servfails, domains: int, count: int, now: float = 0.0) -> list[bytes]:
    names = [name(f"n{number}.d{number % domains}.example") for number in range(count)]
    for failed in names:
        servfails.failed(failed, now)
    return names


@pytest.mark.parametrize(
    ("domains", "count", "good", "contradicted", "enough"),
    [
        (4, 9, 7, 4, True),
        (4, 8, 8, 8, False),  # 8 of 16 are not more than half
        (4, 9, 0, 4, True),  # 9 of 9
        (3, 9, 7, 9, False),  # three domains
        (9, 9, 7, 3, False),  # peers knew better for three of them only
        (9, 16, 0, 0, False),  # broken for everybody
    ],
)
def test_servfails(domains, count, good, contradicted, enough):
    servfails = Servfails()
    for _ in range(good):
        servfails.good()
    names = fail(servfails, domains, count)
    verdicts = [servfails.contradict(failed, 0.0) for failed in names[:contradicted]]
    assert (verdicts[-1] if verdicts else False) is enough
    assert servfails.count() == count


def test_old_servfails_do_not_count():
    servfails = Servfails()
    names = fail(servfails, 4, 8, now=0.0)
    for failed in names:
        assert not servfails.contradict(failed, 1.0)
    late = fail(servfails, 9, 1, now=60.0)
    assert not servfails.contradict(late[0], 60.0)


def test_the_same_contradiction_counts_once():
    servfails = Servfails()
    names = fail(servfails, 9, 9)
    assert not any(servfails.contradict(names[0], 0.0) for _ in range(9))


def test_a_contradiction_of_a_forgotten_failure_is_nothing():
    servfails = Servfails()
    names = fail(servfails, 4, 9)
    servfails.clear()
    assert not servfails.contradict(names[0], 0.0)
