"""What a matrix is made of: axes and groups, each a list of choices, and what is left out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nstflow.errors import NstflowError, Problem, suggest
from nstflow.recipe.parsing import Keys, describe, dotted
from nstflow.recipe.schema import Recipe
from nstflow.recipe.source import Source

MATRIX, EXCLUDE = "matrix", "exclude"

_GLOB = re.compile(r"[*?\[]")
_FIELDS = set(Recipe.model_fields) - {"nstflow", "name", "matrix", "lock", "plugins"}


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
        folder: Where patterns start.

    Raises:
        NstflowError: The matrix is no mapping, or an empty one.
    """

    def __init__(self, source: Source, folder: Path) -> None:
        self.source, self.folder = source, folder
        self.problems: list[Problem] = []
        self._written = source.data[MATRIX]
        if not isinstance(self._written, dict) or not set(self._written) - {EXCLUDE}:
            got = f"this should be a mapping of axes, but is {describe(self._written)}."
            if isinstance(self._written, dict) and self._written:
                got = "there is no axis to exclude anything from."
            hint = "Write losses.style.weight: [0.03, 0.1], for example."
            raise NstflowError(Problem(source.where((MATRIX,)), MATRIX, got, hint), source.label)

    def axes(self) -> dict[str, list[Choice]]:
        """Return axis or group → its choices, in the order of the recipe."""
        axes: dict[str, list[Choice]] = {}
        for name, held in self._written.items():
            if name != EXCLUDE:
                read = self._axis if _is_setting(name) else self._group
                axes[name] = list(read(name, held))
                self._check_apart(name, axes)
        return axes

    def _check_apart(self, name: str, axes: Mapping[str, Sequence[Choice]]) -> None:
        """Find that no choice is there twice, and that no other axis sets what this one does."""
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

    def wrong(self, keys: Keys, got: str, hint: str = "", *, key: bool = False) -> None:
        """Add a problem, once."""
        problem = Problem(self.source.where(keys, key=key), dotted(keys), got, hint)
        if problem not in self.problems:
            self.problems.append(problem)

    def _axis(self, name: str, written: Any) -> Iterator[Choice]:
        keys: Keys = (MATRIX, name)
        if isinstance(written, str) and _GLOB.search(written):
            places = [(keys, written)]
        elif isinstance(written, list) and written:
            places = [((*keys, index), value) for index, value in enumerate(written)]
        else:
            self.wrong(keys, f"this should be a list of values, but is {describe(written)}.")
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
            self.wrong(keys, f"this should be a list of mappings, but is {describe(written)}.")
            return
        for index, item in enumerate(written):
            at = (*keys, index)
            if isinstance(item, dict) and item:
                yield at, item
            else:
                self.wrong(at, f"this should be a mapping of settings, but is {describe(item)}.")

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
    """Say whether a setting is the path of a file: `images.content` is short for its path."""
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
