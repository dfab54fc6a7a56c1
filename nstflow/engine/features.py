"""From an image to the features that loss terms see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nstflow.engine.resampling import canvas_of
from nstflow.stages.tensorflow import Tensor, tf
from nstflow.stages.types import PIXELS, Features, Image

Network = Callable[[Tensor], Mapping[str, Tensor]]
"""canvas `(1, h, w, 3)` → layer → feature map, as `Extractor.build` returns it."""


def describe(network: Network | None, canvas: Tensor, alpha: Any = None) -> Features:
    """Return the features of a canvas `(1, h, w, 3)`: the network's layers and the pixels.

    Args:
        network: None where no term needs a layer beyond the pixels.
        canvas: RGB in [0, 1].
        alpha: How much each pixel counts, `(h, w)`, or None where all count the same.
    """
    maps = {PIXELS: canvas, **(network(canvas) if network else {})}
    return Features(maps, {layer: _weights(x, alpha) for layer, x in maps.items()}, NO_SEED)


NO_SEED = (0, 0)


class Describer:
    """Describes reference images, by one compiled program for each size."""

    def __init__(self, network: Network | None) -> None:
        # compiled like the forward pass of a step, so that equal images have equal features
        self._program = tf.function(
            lambda canvas: dict(describe(network, canvas)), jit_compile=True, autograph=False
        )

    def __call__(self, image: Image) -> Features:
        """Return the features of an image."""
        canvas = canvas_of(image)
        maps = self._program.get_concrete_function(tf.TensorSpec.from_tensor(canvas))(canvas)
        weights = {layer: _weights(x, image.alpha) for layer, x in maps.items()}
        return Features(maps, weights, NO_SEED)


def seed_of(term_seed: int, step: Tensor) -> Tensor:
    """Return the two numbers that a term draws from at a step; its target has step 0."""
    return tf.stack([tf.cast(term_seed, tf.int32), tf.cast(step, tf.int32)])


def _weights(x: Tensor, alpha: Any) -> Tensor:
    _, height, width, _ = x.shape
    uniform = tf.fill((1, height, width, 1), 1.0 / (height * width))
    if alpha is None:
        return uniform
    cover = tf.image.resize(alpha[None, ..., None], (height, width), method="area")
    total = tf.reduce_sum(cover)
    return tf.where(total > 0, tf.math.divide_no_nan(cover, total), uniform)
