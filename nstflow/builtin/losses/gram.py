"""Match the style by Gram matrices."""

from typing import Any, Literal

from pydantic import Field

from nstflow import StatisticTerm, Tensor, tf
from nstflow.toolkit import Normalize, gram_matrix, mean_square, weighted_mean


class Gram(StatisticTerm):
    """Match how strongly features occur together in the style, wherever they occur.

    F `(n, c)` has one row per position. G = FᵀF / n is the Gram matrix `(c, c)` of the canvas, A
    that of the style, and m the number of positions of the style. The loss of a layer is

        scale: mean        mean((G - A)²)         as in the numbers of the capstone report
        scale: sum         Σ (nG - mA)²           as in the report's formulas: FᵀF is not divided
        scale: gatys       Σ (G - A)² / 4c²       equation 4 of the first source, if n = m
        scale: gatys_2017  mean((G - A)²) / c²    the second source's program, with `weight: 1000`

    The capstone report is described in docs/report.md. The losses of the layers are multiplied by
    their shares and added. In a list or group of k layers, each layer has the share 1 / k with
    `mean`, and the share 1 with the other scales.

    `centered: true` subtracts the mean of each feature first, so that G and A are covariances.
    `normalize: rms` divides the loss by r⁴. r² is the mean of the diagonal of A, without the
    subtraction; with `sum`, of mA.

    Source: Gatys, Ecker and Bethge, "Image Style Transfer Using Convolutional Neural Networks",
    CVPR 2016, equations 3 to 5; Gatys, Ecker, Bethge, Hertzmann and Shechtman, "Controlling
    Perceptual Factors in Neural Style Transfer", CVPR 2017, and its program.
    """

    use: Literal["gram"] = "gram"
    scale: Literal["mean", "sum", "gatys", "gatys_2017"] = Field(
        "mean", description="The formula; `gatys` and `gatys_2017` are those of the papers."
    )
    centered: bool = Field(False, description="Compare covariances, not Gram matrices.")
    normalize: Normalize = None

    @property
    def additive(self) -> bool:  # type: ignore[override]  # depends on a setting here
        """False for `sum`: sums over positions grow with the number of positions."""
        return self.scale != "sum"

    def share_of_each(self, count: int) -> float:
        """Return 1 / count, or 1 for the scales that are defined per layer."""
        return super().share_of_each(count) if self.scale == "mean" else 1.0

    def summarize(self, points: Tensor, weights: Tensor) -> Any:
        """Return the Gram matrix `(c, c)`; if `centered`, a list of it and the mean `(c,)`."""
        count = float(points.shape[0]) if self.scale == "sum" else 1.0
        gram = gram_matrix(points, weights)
        gram = gram * count if self.scale == "sum" else gram
        return [gram, weighted_mean(points, weights) * count**0.5] if self.centered else gram

    def distance(self, summary: Any, target: Any) -> Tensor:
        """Return the scaled sum of squared differences."""
        difference = tf.square(self._matrix(summary) - self._matrix(target))
        if self.scale == "sum":
            loss = tf.reduce_sum(difference)
        else:
            loss = tf.reduce_mean(difference)
            if self.scale == "gatys":
                loss = loss / 4
            elif self.scale == "gatys_2017":
                loss = loss / difference.shape[0] ** 2
        if self.normalize:
            loss = loss / tf.square(mean_square(target[0] if self.centered else target))
        return loss

    def _matrix(self, summary: Any) -> Tensor:
        if not self.centered:
            return summary
        gram, mean = summary
        return gram - mean[:, None] * mean
