"""The parts of a phase put together: the network, the first canvas, what every step evaluates."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any

from nstflow.blame import blaming
from nstflow.errors import NstflowError, Problem
from nstflow.lazy import Tensor
from nstflow.plan import Plan, scaled
from nstflow.values import Image, Size, size_text

if TYPE_CHECKING:
    from nstflow.engine.features import Network
    from nstflow.engine.objective import Evaluate


def guard(plan: Plan, *keys: str) -> AbstractContextManager[None]:
    """Return the context to call the stage at a path of the recipe in."""
    held = getattr(plan.recipe, keys[0])
    return blaming(plan.recipe, keys, held[keys[1]] if keys[1:] else held)


def build_network(plan: Plan) -> Network | None:
    """Build the network, and hold it to the layers that it promised."""
    recipe, layers = plan.recipe, plan.layers
    if not layers:
        return None
    with guard(plan, "extractor"):
        network = plan.extractor.build(layers, recipe.folder)

    def described(canvas: Tensor) -> Mapping[str, Tensor]:
        with guard(plan, "extractor"):
            maps = network(canvas)
            if missing := [layer for layer in layers if layer not in maps]:
                hint = f"It gives {', '.join(maps) or 'none'}."
                raise NstflowError(Problem("", "", f"it gives no layer {missing[0]}.", hint))
        return maps

    return described


def at_scale(images: Mapping[str, Image], scale: float) -> dict[str, Image]:
    """Return the prepared images as a phase has them."""
    from nstflow.engine.resampling import resize_image

    return {name: resize_image(image, scaled(image.size, scale)) for name, image in images.items()}


def first_canvas(plan: Plan, images: Mapping[str, Image], size: Size) -> Tensor:
    """Return the canvas that the first step sees, `(1, h, w, 3)`, at `(height, width)`."""
    from nstflow.engine.resampling import canvas_of

    recipe = plan.recipe
    with guard(plan, "start"):
        image = recipe.start.paint(images, size, recipe.seed)
        if image.size != size:
            got = f"it painted {size_text(image.size)} where {size_text(size)} was asked for."
            raise NstflowError(Problem("", "", got, "This is a mistake in the stage."))
    return canvas_of(image)


def build_objective(plan: Plan, images: Mapping[str, Image], network: Network | None) -> Evaluate:
    """Describe the references, and return what every step evaluates."""
    from nstflow.engine.features import Describer
    from nstflow.engine.objective import make_objective, make_target

    seed, terms = plan.recipe.seed, plan.terms
    named = dict.fromkeys(term.image for term in terms.values() if term.image is not None)
    targets: dict[str, Any] = dict.fromkeys(terms)
    describer = Describer(network)
    for image in named:  # one at a time: features of a large image fill the memory
        features = describer(images[image])
        for name, term in terms.items():
            if term.image == image:
                with guard(plan, "losses", name):
                    targets[name] = make_target(term, name, seed, features)
    return make_objective(network, terms, targets, seed, partial(guard, plan, "losses"))
