"""What is depended on is bounded on both sides, and installed within the bounds."""

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEEDED = [Requirement(text) for text in PROJECT["dependencies"]]
EXTRA = [
    Requirement(text) for extra in PROJECT["optional-dependencies"].values() for text in extra
]


@pytest.mark.parametrize("requirement", NEEDED + EXTRA, ids=str)
def test_a_dependency_has_a_least_version_and_one_it_ends_before(requirement):
    assert {each.operator for each in requirement.specifier} == {">=", "<"}


@pytest.mark.parametrize("requirement", NEEDED, ids=str)
def test_the_suite_runs_with_a_version_within_the_bounds(requirement):
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        pytest.fail(f"{requirement.name} is not installed")
    assert requirement.specifier.contains(installed, prereleases=True)
