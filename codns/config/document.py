"""A YAML text to plain values, and the line each one stands on.

A narrow YAML, for files that people write by hand: the words yes, no, on, off, base-60 numbers,
dates and octals are ordinary text (zone `no` is a zone); a key twice is a problem and not "the
last one wins"; aliases, merge keys and tags are refused, so a small file cannot become a large
one.
"""

import re
from typing import Any, Final, NamedTuple

import yaml

from codns.config.problems import ConfigError, Problem, join, shown

_TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{tag}" for tag in ("map", "seq", "str", "int", "float", "bool", "null")
)
DEPTH_MAX: Final = 10  # the deepest key is at 4; bounds the recursion below


class Document(NamedTuple):
    """`values` as YAML has them, `lines` by path, and the problems that did not stop reading."""

    values: object
    lines: dict[str, int]
    problems: list[Problem]


class _Loader(yaml.SafeLoader):
    """SafeLoader with fewer surprises: see above."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML's way, filled below
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            text = "aliases (*name) are not allowed; write the value itself"
            raise _refusal(text, _mark(self))
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise _refusal("nested too deeply", _mark(self))
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _resolve(tag: str, pattern: str, first: str) -> None:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), list(first))


# The rules of YAML 1.2's core schema, decimal only
_resolve("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF")
_resolve("null", r"^(?:~|null|Null|NULL|)$", "~nN\0")
_resolve("int", r"^[-+]?(?:0|[1-9][0-9_]*)$", "-+0123456789")
_resolve("float", r"^[-+]?[0-9][0-9]*\.[0-9]+$", "-+0123456789")
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^$"), [""])


def parse(text: str) -> Document:
    """Return the values of a YAML text; ConfigError when it is no YAML as allowed here."""
    document = Document({}, {}, [])
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return document
            return document._replace(values=_value(loader, node, "", document))
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = error.problem or error.context or "not YAML"
        if isinstance(error, yaml.scanner.ScannerError | yaml.parser.ParserError):
            said = f"not YAML: {said}; text with : or [ in it belongs in quotes"
        line = mark.line + 1 if mark else None
        raise ConfigError([Problem("", said, line)]) from None
    except yaml.YAMLError as error:  # a character YAML does not allow
        said = str(error).partition("\n")[0]
        raise ConfigError([Problem("", f"not YAML: {said}")]) from None


def _value(loader: _Loader, node: yaml.Node, path: str, document: Document) -> object:
    document.lines.setdefault(path, node.start_mark.line + 1)
    if node.tag not in _TAGS:
        raise _refusal("tags (!name) are not allowed", node.start_mark)
    if isinstance(node, yaml.MappingNode):
        return _mapping(loader, node, path, document)
    if isinstance(node, yaml.SequenceNode):
        return [
            _value(loader, item, join(path, position), document)
            for position, item in enumerate(node.value)
        ]
    return _scalar(loader, node)


def _mapping(
    loader: _Loader, node: yaml.MappingNode, path: str, document: Document
) -> dict[str, object]:
    values: dict[str, object] = {}
    first: dict[str, int] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = _value(loader, key_node, path, document)
        if not isinstance(key, str):
            text = f"the key {shown(key)} is not text; put it in quotes"
            document.problems.append(Problem(path, text, line))
            continue
        at = join(path, key)
        if key in values:
            text = f"stands here twice; the first is on line {first[key]}"
            document.problems.append(Problem(at, text, line))
            continue
        first[key] = line
        document.lines[at] = line
        values[key] = _value(loader, value_node, at, document)
    return values


def _scalar(loader: _Loader, node: yaml.Node) -> object:
    try:
        return loader.construct_object(node)
    except (ValueError, LookupError):  # `!!int x`, or a number of 5,000 digits
        raise _refusal(f"{shown(node.value)} is not a value", node.start_mark) from None


def _mark(loader: Any) -> yaml.Mark:
    mark: yaml.Mark = loader.peek_event().start_mark
    return mark


def _refusal(text: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=text, problem_mark=mark)
