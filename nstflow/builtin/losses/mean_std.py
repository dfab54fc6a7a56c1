"""Match the style by the mean and the standard deviation of each feature."""

from typing import Annotated, Literal

from pydantic import Field

from nstflow import StatisticTerm, Tensor, tf
from nstflow.toolkit import Normalize, mean_square, weighted_mean

Statistics = Annotated[tuple[Literal["mean", "std"], ...], Field(min_length=1)]


class MeanStd(StatisticTerm):
    """Match the mean and the standard deviation of each feature in the style.

    With the means μ `(c,)` and the deviations σ `(c,)` of the canvas, μₛ and σₛ of the style, the
    loss of a layer is

        mean((μ - μₛ)²) + mean((σ - σₛ)²)

    or only one of the two, as `of` says. σ is √(variance + 1e-6 r²), where r is the root mean
    square of the style's features; `normalize: rms` divides the loss by r². The losses of the
    layers are multiplied by their shares and added.

    Source: Li, Wang, Liu and Hou, "Demystifying Neural Style Transfer", IJCAI 2017.
    """

    use: Literal["mean_std"] = "mean_std"
    of: Statistics = Field(("mean", "std"), description="What to match.")
    normalize: Normalize = None

    def summarize(self, points: Tensor, weights: Tensor) -> Tensor:
        """Return the mean and the mean square of each feature, `(2, c)`."""
        square = weighted_mean(tf.square(points), weights)
        return tf.stack([weighted_mean(points, weights), square])

    def distance(self, summary: Tensor, target: Tensor) -> Tensor:
        """Return the mean squared differences."""
        square = mean_square(target[1])
        losses = []
        if "mean" in self.of:
            losses.append(tf.reduce_mean(tf.square(summary[0] - target[0])))
        if "std" in self.of:
            one, two = _deviation(summary, square), _deviation(target, square)
            losses.append(tf.reduce_mean(tf.square(one - two)))
        return tf.add_n(losses) / square if self.normalize else tf.add_n(losses)


def _deviation(summary: Tensor, square: Tensor) -> Tensor:
    variance = tf.nn.relu(summary[1] - tf.square(summary[0]))
    return tf.sqrt(variance + 1e-6 * square)  # at 0 the root has no gradient
