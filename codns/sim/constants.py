"""Constants of `core`, changed for one run: what is each of them worth?

    with overridden({"local_path.TRICKLE": 4}):
        ...

It works in pure Python only: the compiled core has its constants built in, and says so here. A
value that other modules imported by name is changed there too, since each has a copy.
"""

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from codns.config.problems import ConfigError, Problem


@contextmanager
def overridden(constants: Mapping[str, float]) -> Iterator[None]:
    """Let constants of core have other values meanwhile."""
    before: list[tuple[object, str, object]] = []
    try:
        for path, value in constants.items():
            before += _set(path, value)
        yield
    finally:
        for module, name, old in reversed(before):
            setattr(module, name, old)


def check(constants: Mapping[str, float]) -> None:
    """Raise ConfigError if one of them is none."""
    for path in constants:
        _find(path)


def _find(path: str) -> tuple[str, str, float]:
    where, _, name = path.partition(".")
    try:
        module = importlib.import_module(f"codns.core.{where}")
    except ImportError:
        raise _wrong(path, f"codns.core has no module {where}") from None
    value = getattr(module, name, None)
    if not isinstance(value, int | float) or not name.isupper():
        raise _wrong(path, f"codns.core.{where} has no number {name}")
    if not str(module.__file__).endswith(".py"):
        raise _wrong(path, "the compiled core has its constants built in; install without it")
    return module.__name__, name, value


def _set(path: str, value: float) -> list[tuple[object, str, object]]:
    home, name, old = _find(path)
    made = type(old)(value)
    changed: list[tuple[object, str, object]] = []
    for module_name, module in list(sys.modules.items()):
        if not module_name.startswith("codns.core.") or not hasattr(module, name):
            continue
        if module_name == home or _imports(module, home, name):
            changed.append((module, name, getattr(module, name)))
            setattr(module, name, made)
    return changed


def _imports(module: object, home: str, name: str) -> bool:
    """Was this name imported from there? A constant of the same name may be another's."""
    source = getattr(module, "__file__", None) or ""
    try:
        with open(source, encoding="utf-8") as file:  # noqa: PTH123 - a module's own source
            text = file.read()
    except OSError:
        return False
    start = text.find(f"from {home} import")
    if start < 0:
        return False
    end = text.find("\n\n", start)
    return name in text[start:end].replace("(", " ").replace(",", " ").split()


def _wrong(path: str, text: str) -> ConfigError:
    return ConfigError([Problem(f"constants.{path}", text)])
