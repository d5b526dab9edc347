"""The table is what it says: every test it names exists, every RFC is in it, TABLE.md is it."""

import ast
from functools import cache
from pathlib import Path

import pytest
from behaviours import BEHAVIOURS
from rules import RFCS, RULES, TABLE, rendered

TESTS = Path(__file__).resolve().parents[1]
FILES = {path.name: path for path in TESTS.rglob("test_*.py")}


@cache
def functions(file):
    return {
        node.name
        for node in ast.walk(ast.parse(FILES[file].read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize("rfc", RFCS)
def test_each_rfc_has_rules(rfc):
    assert [rule for rule in RULES if rule.rfc == rfc]
    assert {rule.rfc for rule in RULES} <= set(RFCS)


def test_each_rule_is_shown_or_has_a_reason():
    for rule in RULES:
        assert bool(rule.shown) != bool(rule.why_not), rule
        for test in rule.shown:
            file, _, function = test.partition("::")
            assert file in FILES, test
            assert function in functions(file), test


def test_each_behaviour_is_shown_or_has_a_reason():
    assert len(BEHAVIOURS) > 50
    for behaviour in BEHAVIOURS:
        assert behaviour.stated, behaviour
        assert behaviour.shown or behaviour.why_not, behaviour
        for test in behaviour.shown:
            file, _, function = test.partition("::")
            assert file in FILES, test
            assert function in functions(file), test
    words = [behaviour.words for behaviour in BEHAVIOURS]
    assert len(set(words)) == len(words)


def test_the_rendered_table_is_up_to_date():
    assert TABLE.read_text() == rendered(), "run: python -m tests.conformance.rules"
