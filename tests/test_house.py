"""The house rules as tests: who may import whom, sizes, no clocks in core, limits with reasons."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from codns import __version__

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "codns"
SOURCES = sorted(PACKAGE.rglob("*.py"))
PYTHON = sorted(
    path
    for folder in ("codns", "tests", "bench", "deploy")
    for path in (ROOT / folder).rglob("*.py")
)

# DESIGN 2. A folder may import itself and these; nothing below imports upward.
MAY_IMPORT = {
    "wire": set(),
    "core": {"wire"},
    "peer": {"core", "wire"},
    "slave": {"wire"},
    "config": {"wire"},
    "obs": {"core", "wire"},
    "master": {"config", "core", "obs", "peer", "slave", "wire"},
    "sim": {"config", "core", "peer", "wire"},
    "cli": {"config", "core", "master", "obs", "peer", "sim", "slave", "wire"},
}

# What `core` must not know of, and what else may be imported only where it belongs.
NOT_IN_CORE = {
    "trio",
    "socket",
    "time",
    "datetime",
    "logging",
    "select",
    "os",
    "asyncio",
    "threading",
    "subprocess",
    "secrets",
    "signal",
    "dns",
    "uuid",
}
ONLY_IN = {
    "dns": {"cli", "sim", "master"},  # dnspython stays off the per-query path; SRV discovery
    "nacl": {"peer"},
    "yaml": {"config", "sim"},
    "trio": {"master", "obs", "cli"},
    "click": {"cli"},
    "rich": {"cli"},
    "prometheus_client": {"obs"},
    "h11": {"master"},
}

LINES_MAX = 400
FUNCTION_LINES_MAX = 60
NESTING_MAX = 4
LINE_MAX = 99


def imported(path):
    """Yield (line, module) of every import, those within functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield node.lineno, node.module


def folder(path):
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_follow_the_table(path):
    here = folder(path)
    for line, module in imported(path):
        top, _, rest = module.partition(".")
        there = rest.partition(".")[0]
        if top == "codns" and here and there:
            assert there == here or there in MAY_IMPORT[here], f"{path}:{line}: {module}"
        if top in ONLY_IN:
            assert here in ONLY_IN[top], f"{path}:{line}: {module} belongs in {ONLY_IN[top]}"
        if here in ("core", "wire"):
            assert top not in NOT_IN_CORE, f"{path}:{line}: {module} in {here}"


def test_every_folder_is_in_the_table():
    assert {folder(path) for path in SOURCES} - {""} <= set(MAY_IMPORT)


@pytest.mark.parametrize("path", sorted((PACKAGE / "core").glob("*.py")), ids=lambda p: p.name)
def test_core_has_no_global_randomness_and_iterates_over_no_set(path):
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "random":
            assert node.attr == "Random", f"{path}:{node.lineno}: global random"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "hash", f"{path}:{node.lineno}: hash() depends on the process"
        iterated = [node.iter] if isinstance(node, ast.For | ast.comprehension) else []
        for value in iterated:
            assert not isinstance(value, ast.Set | ast.SetComp), f"{path}: iterates over a set"


def functions(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def nesting(node, depth=0):
    inner = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.AsyncFor, ast.AsyncWith, ast.Match)
    deepest = depth
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        is_elif = isinstance(node, ast.If) and child in node.orelse and isinstance(child, ast.If)
        step = isinstance(child, inner) and not is_elif
        deepest = max(deepest, nesting(child, depth + step))
    return deepest


@pytest.mark.parametrize("path", PYTHON, ids=lambda p: str(p.relative_to(ROOT)))
def test_sizes(path):
    lines = path.read_text().splitlines()
    if path.is_relative_to(PACKAGE):
        assert len(lines) <= LINES_MAX, f"{path}: {len(lines)} lines"
        for node in functions(path):
            size = node.end_lineno - node.lineno + 1
            assert size <= FUNCTION_LINES_MAX, f"{path}:{node.lineno}: {node.name} has {size}"
            assert nesting(node) <= NESTING_MAX, f"{path}:{node.lineno}: {node.name} is nested"
    for number, line in enumerate(lines, 1):
        assert len(line) <= LINE_MAX, f"{path}:{number}: {len(line)} columns"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_unfinished(path):
    text = path.read_text()
    for mark in ("NotImplementedError", "TODO", "FIXME", "XXX", "pragma: no cover"):
        assert mark not in text, f"{path}: {mark}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_limits_have_a_reason_beside_them(path):
    """A constant named ..._MAX says where its number is from (DESIGN 7)."""
    lines = path.read_text().splitlines()
    for node in ast.parse(path.read_text()).body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        if not node.target.id.lstrip("_").endswith("_MAX"):
            continue
        if not isinstance(node.value, ast.Constant):
            continue
        start = node.lineno - 1
        while start > 0 and lines[start - 1].strip():  # the block of constants it stands in
            start -= 1
        beside = lines[start : node.lineno]
        in_prose = str(node.value.value) in (ast.get_docstring(ast.parse("\n".join(lines))) or "")
        assert in_prose or any("#" in text for text in beside), f"{path}: {node.target.id}"


def test_tests_neither_sleep_nor_mock():
    own = Path(__file__)
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if path == own:
            continue
        text = path.read_text()
        for word in ("time.sleep(", "unittest.mock", "from unittest import mock"):
            assert word not in text, f"{path}: {word}"


def test_test_files_have_names_of_their_own():
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))


def test_readme_has_exactly_two_set_up_commands_on_its_first_screen():
    readme = (ROOT / "README.md").read_text().splitlines()[:60]
    commands = [line.strip() for line in readme if "python3 -m venv" in line]
    assert len(commands) == 2, commands
    ci = (ROOT / ".ci" / "run").read_text()
    assert commands[1] in ci, "CI runs the README's test command, word for word"


def test_version_is_said_once():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_nothing_of_this_machine_is_committed():
    """No absolute path of a developer's machine in what git tracks."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False
    ).stdout.split(b"\0")
    for name in filter(None, listed):
        path = ROOT / name.decode()
        if path.is_file() and path != Path(__file__) and path.suffix not in (".png", ".bin"):
            text = path.read_text(errors="replace")
            for word in ("/work/", "/root/", "/home/"):
                assert word not in text, f"{path}: {word}"


def test_every_metric_named_for_operators_exists():
    """A renamed metric would silence a panel or an alert without a word."""
    sys.path.insert(0, str(ROOT / "tests" / "obs"))
    from metrics_world import Cluster, answers, metrics_of, text_of  # noqa: PLC0415

    text = text_of(metrics_of(Cluster([answers(0.01), answers(0.01)]).run(10.0)))
    exported = {line.split(" ")[0].split("{")[0] for line in text.splitlines() if line[0] != "#"}
    files = [path for path in (ROOT / "deploy").rglob("*") if path.suffix in (".json", ".yaml")]
    named = set()
    for path in [*files, ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "conf" / "codns.yaml"]:
        found = set(re.findall(r"\b(?:codns|process)_[a-z0-9_]*[a-z0-9]\b", path.read_text()))
        assert found <= exported, f"{path}: {sorted(found - exported)}"
        named |= found
    assert len(named) > 50, "they were looked for"
