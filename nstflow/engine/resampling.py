"""Images to tensors and back, and at other sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from nstflow.stages.tensorflow import Tensor, tf
from nstflow.stages.types import Image, Size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ResizeMethod = Literal["nearest", "area", "bilinear", "bicubic", "lanczos3", "mitchellcubic"]
"""The filters of `tf.image.resize` that are supported; `lanczos3` is the sharpest."""


def fit_longest_side(size: Size, longest: int) -> Size:
    """Return `(height, width)` of the same aspect whose longest side is `longest` pixels."""
    height, width = (max(1, round(side * longest / max(size))) for side in size)
    return height, width


def canvas_of(image: Image) -> Tensor:
    """Return an image's pixels as a canvas `(1, h, w, 3)`."""
    return tf.constant(image.pixels[None])


def tensor_of(array: NDArray[np.generic]) -> Tensor:
    """Return an array as a tensor of its type and shape."""
    return tf.constant(array)


def is_finite(tensor: Tensor) -> bool:
    """Say whether no value is NaN or infinite."""
    return not tensor.dtype.is_floating or bool(tf.reduce_all(tf.math.is_finite(tensor)))


def image_of(canvas: Tensor) -> Image:
    """Return a canvas `(1, h, w, 3)` as an image."""
    return Image(_array(canvas[0]))


def resize_image(
    image: Image, size: Size, method: ResizeMethod = "lanczos3", *, antialias: bool = True
) -> Image:
    """Return the image at `(height, width)`, clipped to [0, 1]; itself if it has the size."""
    if image.size == size:
        return image
    resized = image_of(resize_canvas(canvas_of(image), size, method, antialias=antialias))
    if image.alpha is None:
        return resized
    alpha = resize_canvas(image.alpha[None, ..., None], size, method, antialias=antialias)
    return Image(resized.pixels, _array(alpha[0, ..., 0]))


def resize_canvas(
    canvas: Tensor, size: Size, method: ResizeMethod = "lanczos3", *, antialias: bool = True
) -> Tensor:
    """Return `(1, h, w, c)` at `(height, width)`, clipped to [0, 1]."""
    if tuple(canvas.shape[1:3]) != tuple(size):  # else mitchellcubic would blur it
        # `area` averages whole cells already: TensorFlow refuses to antialias it again
        soft = antialias and method not in ("area", "nearest")
        canvas = tf.image.resize(canvas, size, method, antialias=soft)
    return tf.clip_by_value(tf.cast(canvas, tf.float32), 0.0, 1.0)


def _array(tensor: Any) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.numpy()
    return array
