"""A recipe made concrete without computing: files found, sizes known, cost counted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from nstflow.errors import NstflowError, Problem
from nstflow.plugins.single_file import PluginFile
from nstflow.recipe.attribution import attribute_errors, check_type
from nstflow.recipe.model import Recipe
from nstflow.recipe.paths import Keys, format_path
from nstflow.recipe.reader import Draft, read_one
from nstflow.recipe.source import sort_problems
from nstflow.stages.loss import LossTerm
from nstflow.stages.stage import Extractor, Loader, Stage
from nstflow.stages.types import PIXELS, Asset, Cost, Phase, Size

# Of the memory model, fitted to measured runs: TensorFlow, the compiler, and the factors of `Cost`.
_EVERY_RUN, _MAPS, _SCRATCH = 780_000_000, 1.5, 2.0


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Attributes:
        recipe: What was written.
        sources: Image → `(height, width)` as it is loaded.
        sizes: Image → `(height, width)` as it is prepared.
        canvas: Height and width of the result, before postprocessing.
        terms: Loss term → the term with its layers as a mapping layer → share.
        layers: Every layer of the network that a term needs, in the network's order.
        phases: The phases, in order.
        extractor: The recipe's, with nothing left open: how it computes each layer.
        cost: What describing the canvas at full size takes; None where the extractor can't say.
        assets: What has to be there beside the recipe's own files.
        files: Setting, as `images.content.path` → the file that it names.
    """

    recipe: Recipe
    sources: Mapping[str, Size]
    sizes: Mapping[str, Size]
    canvas: Size
    terms: Mapping[str, LossTerm]
    layers: tuple[str, ...]
    phases: tuple[Phase, ...]
    extractor: Extractor
    cost: Cost | None
    assets: tuple[Asset, ...]
    files: Mapping[str, Path]

    def on(self, device: Literal["cpu", "gpu"] | None) -> Plan:
        """Return the plan for a kind of device, if it is known; it is made for the CPU."""
        if device is None:
            return self
        with attribute_errors(self.recipe, ("extractor",), self.recipe.extractor):
            settled = self.recipe.extractor.settled(self.layers, self.canvas, device)
            return replace(self, extractor=settled, cost=settled.cost(self.layers, self.canvas))

    @property
    def memory(self) -> int | None:
        """Bytes of memory that a run takes at its peak on a CPU; None where it is not known.

        What every run takes, the network's weights, the maps that a gradient needs with their own
        gradients, and what one layer takes beside them: a model whose factors were measured
        (docs/performance.md), for the largest of the images that the network describes.
        """
        images = {self.recipe.start.like, *(term.image for term in self.terms.values())} - {None}
        sizes = {self.canvas, *(self.sizes[name] for name in images if name is not None)}
        costs = [self.extractor.cost(self.layers, size) for size in sizes]
        peaks = []
        for cost in costs:
            if cost is None or cost.constants is None or cost.maps is None or cost.scratch is None:
                return None
            peaks.append(_EVERY_RUN + cost.constants + _MAPS * cost.maps + _SCRATCH * cost.scratch)
        return round(max(peaks))

    @property
    def steps(self) -> int:
        """How many steps all phases have."""
        return sum(phase.steps for phase in self.phases)

    @property
    def epochs(self) -> int:
        """How many epochs all phases have."""
        return sum(phase.epochs for phase in self.phases)


def plan_file(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    block: Collection[str] = (),
    plugins: Sequence[PluginFile] = (),
) -> Plan:
    """Read a recipe and plan it, telling the problems of its text and of its files together.

    Raises:
        NstflowError: With all of them.
    """
    return plan_draft(read_one(path, overrides, block=block, plugins=plugins))


def plan_draft(made: Draft) -> Plan:
    """Plan what was read, or find every problem of it and of its files together.

    Raises:
        NstflowError: With all of them.
    """
    if made.recipe is not None:
        return make_plan(made.recipe)
    problems = list(made.problems)
    for keys, stage in made.stages.items():
        with attribute_errors(made, keys, stage, into=problems):
            if isinstance(stage, Loader):
                stage.size(made.folder)
            elif isinstance(stage, Extractor):
                stage.assets(made.folder)
    raise NstflowError(sort_problems(problems), made.source.label)


def make_plan(recipe: Recipe) -> Plan:
    """Look at the files that a recipe names and settle everything that can be settled.

    Raises:
        NstflowError: With every problem found: files that can't be read, images too small for the
            layers, weights that are damaged.
    """
    problems: list[Problem] = []
    sources: dict[str, Size] = {}
    assets: tuple[Asset, ...] = ()
    extractor = recipe.extractor
    for name, image in recipe.images.items():
        with attribute_errors(recipe, ("images", name), image, into=problems):
            sources[name] = image.size(recipe.folder)
    with attribute_errors(recipe, ("extractor",), extractor, into=problems):
        assets = tuple(extractor.assets(recipe.folder))
    sizes = {name: _prepared(recipe, name, size) for name, size in sources.items()}
    terms = {name: _resolved(recipe, name, term) for name, term in recipe.losses.items()}
    layers = _in_order(recipe, (layer for term in terms.values() for layer in term.shares))
    problems += size_problems(recipe, terms, layers, sizes)
    if problems:
        raise NstflowError(sort_problems(problems), recipe.source.label)
    canvas = sizes[recipe.start.like]
    phases = _phases(recipe, canvas)
    for scale in sorted({phase.scale for phase in phases} - {1.0}):
        scaled_sizes = {name: scaled(size, scale) for name, size in sizes.items()}
        if problems := size_problems(recipe, terms, layers, scaled_sizes):
            raise NstflowError(sort_problems(problems), recipe.source.label)
    with attribute_errors(recipe, ("extractor",), extractor):
        settled = extractor.settled(layers, canvas, "cpu")
        cost = settled.cost(layers, canvas)
    files = named_files(recipe, recipe.stages(), recipe.folder)
    return Plan(recipe, sources, sizes, canvas, terms, layers, phases, settled, cost, assets, files)


def named_files(
    recipe: Recipe | Draft, stages: Iterable[tuple[Keys, Stage]], folder: Path
) -> dict[str, Path]:
    """Return the files that stages name: setting, as `images.content.path` → where it is."""
    files: dict[str, Path] = {}
    for keys, stage in stages:
        with attribute_errors(recipe, keys, stage):
            named = stage.files(folder)
            files |= {format_path((*keys, setting)): file for setting, file in named.items()}
    return files


def _prepared(recipe: Recipe, name: str, size: Size) -> Size:
    for index, stage in enumerate(recipe.preprocess):
        if stage.only is None or name in stage.only:
            with attribute_errors(recipe, ("preprocess", index), stage):
                size = stage.size(size)
    return size


def _resolved(recipe: Recipe, name: str, term: LossTerm) -> LossTerm:
    """Return the term with its layers as a mapping layer → share."""
    if isinstance(term.layers, dict):
        return term
    layers = term.layers
    if isinstance(layers, str):
        layers = recipe.extractor.layers[layers]
    with attribute_errors(recipe, ("losses", name), term):
        share = term.share_of_each(len(layers))
    return term.model_copy(update={"layers": dict.fromkeys(layers, share)})


def _in_order(recipe: Recipe, layers: Iterable[str]) -> tuple[str, ...]:
    """Return the network's layers among these, each once, in its order where that is known."""
    needed = set(layers) - {PIXELS}
    with attribute_errors(recipe, ("extractor",), recipe.extractor):
        known = recipe.extractor.layer_names()
    return tuple(sorted(needed) if known is None else (name for name in known if name in needed))


def _phases(recipe: Recipe, canvas: Size) -> tuple[Phase, ...]:
    with attribute_errors(recipe, ("schedule",), recipe.schedule):
        given = recipe.schedule.phases(canvas)
        phases = tuple(check_type(phase, Phase, "phases()") for phase in given)
        if not phases:
            raise ValueError("a schedule has at least one phase")
    return phases


def scaled(size: Size, scale: float) -> Size:
    """Return the size that an image has in a phase."""
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width


def size_problems(
    recipe: Recipe,
    terms: Mapping[str, LossTerm],
    layers: Sequence[str],
    sizes: Mapping[str, Size],
) -> list[Problem]:
    """Return what the extractor and the terms say of the sizes of a phase."""
    problems: list[Problem] = []
    # each of these goes through the whole network: the canvas, and what terms refer to
    described = {recipe.start.like, *(term.image for term in terms.values())}
    for name, size in sizes.items():
        if name in described and (small := _too_small(recipe, layers, size)):
            keys, hint = ("images", name), "Prepare it, or begin the schedule, at a larger size."
            problems.append(Problem(recipe.source.where(keys), format_path(keys), small, hint))
    if problems or not described - {None} <= set(sizes):
        return problems
    for name, term in terms.items():
        with attribute_errors(recipe, ("losses", name), term, into=problems):
            reference = None if term.image is None else sizes[term.image]
            term.check(sizes[recipe.start.like], reference)
    return problems


def _too_small(recipe: Recipe, layers: Sequence[str], size: Size) -> str:
    """Return why an image of this size can't be described by these layers, or an empty string."""
    with attribute_errors(recipe, ("extractor",), recipe.extractor):
        try:
            recipe.extractor.cost(layers, size)
        except ValueError as error:
            return f"{error}."
    return ""
