"""Reading recipes: from a file to validated stages. A plain recipe is a matrix of one."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nstflow.errors import NstflowError, Problem, describe_value, suggest
from nstflow.plugins.catalog import Catalog
from nstflow.plugins.manager import Plugins
from nstflow.plugins.single_file import PluginFile
from nstflow.recipe.attribution import Origin
from nstflow.recipe.inputs import with_images
from nstflow.recipe.layers import rebased, with_layers
from nstflow.recipe.matrix import Cell, MatrixReader
from nstflow.recipe.model import Recipe, with_defaults
from nstflow.recipe.overrides import override, with_options
from nstflow.recipe.paths import MATRIX, Keys, format_path
from nstflow.recipe.source import Source, read_source
from nstflow.recipe.validation import check, explain, with_whole_numbers
from nstflow.stages.slots import SLOTS
from nstflow.stages.stage import Stage

MAX_STAGES = 1000  # in one slot: their files and their names are looked up


@dataclass(frozen=True)
class ReadOptions:
    """What else decides how a recipe is read.

    Attributes:
        overrides: `PATH=VALUE` each, such as `losses.style.weight=0.3`.
        block: Plugins or distributions to leave out, beside those that the recipe blocks.
        plugins: Files that are plugins, from `read_plugin`.
        layers: Recipe files, complete or not, whose settings replace the recipe's, in this order.
        images: Files for the recipe's images, in its order.
        named_images: Image → file.
        options: Option that the recipe names → its value, as YAML.
    """

    overrides: tuple[str, ...] = ()
    block: tuple[str, ...] = ()
    plugins: tuple[PluginFile, ...] = ()
    layers: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    named_images: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str | None] = field(default_factory=dict)


NO_OPTIONS = ReadOptions()


@dataclass(frozen=True)
class Draft:
    """A recipe as far as it could be read.

    Attributes:
        origin: What was written, with its defaults, and the stages that are valid by themselves.
        problems: All problems, in the order of the file.
        recipe: The recipe, or None if there are problems.
    """

    origin: Origin
    problems: list[Problem]
    recipe: Recipe | None

    def recipe_or_raise(self) -> Recipe:
        """Return the recipe.

        Raises:
            NstflowError: With all problems.
        """
        if self.recipe is None:
            raise NstflowError(self.problems, self.origin.source.label)
        return self.recipe


def load_recipe(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    images: Sequence[str | Path] | Mapping[str, str | Path] = (),
    layers: Sequence[str | Path] = (),
    block: Collection[str] = (),
    plugins: Sequence[PluginFile] = (),
) -> Recipe:
    """Read a recipe file.

    Relative paths in a file start at its folder; those of the arguments, at the working directory.

    Args:
        path: The YAML file, or the name of a recipe that nstflow or a plugin offers, such as
            `quickstart`.
        overrides: `PATH=VALUE` each, such as `losses.style.weight=0.3`.
        images: Files for the recipe's images: all of them in its order, or a mapping of names.
        layers: Files with settings that replace the recipe's, in this order, as with `--with`.
        block: Plugins or distributions to leave out, beside those that the recipe blocks.
        plugins: Files that are plugins, from `read_plugin`.

    Raises:
        NstflowError: With all problems of the text. `make_plan` looks at the files that it names.
    """
    lists: dict[str, Any] = {"overrides": overrides, "images": images, "layers": layers}
    for name, given in {**lists, "block": block}.items():
        if isinstance(given, str | bytes | Path) or not isinstance(given, Iterable):
            raise TypeError(f"{name} must be a list, but is {given!r:.100}")
        for each in given.values() if isinstance(given, Mapping) else given:
            if not isinstance(each, str | Path):
                raise TypeError(f"{name} must hold texts or paths, not {each!r:.100}")
    named = images if isinstance(images, Mapping) else {}
    options = ReadOptions(
        tuple(overrides),
        tuple(block),
        tuple(plugins),
        layers=tuple(map(str, layers)),
        images=() if named else tuple(map(str, images)),
        named_images={name: str(file) for name, file in named.items()},
    )
    return read(path, options, single=True)[0].recipe_or_raise()


def read(
    recipe: str | Path | Source, options: ReadOptions = NO_OPTIONS, *, single: bool = False
) -> list[Draft]:
    """Read all runs of a recipe, each as far as possible; without a matrix it is one run.

    Args:
        recipe: The YAML file or the name of a recipe, or the text of another place.
        options: What else decides how it is read.
        single: Refuse a matrix.

    Raises:
        NstflowError: The text is not YAML, an override can't be applied, or the matrix is wrong.
    """
    find = partial(Plugins, options.block, options.plugins)
    source = recipe if isinstance(recipe, Source) else read_source(Path(recipe), find)
    if "extends" in source.data or options.layers:
        source = with_layers(source, options.layers, find)
    source = replace(source, data=with_defaults(source.data))
    if options.images or options.named_images:
        source = with_images(source, options.images, options.named_images)
    if options.options:
        source = with_options(source, options.options)
    if options.overrides:
        source = override(source, options.overrides)
    blocked = _blocked(source) if "plugins" in source.data else {}
    installed = Plugins({*options.block, *blocked}, options.plugins)
    cells: list[tuple[Cell | None, Source]] = [(None, source)]
    if source.data.get(MATRIX) is not None:
        if single:
            hint = "`nstflow run` makes them all; run the recipe.yaml of one in its directory."
            got = "this recipe has a matrix, but a single run is needed."
            raise source.error((MATRIX,), got, hint, key=True)
        if source.data.get("lock") is not None:
            got = "a lock is of a single run."
            raise source.error((MATRIX,), got, "Leave one of them out.", key=True)
        cells = [*MatrixReader(source, installed.catalog).cells()]
    known: dict[tuple[str, str], Stage] = {}  # equal stages of all runs are one
    if len({*source.folders.values()}) > 1:  # parts were written elsewhere than in the recipe
        cells = [(cell, _rebased(source, installed, known)) for cell, source in cells]
    return [_draft(source, installed, cell, known) for cell, source in cells]


def parse(source: Source, options: ReadOptions = NO_OPTIONS) -> Draft:
    """Read a single run from the text of another place, such as a lock, as far as possible.

    Raises:
        NstflowError: An override can't be applied, or the recipe has a matrix.
    """
    return read(source, options, single=True)[0]


def _rebased(source: Source, installed: Plugins, known: dict[tuple[str, str], Stage]) -> Source:
    """Return a source in which all paths start at the recipe's folder, wherever they were written.

    Only stages that are valid by themselves say which of their settings are files.
    """
    for slot in SLOTS.values():
        for keys, item in slot.items(source.data.get(slot.name)).items():
            stage = read_stage(source, keys, item, installed.catalog, known)
            if isinstance(stage, Stage):
                source = rebased(source, installed, keys, stage)
    return source


def _draft(
    source: Source, installed: Plugins, cell: Cell | None, known: dict[tuple[str, str], Stage]
) -> Draft:
    """Read data that has its defaults, stage by stage, and check that the stages fit together."""
    data = dict(source.data)
    images, start = data.get("images"), data.get("start")
    if (
        isinstance(images, dict)
        and isinstance(start, dict)
        and "content" not in images
        and start.get("image") in [*images]
    ):  # the canvas has the size of the image that it starts from
        data["start"] = {**start, "like": start.get("like", start["image"])}
        source = replace(source, data=dict(data))
    stages: dict[Keys, Stage] = {}
    problems: list[Problem] = []
    broken: set[Keys] = set()
    for slot in SLOTS.values():
        items = slot.items(data.get(slot.name))
        if len(items) > MAX_STAGES:
            got = f"there are {len(items)} stages: at most {MAX_STAGES} are allowed."
            problems.append(source.problem((slot.name,), got))
        for keys, item in items.items() if len(items) <= MAX_STAGES else ():
            stage = read_stage(source, keys, item, installed.catalog, known)
            if isinstance(stage, Stage):
                stages[keys] = stage
            else:
                problems += stage
        broken |= items.keys() - stages.keys()
        read = {keys[-1]: stages.get(keys) for keys in items}
        if slot.holds == "one":
            data[slot.name] = read[slot.name]
        elif items:
            data[slot.name] = read if slot.holds == "mapping" else [*read.values()]
    origin = Origin(source, installed, stages, cell)
    recipe = None
    try:
        recipe = Recipe.model_validate(data, strict=True, context=origin)
    except ValidationError as error:
        recipe, found = _second_try(error, data, origin, broken)
        problems += found
    problems += check(source, stages)
    if installed.unknown_blocks and "lock" not in source.data:
        # a lock may name plugins of the machine that wrote it
        problems += _unknown_blocks(source, installed)
    problems.sort(key=lambda problem: problem.order)
    return Draft(origin, problems, None if problems else recipe)


def _second_try(
    error: ValidationError, data: dict[str, Any], origin: Origin, broken: Collection[Keys]
) -> tuple[Recipe | None, list[Problem]]:
    """Return the recipe with whole numbers where it needs them, or the problems that are left."""
    try:
        whole = with_whole_numbers(error, data)
        return Recipe.model_validate(whole, strict=True, context=origin), []
    except ValidationError as left:
        return None, explain(left, origin.source, (), Recipe, broken, origin.stages)


def read_stage(
    source: Source, keys: Keys, item: Any, catalog: Catalog, known: dict[tuple[str, str], Stage]
) -> Stage | list[Problem]:
    """Return the stage that an item of the data describes, or its problems.

    Args:
        source: What was written.
        keys: Where the item is.
        item: Its data.
        catalog: The stages there are.
        known: Slot and settings → stage, of those that were read before; equal ones are shared.
    """
    slot = str(keys[0])
    offers = catalog[slot]
    use = item.get("use") if isinstance(item, dict) else None
    if isinstance(use, str) and use in offers:
        stage = offers[use].stage
        # read as JSON, strict: a list is a tuple, but "512" and true are not numbers
        text = json.dumps(item)
        try:
            if (slot, text) not in known:
                known[slot, text] = stage.model_validate_json(text, strict=True)
        except ValidationError as error:
            whole = with_whole_numbers(error, item)
            if whole is not item:
                return read_stage(source, keys, whole, catalog, known)
            return explain(error, source, keys, stage)
        return known[slot, text]
    installed = f"Installed: {', '.join(offers)}."
    if not isinstance(item, dict):
        got = f"this must be a mapping of settings, but is {describe_value(item)}."
        return [source.problem(keys, got, f"Write {{use: …}}. {installed}")]
    if use is None and keys not in source.positions:  # a `--set` began it
        got = f"there is no {format_path(keys)} in the recipe."
        near = suggest(str(keys[-1]), (str(key) for key in source.data[slot] if key != keys[-1]))
        return [source.problem(keys, got, near or "To add it, set its `use`, too.")]
    if use is None:
        return [source.problem(keys, "`use:` is required: the name of a stage.", installed)]
    got = f"this must be the name of a stage, but is {describe_value(use)}."
    if isinstance(use, str):
        got, installed = catalog.explain_missing(slot, use)
    return [source.problem((*keys, "use"), got, installed)]


def _unknown_blocks(source: Source, installed: Plugins) -> Iterator[Problem]:
    places = _blocked(source)
    for name in installed.unknown_blocks:
        problem, at = installed.unknown(name), places.get(name)
        yield source.problem(at, problem.got, problem.hint) if at else problem


def _blocked(source: Source) -> dict[str, Keys]:
    """Return name of a blocked plugin → its path; if that is not valid, the draft says so."""
    choice = source.data.get("plugins")
    names = choice.get("block") if isinstance(choice, dict) else None
    return {
        name: ("plugins", "block", index)
        for index, name in enumerate(names if isinstance(names, list) else ())
        if isinstance(name, str)
    }
