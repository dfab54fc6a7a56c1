"""Builds the parts of a phase: the network, the first canvas, the objective, the loop."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from nstflow.errors import NstflowError, Problem
from nstflow.plan import Plan
from nstflow.recipe.attribution import check_type
from nstflow.runner.cache import RunCache, hashes_of
from nstflow.runner.masks import weights_in
from nstflow.stages.loss import LossTerm, Region
from nstflow.stages.tensorflow import Tensor
from nstflow.stages.types import (
    Features,
    Image,
    Phase,
    Size,
    State,
    scaled,
    size_text,
)

if TYPE_CHECKING:
    from nstflow.engine.features import Network
    from nstflow.engine.loop import Loop
    from nstflow.engine.objective import Objective


@dataclass(frozen=True, eq=False)
class BuiltNetwork:
    """A network with the layers that a plan needs.

    Attributes:
        network: The function; None if no term needs a layer beyond the pixels.
        key: Equal for networks that are known to be equal.
    """

    network: Network | None
    key: Any


def build_network(plan: Plan, shared: RunCache) -> BuiltNetwork:
    """Build the network, which raises an error if it lacks a layer."""
    if not plan.layers:
        return BuiltNetwork(None, ("pixels",))
    assets = [asset.sha256 for asset in plan.assets]
    hashes = hashes_of(plan.extractor.files(plan.recipe.folder).values())
    key = (plan.extractor, plan.layers, assets, hashes)
    with plan.recipe.asking("extractor"):
        build = partial(plan.extractor.build, plan.layers, plan.recipe.folder)
        network = shared.networks.get(key, build)

    def checked(canvas: Tensor) -> Mapping[str, Tensor]:
        with plan.recipe.asking("extractor"):
            maps: Mapping[str, Tensor] = check_type(network(canvas), Mapping, "function of build()")
            if missing := [layer for layer in plan.layers if layer not in maps]:
                hint = f"It gives {', '.join(maps) or 'none'}."
                raise NstflowError(Problem("", "", f"it gives no layer {missing[0]}.", hint))
        return maps

    return BuiltNetwork(checked, key)


def at_scale(images: Mapping[str, Image], scale: float) -> dict[str, Image]:
    """Return the prepared images at the scale of a phase."""
    from nstflow.engine.resampling import resize_image

    return {name: resize_image(image, scaled(image.size, scale)) for name, image in images.items()}


def first_canvas(plan: Plan, images: Mapping[str, Image], size: Size) -> Tensor:
    """Return the canvas that the first step sees, `(1, h, w, 3)`, at `(height, width)`."""
    from nstflow.engine.resampling import canvas_of

    recipe = plan.recipe
    with recipe.asking("start"):
        image = check_type(recipe.start.paint(images, size, recipe.seed), Image, "paint()")
        if image.size != size:
            got = f"it painted {size_text(image.size)} where {size_text(size)} was asked for."
            raise NstflowError(Problem("", "", got, "This is a mistake in the stage."))
    return canvas_of(image)


def build_objective(
    plan: Plan,
    phase: Phase,
    images: Mapping[str, Image],
    masks: Mapping[str, Image],
    size: Size,
    built: BuiltNetwork,
    shared: RunCache,
) -> Objective:
    """Compute the targets, and return what every step of a phase evaluates.

    Args:
        plan: The run's.
        phase: The phase.
        images: The prepared images at the scale of the phase.
        masks: The prepared images, whose alpha says where a loss counts.
        size: Height and width of the canvas in it.
        built: The network.
        shared: Where targets and programs are kept.
    """
    from nstflow.engine.objective import Objective

    seed, network, key = plan.recipe.seed, built.network, built.key
    computed = {name: term for name, term in plan.terms.items() if phase.weights.get(name) != 0}
    targets: dict[str, Any] = dict.fromkeys(plan.terms)
    named = {name: term.image for name, term in computed.items() if term.image is not None}
    for image in dict.fromkeys(named.values()):
        # one image at a time: the features of a large one fill the memory
        features = cache(partial(_described, built, shared, images[image]))
        for name in [name for name in named if named[name] == image]:
            with plan.recipe.asking("losses", name):
                term = computed[name].computing()
                region = term.regions[1]
                mask = None if region is None else masks[region.mask]
                more = {each: images[each] for each in term.references if each != image}
                pixels = [_digest(each) for each in (images[image], *more.values())]
                known = (term, name, seed, tuple(pixels), key, mask and _digest(mask))
                others = partial(_mixed_in, term, more, built, shared)
                make = partial(_target, plan, term, name, features, mask, images[image], others)
                targets[name] = shared.targets.get(known, make)
    regions = canvas_regions(plan, computed, images, masks, size, built, shared)
    attributed = partial(plan.recipe.asking, "losses")
    return Objective(network, plan.terms, targets, seed, attributed, phase.weights, regions)


def canvas_regions(
    plan: Plan,
    terms: Mapping[str, LossTerm],
    images: Mapping[str, Image],
    masks: Mapping[str, Image],
    size: Size,
    built: BuiltNetwork,
    shared: RunCache,
) -> dict[Region | None, dict[str, Tensor]]:
    """Return region of the canvas → layer → how much each position counts.

    Where the image that gives the canvas its size is transparent, the canvas counts for nothing.

    Raises:
        NstflowError: A layer of a term has no position in its region.
    """
    from nstflow.engine.features import Describer, weights_of

    alpha = images[plan.recipe.start.like].alpha
    regions: dict[Region | None, dict[str, Tensor]] = {None: {}}
    if alpha is None and not any(term.regions[0] for term in terms.values()):
        return regions
    describer = shared.descriptions.get((built.key, size), partial(Describer, built.network))
    sizes = describer.sizes(size)
    regions[None] = {layer: weights_of(alpha, *own) for layer, own in sizes.items()}
    for name, term in terms.items():
        if (region := term.regions[0]) is not None:
            mask, extractor = masks[region.mask], plan.extractor
            with plan.recipe.asking("losses", name):
                weights = weights_in("region", term, region, mask, size, sizes, extractor, alpha)
            regions.setdefault(region, {}).update(weights)
    return regions


def check_regions(
    plan: Plan, images: Mapping[str, Image], built: BuiltNetwork, shared: RunCache
) -> None:
    """Check that each region has positions in each phase, before the first step.

    Raises:
        NstflowError: A layer of a term has no position in its region.
    """
    from nstflow.engine.features import Describer

    if not any(any(term.regions) for term in plan.terms.values()):
        return
    for phase in plan.phases:
        size, own = scaled(plan.canvas, phase.scale), at_scale(images, phase.scale)
        canvas_regions(plan, plan.terms, own, images, size, built, shared)
        for name, term in plan.terms.items():
            if (region := term.regions[1]) is not None and term.image is not None:
                image, mask = own[term.image], images[region.mask]
                program = (built.key, image.size)
                describer = shared.descriptions.get(program, partial(Describer, built.network))
                sizes = describer.sizes(image.size)
                with plan.recipe.asking("losses", name):
                    weights_in(
                        *("image_region", term, region, mask, image.size, sizes),
                        *(plan.extractor, image.alpha),
                    )


def build_loop(
    plan: Plan,
    objective: Objective,
    built: BuiltNetwork,
    canvas: Tensor,
    state: State,
    step: int,
    shared: RunCache,
) -> Loop:
    """Return the loop of a phase, with the program of an earlier run if that computes the same."""
    from nstflow.engine.loop import Loop

    optimizer, asking = plan.recipe.optimizer, partial(plan.recipe.asking, "optimizer")
    terms, given = len(plan.terms), objective.given
    loop = Loop(optimizer, objective, terms, canvas, state, step, given, attributed=asking)
    kind = objective.kind or object()  # which equals no other
    with asking():  # its state may be anything
        key = (kind, optimizer, loop.shapes, built.key)
    loop.program = shared.programs.get(key, loop.trace)
    return loop


def _target(
    plan: Plan,
    term: LossTerm,
    name: str,
    features: Callable[[], Features],
    mask: Image | None,
    image: Image,
    others: Callable[[], Sequence[tuple[Features, float]]],
) -> Any:
    """Return what a term keeps of its references, or of the region of the first in a mask."""
    from nstflow.engine.objective import make_target

    weights, region = None, term.regions[1]
    if mask is not None and region is not None:
        sizes = {layer: features().size(layer) for layer in term.shares}
        weights = weights_in(
            *("image_region", term, region, mask, image.size, sizes, plan.extractor, image.alpha)
        )
    return make_target(term, name, plan.recipe.seed, features(), weights, others())


def _described(built: BuiltNetwork, shared: RunCache, image: Image) -> Features:
    """Return the features of an image."""
    from nstflow.engine.features import Describer

    program = (built.key, image.size)
    features: Features = shared.descriptions.get(program, partial(Describer, built.network))(image)
    return features


def _mixed_in(
    term: LossTerm, images: Mapping[str, Image], built: BuiltNetwork, shared: RunCache
) -> list[tuple[Features, float]]:
    """Return the features of the images that a term mixes with its own, and their shares."""
    return [
        (_described(built, shared, image), term.references[name]) for name, image in images.items()
    ]


def _digest(image: Image) -> bytes:
    """Return a hash of an image's pixels and opacity."""
    digest = hashlib.sha256(repr(image.size).encode())
    for array in (image.pixels, image.alpha):
        digest.update(b"" if array is None else array.tobytes())
    return digest.digest()
