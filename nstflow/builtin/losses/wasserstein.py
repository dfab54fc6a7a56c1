"""Match the style by the mean and the covariance of its features."""

from collections.abc import Mapping
from typing import Any, Literal

from nstflow import StatisticTerm, Tensor, tf
from nstflow.toolkit import (
    Normalize,
    gram_matrix,
    matrix_root,
    mean_square,
    trace_of_root,
    weighted_mean,
)

Gaussian = dict[str, Tensor]


class Wasserstein(StatisticTerm):
    """Match the means and covariances of the style's features, by the Wasserstein-2 distance.

    The features of the canvas have the mean μ `(c,)` and the covariance Σ `(c, c)`, those of the
    style μₛ and Σₛ. The loss of a layer is the squared Wasserstein-2 distance of two Gaussians,
    divided by the number of features:

        (|μ - μₛ|² + tr(Σ + Σₛ - 2 (Σₛ^½ Σ Σₛ^½)^½)) / c

    Both covariances have 1e-4 r² added to their diagonals, where r is the root mean square of the
    style's features. `normalize: rms` divides the loss by r². The losses of the layers are
    multiplied by their shares and added. The root is not exact for the smallest eigenvalues, so
    equal images have a small loss, of up to a hundredth of tr(Σₛ) / c.

    Source: style-transfer-pytorch by Katherine Crowson; the distance is that of Olkin and
    Pukelsheim, "The Distance between Two Random Vectors with Given Dispersion Matrices", 1982.
    """

    use: Literal["wasserstein"] = "wasserstein"
    normalize: Normalize = None

    def summarize(self, points: Tensor, weights: Tensor) -> Gaussian:
        """Return the mean `(c,)` and the Gram matrix `(c, c)`."""
        return {"mean": weighted_mean(points, weights), "gram": gram_matrix(points, weights)}

    def keep(self, summaries: Mapping[str, Any]) -> Any:
        """Return r², and the mean, tr Σₛ and Σₛ^½ of the features divided by r."""
        kept = {}
        for layer, summary in summaries.items():
            square = mean_square(summary["gram"])
            mean, covariance = _moments(summary, square)
            root, _ = matrix_root(covariance)
            kept[layer] = {
                "mean": mean,
                "root": (root + tf.transpose(root)) / 2,
                "trace": tf.linalg.trace(covariance),
                "square": square,
            }
        return kept

    def distance(self, summary: Gaussian, target: Gaussian) -> Tensor:
        """Return the squared distance of the Gaussians, divided by c."""
        mean, covariance = _moments(summary, target["square"])
        inner = tf.matmul(target["root"], tf.matmul(covariance, target["root"]))
        spread = tf.linalg.trace(covariance) + target["trace"] - 2 * trace_of_root(inner)
        loss = tf.reduce_mean(tf.square(mean - target["mean"])) + spread / mean.shape[0]
        return loss if self.normalize else loss * target["square"]


def _moments(summary: Gaussian, square: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and covariance of the features, divided by the root of a number."""
    mean = summary["mean"] / tf.sqrt(square)
    centered = summary["gram"] / square - mean[:, None] * mean
    return mean, centered + 1e-4 * tf.eye(mean.shape[0])
