"""YAML 1.2's core schema: data, and the place of every key.

`1e-4` is a number, `on` is a string, a repeated key is an error. Text is hostile until parsed: its
depth, and what its aliases expand to, are limited.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, NoReturn

import yaml

from nstflow.errors import (
    SINGLE_QUOTES,
    NstflowError,
    Problem,
    describe_value,
    flaw_of,
    printable,
)
from nstflow.recipe.paths import MAX_DEPTH, Keys, format_path
from nstflow.recipe.scanner import TAB, UNUSUAL, Scanner


class Position(NamedTuple):
    """A place in a file, its line and column from 1; or an option of the command line."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


Positions = dict[Keys, tuple[Position, Position]]
"""Path → where its key is (the item itself in a list), and its value."""

MAX_NODES, MAX_DIGITS = 20_000, 100

_TAG = "tag:yaml.org,2002:"

_PATTERNS = {  # tag -> the plain scalars that it covers
    f"{_TAG}null": r"~|null|Null|NULL|",
    f"{_TAG}bool": r"true|True|TRUE|false|False|FALSE",
    f"{_TAG}int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    f"{_TAG}float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}

_SCALARS: dict[str, Callable[[str], Any]] = {  # tag -> how they are read
    f"{_TAG}str": str,
    f"{_TAG}null": lambda _text: None,
    f"{_TAG}bool": lambda text: {"true": True, "false": False}[text.lower()],
    f"{_TAG}int": lambda text: int(text, 0 if text[:2] in ("0o", "0x") else 10),
    f"{_TAG}float": lambda text: float(text.lower().replace(".inf", "inf").replace(".nan", "nan")),
}


class _CoreLoader(yaml.SafeLoader):
    """PyYAML's parser with the scalars of YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 - as PyYAML declares it


class _Loader(_CoreLoader, Scanner):
    """The same with YAML 1.2's scanner, for a text in which it matters."""


def _resolve_core(cls: type[yaml.SafeLoader] | type[yaml.SafeDumper]) -> None:
    """Let a class of PyYAML find the type of a plain scalar by the patterns of the core schema."""
    for tag, pattern in _PATTERNS.items():
        cls.add_implicit_resolver(tag, re.compile(f"(?:{pattern})$"), None)


_resolve_core(_CoreLoader)


def parse_yaml(text: str, label: str, *, controls: bool = True) -> tuple[Any, Positions]:
    """Parse one YAML document.

    Args:
        text: The document.
        label: What problems call it.
        controls: Let control characters pass, which YAML has escapes for.

    Raises:
        NstflowError: It is not valid YAML, or more than the limits allow.
    """
    builder = _Builder(label, controls)
    loader = _Loader if UNUSUAL.search(text) else _CoreLoader
    try:
        if len(text) > MAX_NODES:  # a shorter text can't have as many values
            events = yaml.parse(text, Loader=loader)
            # each value has at most three: of its key, its beginning and its end
            if event := next(islice(events, 3 * MAX_NODES + 4, None), None):
                where = _place(label, event.start_mark)
                raise NstflowError(Problem(where, "", "there are too many values."), label)
        node = yaml.compose(text, Loader=loader)
        return (None if node is None else builder.build(node)), builder.positions
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = _place(label, mark)
        got = f"this is not valid YAML: {', '.join(filter(None, (error.context, error.problem)))}."
        raise NstflowError(Problem(where, "", got, _hint(error)), label) from None
    except yaml.YAMLError as error:
        got = f"this is not text that YAML allows ({' '.join(str(error).split())})."
        raise NstflowError(Problem(label, "", got), label) from None
    except RecursionError:
        raise NstflowError(Problem(label, "", "it is nested too deeply."), label) from None


def _place(label: str, mark: Any) -> str:
    """Return the place of a mark of PyYAML, which may be None."""
    return str(Position(label, mark.line + 1, mark.column + 1)) if mark else label


@dataclass
class _Builder:
    """Turns PyYAML's nodes into data and positions."""

    label: str
    controls: bool
    positions: Positions = field(default_factory=dict)
    nodes: int = 0

    def build(self, node: yaml.Node, keys: Keys = (), key: yaml.Node | None = None) -> Any:
        """Return the data of a node at a path; `key` is the node of its key in a mapping."""
        self.nodes += 1
        if len(keys) > MAX_DEPTH:
            self.refuse(node, keys, "the recipe is nested too deeply here.")
        if self.nodes > MAX_NODES:
            self.refuse(node, keys, "the recipe expands to too many values here.")
        at, value_at = (
            Position(self.label, mark.line + 1, mark.column + 1)
            for mark in ((key or node).start_mark, node.start_mark)
        )
        self.positions[keys] = at, value_at
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self.mapping(node, keys)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.build(item, (*keys, index)) for index, item in enumerate(node.value)]
        if not isinstance(node, yaml.ScalarNode) or node.tag not in _SCALARS:
            tag = printable(node.tag)
            self.refuse(node, keys, f"the tag {tag} is not allowed: a recipe is plain data.")
        text, kind = node.value, node.tag.removeprefix(_TAG)
        if flaw := flaw_of(text, controls=self.controls):
            self.refuse(node, keys, f"this text has {flaw}.", _escape_hint(node))
        if kind == "int" and len(text) > MAX_DIGITS:
            self.refuse(node, keys, f"a number of {len(text)} digits is too long.")
        try:
            return _SCALARS[node.tag](text)
        except (ValueError, KeyError):
            return self.refuse(node, keys, f"{describe_value(text)} is not a valid {kind}.")

    def mapping(self, node: yaml.MappingNode, keys: Keys) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode) or key == "<<":
                self.refuse(key_node, keys, "a key must be a word; YAML 1.2 has no merge keys.")
            if flaw := flaw_of(key, controls=self.controls):
                self.refuse(key_node, keys, f"this key has {flaw}.", _escape_hint(key_node))
            path = (*keys, key)
            if key in data:
                line = self.positions[path][0].line
                self.refuse(key_node, path, f"the key is repeated: line {line} has it already.")
            data[key] = self.build(value_node, path, key_node)
        return data

    def refuse(self, node: yaml.Node, keys: Keys, got: str, hint: str = "") -> NoReturn:
        mark = node.start_mark
        place = Position(self.label, mark.line + 1, mark.column + 1)
        raise NstflowError(Problem(str(place), format_path(keys), got, hint), self.label)


def _escape_hint(node: yaml.ScalarNode) -> str:
    """Return the hint for a control character, which only an escape can have made."""
    return SINGLE_QUOTES if node.style == '"' else ""


def _hint(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or ""
    if problem == TAB:
        return "YAML indents with spaces, never with tabs."
    if "escape character" in problem or "escape sequence" in problem:
        return SINGLE_QUOTES
    if "undefined alias" in problem:
        return "An alias *x needs an anchor &x before it."
    return ""


class CoreDumper(yaml.SafeDumper):
    """Quotes what this project's reader, or one of YAML 1.1, would not read as a string."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002, D102 - of PyYAML
        return True


def _text(dumper: CoreDumper, text: str) -> yaml.ScalarNode:
    """Write a text; line breaks as escapes, for those of Unicode get lost in single quotes."""
    style = None if text.splitlines() in ([], [text]) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


CoreDumper.add_representer(str, _text)
_resolve_core(CoreDumper)


def to_yaml(data: Mapping[str, Any]) -> str:
    """Return a mapping as YAML in the style of the recipes: what holds only values, on one line."""
    text = ""
    for key, value in data.items():
        gap = "\n" if isinstance(value, dict | list) and value else ""
        # None: a collection is on one line if it holds no other
        text += gap + _dump({key: value}, width=100, flow=None if gap else False)
    return text


def to_yaml_line(value: Any) -> str:
    """Return a value as YAML on one line."""
    text = _dump(value, width=float("inf"), flow=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _dump(value: Any, *, width: float, flow: bool | None) -> str:
    return str(
        yaml.dump(
            value,
            Dumper=CoreDumper,
            width=width,
            default_flow_style=flow,
            sort_keys=False,
            allow_unicode=True,
        )
    )
