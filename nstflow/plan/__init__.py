"""From a recipe to a plan, without computing: files, sizes, layers, cost."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

from nstflow.errors import NstflowError, Problem, suggest
from nstflow.plan.least_size import too_small
from nstflow.recipe.attribution import Origin
from nstflow.recipe.model import Recipe
from nstflow.recipe.reader import Draft
from nstflow.stages.loss import LossTerm, Region
from nstflow.stages.stage import Extractor, Loader, Preprocessor, Start
from nstflow.stages.text import html_table
from nstflow.stages.types import PIXELS, Asset, Cost, Geometry, Phase, Size, size_text

Ask = Callable[..., Any]
"""Calls a method of a stage; for the same stage and arguments, only once."""

# Of the memory model, fitted to measured runs: TensorFlow, the compiler, and the factors of `Cost`
# and of the optimizer's state.
_EVERY_RUN, _MAPS, _SCRATCH, _STATES = 780_000_000, 1.5, 2.0, 2.0

_MASKS = ("region", "image_region")
"""The settings that name masks."""

_ASPECT = 0.01
"""By how much the aspect of a mask may differ from that of what it covers, besides rounding."""


@dataclass(frozen=True, repr=False)
class Plan:
    """What a run will do. A notebook shows what `nstflow plan` prints.

    Attributes:
        recipe: The recipe.
        sources: Image → `(height, width)` when it is loaded.
        sizes: Image → `(height, width)` after preprocessing.
        canvas: `(height, width)` of the canvas at full size.
        terms: Name → loss term, with its layers as a mapping layer → share.
        layers: The layers of the network that the terms need, in the network's order.
        phases: The phases, in order.
        extractor: The recipe's extractor, with all choices made.
        cost: The cost of the features of the canvas at full size; None if it is unknown.
        assets: The files that are needed besides those that the recipe names.
        files: Setting, such as `images.content.path` → the file that it names.
        checkpoint_size: Bytes of a checkpoint at the largest scale, without its history; None if
            the optimizer does not say how large its state is.
        device_kind: The kind of device of the extractor and the cost.
        steps_of: The number of steps of each phase: the most that it can take, or those that it
            took in the run whose lockfile the recipe is.
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
    steps_of: tuple[int, ...]
    checkpoint_size: int | None
    device_kind: Literal["cpu", "gpu"] = "cpu"

    def on(self, device: Literal["cpu", "gpu"] | None) -> Plan:
        """Return the plan for a kind of device; for None, the plan itself."""
        if device in (None, self.device_kind):
            return self
        with self.recipe.asking("extractor") as extractor:
            settled = extractor.settled(self.layers, self.canvas, device)
            cost = settled.cost(self.layers, self.canvas)
        return replace(self, extractor=settled, cost=cost, device_kind=device)

    def taking(self, steps: Sequence[int]) -> Plan:
        """Return the plan whose phases take exactly these numbers of steps."""
        phases = tuple(replace(phase, stop=None) for phase in self.phases)
        return replace(self, phases=phases, steps_of=tuple(steps))

    @property
    def memory(self) -> int | None:
        """The estimated peak memory of a run on a CPU, in bytes; None if it is unknown.

        The sum of the memory of every run, the network's weights, the feature maps with their
        gradients, and the temporary memory of one layer, for the largest image that the network
        gets; and of the canvas and the optimizer's state, before and after a dispatch. The factors
        were fitted to measured runs (docs/performance.md).
        """
        used = (image for term in self.terms.values() for image in term.references)
        images = {self.recipe.start.like, *used}
        peaks = []
        for size in {self.canvas, *(self.sizes[name] for name in images)}:
            cost = self.extractor.cost(self.layers, size)
            if cost is None or cost.constants is None or cost.maps is None or cost.scratch is None:
                return None
            peaks.append(_EVERY_RUN + cost.constants + _MAPS * cost.maps + _SCRATCH * cost.scratch)
        return round(max(peaks) + _STATES * (self.checkpoint_size or 0))

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.recipe.name

    @property
    def steps(self) -> int:
        """The number of steps of all phases."""
        return sum(self.steps_of)

    @property
    def epochs(self) -> int:
        """The number of epochs of all phases."""
        pairs = zip(self.phases, self.steps_of, strict=True)
        return sum(phase.epochs_in(steps) for phase, steps in pairs)

    def __repr__(self) -> str:
        size, losses = size_text(self.canvas), ", ".join(self.terms)
        return f"<Plan {self.recipe.name}: {size} pixels, {self.steps} steps, losses: {losses}>"

    def _repr_html_(self) -> str:
        """Show a table in a notebook."""
        from nstflow.plan.facts import facts_of, presence_text

        assets = [(asset.name, presence_text(asset)) for asset in self.assets]
        return html_table(self.recipe.name, self.recipe.summary, [*facts_of(self), *assets])


def geometry_of(extractor: Extractor, layer: str) -> Geometry | None:
    """Return how the positions of a layer, or the pixels, lie over the pixels, if it is known."""
    return Geometry(1, 0) if layer == PIXELS else extractor.geometry(layer)


def make_plan(recipe: Recipe) -> Plan:
    """Plan a recipe: look at the files that it names, and make all choices that it leaves open.

    Raises:
        NstflowError: With all problems: files that can't be read, images that are too small for
            the layers, damaged weights.
    """
    if not isinstance(recipe, Recipe):
        raise TypeError(f"{recipe!r} is not a recipe: read one with nstflow.load_recipe(path)")
    return make_plans([Draft(recipe.origin, [], recipe)])[0]


def make_plans(drafts: Sequence[Draft]) -> list[Plan]:
    """Plan the runs of a recipe file, or find all problems of the recipes and their files.

    Stages that several runs share are asked once.

    Raises:
        NstflowError: With all of them; a problem of several runs is reported once.
    """
    # bound methods of one object are equal, and equal stages of a file are one object
    ask: Ask = cache(lambda method, *arguments: method(*arguments))
    plans: list[Plan] = []
    problems: list[Problem] = []
    for draft in drafts:
        try:
            plans.append(_plan(draft, ask))
        except NstflowError as error:
            problems += error.problems
    if problems:
        ordered = sorted(dict.fromkeys(problems), key=lambda problem: problem.order)
        raise NstflowError(ordered, drafts[0].origin.source.label)
    return plans


def _plan(draft: Draft, ask: Ask) -> Plan:
    origin, recipe, problems = draft.origin, draft.recipe, list(draft.problems)
    folder = origin.source.folder_of()
    sources: dict[str, Size] = {}
    assets: tuple[Asset, ...] = ()
    for keys in origin.stages:
        with origin.asking(*keys, into=problems) as stage:
            if isinstance(stage, Loader):
                height, width = ask(stage.size, folder)
                sources[str(keys[1])] = height, width
            elif isinstance(stage, Extractor):
                assets = tuple(ask(stage.assets, folder))
    if recipe is None:
        raise NstflowError(problems)
    sizes = {name: _prepared(origin, name, size, ask) for name, size in sources.items()}
    terms: dict[str, LossTerm] = {}
    for name in recipe.losses:
        with origin.asking("losses", name) as term:
            terms[name] = term.with_shares(recipe.extractor.layers)
    needed = {layer for term in terms.values() for layer in term.shares} - {PIXELS}
    with origin.asking("extractor") as extractor:
        known = ask(extractor.layer_names)
        layers = tuple(name for name in known or sorted(needed) if name in needed)
    at = partial(_size_problems, origin, recipe.start, terms, layers, ask)
    problems += too_small(origin, recipe, sources, sizes, at)
    if not problems and any(any(term.regions) for term in terms.values()):
        problems += _mask_problems(origin, recipe, terms, sizes)
    if problems:
        raise NstflowError(problems)
    canvas = sizes[recipe.start.like]
    phases, taken = _phases(origin, recipe, canvas)
    for scale in sorted({phase.scale for phase in phases} - {1.0}):
        if problems := too_small(origin, recipe, sources, sizes, at, scale):
            raise NstflowError(problems)
    with origin.asking("extractor") as extractor:
        settled = ask(extractor.settled, layers, canvas, "cpu")
        cost = ask(settled.cost, layers, canvas)
    pixels = round(math.prod(canvas) * max(phase.scale for phase in phases) ** 2)
    with origin.asking("optimizer") as optimizer:
        state = ask(optimizer.state_size, pixels)
    plan = Plan(
        recipe=recipe,
        sources=sources,
        sizes=sizes,
        canvas=canvas,
        terms=terms,
        layers=layers,
        phases=phases,
        extractor=settled,
        cost=cost,
        assets=assets,
        files=origin.files(),
        steps_of=tuple(phase.steps for phase in phases),
        checkpoint_size=None if state is None else state + pixels * 3 * 4,
    )
    return plan if taken is None else plan.taking(taken)


def _phases(
    origin: Origin, recipe: Recipe, canvas: Size
) -> tuple[tuple[Phase, ...], Sequence[int] | None]:
    """Return the phases, and the steps that they took if the recipe's lock says so.

    Such a lock does not count if a `--set` option changes the recipe.
    """
    with origin.asking("schedule") as schedule:
        phases = tuple(schedule.phases(canvas))
        if not phases or not all(isinstance(phase, Phase) for phase in phases):
            raise TypeError(
                f"its phases() should give at least one Phase, but gave {phases!r:.200}"
            )
        for number, phase in enumerate(phases, 1):
            for name in [name for name in phase.weights if name not in recipe.losses]:
                got = f"phase {number} has a factor for the loss '{name}', which the recipe lacks."
                hint = suggest(name, recipe.losses) or f"Losses: {', '.join(recipe.losses)}."
                raise NstflowError(Problem("", "", got, hint))
            if all(phase.weights.get(name) == 0 for name in recipe.losses):
                got = f"all losses have the factor 0 in phase {number}."
                raise NstflowError(Problem("", "", got, "Give one of them another factor."))
    taken = recipe.lock.steps if recipe.lock is not None and not origin.source.options else None
    most = [phase.steps for phase in phases]
    if taken and (len(taken) != len(most) or any(map(operator.gt, taken, most))):
        got = f"the phases took {taken} steps, but the schedule has {most}."
        hint = "Restore the lockfile, or remove this setting."
        raise origin.source.error(("lock", "steps"), got, hint)
    return phases, taken


def _prepared(origin: Origin, name: str, size: Size, ask: Ask) -> Size:
    """Return the size of an image after preprocessing."""
    for keys, each in origin.stages.items():
        if isinstance(each, Preprocessor) and (each.only is None or name in each.only):
            with origin.asking(*keys) as stage:
                size = ask(stage.size, size)
    return size


def _size_problems(
    origin: Origin,
    start: Start,
    terms: Mapping[str, LossTerm],
    layers: Sequence[str],
    ask: Ask,
    sizes: Mapping[str, Size],
) -> list[Problem]:
    """Check the sizes of a phase with the extractor, whose problems have no hint, and the terms."""
    problems: list[Problem] = []
    # these pass through the network: the canvas, and the references of terms
    described = {start.like, *(image for term in terms.values() for image in term.references)}
    with origin.asking("extractor") as extractor:
        for name in [name for name in sizes if name in described]:
            try:
                ask(extractor.cost, layers, sizes[name])
            except ValueError as error:
                problems.append(origin.source.problem(("images", name), f"{error}."))
    if problems or not described <= set(sizes):
        return problems
    for name, term in terms.items():
        with origin.asking("losses", name, into=problems):
            reference = None if term.image is None else sizes[term.image]
            term.check(sizes[start.like], reference)
    return problems


def _mask_problems(
    origin: Origin, recipe: Recipe, terms: Mapping[str, LossTerm], sizes: Mapping[str, Size]
) -> list[Problem]:
    """Check the masks of losses."""
    problems: list[Problem] = []
    for name, term in terms.items():
        with origin.asking("losses", name, into=problems):
            covered = sizes[recipe.start.like], sizes.get(term.image or "")
            for setting, region, whole in zip(_MASKS, term.regions, covered, strict=True):
                if region is not None and whole is not None:
                    _check_region(setting, region, sizes[region.mask], whole)
                    _check_view(region, term, recipe.extractor)
    return problems


def _check_region(setting: str, region: Region, mask: Size, whole: Size) -> None:
    """Check that a mask has the aspect of the image that it covers, but for rounding."""
    apart = abs(mask[0] * whole[1] / (mask[1] * whole[0]) - 1)
    if apart > _ASPECT + 1 / min(*mask, *whole):
        sizes = f"{size_text(mask)}, and what it covers {size_text(whole)}"
        got = f"the mask '{region.mask}' has another shape: it is {sizes}."
        hint = "A mask covers the whole image, so prepare both alike, or paint it on the image."
        raise NstflowError(Problem("", setting, got, hint))


def _check_view(region: Region, term: LossTerm, extractor: Extractor) -> None:
    """Check that it is known what a position sees, if a region needs that."""
    for layer in term.shares:
        if region.edge == "inside" and geometry_of(extractor, layer) is None:
            got = f"the extractor '{extractor.use}' does not say what a position of '{layer}' sees."
            raise NstflowError(Problem("", "edge", got, "Write `edge: resize`."))
