"""From the masks that losses name to how much each position of a layer counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nstflow.errors import NstflowError, Problem
from nstflow.plan import Plan, geometry_of
from nstflow.stages.loss import LossTerm, Region
from nstflow.stages.tensorflow import Tensor
from nstflow.stages.types import Geometry, Image, Phase, Size, size_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nstflow.engine.objective import Weights


@dataclass(frozen=True, eq=False)
class PhaseRegions:
    """How much each position counts in a phase.

    Attributes:
        canvas: Region of the canvas, or None for the whole → the weights.
        images: Loss → the weights of its image, of a loss with an `image_region`.
    """

    canvas: Mapping[Region | None, Weights]
    images: Mapping[str, Weights]


def regions_of(
    plan: Plan,
    phase: Phase,
    images: Mapping[str, Image],
    masks: Mapping[str, Image],
    sizes_of: Callable[[Size], Mapping[str, Size]],
) -> PhaseRegions:
    """Return how much each position counts in a phase.

    Where the image that gives the canvas its size is transparent, the canvas counts for nothing.

    Args:
        plan: The run's.
        phase: The phase; losses with the factor 0 are left out.
        images: The prepared images at the scale of the phase.
        masks: The prepared images, whose alpha is a mask.
        sizes_of: Returns layer → height and width, for an image of a size.

    Raises:
        NstflowError: A mask has no alpha, or a layer of a loss has no position in its region.
    """
    from nstflow.engine.features import weights_of

    like = images[plan.recipe.start.like]
    canvas: dict[Region | None, dict[str, Tensor]] = {None: {}}
    others: dict[str, Weights] = {}
    if like.alpha is not None:
        layers = sizes_of(like.size).items()
        canvas[None] = {layer: weights_of(like.alpha, *size) for layer, size in layers}
    for name, term in plan.terms.items():
        if phase.weights.get(name) == 0:
            continue
        on_canvas, on_image = term.regions
        with plan.recipe.asking("losses", name):
            if on_canvas is not None:
                weights = _weights(plan, term, "region", on_canvas, like, masks, sizes_of)
                canvas.setdefault(on_canvas, {}).update(weights)
            if on_image is not None and term.image is not None:
                image = images[term.image]
                others[name] = _weights(
                    plan, term, "image_region", on_image, image, masks, sizes_of
                )
    return PhaseRegions(canvas, others)


def _weights(
    plan: Plan,
    term: LossTerm,
    setting: str,
    region: Region,
    image: Image,
    masks: Mapping[str, Image],
    sizes_of: Callable[[Size], Mapping[str, Size]],
) -> dict[str, Tensor]:
    """Return layer → how much each of its positions counts in a region of an image."""
    from nstflow.engine.features import region_weights

    mask = masks[region.mask].alpha
    if mask is None:
        got = f"the image '{region.mask}' has no transparency, so it is not a mask."
        hint = "Load it with `use: mask`, or paint the mask as the opaque part of a picture."
        raise NstflowError(Problem("", setting, got, hint))
    sizes, weights = sizes_of(image.size), {}
    for layer in term.shares:
        geometry = geometry_of(plan.extractor, layer)
        view = None if geometry is None else (image.size, geometry)
        weights[layer] = region_weights(mask, sizes[layer], image.alpha, region, view)
        if weights[layer] is None:
            got = f"no position of the layer '{layer}' is in the mask '{region.mask}'."
            raise NstflowError(Problem("", setting, got, _hint(mask, image, region, geometry)))
    return weights


def _hint(mask: NDArray[Any], image: Image, region: Region, geometry: Geometry | None) -> str:
    """Return what makes the region hold a position of a layer."""
    from nstflow.engine.features import region_weights

    if not mask.any():
        return "The mask is empty: make a part of it opaque."
    if image.alpha is not None and region_weights(mask, image.size, image.alpha) is None:
        return "Where the mask is opaque, the image is transparent: use another mask."
    if geometry is None:
        return "Use a larger mask, or a smaller `grow`."
    width = _widest_square(mask) * max(image.size) / max(mask.shape)
    reach = geometry.reach if region.edge == "inside" else 0
    # one more position than is asked for, as the square need not begin where a position does
    needed = geometry.stride * (2 - 2 * min(region.grow, 0)) + 2 * reach
    side = math.ceil(max(image.size) * needed / width)
    return (
        f"At this size ({size_text(image.size)}) the mask holds a square of {width:.0f} pixels, but"
        f" {needed} are needed. A longest side of {side} pixels would do, in each phase. Or use a"
        " larger mask, other layers, or another `edge` or `grow`."
    )


def _widest_square(mask: NDArray[Any]) -> int:
    """Return the side of the largest square around a pixel of a mask that is nowhere 0.

    What is outside of the mask is no obstacle.
    """
    import numpy as np

    zeros = np.pad(np.cumsum(np.cumsum(mask <= 0, 0), 1), ((1, 0), (1, 0)))
    height, width = mask.shape
    reach, too_far = -1, max(mask.shape)
    while too_far - reach > 1:
        middle = (reach + too_far) // 2
        top, bottom, left, right = (
            np.clip(np.arange(side) + ends, 0, side)
            for side in (height, width)
            for ends in (-middle, middle + 1)
        )
        inside = zeros[bottom][:, right] - zeros[top][:, right]
        inside -= zeros[bottom][:, left] - zeros[top][:, left]
        reach, too_far = (middle, too_far) if (inside == 0).any() else (reach, middle)
    return 2 * reach + 1
