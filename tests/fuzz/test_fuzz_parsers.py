"""Each parser of bytes that others wrote, for as long as a test suite has: the corpus, then
arbitrary bytes and changed ones. `python -m tests.fuzz.run` is the same for hours."""

import random

import pytest
from fuzz_engine import ALL, CORPUS, changed, corpus, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codns.config.resolvconf import parse as parse_resolvconf

# Enough that each target says nearly all that it ever says; HTTP opens a connection an input
INPUTS = {"http": 60, "control": 60, "configurations": 400}
INPUTS_ELSE = 1500
QUICK = [name for name in ALL if name not in ("http", "control")]


def test_every_target_has_a_corpus_and_no_corpus_is_without_a_target():
    folders = {path.name for path in CORPUS.iterdir() if path.is_dir()}
    assert folders == set(ALL)
    for name in ALL:
        files = corpus(name)
        assert files, name
        assert max(map(len, files)) <= 600


@pytest.mark.parametrize("name", ALL)
def test_the_corpus_and_changes_of_it(name):
    inputs, heard = run(name, inputs=len(corpus(name)) + INPUTS.get(name, INPUTS_ELSE), seed=7)
    assert inputs >= INPUTS.get(name, INPUTS_ELSE)
    assert len(heard) >= (1 if name == "resolvconfs" else 3)


@pytest.mark.parametrize("name", QUICK)
def test_any_bytes(name):
    target = ALL[name]()

    @settings(
        max_examples=60, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.binary(max_size=300))
    def feed(data):
        target.feed(data)

    feed()


def test_the_same_seed_is_the_same_run():
    assert run("clients", inputs=300, seed=3) == run("clients", inputs=300, seed=3)


def test_an_input_that_is_not_taken_is_told():
    """What a fuzzer finds is worth nothing if nobody can repeat it."""

    class Broken:
        seeds = [b"ab"]

        def feed(self, data):
            assert data == b"ab"
            return "fine"

    ALL["broken"] = Broken
    try:
        with pytest.raises(AssertionError) as caught:
            run("broken", inputs=50)
    finally:
        del ALL["broken"]
    assert "target broken, input " in caught.value.__notes__[0]


def test_changes_stay_within_a_bound():
    rng = random.Random(2)
    assert all(len(changed(rng, [bytes(69_990), b""])) <= 70_000 for _ in range(200))


def test_a_zero_byte_in_resolv_conf_is_no_nameserver():
    """It ended the daemon's start, and its watch over the file, with a ValueError."""
    found = parse_resolvconf("nameserver 192.0.2.1\0\nnameserver 192.0.2.2\n")
    assert found.nameservers == ["192.0.2.2#53"]
