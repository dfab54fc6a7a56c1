"""A recipe with a matrix: its axes and groups, and the runs that it stands for."""

from __future__ import annotations

import glob
import itertools
import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nstflow.errors import NstflowError, Problem, describe_value, suggest
from nstflow.recipe.model import Recipe
from nstflow.recipe.paths import MATRIX, Keys
from nstflow.recipe.source import Source
from nstflow.recipe.yaml import flaw_of

EXCLUDE = "exclude"

MOST_CELLS, _LONGEST_NAME = 1000, 120

_GLOB = re.compile(r"[*?\[]")

_FIELDS = set(Recipe.model_fields) - {"nstflow", "name", MATRIX, "lock", "plugins"}


@dataclass(frozen=True)
class Cell:
    """One run of a matrix.

    Attributes:
        name: The name of its directory, made from its values.
        values: Setting → value.
    """

    name: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Choice:
    """One of the choices of an axis or a group.

    Attributes:
        values: Setting → value.
        places: Setting → the path in the recipe at which its value is written.
    """

    values: Mapping[str, Any]
    places: Mapping[str, Keys]


Axes = Mapping[str, Sequence[Choice]]
"""Axis or group → its choices."""


class MatrixReader:
    """Reads the matrix of a recipe, and collects its problems.

    Args:
        source: What was written.

    Raises:
        NstflowError: The matrix is not a mapping, or an empty one.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self._written = source.data[MATRIX]
        if not isinstance(self._written, dict) or not set(self._written) - {EXCLUDE}:
            got = f"this must be a mapping of axes, but is {describe_value(self._written)}."
            if isinstance(self._written, dict) and self._written:
                got = "there is no axis to exclude anything from."
            hint = "Write losses.style.weight: [0.03, 0.1], for example."
            raise source.error((MATRIX,), got, hint)

    def axes(self) -> Axes:
        """Return axis or group → its choices, in the order of the recipe."""
        axes: dict[str, list[Choice]] = {}
        for name, held in self._written.items():
            if name != EXCLUDE:
                read = self._axis if _is_setting(name) else self._group
                axes[name] = list(read(name, held))
        count = math.prod(len(axis) for axis in axes.values())
        if count > MOST_CELLS:
            got = f"there are {count:,} runs: at most {MOST_CELLS:,} are allowed."
            self.add_problem((MATRIX,), got)
            return axes
        earlier: dict[str, set[str]] = {}
        for name, choices in axes.items():
            for index, choice in enumerate(choices):
                if any(_alike(other.values, choice.values) for other in choices[:index]):
                    place = next(iter(choice.places.values()))
                    self.add_problem(place, "this is already in the list.")
            settings = {setting for choice in choices for setting in choice.values}
            for other, theirs in earlier.items():
                if any(_overlap(one, their) for one in settings for their in theirs):
                    got = f"'{other}' sets this too."
                    self.add_problem((MATRIX, name), got, "Put both into one group.", key=True)
            earlier[name] = settings
        return axes

    def excluded(self, axes: Axes) -> list[Mapping[str, Any]]:
        """Return the values that no run may have together."""
        choices = [choice.values for axis in axes.values() for choice in axis]
        known = {setting for values in choices for setting in values}
        written = self._written.get(EXCLUDE)
        found = []
        for at, some in self._mappings((MATRIX, EXCLUDE), [] if written is None else written):
            for setting, value in some.items():
                if setting not in known:
                    hint = suggest(setting, known)
                    self.add_problem(
                        (*at, setting), "the matrix does not set this.", hint, key=True
                    )
                elif not any(_alike(values.get(setting, ...), value) for values in choices):
                    self.add_problem((*at, setting), "no run of the matrix has this value.")
            found.append(some)
        return found

    def raise_problems(self) -> None:
        """Raise the problems that were found so far, if there are any."""
        if self.problems:
            ordered = sorted(self.problems, key=lambda problem: problem.order)
            raise NstflowError(ordered, self.source.label)

    def add_problem(self, keys: Keys, got: str, hint: str = "", *, key: bool = False) -> None:
        """Add a problem, unless it is known."""
        problem = self.source.problem(keys, got, hint, key=key)
        if problem not in self.problems:
            self.problems.append(problem)

    def _axis(self, name: str, written: Any) -> Iterator[Choice]:
        keys: Keys = (MATRIX, name)
        if isinstance(written, str) and _GLOB.search(written):
            places = [(keys, written)]
        elif isinstance(written, list) and written:
            places = [((*keys, index), value) for index, value in enumerate(written)]
        else:
            self._refuse_type(keys, "a list of values", written)
            return
        for at, value in places:
            found = self._matching(value) if _names_file(name) else [value]
            if not found:
                hint = "A pattern starts at the recipe's folder."
                self.add_problem(at, f"no file matches '{value}'.", hint)
            yield from (Choice({name: one}, {name: at}) for one in found)

    def _group(self, name: str, written: Any) -> Iterator[Choice]:
        keys: Keys = (MATRIX, name)
        near = suggest(name.partition(".")[0], _FIELDS) if "." in name else ""
        if near or not isinstance(written, list) or not written:
            got = "this is neither a setting nor a group of settings."
            hint = near or "A group is a list of mappings, setting: value; an axis is a setting."
            self.add_problem(keys, got, hint, key=True)
            return
        for at, values in self._mappings(keys, written):
            for setting in values:
                if not _is_setting(setting):
                    hint = suggest(setting.partition(".")[0], _FIELDS)
                    self.add_problem((*at, setting), "a matrix can't set this.", hint, key=True)
            yield Choice(values, {setting: (*at, setting) for setting in values})

    def _mappings(self, keys: Keys, written: Any) -> Iterator[tuple[Keys, Mapping[str, Any]]]:
        """Yield each item of what should be a list of mappings, with its place."""
        if not isinstance(written, list):
            self._refuse_type(keys, "a list of mappings", written)
            return
        for index, item in enumerate(written):
            if isinstance(item, dict) and item:
                yield (*keys, index), item
            else:
                self._refuse_type((*keys, index), "a mapping of settings", item)

    def _refuse_type(self, keys: Keys, wanted: str, value: Any) -> None:
        self.add_problem(keys, f"this must be {wanted}, but is {describe_value(value)}.")

    def _matching(self, value: Any) -> list[Any]:
        """Return the files of a pattern, sorted, or a value that is not a pattern."""
        folder = self.source.folder_of((MATRIX,))
        if not isinstance(value, str) or not _GLOB.search(value):
            return [value]
        if os.path.isfile(folder / value):  # noqa: PTH113 - it never raises
            return [value]
        pattern = os.path.expanduser(value)  # noqa: PTH111 - Path's raises if there is no such user
        try:
            found = glob.glob(  # noqa: PTH207 - Path's can't have an absolute pattern
                pattern, root_dir=folder, recursive=True, include_hidden=True
            )
        except ValueError:  # of a null byte
            return []
        files = sorted(path for path in map(Path, found) if (folder / path).is_file())
        return [path.as_posix() for path in files if not flaw_of(str(path), controls=True)]


def _names_file(setting: str) -> bool:
    """Return whether a setting is the path of a file: `images.content` is short for its path."""
    parts = setting.split(".")
    return parts[-1] == "path" or (parts[0] == "images" and len(parts) == len(("images", "x")))


def _overlap(one: str, other: str) -> bool:
    """Return whether one of two paths is within the other."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _is_setting(name: str) -> bool:
    return name.partition(".")[0] in _FIELDS


def _holds(values: Mapping[str, Any], some: Mapping[str, Any]) -> bool:
    """Return whether some values are all among others."""
    return all(path in values and _alike(values[path], value) for path, value in some.items())


def _alike(one: Any, other: Any) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def cells_of(source: Source) -> list[tuple[Cell, Source]]:
    """Return the runs that a recipe with a matrix stands for, in the order of its axes.

    Args:
        source: What was written, with its short forms written out and overrides applied.

    Returns:
        Each run, and its recipe, with the places where that was written.

    Raises:
        NstflowError: With every problem of the matrix itself.
    """
    reader = MatrixReader(source)
    axes = reader.axes()
    excluded = reader.excluded(axes)
    reader.raise_problems()
    labels = _short_names(list(axes))
    data = {key: value for key, value in source.data.items() if key != MATRIX}
    base = replace(source, data=data)
    names, values, sources = [], [], []
    for choices in itertools.product(*axes.values()):
        chosen = {path: value for choice in choices for path, value in choice.values.items()}
        if not any(_holds(chosen, some) for some in excluded):
            words = (_label(name, labels[name], c) for name, c in zip(axes, choices, strict=True))
            names.append("_".join(words))
            values.append(chosen)
            sources.append(_source_of(reader, base, choices))
    if not names:
        reader.add_problem((MATRIX, EXCLUDE), "no run is left.")
    reader.raise_problems()
    cells = map(Cell, _distinct(names), values)
    return list(zip(cells, sources, strict=True))


def _source_of(reader: MatrixReader, source: Source, choices: Sequence[Choice]) -> Source:
    """Return the recipe with the values of one run."""
    options = reader.source.options
    for choice in choices:
        for setting, value in choice.values.items():
            place, keys = choice.places[setting], setting.split(".")
            try:
                source = source.with_value(keys, value, reader.source.position(place))
            except LookupError as error:
                reader.add_problem(place, str(error.args[0]))
            for option in options:
                if [*map(str, option[: len(keys)])] == keys:
                    got = "the matrix sets this in every run."
                    hint = f"Say which values it takes instead: --set 'matrix.{setting}=[…]'."
                    reader.add_problem(option, got, hint)
    return source


def _short_names(settings: Sequence[str]) -> dict[str, str]:
    """Return for each axis the shortest end of its path that no other axis shares."""
    ends = {
        setting: [".".join(parts[-count:]) for count in range(1, len(parts) + 1)]
        for setting in settings
        for parts in [setting.split(".")]
    }
    shared = Counter(itertools.chain(*ends.values()))
    return {name: next((e for e in ends[name] if shared[e] == 1), name) for name in settings}


def _label(axis: str, short_name: str, choice: Choice) -> str:
    """Return a choice as a part of a directory's name."""
    words = "-".join(map(_word, choice.values.values()))
    is_group = axis not in choice.values
    return words if is_group or _names_file(axis) else f"{_safe(short_name)}-{words}"


def _word(value: Any) -> str:
    if isinstance(value, str) and Path(value).suffix:
        value = Path(value).stem
    if isinstance(value, bool) or value is None:
        value = {True: "true", False: "false", None: "none"}[value]
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return _safe(text)


def _safe(text: str) -> str:
    """Return a text without the characters that mean something in a path."""
    return re.sub(r"[^A-Za-z0-9.+_]+", "-", text).strip("-.") or "x"


def _distinct(names: Sequence[str]) -> list[str]:
    """Return the names; those that are too long, or equal, get the number of their run."""
    seen = Counter(name.lower() for name in names)
    width = len(str(len(names)))
    distinct = [
        name
        if len(name) <= _LONGEST_NAME and seen[name.lower()] == 1
        else f"{name[: _LONGEST_NAME - width - 1]}_{number:0{width}}"
        for number, name in enumerate(names, 1)
    ]
    if len({name.lower() for name in distinct}) == len(names):
        return distinct
    return [f"{number:0{width}}" for number in range(1, len(names) + 1)]
