"""A style loss for nstflow that compares distributions of features."""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from nstflow import Features, ImageRef, Layers, LossTerm, MaskRef, RegionTerm, Tensor, hookimpl, tf

Cloud = tuple[Tensor, Tensor | None]
Count = Annotated[int, Field(ge=1, le=4096)]


class SlicedWasserstein(RegionTerm):
    """Match the distribution of the features, independent of their positions.

    The points of a layer are F `(n, c)` in the canvas and S `(m, c)` in the reference. They are
    projected onto random unit vectors v. The loss of the layer is the squared sliced Wasserstein
    distance,

        mean over directions v of ∫₀¹ (q(F v, t) - q(S v, t))² dt

    where q(x, t) is the quantile function of the numbers x, constant on n steps of length 1/n. If
    n = m, this is the mean of (sort(F v) - sort(S v))². The losses of the layers are multiplied by
    their shares and added.

    Each step uses new directions. If a layer has more than `positions` points, each step also
    chooses new points, spread evenly over the image and in proportion to their weights.

    With `directions: axes`, each feature is compared by itself, without random directions. This is
    a histogram loss: its gradient draws F to F remapped to the histograms of S.

    The loss is not additive: the sorted points of an image are not the mean of those of its parts.

    Source: Heitz, Vanhoey, Chambon and Belcour, "A Sliced Wasserstein Loss for Neural Texture
    Synthesis", CVPR 2021. The paper uses all points, and the sum over layers instead of the mean.
    The histogram loss: Risser, Wilmot and Barnes, "Stable and Controllable Neural Texture Synthesis
    and Style Transfer Using Histogram Losses", 2017.
    """

    use: Literal["sliced_wasserstein"] = "sliced_wasserstein"
    image: ImageRef = Field(description="The image whose features to match.", examples=["style"])
    layers: Layers = Field(
        "style",
        description="A group, a list of layers, or a mapping of layers to shares (factors).",
    )
    image_region: MaskRef | None = Field(
        None, description="A mask for `image`: where this image is opaque, `image` counts."
    )
    directions: Count | Literal["axes"] | None = Field(
        None,
        description="Directions per step, by default one per feature of a layer; or axes.",
    )
    positions: int = Field(
        4096, ge=1, le=2**24, description="Maximum number of points of a layer per step."
    )

    @property
    def regions(self) -> Any:
        """The regions on the canvas and on the image; their weights are those of the points."""
        return self.region_of(self.region), self.region_of(self.image_region)

    def target(self, features: Features) -> Any:
        """Return the points of each layer, and their weights where these differ."""
        return {layer: _cloud(features, layer) for layer in features}

    def score(self, features: Features, target: Any) -> Tensor:
        """Return the sum over the layers of share * squared distance."""
        losses = {}
        for index, layer in enumerate(features):
            seed = tf.random.fold_in(features.seed, index)
            losses[layer] = self._distance(_cloud(features, layer), target[layer], seed)
        return self.total(losses)

    def _distance(self, canvas: Cloud, image: Cloud, seed: Tensor) -> Tensor:
        turn, draw = tf.unstack(tf.random.split(seed))
        clouds = [_drawn(*cloud, most=self.positions, seed=draw) for cloud in (canvas, image)]
        if self.directions == "axes":
            sides = [tf.transpose(points) for points in clouds]
        else:
            features = canvas[0].shape[-1]
            shape = (features, self.directions or features)
            directions = tf.math.l2_normalize(tf.random.stateless_normal(shape, turn), axis=0)
            sides = [tf.matmul(directions, points, True, True) for points in clouds]
        return _apart(*map(tf.sort, sides))


def _apart(one: Tensor, two: Tensor) -> Tensor:
    """Return ∫ (difference)² of sorted numbers `(d, n)` and `(d, m)`, the mean over d."""
    n, m = one.shape[-1], two.shape[-1]
    if n == m:
        return tf.reduce_mean(tf.square(one - two))
    # both quantile functions are constant between neighbouring multiples of 1/n and 1/m
    edges = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)
    share = tf.constant(np.diff(edges) / (n * m), tf.float32)
    apart = tf.gather(one, edges[:-1] // m, axis=-1) - tf.gather(two, edges[:-1] // n, axis=-1)
    return tf.reduce_mean(tf.reduce_sum(share * tf.square(apart), axis=-1))


def _cloud(features: Features, layer: str) -> Cloud:
    """Return points `(n, c)` and their weights `(n,)`, or None if the weights are equal."""
    points, weights = features.points(layer)
    return points, None if features.uniform(layer) else weights[:, 0]


def _drawn(points: Tensor, weights: Tensor | None, *, most: int, seed: Tensor) -> Tensor:
    """Return at most `most` points, chosen in proportion to their weights.

    The total weight is divided into equal parts, and one point is chosen from each part. The same
    seed chooses the same points from two images.
    """
    n = points.shape[0]
    count = min(n, most)
    if weights is None and count == n:
        return points
    place = tf.random.stateless_uniform((count,), seed, dtype=tf.float64)
    if weights is None:
        index = tf.cast((tf.range(count, dtype=tf.float64) + place) * (n / count), tf.int32)
        return tf.gather(points, tf.minimum(index, n - 1))
    # of which parts a point ends before the place: tf.searchsorted, compiled, compares all with all
    ends = tf.cumsum(tf.cast(weights, tf.float64))
    ends *= count / ends[-1]
    part = tf.minimum(tf.cast(ends, tf.int32), count - 1)
    before = ends - tf.cast(part, tf.float64) <= tf.gather(place, part)
    ended = tf.math.unsorted_segment_sum(
        tf.ones_like(part), tf.where(before, part, part + 1), count + 1
    )
    return tf.gather(points, tf.minimum(tf.cumsum(ended)[:count], n - 1))


@hookimpl
def nstflow_stages() -> list[type[LossTerm]]:
    """Offer the loss."""
    return [SlicedWasserstein]
