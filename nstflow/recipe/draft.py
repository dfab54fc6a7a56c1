"""From data to stages: every mistake found, none hiding another."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nstflow.catalog import Catalog
from nstflow.errors import NstflowError, Problem
from nstflow.fields import Name
from nstflow.plugins import Plugins
from nstflow.recipe.checks import check
from nstflow.recipe.explain import explain
from nstflow.recipe.parsing import Keys, describe, dotted
from nstflow.recipe.schema import Recipe
from nstflow.recipe.source import Source
from nstflow.slots import SLOTS, Slot
from nstflow.stages import Stage

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
    problems = in_order(problems)
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
        got = f"this should be a mapping of settings, but is {describe(item)}."
        return [Problem(source.where(keys), dotted(keys), got, hint)]
    use = item.get("use")
    path = (*keys, "use")
    if use is None:
        got = "`use:` is needed, to say which stage."
        return [Problem(source.where(keys), dotted(keys), got, f"Installed: {names}.")]
    if not isinstance(use, str):
        got = f"this should be the name of a stage, but is {describe(use)}."
        return [Problem(source.where(path), dotted(path), got, f"Installed: {names}.")]
    if use not in catalog[slot]:
        return [Problem(source.where(path), dotted(path), *catalog.why_not(slot, use))]
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
            problem = replace(problem, where=source.where(at), what=dotted(at))
        yield problem


def in_order(problems: list[Problem]) -> list[Problem]:
    """Return the problems in the order of the file."""

    def line(problem: Problem) -> tuple[int, int]:
        place = re.search(r":(\d+):(\d+)$", problem.where)
        return (int(place[1]), int(place[2])) if place else (0, 0)

    return sorted(problems, key=line)
