"""Builds the parts of a phase: the network, the first canvas, the objective, the loop."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from nstflow.errors import NstflowError, Problem
from nstflow.plan import Plan
from nstflow.recipe.attribution import check_type
from nstflow.runner.cache import RunCache, hashes_of
from nstflow.runner.masks import PhaseRegions
from nstflow.stages.loss import LossTerm, StatisticTerm
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
    from nstflow.engine.features import Describer, Network
    from nstflow.engine.loop import Loop
    from nstflow.engine.objective import Objective, Weights


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


def layer_sizes(built: BuiltNetwork, shared: RunCache, size: Size) -> Mapping[str, Size]:
    """Return layer → height and width, for an image of a size; nothing is computed."""
    return _describer(built, shared, size).sizes(size)


def build_objective(
    plan: Plan,
    phase: Phase,
    images: Mapping[str, Image],
    regions: PhaseRegions,
    built: BuiltNetwork,
    shared: RunCache,
) -> Objective:
    """Compute the targets, and return what every step of a phase evaluates.

    Args:
        plan: The run's.
        phase: The phase.
        images: The prepared images at the scale of the phase.
        regions: Where losses count in it.
        built: The network.
        shared: Where targets and programs are kept.
    """
    from nstflow.engine.objective import Objective

    seed = plan.recipe.seed
    computed = {name: term for name, term in plan.terms.items() if phase.weights.get(name) != 0}
    targets: dict[str, Any] = dict.fromkeys(plan.terms)
    named = {name: term.image for name, term in computed.items() if term.image is not None}
    for image in dict.fromkeys(named.values()):
        # one image at a time: the features of a large one fill the memory
        features = cache(partial(_described, built, shared, images[image]))
        for name in [name for name in named if named[name] == image]:
            term, region = computed[name].computing(), regions.images.get(name)
            make = partial(_target, term, name, seed, features, region)
            if len(term.references) > 1 and isinstance(term, StatisticTerm):
                parts = partial(_parts, term, images, region, built, shared)
                make = partial(_mixed_target, term, name, seed, parts)
            pixels = tuple(_digest(images[each]) for each in term.references)
            key = (term, name, seed, pixels, built.key, _weights_digest(region))
            with plan.recipe.asking("losses", name):
                targets[name] = shared.targets.get(key, make)
    attributed = partial(plan.recipe.asking, "losses")
    return Objective(
        *(built.network, plan.terms, targets, seed, attributed, phase.weights, regions.canvas)
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


def _describer(built: BuiltNetwork, shared: RunCache, size: Size) -> Describer:
    from nstflow.engine.features import Describer

    describer: Describer = shared.descriptions.get(
        (built.key, size), partial(Describer, built.network)
    )
    return describer


def _described(built: BuiltNetwork, shared: RunCache, image: Image) -> Features:
    """Return the features of an image."""
    return _describer(built, shared, image.size)(image)


def _target(
    term: LossTerm,
    name: str,
    seed: int,
    features: Callable[[], Features],
    region: Weights | None,
) -> Any:
    """Return what a term keeps of its reference, or of a region of it."""
    from nstflow.engine.objective import make_target

    return make_target(term, name, seed, features(), region)


def _mixed_target(
    term: StatisticTerm,
    name: str,
    seed: int,
    parts: Callable[[], Iterator[tuple[Features, float, Weights | None]]],
) -> Any:
    """Return what a term keeps of several images."""
    from nstflow.engine.objective import make_mixed_target

    return make_mixed_target(term, name, seed, parts())


def _parts(
    term: LossTerm,
    images: Mapping[str, Image],
    region: Weights | None,
    built: BuiltNetwork,
    shared: RunCache,
) -> Iterator[tuple[Features, float, Weights | None]]:
    """Yield the features, the share and the region of each image that a term mixes."""
    for name, share in term.references.items():
        own = region if name == term.image else None
        yield _described(built, shared, images[name]), share, own


def _weights_digest(weights: Weights | None) -> Any:
    """Return a hash of the weights of a region."""
    if weights is None:
        return None
    return [(layer, hashlib.sha256(x.numpy()).digest()) for layer, x in weights.items()]


def _digest(image: Image) -> bytes:
    """Return a hash of an image's pixels and opacity."""
    digest = hashlib.sha256(repr(image.size).encode())
    for array in (image.pixels, image.alpha):
        digest.update(b"" if array is None else array.tobytes())
    return digest.digest()
