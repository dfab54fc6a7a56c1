"""Convolution and pooling against TensorFlow's own, values and gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from nstflow import Tensor, tf
from nstflow.engine.convolution import conv3x3, pool2x2

SIZES = [(1, 1), (1, 9), (9, 1), (2, 2), (5, 8), (7, 13)]


def random(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.float32(np.random.default_rng(seed).normal(size=shape))


def with_gradient(
    function: Callable[[Tensor], Tensor], x: NDArray[np.float32], *, compiled: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return f(x), and the gradient of a sum in which every value counts differently."""

    def both(x: Tensor) -> tuple[Tensor, Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
            upstream = tf.constant(random(*y.shape, seed=5))
            loss = tf.reduce_sum(y * upstream)
        return y, tape.gradient(loss, x)

    program = tf.function(both, jit_compile=True, autograph=False) if compiled else both
    y, gradient = program(tf.constant(x))
    return y.numpy(), gradient.numpy()


compiled_or_not = pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("inputs", "outputs"), [(3, 64), (64, 64), (64, 128), (128, 3)])
def test_convolution(size: tuple[int, int], inputs: int, outputs: int) -> None:
    kernel, bias = random(3, 3, inputs, outputs, seed=1), random(outputs, seed=2)
    x = random(1, *size, inputs)
    got, got_gradient = with_gradient(conv3x3(kernel, bias), x, compiled=False)
    expected, expected_gradient = with_gradient(
        lambda x: tf.nn.conv2d(x, kernel, 1, "SAME") + bias, x, compiled=False
    )
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(got_gradient, expected_gradient, rtol=1e-4, atol=2e-4)


def test_compiled_convolution() -> None:
    kernel, bias = random(3, 3, 64, 128, seed=1), random(128, seed=2)
    x = random(1, 5, 7, 64)
    got, got_gradient = with_gradient(conv3x3(kernel, bias), x, compiled=True)
    expected, expected_gradient = with_gradient(
        lambda x: tf.nn.conv2d(x, kernel, 1, "SAME") + bias, x, compiled=False
    )
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(got_gradient, expected_gradient, rtol=1e-4, atol=2e-4)


def test_convolution_is_a_sum_over_neighbours() -> None:
    """Against nine shifted products in NumPy: no kernel turned, zeros around the border."""
    kernel, bias, x = random(3, 3, 2, 4, seed=1), random(4, seed=2), random(1, 4, 6, 2)
    padded = np.pad(np.float64(x[0]), ((1, 1), (1, 1), (0, 0)))
    expected = bias + sum(
        padded[row : row + 4, column : column + 6] @ np.float64(kernel[row, column])
        for row in range(3)
        for column in range(3)
    )
    np.testing.assert_allclose(conv3x3(kernel, bias)(tf.constant(x))[0], expected, atol=1e-5)


def test_gradients_pass_through_two_convolutions() -> None:
    first, second = random(3, 3, 3, 8, seed=1), random(3, 3, 8, 5, seed=2)
    none = np.zeros(8, np.float32), np.zeros(5, np.float32)
    one, two = conv3x3(first, none[0]), conv3x3(second, none[1])
    x = random(1, 6, 5, 3)
    got = with_gradient(lambda x: two(tf.nn.relu(one(x))), x, compiled=False)
    expected = with_gradient(
        lambda x: tf.nn.conv2d(tf.nn.relu(tf.nn.conv2d(x, first, 1, "SAME")), second, 1, "SAME"),
        x,
        compiled=False,
    )
    for mine, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=2e-4)


@compiled_or_not
@pytest.mark.parametrize("kind", ["max", "avg"])
@pytest.mark.parametrize("size", [(2, 2), (2, 3), (3, 2), (5, 7), (8, 6)])
def test_pooling(size: tuple[int, int], kind: str, compiled: bool) -> None:
    """Where nothing ties, the values and gradients are those of TensorFlow's pooling."""
    x = random(1, *size, 5)
    theirs = tf.nn.max_pool2d if kind == "max" else tf.nn.avg_pool2d
    got, got_gradient = with_gradient(lambda x: pool2x2(x, kind), x, compiled=compiled)
    expected, expected_gradient = with_gradient(
        lambda x: theirs(x, 2, 2, "VALID"), x, compiled=False
    )
    assert got.shape == (1, size[0] // 2, size[1] // 2, 5)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(got_gradient, expected_gradient, rtol=1e-6, atol=1e-6)


@compiled_or_not
@pytest.mark.parametrize("tied", [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3), (0, 1, 2, 3)])
def test_a_tie_gives_its_gradient_to_the_first_position(
    tied: tuple[int, ...], compiled: bool
) -> None:
    """Positions of a window are counted row by row, as ReLU's zeros often tie."""
    window = np.zeros(4, np.float32)
    window[list(tied)] = 1
    x = window.reshape(1, 2, 2, 1)
    _, gradient = with_gradient(lambda x: pool2x2(x, "max"), x, compiled=compiled)
    upstream = float(random(1, 1, 1, 1, seed=5).item())
    expected = np.zeros(4, np.float32)
    expected[tied[0]] = upstream
    np.testing.assert_array_equal(gradient.reshape(4), expected)


@pytest.mark.parametrize("kind", ["max", "avg"])
@pytest.mark.parametrize("size", [(1, 6), (6, 1)])
def test_one_row_leaves_nothing(size: tuple[int, int], kind: str) -> None:
    """As Keras's pooling; a plan refuses such an image before."""
    assert pool2x2(tf.zeros((1, *size, 2)), kind).shape == (1, size[0] // 2, size[1] // 2, 2)
