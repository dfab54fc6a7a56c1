"""Convolution against its definition, pooling against TensorFlow's; values and gradients."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nstflow import Size, Tensor, tf
from nstflow.engine.convolution import Method, conv3x3, pool2x2

SIZES = [(1, 1), (1, 9), (9, 1), (2, 2), (5, 8), (7, 13)]
SMALL = [(1, 1), (2, 4), (4, 2), (1, 8), (3, 3)]  # XLA is slow where they are smaller than a kernel
NARROW = [(6, 1), (6, 2), (6, 3), (6, 4), (6, 5), (1, 6), (2, 6), (3, 6), (4, 6), (3, 2)]


def random(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.float32(np.random.default_rng(seed).normal(size=shape))


compiled_or_not = pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
by_each_method = pytest.mark.parametrize("method", ["direct", "winograd"])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [(3, 64), (64, 64), (64, 128), (128, 3)])
def test_convolution(size: Size, channels: tuple[int, int], check_convolution: Any) -> None:
    check_convolution(size, channels)


@pytest.mark.parametrize("channels", NARROW)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (5, 8)])
def test_few_channels_come_out_or_go_in(
    size: Size, channels: tuple[int, int], check_convolution: Any
) -> None:
    """Up to four of them, the convolution or its gradient forms the products first; five not."""
    check_convolution(size, channels)


@pytest.mark.parametrize(
    ("size", "channels"),
    [
        *((size, (16, 24)) for size in SMALL),
        ((5, 7), (64, 128)),
        ((5, 8), (6, 4)),
        ((5, 8), (3, 6)),
    ],
)
def test_compiled_convolution(
    size: Size, channels: tuple[int, int], check_convolution: Any
) -> None:
    check_convolution(size, channels, compiled=True)


def test_methods_are_two(with_gradient: Any) -> None:
    """They agree but for rounding, so only their last digits differ."""
    kernel, bias, x = random(3, 3, 16, 16, seed=1), random(16, seed=2), random(1, 8, 8, 16)
    direct, winograd = (
        with_gradient(conv3x3(kernel, bias, method), x) for method in ("direct", "winograd")
    )
    default = with_gradient(conv3x3(kernel, bias), x)
    assert not np.array_equal(direct[0], winograd[0])
    np.testing.assert_array_equal(direct[0], default[0])
    np.testing.assert_array_equal(direct[1], default[1])


@compiled_or_not
@by_each_method
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 8), (7, 13)])
def test_edges_are_repeated(
    size: Size, method: Method, compiled: bool, with_gradient: Any, assert_close: Any
) -> None:
    """Against TensorFlow's symmetric padding, which is the same for a border of one."""
    kernel, bias, x = random(3, 3, 3, 8, seed=1), random(8, seed=2), random(1, *size, 3)
    around = [[0, 0], [1, 1], [1, 1], [0, 0]]

    def theirs(x: Tensor) -> Tensor:
        return tf.nn.conv2d(tf.pad(x, around, "SYMMETRIC"), kernel, 1, "VALID") + bias

    repeating = conv3x3(kernel, bias, method, "replicate")
    got = with_gradient(repeating, x, compiled=compiled)
    for mine, expected in zip(got, with_gradient(theirs, x), strict=True):
        assert_close(mine, expected)


@by_each_method
def test_gradients_pass_through_two_convolutions(method: Method, with_gradient: Any) -> None:
    first, second = random(3, 3, 3, 8, seed=1), random(3, 3, 8, 5, seed=2)
    none = np.zeros(8, np.float32), np.zeros(5, np.float32)
    one, two = conv3x3(first, none[0], method), conv3x3(second, none[1], method)
    x = random(1, 6, 5, 3)
    got = with_gradient(lambda x: two(tf.nn.relu(one(x))), x)
    expected = with_gradient(
        lambda x: tf.nn.conv2d(tf.nn.relu(tf.nn.conv2d(x, first, 1, "SAME")), second, 1, "SAME"), x
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
def test_pooling(size: Size, kind: str, compiled: bool, with_gradient: Any) -> None:
    """Where nothing ties, the values and gradients are those of TensorFlow's pooling."""
    x = random(1, *size, 5)
    theirs = tf.nn.max_pool2d if kind == "max" else tf.nn.avg_pool2d
    got, got_gradient = with_gradient(lambda x: pool2x2(x, kind), x, compiled=compiled)
    expected, expected_gradient = with_gradient(lambda x: theirs(x, 2, 2, "VALID"), x)
    assert got.shape == (1, size[0] // 2, size[1] // 2, 5)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(got_gradient, expected_gradient, rtol=1e-6, atol=1e-6)


@compiled_or_not
@pytest.mark.parametrize("size", [(2, 2), (2, 3), (5, 7)])
def test_root_of_the_sum_of_squares(size: Size, compiled: bool, with_gradient: Any) -> None:
    """‖x‖ of each window, and x / ‖x‖ for each unit of its gradient; 0 where all four are 0."""
    x = random(1, *size, 5)
    x[..., 0] = 0
    got, got_gradient = with_gradient(lambda x: pool2x2(x, "l2"), x, compiled=compiled)
    height, width = size[0] // 2, size[1] // 2
    windows = np.float64(x[0, : 2 * height, : 2 * width]).reshape(height, 2, width, 2, 5)
    roots = np.sqrt(np.sum(windows**2, (1, 3), keepdims=True))
    upstream = random(1, height, width, 5, seed=5).reshape(roots.shape)
    gradient = np.zeros((1, *size, 5))
    gradient[0, : 2 * height, : 2 * width] = (
        upstream * windows / np.where(roots == 0, 1, roots)
    ).reshape(2 * height, 2 * width, 5)
    np.testing.assert_allclose(got, roots.reshape(got.shape), rtol=1e-6)
    np.testing.assert_allclose(got_gradient, gradient, rtol=1e-5, atol=1e-6)
    assert not got_gradient[..., 0].any()


@compiled_or_not
@pytest.mark.parametrize("tied", [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3), (0, 1, 2, 3)])
def test_a_tie_gives_its_gradient_to_the_first_position(
    tied: tuple[int, ...], compiled: bool, with_gradient: Any
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


@pytest.mark.parametrize("kind", ["max", "avg", "l2"])
@pytest.mark.parametrize("size", [(1, 6), (6, 1)])
def test_one_row_leaves_nothing(size: Size, kind: str) -> None:
    """As Keras's pooling; a plan refuses such an image before."""
    assert pool2x2(tf.zeros((1, *size, 2)), kind).shape == (1, size[0] // 2, size[1] // 2, 2)
