"""Smooth the canvas."""

from typing import Any, Literal

from pydantic import Field

from nstflow import Features, Layers, LossTerm, Tensor, tf


class TotalVariation(LossTerm):
    """Smooth the canvas, by the mean squared difference of neighbouring pixels.

    For x `(h, w, c)`: mean((x[1:] - x[:-1])²) + mean((x[:, 1:] - x[:, :-1])²), so a checkerboard of
    0 and 1 has the loss 2. A direction with only one pixel adds nothing.

    Source: Mahendran and Vedaldi, "Understanding Deep Image Representations by Inverting Them",
    CVPR 2015, with exponent 2 and means instead of sums.
    """

    use: Literal["total_variation"] = "total_variation"
    layers: Layers = Field(("image",), description="Usually the pixels, [image].")
    image: None = Field(None, description="This loss has no reference.")

    def score(self, features: Features, target: Any) -> Tensor:  # noqa: ARG002 - the contract
        """Return the mean squared difference of neighbours."""
        return self.total({layer: _variation(x) for layer, x in features.items()})


def _variation(x: Tensor) -> Tensor:
    down, across = x[:, 1:] - x[:, :-1], x[:, :, 1:] - x[:, :, :-1]
    means = [tf.reduce_mean(tf.square(d)) for d in (down, across) if 0 not in d.shape]
    return tf.add_n(means) if means else tf.constant(0.0)
