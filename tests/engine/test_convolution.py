"""Convolution and pooling against TensorFlow's own, values and gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from nstflow import Tensor, tf
from nstflow.engine.convolution import Method, conv3x3, pool2x2

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
by_each_method = pytest.mark.parametrize("method", ["direct", "winograd"])


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


@pytest.mark.parametrize("size", [(1, 1), (2, 4), (4, 2), (1, 8), (3, 3)])
def test_maps_smaller_than_the_kernel(size: tuple[int, int]) -> None:
    kernel, bias = random(3, 3, 16, 24, seed=1), random(24, seed=2)
    x = random(1, *size, 16)
    got, got_gradient = with_gradient(conv3x3(kernel, bias), x, compiled=True)
    expected, expected_gradient = with_gradient(
        lambda x: tf.nn.conv2d(x, kernel, 1, "SAME") + bias, x, compiled=False
    )
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(got_gradient, expected_gradient, rtol=1e-4, atol=2e-4)


@by_each_method
def test_compiled_convolution(method: Method) -> None:
    kernel, bias = random(3, 3, 64, 128, seed=1), random(128, seed=2)
    x = random(1, 5, 7, 64)
    got, got_gradient = with_gradient(conv3x3(kernel, bias, method), x, compiled=True)
    expected, expected_gradient = with_gradient(
        lambda x: tf.nn.conv2d(x, kernel, 1, "SAME") + bias, x, compiled=False
    )
    # a sum of 64 · 9 products spreads by 24, one of 128 · 9 by 34: Winograd errs by 1e-5
    values, gradients = {"direct": (1e-4, 2e-4), "winograd": (3e-4, 4e-4)}[method]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=values)
    np.testing.assert_allclose(got_gradient, expected_gradient, rtol=1e-4, atol=gradients)


def test_methods_are_two() -> None:
    """They agree but for rounding, so only their last digits tell that both are there."""
    kernel, bias, x = random(3, 3, 16, 16, seed=1), random(16, seed=2), random(1, 8, 8, 16)
    direct, winograd = (
        with_gradient(conv3x3(kernel, bias, method), x, compiled=False)
        for method in ("direct", "winograd")
    )
    again = with_gradient(conv3x3(kernel, bias), x, compiled=False)
    for one, other, default in zip(direct, winograd, again, strict=True):
        assert not np.array_equal(one, other)
        np.testing.assert_array_equal(one, default)


NARROW = [(6, 1), (6, 2), (6, 3), (6, 4), (6, 5), (1, 6), (2, 6), (3, 6), (4, 6), (3, 2)]


def check_narrow(size: tuple[int, int], inputs: int, outputs: int, *, compiled: bool) -> None:
    """Check against nine shifted products in float64, forth, and spread again by them, back."""
    kernel, bias = random(3, 3, inputs, outputs, seed=1), random(outputs, seed=2)
    x = random(1, *size, inputs)
    got, got_gradient = with_gradient(conv3x3(kernel, bias), x, compiled=compiled)
    height, width = size
    taps, upstream = np.float64(kernel), np.float64(random(1, *size, outputs, seed=5)[0])
    padded = np.pad(np.float64(x[0]), ((1, 1), (1, 1), (0, 0)))
    expected = np.zeros((*size, outputs)) + bias
    gradient = np.zeros_like(padded)
    for row in range(3):
        for column in range(3):
            window = np.s_[row : row + height, column : column + width]
            expected += padded[window] @ taps[row, column]
            gradient[window] += upstream @ taps[row, column].T
    np.testing.assert_allclose(got[0], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(got_gradient[0], gradient[1:-1, 1:-1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("inputs", "outputs"), NARROW)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (5, 8)])
def test_few_channels_come_out_or_go_in(size: tuple[int, int], inputs: int, outputs: int) -> None:
    """Up to four of them, the convolution or its gradient forms the products first; five not."""
    check_narrow(size, inputs, outputs, compiled=False)


@pytest.mark.parametrize(("inputs", "outputs"), [(6, 4), (3, 6)])
def test_few_channels_compiled(inputs: int, outputs: int) -> None:
    check_narrow((5, 8), inputs, outputs, compiled=True)


@by_each_method
def test_convolution_is_a_sum_over_neighbours(method: Method) -> None:
    """Against nine shifted products in NumPy: no kernel turned, zeros around the border."""
    kernel, bias, x = random(3, 3, 2, 4, seed=1), random(4, seed=2), random(1, 4, 6, 2)
    padded = np.pad(np.float64(x[0]), ((1, 1), (1, 1), (0, 0)))
    expected = bias + sum(
        padded[row : row + 4, column : column + 6] @ np.float64(kernel[row, column])
        for row in range(3)
        for column in range(3)
    )
    got = conv3x3(kernel, bias, method)(tf.constant(x))[0]
    atol = {"direct": 1e-5, "winograd": 3e-5}[method]
    np.testing.assert_allclose(got, expected, rtol=1e-7, atol=atol)


@by_each_method
def test_gradients_pass_through_two_convolutions(method: Method) -> None:
    first, second = random(3, 3, 3, 8, seed=1), random(3, 3, 8, 5, seed=2)
    none = np.zeros(8, np.float32), np.zeros(5, np.float32)
    one, two = conv3x3(first, none[0], method), conv3x3(second, none[1], method)
    x = random(1, 6, 5, 3)
    got = with_gradient(lambda x: two(tf.nn.relu(one(x))), x, compiled=False)
    expected = with_gradient(
        lambda x: tf.nn.conv2d(tf.nn.relu(tf.nn.conv2d(x, first, 1, "SAME")), second, 1, "SAME"),
        x,
        compiled=False,
    )
    for mine, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=2e-4)


def test_a_compiled_loop_gives_the_same_bytes_again() -> None:
    """Three steps down a gradient through both methods, compiled anew and run twice."""
    first, second = random(3, 3, 3, 64, seed=1), random(3, 3, 64, 128, seed=2)
    goal = tf.constant(random(1, 40, 36, 128, seed=3))
    start = tf.constant(random(1, 40, 36, 3))

    def compiled() -> Callable[[Tensor, Tensor], Tensor]:
        one = conv3x3(first, np.zeros(64, np.float32))
        two = conv3x3(second, np.zeros(128, np.float32), "winograd")

        def step(index: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tf.reduce_mean(tf.square(two(tf.nn.relu(one(x))) - goal))
            gradient = tape.gradient(loss, x)
            return index + 1, x - gradient / tf.reduce_max(tf.abs(gradient))

        def steps(x: Tensor, count: Tensor) -> Tensor:
            return tf.while_loop(lambda index, _: index < count, step, (tf.constant(0), x))[1]

        return tf.function(steps, jit_compile=True, autograph=False)

    programs = compiled(), compiled()
    results = [program(start, tf.constant(3)).numpy() for program in programs for _ in range(2)]
    assert np.isfinite(results[0]).all()
    assert np.abs(results[0] - start).max() > 0.5  # the steps were taken
    assert len({result.tobytes() for result in results}) == 1


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
