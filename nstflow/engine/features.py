"""From an image to the features that loss terms see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nstflow.engine.resampling import canvas_of
from nstflow.stages.loss import Region
from nstflow.stages.tensorflow import Tensor, tf
from nstflow.stages.types import PIXELS, Features, Geometry, Image, Size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
    weights = {layer: weights_of(alpha, *x.shape[1:3]) for layer, x in maps.items()}
    return Features(maps, weights, NO_SEED)


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
        weights = {layer: weights_of(image.alpha, *x.shape[1:3]) for layer, x in maps.items()}
        return Features(maps, weights, NO_SEED)

    def sizes(self, size: Size) -> dict[str, Size]:
        """Return layer → height and width, for an image of a size; nothing is computed."""
        program = self._program.get_concrete_function(tf.TensorSpec((1, *size, 3)))
        return {layer: tuple(x.shape[1:3]) for layer, x in program.structured_outputs.items()}


def seed_of(term_seed: int, step: Tensor) -> Tensor:
    """Return the two numbers that a term draws from at a step; its target has step 0."""
    return tf.stack([tf.cast(term_seed, tf.int32), tf.cast(step, tf.int32)])


def weights_of(alpha: Any, height: int, width: int) -> Tensor:
    """Return how much each position of a layer counts, `(1, height, width, 1)`, with the sum 1.

    Args:
        alpha: How much each pixel counts, `(h, w)`. If it is None, or 0 everywhere, all positions
            count the same.
        height: The layer's.
        width: The layer's.
    """
    uniform = tf.fill((1, height, width, 1), 1.0 / (height * width))
    if alpha is None:
        return uniform
    cover = tf.image.resize(alpha[None, ..., None], (height, width), method="area")
    total = tf.reduce_sum(cover)
    return tf.where(total > 0, tf.math.divide_no_nan(cover, total), uniform)


def region_weights(
    mask: NDArray[np.float32],
    size: Size,
    alpha: NDArray[np.float32] | None = None,
    region: Region | None = None,
    view: View | None = None,
) -> Tensor | None:
    """Return how much each position of a layer counts in a region, `(1, h, w, 1)`, with the sum 1.

    Args:
        mask: How much each pixel belongs to the region, `(h, w)`; it is resized to the layer.
        size: Height and width of the layer.
        alpha: How much each pixel of the image counts by itself, `(h, w)`.
        region: How the mask reaches the layer; by default it is resized.
        view: What a position sees; needed for `edge: inside`.

    Returns:
        None if no position belongs to the region.
    """
    edge, grow = ("resize", 0) if region is None else (region.edge, region.grow)
    if alpha is not None and alpha.shape == mask.shape and edge == "resize" and not grow:
        mask, alpha = mask * alpha, None
    if edge == "inside":
        assert view is not None  # noqa: S101 - a plan requires it
        cover = _inside(mask, size, *view)
    else:
        cover = tf.image.resize(mask[None, ..., None], size, method="area")
    if grow:
        sign = 1 if grow > 0 else -1
        cover = sign * _largest(sign * cover, 2 * abs(grow) + 1, 1, "SAME")
    if alpha is not None:
        cover *= tf.image.resize(alpha[None, ..., None], size, method="area")
    total = tf.reduce_sum(cover)
    if not total > 0:
        return None
    if bool(tf.reduce_all(cover == cover[0, 0, 0, 0])):
        return weights_of(None, *size)  # to the bit what a term without a region has
    return cover / total


View = tuple[Size, Geometry]
"""What the positions of a layer see: height and width of the image, and the layer's geometry."""


def _inside(mask: NDArray[np.float32], size: Size, image: Size, geometry: Geometry) -> Tensor:
    """Return the least value of a mask that each position of a layer sees, `(1, h, w, 1)`."""
    stride, reach = geometry.stride, geometry.reach
    pixels = tf.image.resize(mask[None, ..., None], image, method="area")
    needed = [positions * stride + reach for positions in size]
    ends = [max(0, side - has) for side, has in zip(needed, image, strict=True)]
    paddings = [(0, 0), (reach, ends[0]), (reach, ends[1]), (0, 0)]
    seen = 1 - tf.pad(pixels, paddings, constant_values=1)
    seen = _largest(seen, stride + 2 * reach, stride, "VALID")
    return 1 - seen[:, : size[0], : size[1]]


def _largest(x: Tensor, window: int, stride: int, padding: str) -> Tensor:
    """Return the maxima over squares: over rows, then over columns, which is less work."""
    x = tf.nn.max_pool2d(x, (window, 1), (stride, 1), padding)
    return tf.nn.max_pool2d(x, (1, window), (1, stride), padding)
