"""From the mask that a loss names to how much each position of a layer counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nstflow.errors import NstflowError, Problem
from nstflow.stages.loss import LossTerm
from nstflow.stages.tensorflow import Tensor
from nstflow.stages.types import Image, Size


def weights_in(
    setting: str, term: LossTerm, mask: Image, sizes: Mapping[str, Size], alpha: Any = None
) -> dict[str, Tensor]:
    """Return layer → how much each of its positions counts in a region.

    Args:
        setting: The setting that names the mask, `region` or `image_region`.
        term: The loss.
        mask: The image whose alpha is the mask.
        sizes: Layer → height and width.
        alpha: How much each pixel of the term's image counts by itself, `(h, w)`.

    Raises:
        NstflowError: The image has no alpha, or a layer has no position in the region.
    """
    from nstflow.engine.features import region_weights

    name = getattr(term, setting)
    if mask.alpha is None:
        got = f"the image '{name}' has no transparency, so it is not a mask."
        hint = "Paint the mask as the opaque part of a PNG, and load it with transparency: weight."
        raise NstflowError(Problem("", setting, got, hint))
    weights = {}
    for layer in term.shares:
        weights[layer] = region_weights(mask.alpha, sizes[layer], alpha)
        if weights[layer] is None:
            got = f"no position of the layer '{layer}' is in the mask '{name}'."
            hint = "Prepare the images at a larger size, or use a larger mask or other layers."
            raise NstflowError(Problem("", setting, got, hint))
    return weights
