"""The text of a recipe: what was written, and where."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nstflow.errors import NstflowError, Problem, describe_value
from nstflow.recipe.paths import Keys
from nstflow.recipe.yaml import Positions, parse_yaml
from nstflow.storage.run_record import LOCK_FILE

MAX_BYTES = 1 << 18


@dataclass(frozen=True)
class Source:
    """What was written, and where.

    Attributes:
        label: The file's name, as the user gave it.
        text: The file, as written.
        data: Dictionaries, lists, strings, numbers, booleans and None.
        positions: Path → where its key and its value are.
        options: Path → the `--set` option that put it there.
    """

    label: str
    text: str = field(repr=False)
    data: Any
    positions: Positions = field(repr=False)
    options: Mapping[Keys, str] = field(default_factory=dict)

    def where(self, keys: Keys, *, key: bool = False) -> str:
        """Return the place of a value, or of its key; of the nearest parent if it isn't written."""
        for length in range(len(keys), -1, -1):  # an option replaced all that was written below it
            if keys[:length] in self.options:
                return self.options[keys[:length]]
        for length in range(len(keys), -1, -1):
            if keys[:length] in self.positions:
                line, column = self.positions[keys[:length]][0 if key or length < len(keys) else 1]
                return f"{self.label}:{line}:{column}"
        return self.label

    def with_data(self, data: Any, options: Mapping[Keys, str] | None = None) -> Source:
        """Return the same places for changed data."""
        return replace(self, data=data, options={**self.options, **(options or {})})


def read_source(path: Path) -> Source:
    """Read and parse a recipe file.

    Raises:
        NstflowError: There is no such file, or it is no YAML mapping.
    """
    label = str(path)

    def refuse(got: str, hint: str = "") -> NstflowError:
        return NstflowError(Problem(label, "", got, hint), label)

    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise refuse("this is no regular file.", "Write the recipe to one.")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except IsADirectoryError:
        hint = "Name one recipe file in it."
        if (path / LOCK_FILE).is_file():
            hint = f"Name the lock in it: {path / LOCK_FILE}"
        raise refuse("this is a folder.", hint) from None
    except FileNotFoundError:
        raise refuse("there is no such file.") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise refuse(f"the file can't be read ({error}).") from error
    if len(data) > MAX_BYTES:
        raise refuse(f"the file is larger than {MAX_BYTES >> 10} KiB: no recipe is.")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        hint = "`nstflow rerun` makes a picture again." if data.startswith(b"\x89PNG") else ""
        raise refuse(f"this is no text in UTF-8 (byte {error.start}).", hint) from None
    return parse_source(text, label, controls=False)


def parse_source(text: str, label: str, *, controls: bool = True) -> Source:
    """Parse the text of a recipe; `label` and `controls` are as in `parse_yaml`.

    Raises:
        NstflowError: It is no YAML mapping.
    """

    def refuse(got: str, hint: str = "") -> NstflowError:
        return NstflowError(Problem(label, "", got, hint), label)

    if len(text) > MAX_BYTES:
        raise refuse(f"the text is longer than {MAX_BYTES >> 10} KiB: no recipe is.")
    source = Source(label, text, *parse_yaml(text.removeprefix("\ufeff"), label, controls=controls))
    if source.data is None:
        raise refuse("the recipe is empty.", "It needs at least name, images and losses.")
    if not isinstance(source.data, dict):
        kind = describe_value(source.data)
        raise refuse(f"a recipe is a mapping of keys to values, but this is {kind}.")
    return source


def sort_problems(problems: list[Problem]) -> list[Problem]:
    """Return the problems in the order of the file."""

    def line(problem: Problem) -> tuple[int, int]:
        place = re.search(r":(\d+):(\d+)$", problem.where)
        return (int(place[1]), int(place[2])) if place else (0, 0)

    return sorted(problems, key=line)
