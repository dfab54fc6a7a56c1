"""3×3 convolution by Winograd's F(4×4, 3×3): a quarter of the products, more passes over memory.

An output tile of 4×4 takes 6×6 products instead of 144: rows, then columns of the input are mixed
by Bᵀ, the 36 mixtures are multiplied by the kernel's own, and mixed back by Aᵀ. In one dimension,
with the points (a:b) at which the polynomials are evaluated:

    kernel     g₀ b² + g₁ ab + g₂ a²                        over the products of Bᵀ's denominator
    input      the coefficients of Π (b' x - a' y) over the other points
    output     (b³, ab², a²b, a³)

A kernel turned by 180° is the kernel at the reciprocal points (b:a): each dimension changes the
sign of the denominators, two change nothing. So the gradient takes the same mixtures of the kernel,
transposed: they are kept once for both directions.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

from nstflow.stages.tensorflow import Tensor, tf

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TILE, MIXTURES = 4, 6

# 0, 1, -1, ½, -2 and ∞. Of the sets that were tried (docs/performance.md), the one with the least
# error: a third of that of 0, ±1, ±2, ∞.
_POINTS = ((0, 1), (1, 1), (-1, 1), (1, 2), (-2, 1), (1, 0))
_RECIPROCAL = tuple((b, a) for a, b in _POINTS)

_BLOCK = 1 << 15  # of a kernel's columns, mixed in float64 in the cache: 14× faster than at once


def mix_kernel(kernel: NDArray[np.float32]) -> Tensor:
    """Return a kernel's mixtures, `(3, 3, in, out)` → `(36, in, out)`, computed in float64."""
    import numpy as np

    rows = np.array([[b * b, a * b, a * a] for a, b in _POINTS], np.float64)
    rows /= [[math.prod(a * d - b * c for c, d in _POINTS if (c, d) != (a, b))] for a, b in _POINTS]
    both = np.kron(rows, rows)  # (36, 9)
    taps = kernel.reshape(9, -1)
    mixed = np.empty((MIXTURES**2, taps.shape[1]), np.float32)
    for first in range(0, taps.shape[1], _BLOCK):
        block = slice(first, first + _BLOCK)
        mixed[:, block] = both @ taps[:, block].astype(np.float64)
    return tf.constant(mixed.reshape(MIXTURES**2, *kernel.shape[2:]))


def convolve(x: Tensor, kernel: Tensor, *, turned: bool = False) -> Tensor:
    """Return the convolution with a border of zeros: `(1, h, w, in)` → `(1, h, w, out)`.

    Args:
        x: The maps.
        kernel: Its mixtures, as `mix_kernel` returns them.
        turned: Turn the kernel by 180° and swap its channels: the convolution's gradient.
    """
    return _program(tuple(x.shape), tuple(kernel.shape), turned)(x, kernel, turned)


@functools.cache
def _program(*_shapes_and_turn: object) -> Any:
    # Convolutions of one shape share a trace: tracing all of VGG-19 one by one takes seconds.
    return tf.function(_convolve, autograph=False)


def _convolve(x: Tensor, kernel: Tensor, turned: bool) -> Tensor:
    points = _RECIPROCAL if turned else _POINTS
    _, height, width, _ = x.shape
    down, across = -(-height // TILE), -(-width // TILE)
    bottom, right = down * TILE + 1 - height, across * TILE + 1 - width
    x = tf.pad(x[0], [[1, bottom], [1, right], [0, 0]])
    forth, back = _input_mixtures(points), _output_mixtures(points)
    rows = [x[i : i + (down - 1) * TILE + 1 : TILE] for i in range(MIXTURES)]
    x = tf.stack(_mixed(forth, rows))
    columns = [x[:, :, j : j + (across - 1) * TILE + 1 : TILE] for j in range(MIXTURES)]
    x = tf.stack(_mixed(forth, columns), axis=1)  # (6, 6, down, across, in)
    x = tf.reshape(x, (MIXTURES**2, down * across, x.shape[-1]))
    x = tf.matmul(x, kernel, transpose_b=turned)
    x = tf.reshape(x, (MIXTURES, MIXTURES, down, across, x.shape[-1]))
    x = tf.stack(_mixed(back, tf.unstack(x)), axis=1)  # (6, 4, down, across, out)
    x = tf.stack(_mixed(back, tf.unstack(x)), axis=3)  # (4, down, across, 4, out)
    x = tf.transpose(x, (1, 0, 2, 3, 4))
    return tf.reshape(x, (1, down * TILE, across * TILE, -1))[:, :height, :width]


def _input_mixtures(points: tuple[tuple[int, int], ...]) -> list[list[int]]:
    """Return Bᵀ: for each point the coefficients, x⁰ first, of Π (b' x - a' y) over the others."""
    mixtures = []
    for point in points:
        row = [1]
        for a, b in points:
            if (a, b) != point:
                row = [b * up - a * same for up, same in zip([0, *row], [*row, 0], strict=True)]
        mixtures.append(row)
    return mixtures


def _output_mixtures(points: tuple[tuple[int, int], ...]) -> list[list[int]]:
    """Return Aᵀ: the monomials of degree 3 at each point."""
    return [[a**i * b ** (TILE - 1 - i) for a, b in points] for i in range(TILE)]


def _mixed(mixtures: list[list[int]], parts: list[Tensor]) -> list[Tensor]:
    """Return the sums of `parts` that the rows of `mixtures` are the coefficients of."""
    return [
        functools.reduce(
            tf.add,
            [
                part if factor == 1 else part * float(factor)
                for factor, part in zip(row, parts, strict=True)
                if factor
            ],
        )
        for row in mixtures
    ]
