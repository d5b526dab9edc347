"""Plain values to the schema's structs, all problems at once.

`msgspec.convert` stops at the first thing that does not fit, so the struct is walked here and
every leaf is read alone; what is whole goes through `msgspec.convert` once more at the end.
"""

import difflib
import types
from collections.abc import Iterator, Mapping
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec

from codns.config.problems import Problem, join, shown
from codns.config.schema import Config

LIST_SIZE_MAX: Final = 4096  # entries of a list or mapping: one file is no database

_MISSING: Final = object()  # what a value that does not fit is replaced by: its default
Schema = TypeVar("Schema", bound=msgspec.Struct)


def convert(values: object) -> tuple[Config, list[Problem]]:
    """Return the configuration, and what was wrong; a wrong value has its default in it."""
    return convert_to(Config, values)


def convert_to(struct: type[Schema], values: object) -> tuple[Schema, list[Problem]]:
    """Return what a file of another kind says; every key of `struct` must have a default."""
    reader = _Reader(struct)
    plain = reader.read(struct, values, "")
    if plain is _MISSING:
        plain = {}
    return msgspec.convert(plain, struct), reader.problems


def keys(struct: type[msgspec.Struct] = Config, path: str = "") -> Iterator[str]:
    """Yield the path of every key that the schema knows, sections before what is in them."""
    for key, hint in get_type_hints(struct, include_extras=True).items():
        at = join(path, key)
        yield at
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            yield from keys(hint, at)


class _Reader:
    """One walk; collects problems."""

    def __init__(self, root: type[msgspec.Struct]) -> None:
        self.problems: list[Problem] = []
        self._root = root

    def read(self, hint: Any, value: object, path: str) -> object:
        """Return the plain value of type `hint`, or _MISSING with a problem noted."""
        origin = get_origin(hint)
        if origin is Annotated:
            return self._kind(hint, value, path)
        if origin in (types.UnionType, Union):
            return self._union(hint, value, path)
        if origin is tuple:
            return self._list(get_args(hint)[0], value, path)
        if origin is dict:
            return self._mapping(get_args(hint), value, path)
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            return self._struct(hint, value, path)
        return self._native(hint, value, path)

    def _wrong(self, path: str, text: str) -> object:
        self.problems.append(Problem(path, text))
        return _MISSING

    def _kind(self, hint: Any, value: object, path: str) -> object:
        kind = hint.__metadata__[0]
        try:
            return kind.read(value)
        except ValueError as error:
            return self._wrong(path, str(error))

    def _native(self, hint: Any, value: object, path: str) -> object:
        try:
            return msgspec.convert(value, hint)
        except msgspec.ValidationError:
            pass
        if get_origin(hint) is Literal:
            words = [str(word) for word in get_args(hint)]
            near = difflib.get_close_matches(str(value), words, 1)
            hint_text = f"; did you mean {near[0]}?" if near else ""
            text = f"{shown(value)} is not one of {', '.join(words)}{hint_text}"
            return self._wrong(path, text)
        if hint is bool:
            return self._wrong(path, f"{shown(value)} is not true or false")
        return self._wrong(path, f"{shown(value)} is not text")

    def _union(self, hint: Any, value: object, path: str) -> object:
        words, other = get_args(hint)
        if other is types.NoneType:
            return None if value is None else self.read(words, value, path)
        if value in get_args(words):
            return value
        names = " or ".join(get_args(words))
        if get_origin(other) is tuple and not isinstance(value, list):
            return self._wrong(path, f"{shown(value)} is neither {names} nor a list")
        before = len(self.problems)
        plain = self.read(other, value, path)
        if get_origin(other) is not tuple and len(self.problems) > before:
            last = self.problems.pop()
            self.problems.append(last._replace(text=f"{last.text}, or {names}"))
        return plain

    def _list(self, item: Any, value: object, path: str) -> object:
        if not isinstance(value, list):
            return self._wrong(path, f"{shown(value)} is not a list; write [a, b]")
        if not value:
            return self._wrong(path, "is empty; leave the key out for its default")
        if len(value) > LIST_SIZE_MAX:
            return self._wrong(path, f"has {len(value)} entries; at most {LIST_SIZE_MAX} are read")
        found = (self.read(item, v, join(path, i)) for i, v in enumerate(value))
        plain = [v for v in found if v is not _MISSING]
        return plain or _MISSING

    def _mapping(self, hints: tuple[Any, ...], value: object, path: str) -> object:
        if value is None:
            return {}
        if not isinstance(value, dict):
            return self._wrong(path, f"{shown(value)} is not a mapping; write key: value")
        if len(value) > LIST_SIZE_MAX:
            return self._wrong(path, f"has {len(value)} entries; at most {LIST_SIZE_MAX} are read")
        plain: dict[object, object] = {}
        for name, inner in value.items():
            at = join(path, name)
            key = self.read(hints[0], name, at)
            read = self.read(hints[1], inner, at)
            if key in plain:
                self._wrong(at, "stands here twice, written differently")
            elif key is not _MISSING:
                plain[key] = {} if read is _MISSING else read
        return plain

    def _struct(self, struct: type[msgspec.Struct], value: object, path: str) -> object:
        if value is None:  # a section whose keys are all commented out
            return {}
        hints = get_type_hints(struct, include_extras=True)
        if not isinstance(value, Mapping):
            remedy = f"its keys are {', '.join(hints)}" if path else "write key: value"
            return self._wrong(path, f"{shown(value)} is not a mapping; {remedy}")
        empty = {field.name for field in msgspec.structs.fields(struct) if field.default == ()}
        plain: dict[str, object] = {}
        for key, inner in value.items():
            at = join(path, key)
            if key not in hints:
                self._wrong(at, "unknown key" + self._nearest(str(key), list(hints), path))
                continue
            if inner == [] and key in empty:  # elsewhere an empty list is a slip
                plain[key] = inner
                continue
            read = self.read(hints[key], inner, at)
            if read is not _MISSING:
                plain[key] = read
        return plain

    def _nearest(self, key: str, known: list[str], path: str) -> str:
        """Return "; did you mean cache?": a key nearby, or the same key at another place."""
        near = difflib.get_close_matches(key.lower().replace("-", "_"), known, 1)
        if near:
            return f"; did you mean {join(path, near[0])}?"
        same = [other for other in keys(self._root) if other.rpartition(".")[2] == key]
        if same:
            return f"; did you mean {same[0]}?"
        where = f"in {path}" if path else "here"
        return f"; known {where}: {', '.join(known)}"
