"""Match the content position by position."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from nstflow import Features, ImageRef, Layers, LocalTerm, Size, Tensor, tf
from nstflow.toolkit import Normalize, mean_square, require_same_size, weighted_mean


class Content(LocalTerm):
    """Match the features of the content, position by position.

    With the features A of the canvas and C of the reference, the loss of a layer is

        scale: mean   mean((A - C)²)   as in the numbers of the capstone report (docs/report.md)
        scale: sum    ½ Σ (A - C)²     as in the report's formulas; each layer of a list or group
                                       has the share 1

    With a `region`, `sum` is the mean of ½ Σ (A - C)² of the positions in the region, times the
    number of all positions.

    `normalize: rms` divides the loss by r², the mean square of C. The losses of the layers are
    multiplied by their shares and added. The reference must have the size of the canvas.

    Source: Gatys, Ecker and Bethge, "Image Style Transfer Using Convolutional Neural Networks",
    CVPR 2016, equation 1.
    """

    use: Literal["content"] = "content"
    image: ImageRef = Field("content", description="The image whose content to match.")
    layers: Layers = Field(
        "content",
        description="A group, a list of layers, or a mapping of layers to shares (factors).",
    )
    scale: Literal["mean", "sum"] = Field("mean", description="Mean or sum of squared differences.")
    normalize: Normalize = None

    def share_of_each(self, count: int) -> float:
        """Return 1 / count, or 1 for sums."""
        return 1.0 if self.scale == "sum" else super().share_of_each(count)

    def check(self, canvas: Size, reference: Size | None) -> None:
        """Check that the reference has the size of the canvas."""
        require_same_size(canvas, reference)

    def target(self, features: Features) -> Any:
        """Return the features of each layer, and r² if the loss is divided by it."""
        if not self.normalize:
            return super().target(features)
        kept = {}
        for layer, x in features.items():
            points, weights = features.points(layer)
            kept[layer] = x, mean_square(weighted_mean(tf.square(points), weights))
        return kept

    def differences(self, features: Features, target: Any) -> Mapping[str, Tensor]:
        """Return the mean, or the scaled sum, of the squared differences of each position."""
        maps = {}
        for layer, x in features.items():
            reference, square = target[layer] if self.normalize else (target[layer], None)
            maps[layer] = tf.reduce_mean(tf.square(x - reference), -1, keepdims=True)
            if square is not None:
                maps[layer] /= square
            if self.scale == "sum":
                height, width = features.size(layer)
                maps[layer] *= x.shape[-1] * height * width / 2
        return maps
