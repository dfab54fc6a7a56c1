"""From the mask that a loss names to how much each position of a layer counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nstflow.errors import NstflowError, Problem
from nstflow.stages.loss import LossTerm
from nstflow.stages.stage import image_refs
from nstflow.stages.tensorflow import Tensor
from nstflow.stages.types import Image, Size


def weights_in(
    term: LossTerm, mask: str, region: Image, sizes: Mapping[str, Size], alpha: Any = None
) -> dict[str, Tensor]:
    """Return layer → how much each of its positions counts in a region.

    Raises:
        NstflowError: The image has no alpha, or a layer has no position in the region.
    """
    from nstflow.engine.features import region_weights

    setting = image_refs(term)[mask]
    if region.alpha is None:
        got, hint = f"the image '{mask}' is opaque.", "A mask is an image with transparency."
        raise NstflowError(Problem("", setting, got, hint))
    weights = {}
    for layer in term.shares:
        weights[layer] = region_weights(region.alpha, sizes[layer], alpha)
        if weights[layer] is None:
            got = f"no position of the layer '{layer}' is in the mask '{mask}'."
            hint = "Prepare the images at a larger size, or use a larger mask or other layers."
            raise NstflowError(Problem("", setting, got, hint))
    return weights
