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
    """Return the image at `(height, width)`, clipped to [0, 1]; itself if it has the size.

    With transparency, a filter that is sharper than bilinear is replaced by it: opacity must not
    go beyond an edge, and colours on white need the same filter.
    """
    if image.size == size:
        return image
    if image.alpha is None:
        return image_of(resize_canvas(canvas_of(image), size, method, antialias=antialias))
    smooth: ResizeMethod = method if method in ("nearest", "area") else "bilinear"
    both = tf.concat([image.pixels, image.alpha[..., None]], -1)[None]
    resized = _array(resize_canvas(both, size, smooth, antialias=antialias)[0])
    return Image(resized[..., :3], resized[..., 3])


def resize_canvas(
    canvas: Tensor, size: Size, method: ResizeMethod = "lanczos3", *, antialias: bool = True
) -> Tensor:
    """Return `(1, h, w, c)` at `(height, width)`, clipped to [0, 1]."""
    if tuple(canvas.shape[1:3]) != tuple(size):  # else mitchellcubic would blur it
        # `area` averages whole cells already: TensorFlow refuses to antialias it again
        soft = antialias and method not in ("area", "nearest")
        canvas = tf.image.resize(canvas, size, method, antialias=soft)
    return tf.clip_by_value(tf.cast(canvas, tf.float32), 0.0, 1.0)


def resize_matrix(
    old: int, new: int, method: ResizeMethod = "lanczos3", *, antialias: bool = True
) -> NDArray[np.float32]:
    """Return R `(new, old)` whose rows sum to 1: R @ x resizes a column of `old` pixels.

    Pixel i of the result is centred at (i + ½) · old / new. It is the mean of the pixels around by
    the weights k(d / s), with their distances d, the filter k of the method, and s = old / new
    where this is above 1 and `antialias` is set, else 1. `area` is the mean of the part of the old
    pixels that the new one covers; `nearest` is the one pixel at the centre.

    Source: the formulas of `tf.image.resize`.
    """
    import numpy as np

    ratio = old / new
    edges = np.arange(old + 1, dtype=np.float64)
    if method == "area":
        ends = np.arange(new + 1)[:, None] * ratio
        low, high = np.maximum(edges[:-1], ends[:-1]), np.minimum(edges[1:], ends[1:])
        weights = np.maximum(high - low, 0)
    else:
        centres = (np.arange(new)[:, None] + 0.5) * ratio
        if method == "nearest":
            weights = (np.floor(centres) == edges[:-1]).astype(np.float64)
        else:
            stretch = max(ratio, 1.0) if antialias else 1.0
            weights = _kernel(method, np.abs(edges[:-1] + 0.5 - centres) / stretch)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def _kernel(method: ResizeMethod, d: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weight of a pixel at each distance."""
    import numpy as np

    if method == "bilinear":
        return np.maximum(1 - d, 0)
    if method == "lanczos3":
        return np.where(d < 3, np.sinc(d) * np.sinc(d / 3), 0)  # noqa: PLR2004 - its radius
    # the cubics of Mitchell and Netravali (1988), equation 8; bicubic is that of Keys (1981)
    b, c = (0, 1 / 2) if method == "bicubic" else (1 / 3, 1 / 3)
    near = (12 - 9 * b - 6 * c) * d**3 + (12 * b + 6 * c - 18) * d**2 + 6 - 2 * b
    far = (-b - 6 * c) * d**3 + (6 * b + 30 * c) * d**2 - (12 * b + 48 * c) * d + 8 * b + 24 * c
    return np.where(d < 1, near, np.where(d < 2, far, 0)) / 6  # noqa: PLR2004 - its radius


def resample(
    x: Tensor, size: Size, method: ResizeMethod = "lanczos3", *, antialias: bool = True
) -> Tensor:
    """Return maps `(1, h, w, c)` at `(height, width)`: R_h · x · R_wᵀ with `resize_matrix`.

    It is linear: nothing is clipped, and the gradient is exact. It computes the same inside and
    outside a compiled program, which `tf.image.resize` does not.
    """
    _, height, width, _ = x.shape
    rows = resize_matrix(height, size[0], method, antialias=antialias)
    columns = resize_matrix(width, size[1], method, antialias=antialias)
    return tf.einsum("ij,bjkc,lk->bilc", rows, x, columns)


def _array(tensor: Any) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.numpy()
    return array
