"""A recipe with a matrix becomes many: the product of its axes, put into the data as written."""

from __future__ import annotations

import copy
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nstflow.errors import NstflowError, Problem
from nstflow.recipe.axes import EXCLUDE, MATRIX, Choice, MatrixReader, holds, names_file
from nstflow.recipe.draft import in_order
from nstflow.recipe.overrides import put_at
from nstflow.recipe.parsing import Keys, dotted
from nstflow.recipe.source import Source

MOST_CELLS = 1000

_LONGEST_NAME = 120


@dataclass(frozen=True)
class Cell:
    """One run of a matrix.

    Attributes:
        name: Made of its values: the name of its directory.
        values: Setting → value.
        source: The recipe of this run, with the places where it was written.
    """

    name: str
    values: Mapping[str, Any]
    source: Source


def cells_of(source: Source, folder: Path) -> list[Cell]:
    """Return the runs that a recipe with a matrix stands for, in the order of its axes.

    Args:
        source: What was written, with its short forms written out and overrides applied.
        folder: Where patterns of file names start.

    Raises:
        NstflowError: With every problem of the matrix itself.
    """
    reader = MatrixReader(source, folder)
    axes = reader.axes()
    excluded = reader.excluded(axes)
    count = math.prod(len(axis) for axis in axes.values())
    if count > MOST_CELLS:
        reader.wrong((MATRIX,), f"these are {count:,} runs: {MOST_CELLS:,} are the most.")
    if reader.problems:
        raise NstflowError(in_order(reader.problems), source.label)
    labels = _short_names(list(axes))
    data = {key: value for key, value in source.data.items() if key != MATRIX}
    cells = []
    for choices in itertools.product(*axes.values()):
        values = {path: value for choice in choices for path, value in choice.values.items()}
        if any(holds(values, unlike) for unlike in excluded):
            continue
        words = (_label(labels[name], c) for name, c in zip(axes, choices, strict=True))
        cells.append(Cell("_".join(words), values, _source_of(reader, data, choices)))
    if not cells:
        reader.wrong((MATRIX, EXCLUDE), "no run is left.")
    if reader.problems:
        raise NstflowError(in_order(reader.problems), source.label)
    return _with_names_of_their_own(cells)


def _source_of(reader: MatrixReader, data: Mapping[str, Any], choices: Sequence[Choice]) -> Source:
    """Put the values of a run into its data."""
    own = copy.deepcopy(dict(data))
    places: dict[Keys, str] = {}
    for choice in choices:
        for setting, value in choice.values.items():
            keys = choice.place(setting)
            try:
                put = put_at(own, setting, copy.deepcopy(value))
            except LookupError as error:
                reader.wrong(keys, str(error.args[0]))
            else:
                places[put] = reader.source.where(keys)
                _refuse_in_vain(reader, put, setting)
    return reader.source.with_data(own, places)


def _refuse_in_vain(reader: MatrixReader, put: Keys, setting: str) -> None:
    """Note each `--set` of what the matrix sets: it would count for nothing."""
    for keys, option in reader.source.options.items():
        if keys[: len(put)] == put:
            hint = f"Say which values it takes instead: --set 'matrix.{setting}=[…]'."
            problem = Problem(option, dotted(keys), "the matrix sets this in every run.", hint)
            if problem not in reader.problems:
                reader.problems.append(problem)


def _short_names(settings: Sequence[str]) -> dict[str, str]:
    """Return for each axis the shortest end of its path that no other axis shares."""
    names = {}
    for setting in settings:
        parts = setting.split(".")
        ends = [".".join(parts[-count:]) for count in range(1, len(parts) + 1)]
        others = [f".{other}" for other in settings if other != setting]
        names[setting] = next(
            (e for e in ends if not any(o.endswith(f".{e}") for o in others)), setting
        )
    return names


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


def _with_names_of_their_own(cells: list[Cell]) -> list[Cell]:
    """Return the cells, those whose names are too long or alike with their number."""
    seen: dict[str, int] = {}
    for cell in cells:
        seen[cell.name.lower()] = seen.get(cell.name.lower(), 0) + 1
    width = len(str(len(cells)))
    own = [
        cell
        if len(cell.name) <= _LONGEST_NAME and seen[cell.name.lower()] == 1
        else replace(cell, name=f"{cell.name[: _LONGEST_NAME - width - 1]}_{number:0{width}}")
        for number, cell in enumerate(cells, 1)
    ]
    if len({cell.name.lower() for cell in own}) == len(own):
        return own
    return [replace(cell, name=f"{number:0{width}}") for number, cell in enumerate(cells, 1)]
