"""From the mask that a loss names to how much each position of a layer counts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nstflow.errors import NstflowError, Problem
from nstflow.plan import geometry_of
from nstflow.stages.loss import LossTerm, Region
from nstflow.stages.stage import Extractor
from nstflow.stages.tensorflow import Tensor
from nstflow.stages.types import Geometry, Image, Size, size_text

if TYPE_CHECKING:
    from numpy.typing import NDArray


def weights_in(
    setting: str,
    term: LossTerm,
    region: Region,
    mask: Image,
    image: Size,
    sizes: Mapping[str, Size],
    extractor: Extractor,
    alpha: Any = None,
) -> dict[str, Tensor]:
    """Return layer → how much each of its positions counts in a region.

    Args:
        setting: The setting that names the mask, `region` or `image_region`.
        term: The loss.
        region: Its region.
        mask: The image whose alpha is the mask.
        image: Height and width of the image that the layers describe.
        sizes: Layer → height and width.
        extractor: Knows what a position sees.
        alpha: How much each pixel of that image counts by itself, `(h, w)`.

    Raises:
        NstflowError: The mask has no alpha, or a layer has no position in the region.
    """
    from nstflow.engine.features import region_weights

    if mask.alpha is None:
        got = f"the image '{region.mask}' has no transparency, so it is not a mask."
        hint = "Load it with `use: mask`, or paint the mask as the opaque part of a picture."
        raise NstflowError(Problem("", setting, got, hint))
    weights = {}
    for layer in term.shares:
        geometry = geometry_of(extractor, layer)
        view = None if geometry is None else (image, geometry)
        weights[layer] = region_weights(mask.alpha, sizes[layer], alpha, region, view)
        if weights[layer] is None:
            got = f"no position of the layer '{layer}' is in the mask '{region.mask}'"
            hint = _hint(mask.alpha, image, region, geometry)
            raise NstflowError(Problem("", setting, f"{got}.", hint))
    return weights


def _hint(mask: NDArray[Any], image: Size, region: Region, geometry: Geometry | None) -> str:
    """Return what makes the region hold a position of a layer."""
    if not mask.any():
        return "The mask is empty: make a part of it opaque."
    if geometry is None or (region.edge == "resize" and region.grow >= 0):
        return "Where the mask is opaque, the image is transparent: use another mask."
    width = _widest_square(mask) * max(image) / max(mask.shape)
    reach = geometry.reach if region.edge == "inside" else 0
    # one more position than is asked for, as the square need not begin where a position does
    needed = geometry.stride * (2 - 2 * min(region.grow, 0)) + 2 * reach
    side = math.ceil(max(image) * needed / width)
    return (
        f"At this size ({size_text(image)}) the mask holds a square of {width:.0f} pixels, but"
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
