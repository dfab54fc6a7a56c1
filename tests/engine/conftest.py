"""What tests of compiled operations share: random arrays, gradients, an exact convolution."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nstflow import Size, Tensor, tf
from nstflow.engine.convolution import Method, conv3x3

Array = NDArray[np.float32]


def random(*shape: int, seed: int = 0) -> Array:
    return np.float32(np.random.default_rng(seed).normal(size=shape))


def with_gradient(
    function: Callable[[Tensor], Tensor], x: Array, *, compiled: bool = False
) -> tuple[Array, Array]:
    """Return f(x), and the gradient of a sum in which every value counts differently."""

    def both(x: Tensor) -> tuple[Tensor, Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
            loss = tf.reduce_sum(y * tf.constant(random(*y.shape, seed=5)))
        return y, tape.gradient(loss, x)

    program = tf.function(both, jit_compile=True, autograph=False) if compiled else both
    y, gradient = program(tf.constant(x))
    return y.numpy(), gradient.numpy()


def exact(x: Array, kernel: Array, bias: Array) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the same of a convolution: nine shifted products in float64, zeros at the border."""
    height, width = x.shape[1:3]
    taps, upstream = np.float64(kernel), np.float64(random(*x.shape[:3], len(bias), seed=5)[0])
    padded = np.pad(np.float64(x[0]), ((1, 1), (1, 1), (0, 0)))
    values, gradient = np.zeros(upstream.shape) + bias, np.zeros_like(padded)
    for row, column in np.ndindex(3, 3):
        window = np.s_[row : row + height, column : column + width]
        values += padded[window] @ taps[row, column]
        gradient[window] += upstream @ taps[row, column].T
    return values[None], gradient[None, 1:-1, 1:-1]


def assert_close(got: Array, expected: NDArray[Any], largest: float = 1e-4) -> None:
    """Check the largest error and the mean square, relative to the spread of what is expected."""
    assert got.dtype == np.float32
    assert got.shape == expected.shape
    errors = (got - expected) / np.sqrt(np.mean(np.square(expected)))
    assert np.abs(errors).max() < largest
    assert np.sqrt(np.mean(np.square(errors))) < largest / 10


def check_convolution(
    size: Size, channels: tuple[int, int], method: Method = "direct", *, compiled: bool = False
) -> None:
    """Check the values and the gradient of a convolution."""
    kernel, bias = random(3, 3, *channels, seed=1), random(channels[1], seed=2)
    x = random(1, *size, channels[0])
    got = with_gradient(conv3x3(kernel, bias, method), x, compiled=compiled)
    for mine, expected in zip(got, exact(x, kernel, bias), strict=True):
        assert_close(mine, expected, 1e-4 if method == "winograd" else 1e-5)


@pytest.fixture(name="check_convolution")
def _check_convolution() -> Any:
    return check_convolution


@pytest.fixture(name="with_gradient")
def _with_gradient() -> Any:
    return with_gradient


@pytest.fixture(name="assert_close")
def _assert_close() -> Any:
    return assert_close
