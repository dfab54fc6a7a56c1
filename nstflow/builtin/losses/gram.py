"""Match the style by Gram matrices."""

from typing import Literal

from pydantic import Field

from nstflow import StatisticTerm, Tensor, tf
from nstflow.toolkit import gram_matrix


class Gram(StatisticTerm):
    """Match how strongly features occur together in the style, wherever they occur.

    With F `(n, c)`, one row a position, and G = FᵀF / n of the canvas, A of the style, `(c, c)`,
    summed over the layers by share:

        scale: mean    mean((G - A)²)           the size that the original report prints
        scale: sum     Σ (nG - mA)²             the formula of its text: FᵀF is not divided
        scale: gatys   Σ (G - A)² / 4c²         Σ (nG - nA)² / 4c²n², where both sizes agree

    With `sum` and `gatys`, each plainly listed layer has share 1.

    Source: Gatys, Ecker and Bethge, "Image Style Transfer Using Convolutional Neural Networks",
    CVPR 2016, equations 3 to 5.
    """

    use: Literal["gram"] = "gram"
    scale: Literal["mean", "sum", "gatys"] = Field(
        "mean", description="How products and differences add up."
    )

    @property
    def additive(self) -> bool:  # type: ignore[override]  # depends on a setting here
        """Sums over positions grow with their number, so they have no mean over parts."""
        return self.scale != "sum"

    def share_of_each(self, count: int) -> float:
        """Return 1 / count, or 1 for the two scales that the text defines layer by layer."""
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
