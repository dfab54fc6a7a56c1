"""A recipe with a matrix: its axes and groups, and the runs that it stands for."""

import glob
import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, dropwhile, product
from pathlib import Path
from typing import Any, get_args

from nstflow.errors import (
    FETCH,
    NstflowError,
    Problem,
    describe_value,
    flaw_of,
    is_address,
    suggest,
)
from nstflow.plugins.catalog import Catalog
from nstflow.recipe.model import Recipe
from nstflow.recipe.paths import MATRIX, Keys, format_path
from nstflow.recipe.source import Source
from nstflow.stages.slots import SLOTS
from nstflow.storage.files import file_name, fit_name, folded_name, user_path
from nstflow.storage.run_record import SHEET_FILE, SUMMARY_FILE

EXCLUDE = "exclude"

MOST_CELLS = 1000

_TAKEN = re.compile(
    # the files beside the directories of the runs, and the devices of Windows
    rf"{re.escape(SUMMARY_FILE)}|{re.escape(SHEET_FILE)}|(con|prn|aux|nul|(com|lpt)\d)(\..*)?",
    re.IGNORECASE,
)

GLOB = re.compile(r"[*?\[]")
"""What makes a path a pattern."""

_FIELDS = set(Recipe.model_fields) - {
    *("nstflow", "name", "extends", "options", "plugins", MATRIX, "lock")
}


@dataclass(frozen=True)
class Cell:
    """One run of a matrix.

    Attributes:
        name: The name of its directory, made from its values.
        values: Setting → value.
    """

    name: str
    values: Mapping[str, Any]


Choice = Mapping[str, tuple[Keys, Any]]
"""One of the choices of an axis or a group: setting → where its value is written, and the value."""

Axes = Mapping[str, Sequence[Choice]]


class MatrixReader:
    """Reads the matrix of a recipe, and collects its problems.

    Args:
        source: What was written, with its short forms written out and overrides applied.
        catalog: The stages there are.
    """

    def __init__(self, source: Source, catalog: Catalog) -> None:
        self._source, self._catalog = source, catalog
        self._problems: list[Problem] = []
        self._written = source.data[MATRIX]

    def cells(self) -> list[tuple[Cell, Source]]:
        """Return each run with its recipe, in the order of the axes.

        Raises:
            NstflowError: With every problem of the matrix itself.
        """
        if not isinstance(self._written, dict) or not set(self._written) - {EXCLUDE}:
            hint = "Write losses.style.weight: [0.03, 0.1], for example."
            raise self._source.error((MATRIX,), "this must be a mapping with an axis.", hint)
        axes = self._axes()
        excluded = self._excluded(axes)
        self._raise_problems()
        shared = Counter(chain(*map(_ends, axes)))
        prefixes = dict.fromkeys(axes, "")
        for axis in axes:
            if _is_setting(axis) and not self._names_file(axis):
                short = next((end for end in _ends(axis) if shared[end] == 1), axis)
                prefixes[axis] = f"{_safe(short)}-"
        data = {key: value for key, value in self._source.data.items() if key != MATRIX}
        base = replace(self._source, data=data)
        runs = []
        for choices in product(*axes.values()):
            chosen = {name: each for choice in choices for name, (_, each) in choice.items()}
            if not any(_holds(chosen, some) for some in excluded):
                labels = [
                    prefix + _label(choice)
                    for prefix, choice in zip(prefixes.values(), choices, strict=True)
                ]
                runs.append(("_".join(labels), chosen, self._source_of(base, choices)))
        if not runs:
            self._add_problem((MATRIX, EXCLUDE), "no run is left.")
        self._raise_problems()
        names = _distinct([name for name, _, _ in runs])
        pairs = zip(names, runs, strict=True)
        return [(Cell(name, values), source) for name, (_, values, source) in pairs]

    def _source_of(self, source: Source, choices: Sequence[Choice]) -> Source:
        """Return the recipe with the values of one run."""
        for choice in choices:
            for setting, (place, value) in choice.items():
                try:
                    at = self._source.position(place)
                    folder = self._source.folder_of(place)
                    source = source.with_value(setting.split("."), value, at, folder)
                except LookupError as error:
                    self._add_problem(place, str(error.args[0]))
        return source

    def _axes(self) -> Axes:
        """Return axis or group → its choices, in the order of the recipe."""
        axes: dict[str, list[Choice]] = {}
        for name, held in self._written.items():
            if name != EXCLUDE:
                read = self._axis if _is_setting(name) else self._group
                axes[name] = list(read(name, held))
        count = math.prod(len(axis) for axis in axes.values())
        if count > MOST_CELLS:
            got = f"there are {count:,} runs: at most {MOST_CELLS:,} are allowed."
            self._add_problem((MATRIX,), got)
        else:
            self._check_axes(axes)
        return axes

    def _check_axes(self, axes: Axes) -> None:
        """Check that no value is listed twice, and that nothing else sets what the matrix sets."""
        for choices in axes.values():
            seen: list[Mapping[str, Any]] = []
            for choice in choices:
                values = {setting: value for setting, (_, value) in choice.items()}
                if values in seen:
                    place, _ = next(iter(choice.values()))
                    self._add_problem(place, "this is already in the list.")
                seen.append(values)
        settings = dict.fromkeys((one, axis) for axis in axes for one in chain(*axes[axis]))
        exact: dict[str, str] = {}  # setting → the first axis that sets it
        parts: dict[str, str] = {}  # setting, or what it is a part of → the first axis
        for setting, axis in settings:
            names = setting.split(".")
            whole = [".".join(names[:count]) for count in range(1, len(names) + 1)]
            others = [parts.get(setting), *map(exact.get, whole)]
            if other := next((each for each in others if each not in (None, axis)), None):
                got = f"'{other}' sets this too."
                self._add_problem((MATRIX, axis), got, "Put both into one group.", key=True)
            exact.setdefault(setting, axis)
            for each in whole:
                parts.setdefault(each, axis)
        for option, (setting, _) in product(self._source.options, settings):
            if _within(format_path(option), setting):
                got = "the matrix sets this in every run."
                hint = f"Say which values it takes instead: --set 'matrix.{setting}=[…]'."
                self._add_problem(option, got, hint)

    def _excluded(self, axes: Axes) -> list[Mapping[str, Any]]:
        """Return the values that no run may have together."""
        known: dict[str, list[Any]] = {}
        for choice in chain(*axes.values()):
            for setting, (_, value) in choice.items():
                known.setdefault(setting, []).append(value)
        written = self._written.get(EXCLUDE)
        found: list[Mapping[str, Any]] = []
        if not isinstance(written, list | None):
            self._refuse_type((MATRIX, EXCLUDE), "a list of mappings", written)
            return found
        for at, some in self._mappings((MATRIX, EXCLUDE), written or []):
            for setting, value in some.items():
                path = (*at, setting)
                if setting not in known:
                    hint = suggest(setting, known)
                    self._add_problem(path, "the matrix does not set this.", hint, key=True)
                elif not any(_alike(each, value) for each in known[setting]):
                    self._add_problem(path, "no run of the matrix has this value.")
            found.append(some)
        return found

    def _raise_problems(self) -> None:
        """Raise the problems that were found so far, if there are any."""
        if self._problems:
            ordered = sorted(dict.fromkeys(self._problems), key=lambda problem: problem.order)
            raise NstflowError(ordered, self._source.label)

    def _add_problem(self, keys: Keys, got: str, hint: str = "", *, key: bool = False) -> None:
        self._problems.append(self._source.problem(keys, got, hint, key=key))

    def _axis(self, name: str, written: Any) -> Iterator[Choice]:
        keys: Keys = (MATRIX, name)
        if isinstance(written, str) and GLOB.search(written):
            places = {keys: written}
        elif isinstance(written, list) and written:
            places = {(*keys, index): value for index, value in enumerate(written)}
        else:
            self._refuse_type(keys, "a list of values", written)
            return
        for at, value in places.items():
            folder = self._source.folder_of(at)
            found = _matching(value, folder) if self._names_file(name) else [value]
            if not found:
                hint = FETCH if is_address(value) else f"The pattern starts at '{folder}'."
                self._add_problem(at, f"no file matches '{value}'.", hint)
            yield from ({name: (at, one)} for one in found)

    def _group(self, name: str, written: Any) -> Iterator[Choice]:
        keys: Keys = (MATRIX, name)
        near = suggest(name.partition(".")[0], _FIELDS) if "." in name else ""
        if near or not isinstance(written, list | dict) or not written:
            got = "this is neither a setting nor a group of settings."
            hint = near or "A group is a list of mappings, setting: value; an axis is a setting."
            self._add_problem(keys, got, hint, key=True)
            return
        for at, values in self._mappings(keys, written):
            for setting in values:
                if not _is_setting(setting):
                    hint = suggest(setting.partition(".")[0], _FIELDS)
                    self._add_problem((*at, setting), "a matrix can't set this.", hint, key=True)
            yield {setting: ((*at, setting), value) for setting, value in values.items()}

    def _mappings(
        self, keys: Keys, written: list[Any] | dict[str, Any]
    ) -> Iterator[tuple[Keys, Mapping[str, Any]]]:
        """Yield each item of what should be a list or a mapping of mappings, with its place."""
        for key, item in written.items() if isinstance(written, dict) else enumerate(written):
            if isinstance(item, dict) and item:
                yield (*keys, key), item
            else:
                self._refuse_type((*keys, key), "a mapping of settings", item)

    def _refuse_type(self, keys: Keys, wanted: str, value: Any) -> None:
        self._add_problem(keys, f"this must be {wanted}, but is {describe_value(value)}.")

    def _names_file(self, setting: str) -> bool:
        """Return whether a setting is a path in a stage of its slot; an image is short for one."""
        slot, *names = setting.split(".")
        if slot == "images" and len(names) == 1:
            return True
        offers = self._catalog[slot].values() if slot in SLOTS and names else ()
        fields = [offer.stage.model_fields.get(names[-1]) for offer in offers]
        types = [field.annotation for field in fields if field is not None]
        return any(Path in (each, *get_args(each)) for each in types)


def _matching(value: Any, folder: Path) -> list[Any]:
    """Return the files of a pattern, sorted, or a value that is not a pattern."""
    if not isinstance(value, str) or not GLOB.search(value):
        return [value]
    if os.path.isfile(folder / value):  # noqa: PTH113 - it never raises
        return [value]
    try:
        found = set(_expand(user_path(value), folder))
    except ValueError:  # of a null byte
        return []
    files = sorted(path for path in found if (folder / path).is_file())
    return [path.as_posix() for path in files if not flaw_of(str(path), controls=True)]


def _expand(pattern: Path, folder: Path) -> Iterator[Path]:
    """Yield what a pattern matches; `**` follows no links to folders, which may lead back."""
    parts = pattern.parts
    start = parts.index("**") if "**" in parts else len(parts)
    above = str(Path(*parts[:start]))
    found = glob.iglob(above, root_dir=folder, include_hidden=True)  # noqa: PTH207 - it may be absolute
    if start == len(parts):
        yield from map(Path, found)
        return
    rest = tuple(dropwhile("**".__eq__, parts[start:])) or ("*",)
    for top in found:
        for parent, _, _ in os.walk(folder / top):
            inner = top / Path(parent).relative_to(folder / top)
            yield from _expand(Path(glob.escape(str(inner)), *rest), folder)


def _within(path: str, other: str) -> bool:
    """Return whether a path is another one, or below it."""
    return f"{path}.".startswith(f"{other}.")


def _is_setting(name: str) -> bool:
    return name.partition(".")[0] in _FIELDS


def _holds(values: Mapping[str, Any], some: Mapping[str, Any]) -> bool:
    """Return whether some values are all among others."""
    return all(path in values and _alike(values[path], value) for path, value in some.items())


def _alike(one: Any, other: Any) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _ends(setting: str) -> list[str]:
    """Return the ends of a setting's path, the shortest first."""
    parts = setting.split(".")
    return [".".join(parts[-count:]) for count in range(1, len(parts) + 1)]


def _label(choice: Choice) -> str:
    """Return what the name of a run says of a choice: its own name in a group, or its values."""
    place, _ = next(iter(choice.values()))
    name = next(iter(place[2:-1]), None)  # of (matrix, group, choice, setting)
    if isinstance(name, str):
        return _safe(name)
    return "-".join(_word(value) for _, value in choice.values())


def _word(value: Any) -> str:
    if isinstance(value, str) and Path(value).suffix:
        value = Path(value).stem
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return _safe(f"{value:g}" if isinstance(value, float) else str(value))


def _safe(text: str) -> str:
    """Return a text without the characters that mean something in a path."""
    return re.sub("-+", "-", file_name(text, "-")).strip("-.") or "x"


def _distinct(names: Sequence[str]) -> list[str]:
    """Return the names; those that are too long, taken or equal get the number of their run."""
    seen = Counter(map(folded_name, names))
    width = len(str(len(names)))
    distinct = [
        name
        if fit_name(name) == name and seen[folded_name(name)] == 1 and not _TAKEN.fullmatch(name)
        else fit_name(name, f"_{number:0{width}}")
        for number, name in enumerate(names, 1)
    ]
    if len({*map(folded_name, distinct)}) == len(names):
        return distinct
    return [f"{number:0{width}}" for number in range(1, len(names) + 1)]
