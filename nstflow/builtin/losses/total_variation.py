"""Smooth the canvas."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from nstflow import Features, Layers, LocalTerm, Tensor, tf

SOFT = 1e-3
"""Below about this difference, l1 is quadratic: at 0 the absolute value has no gradient."""


class TotalVariation(LocalTerm):
    """Smooth the canvas, by the differences of neighbouring pixels.

    With the differences d = x[1:] - x[:-1] and e = x[:, 1:] - x[:, :-1] of x `(h, w, c)`:

        kind: l2          mean(d²) + mean(e²): a checkerboard of 0 and 1 has the loss 2
        kind: l1          mean(|d|) + mean(|e|), where |d| is √(d² + s²) - s with s = 0.001; it
                          keeps edges sharper than l2
        kind: nine_point  mean of 2 (d² + e²) / 3 + (f² + g²) / 6, with the differences f and g
                          along both diagonals; the loss of a ramp is its squared slope, in any
                          direction; the gradient at a pixel depends on nine pixels

    For l2 and l1, a direction with only one pixel adds nothing. For nine_point, the last row and
    the last column are repeated, so that every pixel has neighbours below and on the right.

    Source: Mahendran and Vedaldi, "Understanding Deep Image Representations by Inverting Them",
    CVPR 2015, with exponent 2 and means instead of sums; nine_point is that of
    style-transfer-pytorch by Katherine Crowson.
    """

    margin: ClassVar[int] = 1

    use: Literal["total_variation"] = "total_variation"
    layers: Layers = Field(("image",), description="Usually the pixels, [image].")
    image: None = Field(None, description="This loss has no reference.")
    kind: Literal["l2", "l1", "nine_point"] = Field(
        "l2",
        description="l2: squared differences; l1: absolute ones, which keep edges sharper;"
        " nine_point: squared ones, also along the diagonals.",
    )

    def differences(self, features: Features, target: Any) -> Mapping[str, Tensor]:  # noqa: ARG002
        """Return the penalties of the differences to the next row and to the next column."""
        variation = _nine_point if self.kind == "nine_point" else self._variation
        return {
            layer: tf.reduce_mean(variation(x), -1, keepdims=True) for layer, x in features.items()
        }

    def _variation(self, x: Tensor) -> Tensor:
        """Return a map whose mean is the sum of the means of both directions."""
        penalties = tf.zeros_like(x)
        for axis in (1, 2):
            count = x.shape[axis] - 1
            if count:
                there, here = tf.split(x, [1, count], axis)[1], tf.split(x, [count, 1], axis)[0]
                paddings = [(0, int(axis == each)) for each in range(4)]
                penalty = tf.square(there - here)
                if self.kind == "l1":
                    penalty = tf.sqrt(penalty + SOFT**2) - SOFT
                # the last row or column has no next one: the mean is over the others
                penalties += tf.pad(penalty, paddings) * ((count + 1) / count)
        return penalties


def _nine_point(x: Tensor) -> Tensor:
    """Return the squared slope at each pixel, from it and the next in each direction."""
    padded = tf.pad(x, [(0, 0), (0, 1), (0, 1), (0, 0)], "SYMMETRIC")
    here, right = padded[:, :-1, :-1], padded[:, :-1, 1:]
    below, across = padded[:, 1:, :-1], padded[:, 1:, 1:]
    straight = tf.square(right - here) + tf.square(below - here)
    diagonal = tf.square(across - here) + tf.square(below - right)
    return 2 * straight / 3 + diagonal / 6
