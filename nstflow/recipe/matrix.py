"""What a matrix is made of: axes and groups, each a list of choices, and what is left out."""

from __future__ import annotations

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

EXCLUDE = "exclude"

MOST_CELLS, _LONGEST_NAME = 1000, 120

_GLOB = re.compile(r"[*?\[]")

_FIELDS = set(Recipe.model_fields) - {"nstflow", "name", MATRIX, "lock", "plugins"}


@dataclass(frozen=True)
class Cell:
    """One run of a matrix.

    Attributes:
        name: Made of its values: the name of its directory.
        values: Setting → value.
    """

    name: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Choice:
    """What one axis or group may be.

    Attributes:
        values: Setting → value.
        keys: Where it is written.
        grouped: Whether it is one of a group, its settings keys of a mapping.
    """

    values: Mapping[str, Any]
    keys: Keys
    grouped: bool

    def place(self, setting: str) -> Keys:
        """Return where a setting's value is written."""
        return (*self.keys, setting) if self.grouped else self.keys


class MatrixReader:
    """Reads the matrix of a recipe; what is wrong with it is in `problems`.

    Args:
        source: What was written.

    Raises:
        NstflowError: The matrix is not a mapping, or an empty one.
    """

    def __init__(self, source: Source) -> None:
        self.source, self.folder = source, source.folder_of((MATRIX,))
        self.problems: list[Problem] = []
        self._written = source.data[MATRIX]
        if not isinstance(self._written, dict) or not set(self._written) - {EXCLUDE}:
            got = f"this should be a mapping of axes, but is {describe_value(self._written)}."
            if isinstance(self._written, dict) and self._written:
                got = "there is no axis to exclude anything from."
            hint = "Write losses.style.weight: [0.03, 0.1], for example."
            raise source.error((MATRIX,), got, hint)

    def axes(self) -> dict[str, list[Choice]]:
        """Return axis or group → its choices, in the order of the recipe."""
        axes: dict[str, list[Choice]] = {}
        for name, held in self._written.items():
            if name != EXCLUDE:
                read = self._axis if _is_setting(name) else self._group
                axes[name] = list(read(name, held))
        count = math.prod(len(axis) for axis in axes.values())
        if count > MOST_CELLS:
            self.wrong((MATRIX,), f"these are {count:,} runs: {MOST_CELLS:,} are the most.")
            return axes
        for index, name in enumerate(axes):
            self._check_apart(name, dict(itertools.islice(axes.items(), index + 1)))
        return axes

    def _check_apart(self, name: str, axes: Mapping[str, Sequence[Choice]]) -> None:
        """Check that no choice is there twice, and that no other axis sets what this one does."""
        choices = axes[name]
        for index, choice in enumerate(choices):
            if any(_alike(earlier.values, choice.values) for earlier in choices[:index]):
                self.wrong(choice.keys, "this is there already.")
        for other, others in axes.items():
            theirs = {path for choice in others for path in choice.values}
            for path in dict.fromkeys(path for choice in choices for path in choice.values):
                if other != name and any(_overlap(path, their) for their in theirs):
                    got = f"'{other}' sets this too."
                    self.wrong((MATRIX, name), got, "Put both into one group.", key=True)

    def excluded(self, axes: Mapping[str, Sequence[Choice]]) -> list[Mapping[str, Any]]:
        """Return the values that no run may have together."""
        known = {path for axis in axes.values() for choice in axis for path in choice.values}
        found = []
        written = self._written.get(EXCLUDE)
        for at, unlike in self._mappings((MATRIX, EXCLUDE), [] if written is None else written):
            for path, value in unlike.items():
                place = (*at, path)
                if path not in known:
                    got = "the matrix does not set this."
                    self.wrong(place, got, suggest(path, known), key=True)
                elif not any(
                    _alike(choice.values.get(path, ...), value)
                    for axis in axes.values()
                    for choice in axis
                ):
                    self.wrong(place, "no run of the matrix has this value.")
            found.append(unlike)
        return found

    def raise_problems(self) -> None:
        """Raise what was found so far, if anything was."""
        if self.problems:
            ordered = sorted(self.problems, key=lambda problem: problem.order)
            raise NstflowError(ordered, self.source.label)

    def wrong(self, keys: Keys, got: str, hint: str = "", *, key: bool = False) -> None:
        """Add a problem, once."""
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
            self.wrong(keys, f"this should be a list of values, but is {describe_value(written)}.")
            return
        for at, value in places:
            found = self._matching(value) if names_file(name) else [value]
            if not found:
                hint = "A pattern starts at the recipe's folder."
                self.wrong(at, f"no file matches '{value}'.", hint)
            yield from (Choice({name: one}, at, grouped=False) for one in found)

    def _group(self, name: str, written: Any) -> Iterator[Choice]:
        keys: Keys = (MATRIX, name)
        near = suggest(name.partition(".")[0], _FIELDS) if "." in name else ""
        if near or not isinstance(written, list) or not written:
            hint = near or "A group is a list of mappings, setting: value; an axis is a setting."
            self.wrong(keys, "this is no setting, and no group of settings.", hint, key=True)
            return
        for at, values in self._mappings(keys, written):
            for path in values:
                if not _is_setting(path):
                    hint = suggest(path.partition(".")[0], _FIELDS)
                    self.wrong((*at, path), "a matrix can't set this.", hint, key=True)
            yield Choice(values, at, grouped=True)

    def _mappings(self, keys: Keys, written: Any) -> Iterator[tuple[Keys, Mapping[str, Any]]]:
        """Yield each item of what should be a list of mappings, with its place."""
        if not isinstance(written, list):
            self.wrong(
                keys, f"this should be a list of mappings, but is {describe_value(written)}."
            )
            return
        for index, item in enumerate(written):
            at = (*keys, index)
            if isinstance(item, dict) and item:
                yield at, item
            else:
                self.wrong(
                    at, f"this should be a mapping of settings, but is {describe_value(item)}."
                )

    def _matching(self, value: Any) -> list[Any]:
        """Return the files of a pattern, sorted; a value that is no pattern, as it is."""
        if not isinstance(value, str) or not _GLOB.search(value):
            return [value]
        if os.path.isfile(self.folder / value):  # noqa: PTH113 - which raises nothing
            return [value]
        try:
            pattern = Path(value).expanduser()
        except RuntimeError:  # the home of nobody
            return []
        start = Path(pattern.anchor) if pattern.is_absolute() else self.folder
        within = str(pattern.relative_to(pattern.anchor) if pattern.is_absolute() else pattern)
        try:
            found = sorted(path for path in start.glob(within) if path.is_file() and _utf8(path))
        except (OSError, ValueError, NotImplementedError):  # what `glob` says of odd patterns
            return []
        return [
            str(path) if pattern.is_absolute() else path.relative_to(start).as_posix()
            for path in found
        ]


def names_file(setting: str) -> bool:
    """Return whether a setting is the path of a file: `images.content` is short for its path."""
    parts = setting.split(".")
    return parts[-1] == "path" or (parts[0] == "images" and len(parts) == len(("images", "x")))


def _overlap(one: str, other: str) -> bool:
    """Say whether one of two paths is within the other."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _utf8(path: Path) -> bool:
    """Say whether a file's name can be written into a recipe."""
    return not any("\ud800" <= letter <= "\udfff" for letter in str(path))


def _is_setting(name: str) -> bool:
    return name.partition(".")[0] in _FIELDS


def holds(values: Mapping[str, Any], some: Mapping[str, Any]) -> bool:
    """Say whether all of some values are among these."""
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
        if not any(holds(chosen, unlike) for unlike in excluded):
            words = (_label(labels[name], c) for name, c in zip(axes, choices, strict=True))
            names.append("_".join(words))
            values.append(chosen)
            sources.append(_source_of(reader, base, choices))
    if not names:
        reader.wrong((MATRIX, EXCLUDE), "no run is left.")
    reader.raise_problems()
    cells = map(Cell, _distinct(names), values)
    return list(zip(cells, sources, strict=True))


def _source_of(reader: MatrixReader, source: Source, choices: Sequence[Choice]) -> Source:
    """Put the values of a run into its recipe."""
    options = reader.source.options
    for choice in choices:
        for setting, value in choice.values.items():
            place = choice.place(setting)
            keys = setting.split(".")
            try:
                source = source.with_value(keys, value, reader.source.position(place))
            except LookupError as error:
                reader.wrong(place, str(error.args[0]))
            for option in options:
                if [*map(str, option[: len(keys)])] == keys:
                    got = "the matrix sets this in every run."
                    hint = f"Say which values it takes instead: --set 'matrix.{setting}=[…]'."
                    reader.wrong(option, got, hint)
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


def _label(name: str, choice: Choice) -> str:
    """Return a choice as a part of a directory's name."""
    words = "-".join(map(_word, choice.values.values()))
    bare = choice.grouped or all(map(names_file, choice.values))
    return words if bare else f"{_safe(name)}-{words}"


def _word(value: Any) -> str:
    if isinstance(value, str) and Path(value).suffix:
        value = Path(value).stem
    if isinstance(value, bool) or value is None:
        value = {True: "true", False: "false", None: "none"}[value]
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return _safe(text)


def _safe(text: str) -> str:
    """Return a text with nothing in it that means something in a path."""
    return re.sub(r"[^A-Za-z0-9.+_]+", "-", text).strip("-.") or "x"


def _distinct(names: Sequence[str]) -> list[str]:
    """Return the names, those that are too long or alike with their number."""
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
