"""Match the style by Gram matrices."""

from typing import Literal

from pydantic import Field

from nstflow import StatisticTerm, Tensor, tf
from nstflow.toolkit import gram_matrix


class Gram(StatisticTerm):
    """Match how strongly features occur together in the style, wherever they occur.

    F `(n, c)` has one row per position. G = FᵀF / n is the Gram matrix `(c, c)` of the canvas, A
    that of the style, and m the number of positions of the style. The loss of a layer is

        scale: mean    mean((G - A)²)           as in the numbers of the original report
        scale: sum     Σ (nG - mA)²             as in its formulas: FᵀF is not divided
        scale: gatys   Σ (G - A)² / 4c²         Σ (nG - nA)² / 4c²n² if n = m

    The losses of the layers are multiplied by their shares and added. With `sum` and `gatys`, each
    layer of a plain list has the share 1.

    Source: Gatys, Ecker and Bethge, "Image Style Transfer Using Convolutional Neural Networks",
    CVPR 2016, equations 3 to 5.
    """

    use: Literal["gram"] = "gram"
    scale: Literal["mean", "sum", "gatys"] = Field(
        "mean", description="How products and differences are scaled."
    )

    @property
    def additive(self) -> bool:  # type: ignore[override]  # depends on a setting here
        """False for `sum`: sums over positions grow with the number of positions."""
        return self.scale != "sum"

    def share_of_each(self, count: int) -> float:
        """Return 1 / count, or 1 for the two scales that are defined per layer."""
        return super().share_of_each(count) if self.scale == "mean" else 1.0

    def summarize(self, points: Tensor, weights: Tensor) -> Tensor:
        """Return the Gram matrix `(c, c)`."""
        gram = gram_matrix(points, weights)
        return gram * float(points.shape[0]) if self.scale == "sum" else gram

    def distance(self, summary: Tensor, target: Tensor) -> Tensor:
        """Return the scaled sum of squared differences."""
        difference = tf.square(summary - target)
        if self.scale == "sum":
            return tf.reduce_sum(difference)
        mean = tf.reduce_mean(difference)
        return mean / 4 if self.scale == "gatys" else mean
