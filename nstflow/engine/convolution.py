"""Convolution and pooling with frozen weights, as plain TensorFlow that XLA compiles well."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from nstflow.lazy import Tensor, tf

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def conv3x3(kernel: NDArray[np.float32], bias: NDArray[np.float32]) -> Callable[[Tensor], Tensor]:
    """Return a 3×3 convolution with stride 1 and a border of zeros: `(1, h, w, in)` → `(…, out)`.

    Args:
        kernel: `(3, 3, in, out)`.
        bias: `(out,)`.
    """
    # Made once, outside the compiled program, which then takes them as arguments: as constants
    # inside it, 70 MB of weights would be compiled too.
    forward, offset = tf.constant(kernel), tf.constant(bias)
    # The gradient with respect to x is the convolution with the kernel turned by 180° and its
    # channels swapped. Left to itself, XLA writes it in a layout that is 4× slower in a loop.
    backward = tf.constant(kernel[::-1, ::-1].swapaxes(2, 3))

    @tf.custom_gradient  # type: ignore[untyped-decorator]  # TensorFlow ships no types
    def product(x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        return _same(x, forward), lambda upstream: _same(upstream, backward)

    return lambda x: product(x) + offset


def _same(x: Tensor, kernel: Tensor) -> Tensor:
    return tf.nn.conv2d(x, kernel, strides=1, padding="SAME")


def pool2x2(x: Tensor, kind: Literal["max", "avg"]) -> Tensor:
    """Return the maximum or mean of each 2×2 window, dropping an odd last row or column.

    Written as four slices, because XLA compiles that, and its gradient, to a fraction of the time
    of its own pooling; ties give their gradient to the first position, whatever the device.
    """
    height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    a, b, c, d = (x[:, i:height:2, j:width:2] for i in (0, 1) for j in (0, 1))
    if kind == "max":
        return tf.maximum(tf.maximum(a, b), tf.maximum(c, d))
    return (a + b + c + d) / 4.0
