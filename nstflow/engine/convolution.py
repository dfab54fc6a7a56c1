"""Convolution and pooling with frozen weights, written so that XLA compiles them well."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from nstflow.engine.winograd import convolve as winograd
from nstflow.engine.winograd import mix_kernel
from nstflow.stages.tensorflow import Tensor, tf

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Method = Literal["direct", "winograd"]
"""How a convolution is computed: as XLA or cuDNN does it, or by Winograd's products."""

Padding = Literal["zeros", "replicate"]
"""What lies outside a map: zeros, or the nearest value in it."""

Pooling = Literal["max", "avg", "l2"]
"""What represents 2×2 values: their maximum, mean, or the root of the sum of their squares."""

_TAPS = 9  # of a 3×3 kernel

NARROW = 4
"""Up to so many output channels, products are formed first and shifted after."""


def conv3x3(
    kernel: NDArray[np.float32],
    bias: NDArray[np.float32],
    method: Method = "direct",
    padding: Padding = "zeros",
) -> Callable[[Tensor], Tensor]:
    """Return a 3×3 convolution with stride 1 and a border of one: `(1, h, w, in)` → `(…, out)`.

    Args:
        kernel: `(3, 3, in, out)`.
        bias: `(out,)`.
        method: `winograd` takes a quarter of the products and more passes over memory; its values
            differ from `direct`'s by about 3e-5 of their spread at most.
        padding: What the border holds.
    """
    # Constants are made once, outside the compiled program, which then takes them as arguments:
    # inside it, 70 MB of weights would be compiled too. The gradient is given by hand: left to
    # itself, XLA writes it in a layout that is 4× slower in a loop.
    made = _constants(kernel, method)
    offset = tf.constant(bias)

    @tf.custom_gradient  # type: ignore[untyped-decorator]  # TensorFlow ships no types
    def product(x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        return made.forward(x), made.backward

    if padding == "replicate":
        return lambda x: product(_repeat_edges(x))[:, 1:-1, 1:-1] + offset
    return lambda x: product(x) + offset


def _repeat_edges(x: Tensor) -> Tensor:
    """Return a map with its outer rows and columns twice. Its gradient adds slices, no scatter."""
    x = tf.concat([x[:, :1], x, x[:, -1:]], 1)
    return tf.concat([x[:, :, :1], x, x[:, :, -1:]], 2)


@dataclass(frozen=True, eq=False)
class _Product:
    """A convolution without its bias, and its gradient."""

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor], Tensor]


_alive: weakref.WeakValueDictionary[Any, _Product] = weakref.WeakValueDictionary()


def _constants(kernel: NDArray[np.float32], method: Method) -> _Product:
    """Return the convolution of a kernel, shared by all networks of the process that use it.

    Otherwise networks with different layers would each hold up to 400 MB of the same numbers.
    """
    key = method, kernel.shape, hashlib.blake2b(kernel.tobytes()).digest()
    if (known := _alive.get(key)) is None:
        known = _alive[key] = _Product(*(_winograd if method == "winograd" else _direct)(kernel))
    return known


_Both = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]


def _direct(kernel: NDArray[np.float32]) -> _Both:
    """Return a convolution and its gradient: the kernel turned by 180°, its channels swapped."""
    forward, backward = tf.constant(kernel), tf.constant(kernel[::-1, ::-1].swapaxes(2, 3))
    return lambda x: _same(x, forward), lambda upstream: _same(upstream, backward)


def _winograd(kernel: NDArray[np.float32]) -> _Both:
    mixed = mix_kernel(kernel)  # one for both: 36 × in × out numbers
    return (
        lambda x: winograd(x, mixed),
        lambda upstream: winograd(upstream, mixed, turned=True),
    )


def _same(x: Tensor, kernel: Tensor) -> Tensor:
    _, height, width, inputs = x.shape
    if kernel.shape[-1] > NARROW:
        if height * width >= _TAPS:
            return tf.nn.conv2d(x, kernel, strides=1, padding="SAME")
        # A map of fewer positions than the kernel has, XLA computes by plain loops on a CPU: 110 ms
        # with 512 channels, where one position more takes 1 ms.
        x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
        around = [x[0, i : i + height, j : j + width] for i in range(3) for j in range(3)]
        columns = tf.reshape(tf.concat(around, -1), (-1, _TAPS * inputs))
        products = tf.matmul(columns, tf.reshape(kernel, (_TAPS * inputs, -1)))
        return tf.reshape(products, (1, height, width, -1))
    # 64 channels to 3, the gradient of VGG's first layer: 5 ms at 512×384 where conv2d takes 24
    taps = tf.reshape(tf.transpose(kernel, (2, 0, 1, 3)), (inputs, -1))
    products = tf.reshape(tf.matmul(tf.reshape(x, (-1, inputs)), taps), (height, width, 3, 3, -1))
    products = tf.pad(products, [[1, 1], [1, 1], [0, 0], [0, 0], [0, 0]])
    shifted = [
        products[row : row + height, column : column + width, row, column]
        for row in range(3)
        for column in range(3)
    ]
    return tf.add_n(shifted)[None]


def pool2x2(x: Tensor, kind: Pooling) -> Tensor:
    """Return one value for each 2×2 window, dropping an odd last row or column.

    `l2` has the gradient x / root, and 0 where the root is 0.

    Written as four slices, because XLA compiles that, and its gradient, to a fraction of the time
    of its own pooling; of tied maxima the first position gets the gradient, whatever the device.
    """
    height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    a, b, c, d = (x[:, i:height:2, j:width:2] for i in (0, 1) for j in (0, 1))
    if kind == "max":
        return tf.maximum(tf.maximum(a, b), tf.maximum(c, d))
    if kind == "avg":
        return (a + b + c + d) / 4.0
    squares = a * a + b * b + c * c + d * d
    positive = squares > 0.0  # the root's own gradient is infinite at 0
    return tf.where(positive, tf.sqrt(tf.where(positive, squares, 1.0)), 0.0)
