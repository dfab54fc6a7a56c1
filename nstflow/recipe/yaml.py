"""YAML 1.2's core schema: data, and the place of every key.

`1e-4` is a number, `on` is a string, a repeated key is an error. Text is hostile until parsed: its
depth, and what its aliases expand to, are limited.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NoReturn

import yaml

from nstflow.errors import NstflowError, Problem, describe_value, printable
from nstflow.recipe.paths import MAX_DEPTH, Keys, format_path

Positions = dict[Keys, tuple[tuple[int, int], tuple[int, int]]]
"""Path → line and column, from 1, of its key (of the item itself in a list) and of its value."""


MAX_NODES, MAX_DIGITS = 20_000, 100


_TAG = "tag:yaml.org,2002:"


_CORE = {  # tag -> the plain scalars that it covers, and their first characters
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
}


_HALF_A_LETTER = re.compile("[\ud800-\udfff]")


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # tabs and ends of lines are text


IMPLICIT = [
    (_TAG + name, re.compile(f"(?:{pattern})$"), first) for name, (pattern, first) in _CORE.items()
]
"""What PyYAML needs to tell a plain scalar's kind: tag, pattern, first characters."""


class _CoreLoader(yaml.SafeLoader):
    """PyYAML's parser with the scalars of YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 - as PyYAML declares it
    nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.nodes += 1
        if self.nodes > 2 * MAX_NODES:  # keys are nodes too
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "it has too many values", mark)
        return super().compose_node(parent, index)


for _tag, _pattern, _letters in IMPLICIT:
    _CoreLoader.add_implicit_resolver(_tag, _pattern, _letters)


def parse_yaml(text: str, label: str, *, controls: bool = True) -> tuple[Any, Positions]:
    """Parse one YAML document.

    Args:
        text: The document.
        label: What problems call it.
        controls: Let control characters pass, which YAML has escapes for.

    Raises:
        NstflowError: It is no sound YAML, or more than the limits allow.
    """
    positions: Positions = {}
    try:
        node = yaml.compose(text, Loader=_CoreLoader)
        data = None if node is None else _Builder(label, positions, controls).build(node, (), 0)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{label}:{mark.line + 1}:{mark.column + 1}" if mark else label
        raise NstflowError(Problem(where, "", _explain(error), _hint(error)), label) from None
    except yaml.YAMLError as error:
        got = f"this is no text that YAML allows ({' '.join(str(error).split())})."
        raise NstflowError(Problem(label, "", got), label) from None
    except RecursionError:
        raise NstflowError(Problem(label, "", "it is nested too deeply."), label) from None
    return data, positions


class _Builder:
    """Turns PyYAML's nodes into data and positions."""

    def __init__(self, label: str, positions: Positions, controls: bool) -> None:
        self.label, self.positions, self.controls, self.nodes = label, positions, controls, 0

    def build(self, node: yaml.Node, keys: Keys, depth: int) -> Any:
        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            limit = "is nested too deeply" if depth > MAX_DEPTH else "expands to too many values"
            self.refuse(node, keys, f"the recipe {limit} here.")
        self.positions.setdefault(keys, (_place(node), _place(node)))
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, keys)
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self.mapping(node, keys, depth)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [
                self.build(item, (*keys, index), depth + 1) for index, item in enumerate(node.value)
            ]
        return self.refuse(node, keys, _not_allowed(node.tag))

    def mapping(self, node: yaml.MappingNode, keys: Keys, depth: int) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode) or key == "<<":
                self.refuse(key_node, keys, "a key is a word here; YAML 1.2 has no merge keys.")
            if flaw := flaw_of(key, controls=self.controls):
                self.refuse(key_node, keys, f"this key has {flaw}.")
            path = (*keys, key)
            if key in data:
                first = self.positions[path][0][0]
                self.refuse(key_node, path, f"the key is repeated: line {first} has it already.")
            self.positions[path] = _place(key_node), _place(value_node)
            data[key] = self.build(value_node, path, depth + 1)
        return data

    def scalar(self, node: yaml.Node, keys: Keys) -> Any:
        text = node.value
        if flaw := flaw_of(text, controls=self.controls):
            self.refuse(node, keys, f"this text has {flaw}.")
        try:
            match node.tag.removeprefix(_TAG):
                case "str":
                    return text
                case "null":
                    return None
                case "bool":
                    return {"true": True, "false": False}[text.lower()]
                case "int" if len(text) > MAX_DIGITS:
                    got = f"a number of {len(text)} digits is too long."
                case "int":
                    return int(text, 0 if text[:2] in ("0o", "0x") else 10)
                case "float":
                    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
                case _:
                    got = _not_allowed(node.tag)
        except (ValueError, KeyError):
            got = f"{describe_value(text)} is no {node.tag.removeprefix(_TAG)}."
        return self.refuse(node, keys, got)

    def refuse(self, node: yaml.Node, keys: Keys, got: str) -> NoReturn:
        line, column = _place(node)
        what = format_path(keys)
        raise NstflowError(Problem(f"{self.label}:{line}:{column}", what, got), self.label)


def flaw_of(text: str, *, controls: bool = False) -> str:
    """Return what a text holds that no file or no terminal should be given, or nothing."""
    if _HALF_A_LETTER.search(text):
        return "half of a surrogate pair, which is no letter"
    found = None if controls else _CONTROL.search(text)
    return f"the control character U+{ord(found[0]):04X}, which no recipe needs" if found else ""


def _not_allowed(tag: str) -> str:
    return f"the tag {printable(tag)} is not allowed: a recipe is plain data."


def _place(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _explain(error: yaml.MarkedYAMLError) -> str:
    parts = [part for part in (error.context, error.problem) if part]
    return f"this is no sound YAML: {', '.join(parts)}."


def _hint(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or ""
    if r"\t" in problem:
        return "YAML indents with spaces, never with tabs."
    if "undefined alias" in problem:
        return "An alias *x needs an anchor &x before it."
    return ""


class CoreDumper(yaml.SafeDumper):
    """Quotes what this project's reader, or one of YAML 1.1, would not take for a text."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002, D102 - of PyYAML
        return True


def _text(dumper: CoreDumper, text: str) -> yaml.ScalarNode:
    """Write a text; line breaks as escapes, for those of Unicode get lost in single quotes."""
    style = None if text.splitlines() in ([], [text]) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


CoreDumper.add_representer(str, _text)


for _tag, _pattern, _first in IMPLICIT:
    CoreDumper.add_implicit_resolver(_tag, _pattern, _first)


def to_yaml(data: Mapping[str, Any]) -> str:
    """Return a mapping as YAML in the style of the recipes: what holds only values, on one line."""
    text = ""
    for key, value in data.items():
        gap = "\n" if isinstance(value, dict | list) and value else ""
        text += gap + yaml.dump(
            {key: value},
            Dumper=CoreDumper,
            # None: a collection is on one line if it holds no other
            default_flow_style=None if gap else False,
            sort_keys=False,
            allow_unicode=True,
            width=100,
        )
    return text
