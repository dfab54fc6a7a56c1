"""What was written: from a file to a `Recipe`."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from nstflow.errors import NstflowError, Problem, describe_value
from nstflow.plugins.catalog import Catalog
from nstflow.plugins.manager import Plugins
from nstflow.plugins.single_file import PluginFile
from nstflow.recipe.matrix import MATRIX, cells_of
from nstflow.recipe.model import DEFAULTS, Recipe
from nstflow.recipe.overrides import override
from nstflow.recipe.paths import Keys, format_path
from nstflow.recipe.source import Source, read_source, sort_problems
from nstflow.recipe.validation import check, explain
from nstflow.stages.slots import SLOTS, Slot
from nstflow.stages.stage import Name, Stage

if TYPE_CHECKING:
    from nstflow.recipe.matrix import Cell
    from nstflow.recipe.source import Source


__all__ = ["load_recipe", "parse", "read_cells", "read_one"]


def load_recipe(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    block: Collection[str] = (),
    plugins: Sequence[PluginFile] = (),
) -> Recipe:
    """Read a recipe file.

    Args:
        path: The YAML file. Relative paths in it start at its folder.
        overrides: `PATH=VALUE` each, such as `losses.style.weight=0.3`.
        block: Plugins or distributions to leave out, beside those that the recipe blocks.
        plugins: Files that are plugins, from `read_plugin`.

    Raises:
        NstflowError: With every problem that the text has. Files that it names are looked at by
            `make_plan`.
    """
    return read_one(path, overrides, block=block, plugins=plugins).whole()


def read_one(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    block: Collection[str] = (),
    plugins: Sequence[PluginFile] = (),
) -> Draft:
    """Read a recipe file as far as possible; what is wrong is in the draft's `problems`.

    Raises:
        NstflowError: The text is no YAML, or an override can't be applied.
    """
    path = Path(path)
    source, folder = read_source(path), path.absolute().parent
    return parse(source, folder, overrides, block=block, plugins=plugins)


def parse(
    source: Source,
    folder: Path,
    overrides: Sequence[str] = (),
    *,
    block: Collection[str] = (),
    plugins: Sequence[PluginFile] = (),
) -> Draft:
    """Read what was written, wherever it came from; relative paths in it start at `folder`.

    Raises:
        NstflowError: An override can't be applied, or the recipe has a matrix.
    """
    source = written_out(source, overrides)
    if source.data.get(MATRIX) is not None:
        got = "this recipe is many runs, and one is asked for."
        hint = "`nstflow run` makes them all; run the recipe.yaml of one in its directory."
        raise NstflowError(Problem(source.where((MATRIX,), key=True), MATRIX, got, hint))
    return _draft(source, folder, block, plugins)


def read_cells(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    block: Collection[str] = (),
    plugins: Sequence[PluginFile] = (),
) -> list[tuple[Cell, Draft]] | None:
    """Read every run of a recipe with a matrix; None where it has none.

    Raises:
        NstflowError: The text is no YAML, an override can't be applied, or the matrix is wrong.
    """
    source, folder = written_out(read_source(path), overrides), path.absolute().parent
    if source.data.get(MATRIX) is None:
        return None
    if source.data.get("lock") is not None:
        place, got = source.where((MATRIX,), key=True), "a lock is of a single run."
        raise NstflowError(Problem(place, MATRIX, got, "Leave one of them out."))
    cells = cells_of(source, folder)
    return [(cell, _draft(cell.source, folder, block, plugins)) for cell in cells]


def written_out(source: Source, overrides: Sequence[str]) -> Source:
    """Return the source with its short forms written out and its overrides applied."""
    return override(source.with_data(with_defaults(source.data)), overrides)


def _draft(
    source: Source, folder: Path, block: Collection[str], plugins: Sequence[PluginFile]
) -> Draft:
    source = source.with_data(with_canvas_size(with_defaults(source.data)))
    named = [name for name in blocked_names(source.data) if isinstance(name, str)]
    return draft(source, Plugins({*block, *named}, plugins), folder)


def with_defaults(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data with short forms written out: plain strings, absent slots, absent `use`."""
    full = {**DEFAULTS, **{key: value for key, value in data.items() if value is not None}}
    if isinstance(images := full.get("images"), dict):
        full["images"] = {
            name: {"path": image} if isinstance(image, str) else image
            for name, image in images.items()
        }
    for slot in SLOTS.values():
        held = full.get(slot.name)
        if slot.default is None or not isinstance(held, dict):
            continue
        if slot.holds == "one":
            full[slot.name] = {"use": slot.default, **held}
        else:
            full[slot.name] = {
                name: {"use": slot.default, **item} if isinstance(item, dict) else item
                for name, item in held.items()
            }
    return full


def with_canvas_size(data: dict[str, Any]) -> dict[str, Any]:
    """Return the data with a start that has its own image's size where none is called content."""
    images, start = data.get("images"), data.get("start")
    if not (isinstance(images, dict) and isinstance(start, dict)):
        return data
    if "content" in images or "like" in start or start.get("image") not in [*images]:
        return data
    return {**data, "start": {**start, "like": start["image"]}}


MAX_STAGES = 1000  # in one slot: looking for their files, and for names like theirs, takes time


@dataclass(frozen=True)
class Draft:
    """A recipe as far as it could be read.

    Attributes:
        source: What was written, with its defaults, and where.
        installed: The plugins that it was read with.
        folder: Where relative paths start.
        stages: Path → stage, of those that are right by themselves.
        problems: All that was found, in the order of the file.
        recipe: The whole, or None where there are problems.
    """

    source: Source
    installed: Plugins
    folder: Path
    stages: Mapping[Keys, Stage]
    problems: list[Problem]
    recipe: Recipe | None

    def whole(self) -> Recipe:
        """Return the recipe.

        Raises:
            NstflowError: With every problem that was found.
        """
        if self.recipe is None:
            raise NstflowError(self.problems, self.source.label)
        return self.recipe


def draft(source: Source, plugins: Plugins, folder: Path) -> Draft:
    """Read data that has its defaults, stage by stage, then what lies between the stages."""
    stages: dict[Keys, Stage] = {}
    problems: list[Problem] = list(_crowded(source))
    if problems:
        return Draft(source, plugins, folder, {}, problems, None)
    for keys, item in _items(source.data):
        stage = read_stage(source, keys, item, plugins.catalog)
        if isinstance(stage, Stage):
            stages[keys] = stage
        else:
            problems += stage
    broken = {keys[0] for keys, _ in _items(source.data) if keys not in stages}
    recipe, general = _read_recipe(source, stages, broken)
    problems += [*general, *_names_of_broken(source, stages), *check(source, stages)]
    if "lock" not in source.data:  # a lock blocks what was there where it was written
        problems += _unknown_blocks(source, plugins)
    if recipe is not None:
        recipe._source, recipe._plugins, recipe._folder = source, plugins, folder  # noqa: SLF001
    problems = sort_problems(problems)
    return Draft(source, plugins, folder, stages, problems, None if problems else recipe)


def _crowded(source: Source) -> Iterator[Problem]:
    for slot in SLOTS.values():
        held = source.data.get(slot.name)
        if slot.holds != "one" and isinstance(held, dict | list) and len(held) > MAX_STAGES:
            got = f"these are {len(held)} stages, and {MAX_STAGES} are the most."
            yield Problem(source.where((slot.name,)), slot.name, got)


def _items(data: Mapping[str, Any]) -> Iterator[tuple[Keys, Any]]:
    """Yield the path and data of everything that should be a stage."""
    for slot in SLOTS.values():
        held = data.get(slot.name)
        if slot.holds == "one":
            yield (slot.name,), held
        elif slot.holds == "mapping" and isinstance(held, dict):
            yield from (((slot.name, name), item) for name, item in held.items())
        elif slot.holds == "list" and isinstance(held, list):
            yield from (((slot.name, index), item) for index, item in enumerate(held))


def read_stage(source: Source, keys: Keys, item: Any, catalog: Catalog) -> Stage | list[Problem]:
    """Return the stage that an item of the data means, or what is wrong with it."""
    slot = str(keys[0])
    names = ", ".join(catalog[slot])
    if not isinstance(item, dict):
        hint = f"Write {{use: …}} with one of {names}."
        got = f"this should be a mapping of settings, but is {describe_value(item)}."
        return [Problem(source.where(keys), format_path(keys), got, hint)]
    use = item.get("use")
    path = (*keys, "use")
    if use is None:
        got = "`use:` is needed, to say which stage."
        return [Problem(source.where(keys), format_path(keys), got, f"Installed: {names}.")]
    if not isinstance(use, str):
        got = f"this should be the name of a stage, but is {describe_value(use)}."
        return [Problem(source.where(path), format_path(path), got, f"Installed: {names}.")]
    if use not in catalog[slot]:
        return [Problem(source.where(path), format_path(path), *catalog.explain_missing(slot, use))]
    stage = catalog[slot][use].stage
    try:
        # read as JSON, strict: a list is a tuple, but "512" and true are no numbers
        return stage.model_validate_json(json.dumps(item), strict=True)
    except ValidationError as error:
        return explain(error, source, keys, stage)


def _read_recipe(
    source: Source, stages: Mapping[Keys, Stage], broken: set[str | int]
) -> tuple[Recipe | None, list[Problem]]:
    """Put the sound stages into a recipe; what is wrong with broken slots is known already."""
    data = dict(source.data)
    for slot in SLOTS.values():
        data[slot.name] = _filled(slot, data.get(slot.name), stages)
        if data[slot.name] is None:
            del data[slot.name]
    try:
        return Recipe.model_validate(data, strict=True), []
    except ValidationError as error:
        found = explain(error, source, (), Recipe)
        return None, [problem for problem in found if problem.what not in broken]


def _names_of_broken(source: Source, stages: Mapping[Keys, Stage]) -> list[Problem]:
    """Return what is wrong with the names of broken stages: the recipe is read without them."""
    names = {
        slot.name: {name: None for name in held if (slot.name, name) not in stages}
        for slot in SLOTS.values()
        if slot.holds == "mapping" and isinstance(held := source.data.get(slot.name), dict)
    }
    try:
        TypeAdapter(dict[str, dict[Name, None]]).validate_python(names)
    except ValidationError as error:
        return explain(error, source, (), Recipe)
    return []


def _filled(slot: Slot, held: Any, stages: Mapping[Keys, Stage]) -> Any:
    """Return a slot's data with the stages for what they were read from."""
    if slot.holds == "one":
        return stages.get((slot.name,))
    if slot.holds == "mapping" and isinstance(held, dict):
        return {name: stages[slot.name, name] for name in held if (slot.name, name) in stages}
    if slot.holds == "list" and isinstance(held, list):
        return [stages[slot.name, i] for i in range(len(held)) if (slot.name, i) in stages]
    return held


def blocked_names(data: Mapping[str, Any]) -> list[Any]:
    """Return what the recipe blocks; if it is written wrongly, the draft will say so."""
    choice = data.get("plugins")
    names = choice.get("block") if isinstance(choice, dict) else None
    return names if isinstance(names, list) else []


def _unknown_blocks(source: Source, plugins: Plugins) -> Iterator[Problem]:
    places: dict[str, Keys] = {}
    for index, item in enumerate(blocked_names(source.data)):
        if isinstance(item, str):
            places.setdefault(item, ("plugins", "block", index))
    for name in plugins.unknown_blocks:
        problem = plugins.unknown(name)
        if name in places:
            at = places[name]
            problem = replace(problem, where=source.where(at), what=format_path(at))
        yield problem
