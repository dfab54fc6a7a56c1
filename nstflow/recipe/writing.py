"""From data to YAML that reads back as the same data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from nstflow.recipe.parsing import IMPLICIT


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
