"""A style loss for nstflow that compares whole distributions of features."""

from typing import Any, Literal

import numpy as np
from pydantic import Field

from nstflow import Features, ImageRef, Layers, LossTerm, Tensor, hookimpl, tf
from nstflow.toolkit import common_value


class SlicedWasserstein(LossTerm):
    """Match the distribution of the style's features, wherever they occur.

    Along a unit vector v, drawn at random, the points of a layer are numbers. With F `(n, c)` of
    the canvas and S of the image, sorted and compared rank by rank, each layer has

        mean over directions v and ranks k of (sort(F v)[k] - sort(S v)[k])²

    which is the squared Wasserstein distance of two clouds, seen from many sides; layers are summed
    by share. Where the clouds differ in size, rank k of n meets the image's number at the quantile
    (k + 1/2) / n. Directions are drawn anew at each step, and so are the points of a layer that has
    more than `positions`: spread evenly over the image, in proportion to their weights.

    It is not additive: a sorted whole is no mean of its sorted parts.

    Source: Heitz, Vanhoey, Chambon and Belcour, "A Sliced Wasserstein Loss for Neural Texture
    Synthesis", CVPR 2021. There every point counts, and layers add up (here they share a mean).
    """

    use: Literal["sliced_wasserstein"] = "sliced_wasserstein"
    image: ImageRef = Field(description="The image whose features to match.", examples=["style"])
    layers: Layers = Field("style", description="A group, a list of layers, or layer: share.")
    directions: int | None = Field(
        None, ge=1, description="Directions a step; without it, one for each feature of a layer."
    )
    positions: int = Field(
        4096, ge=1, description="Points of a layer that count at a step, at most."
    )

    def target(self, features: Features) -> Any:
        """Return the points of each layer, and what is needed to draw from them."""
        return {layer: _cloud(features, layer) for layer in features}

    def score(self, features: Features, target: Any) -> Tensor:
        """Return the mean squared difference of sorted projections."""
        losses = {}
        for index, layer in enumerate(features):
            seed = tf.random.fold_in(features.seed, index)
            losses[layer] = self._distance(_cloud(features, layer), target[layer], seed)
        return self.total(losses)

    def _distance(self, canvas: Any, image: Any, seed: Tensor) -> Tensor:
        turn, draw = tf.unstack(tf.random.split(seed))
        features = canvas[0].shape[-1]
        shape = (features, self.directions or features)
        directions = tf.math.l2_normalize(tf.random.stateless_normal(shape, turn), axis=0)
        ranks, others = (
            tf.sort(tf.matmul(directions, _drawn(points, summed, self.positions, draw), True, True))
            for points, summed in (canvas, image)
        )
        n, m = ranks.shape[-1], others.shape[-1]
        if n != m:
            others = tf.gather(others, (2 * np.arange(n) + 1) * m // (2 * n), axis=-1)
        return tf.reduce_mean(tf.square(ranks - others))


def _cloud(features: Features, layer: str) -> tuple[Tensor, Tensor | None]:
    """Return points `(n, c)` and their summed weights `(n,)`, or None where all weigh the same."""
    points, weights = features.points(layer)
    equal = common_value(weights) is not None
    return points, None if equal else tf.cumsum(weights[:, 0])


def _drawn(points: Tensor, summed: Tensor | None, most: int, seed: Tensor) -> Tensor:
    """Return at most so many points, which all count the same."""
    n = points.shape[0]
    count = min(n, most)
    if summed is None and count == n:
        return points
    # one in each of `count` equal parts of the whole; the same seed draws the same from two images
    parts = tf.range(count, dtype=tf.float32) + tf.random.stateless_uniform((count,), seed)
    if summed is None:
        index = tf.cast(parts * (n / count), tf.int32)
    else:
        index = tf.searchsorted(summed, parts * (summed[-1] / count), side="right")
    return tf.gather(points, tf.minimum(index, n - 1))


@hookimpl
def nstflow_stages() -> list[type[LossTerm]]:
    """Offer the loss."""
    return [SlicedWasserstein]
