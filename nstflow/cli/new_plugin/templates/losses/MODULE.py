"""NAME: a loss for nstflow."""

from typing import Literal

from pydantic import Field

from nstflow import StatisticTerm, Tensor, hookimpl, tf


class CLASS(StatisticTerm):
    """Match the mean and the mean square of every feature, wherever it occurs.

    The mean of (s(canvas) - s(image))², where s are Σ w x and Σ w x² of each feature x.
    """

    use: Literal["USE"] = "USE"
    spread: float = Field(1.0, ge=0, description="Factor of the mean square, relative to the mean.")

    def summarize(self, points: Tensor, weights: Tensor) -> Tensor:
        """Return `(2, c)` of points `(n, c)` that count by weights `(n, 1)`, which sum to 1."""
        mean = tf.reduce_sum(weights * points, axis=0)
        square = tf.reduce_sum(weights * points**2, axis=0)
        return tf.stack([mean, self.spread * square])

    def distance(self, summary: Tensor, target: Tensor) -> Tensor:
        """Return how far the canvas's summary is from the image's."""
        return tf.reduce_mean(tf.square(summary - target))


@hookimpl
def nstflow_stages():
    return [CLASS]
