"""Forgery, small: `bench/poisoning.py` has a million of each and prints what came of them."""

import pytest

from bench.poisoning import (
    FIELDS,
    GUESSES,
    IDS,
    Rig,
    asked_upstream,
    blind,
    letters,
    wrong_field,
    wrong_letters,
)


@pytest.fixture
def make():
    rigs = []

    def made(**options):
        rigs.append(Rig(**options))
        return rigs[-1]

    yield made
    for rig in rigs:
        rig.close()


@pytest.mark.parametrize("field", FIELDS)
def test_one_wrong_field_is_enough(make, field):
    done = wrong_field(make(nofile=297), field, 600)
    assert (done.forged, done.accepted) == (600, 0)
    assert done.true == done.attacks == 600 // GUESSES


@pytest.mark.parametrize("equal", [1, 4])
def test_blind_guesses_succeed_no_oftener_than_computed(make, equal):
    """RULES 9.2: with few ids and ports, so that chance can be seen at all."""
    done = blind(make(few=True, nofile=297), 400, equal=equal)
    assert done.computed > 8
    assert done.accepted <= 2 * done.computed
    assert IDS < 65536


@pytest.mark.parametrize("field", FIELDS)
def test_so_it_is_with_random_letters(make, field):
    done = wrong_field(make(nofile=297, mixed=True), field, 300)
    assert (done.forged, done.accepted) == (300, 0)
    assert done.true == done.attacks


def test_wrong_letters_alone_are_enough(make):
    """Id, port, source and question right: the answer that is taken is the one over TCP."""
    rig = make(nofile=297, mixed=True)
    done = wrong_letters(rig, 400)
    assert (done.accepted, done.true, done.attacks) == (0, 400, 400)
    assert rig.exchanges.guard.wrong_case == 400


@pytest.mark.parametrize("count", [1, 2])
def test_each_letter_halves_the_share_of_blind_guesses(make, count):
    """RULES 9.2, with few ids and ports, so that chance can be seen at all."""
    name = "1" + "x" * count + ".1."
    assert letters(name) == count
    done = blind(make(few=True, nofile=297, mixed=True), 1200, name=name)
    plain = blind(make(few=True, nofile=297), 1200)
    assert done.computed == pytest.approx(plain.computed / 2**count, rel=0.05)
    assert done.computed > 8
    assert done.accepted <= 2 * done.computed
    assert done.true + done.accepted == done.attacks


def test_many_that_ask_the_same_are_one_exchange_for_each_form():
    """No birthday: DO and CD make four forms, letters' case and clients make none."""
    assert asked_upstream(1) == 1
    assert asked_upstream(500) == 4
