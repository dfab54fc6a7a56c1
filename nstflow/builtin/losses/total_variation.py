"""Smooth the canvas."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from nstflow import Features, Layers, LocalTerm, Tensor, tf


class TotalVariation(LocalTerm):
    """Smooth the canvas, by the mean squared difference of neighbouring pixels.

    For x `(h, w, c)`: mean((x[1:] - x[:-1])²) + mean((x[:, 1:] - x[:, :-1])²), so a checkerboard of
    0 and 1 has the loss 2. A direction with only one pixel adds nothing.

    Source: Mahendran and Vedaldi, "Understanding Deep Image Representations by Inverting Them",
    CVPR 2015, with exponent 2 and means instead of sums.
    """

    margin: ClassVar[int] = 1

    use: Literal["total_variation"] = "total_variation"
    layers: Layers = Field(("image",), description="Usually the pixels, [image].")
    image: None = Field(None, description="This loss has no reference.")

    def differences(self, features: Features, target: Any) -> Mapping[str, Tensor]:  # noqa: ARG002
        """Return the squared differences to the next row and to the next column."""
        return {layer: _variation(x) for layer, x in features.items()}


def _variation(x: Tensor) -> Tensor:
    """Return a map whose mean is the sum of the means of both directions."""
    squares = tf.zeros_like(x)
    for axis in (1, 2):
        count = x.shape[axis] - 1
        if count:
            there, here = tf.split(x, [1, count], axis)[1], tf.split(x, [count, 1], axis)[0]
            paddings = [(0, int(axis == each)) for each in range(4)]
            # the last row or column has no next one: the mean is over the others
            squares += tf.pad(tf.square(there - here), paddings) * ((count + 1) / count)
    return tf.reduce_mean(squares, -1, keepdims=True)
