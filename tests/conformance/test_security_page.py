"""SECURITY.md names tests: each of them is there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_test_that_the_security_page_names_exists():
    page = (ROOT / "SECURITY.md").read_text()
    files = {path.name: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    named = re.findall(r"`(test_\w+\.py)(?:::(\w+))?`", page)
    assert len(named) > 40
    for file, function in named:
        assert file in files, file
        assert not function or f"def {function}(" in files[file], f"{file}::{function}"
    for module in re.findall(r"`python -m ([\w.]+)`", page):
        at = ROOT / module.replace(".", "/")
        assert at.with_suffix(".py").exists() or (at / "__main__.py").exists(), module
