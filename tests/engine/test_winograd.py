"""Winograd's convolution: its matrices exactly, its values and gradients against float64."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nstflow import Size, tf
from nstflow.engine import winograd

Points = tuple[tuple[int, int], ...]

SIZES = [(1, 1), (1, 9), (9, 1), (4, 4), (5, 8), (7, 13), (17, 30)]
VGG = [(64, 64), (64, 128), (128, 256)]  # channels in and out
CASES = [
    *((size, (3, 64)) for size in SIZES),
    *(((17, 30), channels) for channels in VGG),
    ((5, 8), (512, 512)),
]


def random(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.float32(np.random.default_rng(seed).normal(size=shape))


# The matrices: Aᵀ [(G g) ∘ (Bᵀ d)] is the convolution, in rational numbers


def kernel_mixtures(points: Points) -> list[list[Fraction]]:
    """Return G: the kernel's polynomial at each point, over what Bᵀ's product is there."""
    rows = []
    for a, b in points:
        product = math.prod(a * d - b * c for c, d in points if (c, d) != (a, b))
        rows.append([Fraction(power, product) for power in (b * b, a * b, a * a)])
    return rows


def in_two_dimensions(rows: list[list[Fraction]]) -> list[list[Fraction]]:
    """Return G ⊗ G: a row for each pair of points, a column for each tap."""
    return [[one * other for one in row for other in column] for row in rows for column in rows]


@pytest.mark.parametrize(
    "points", [winograd._POINTS, winograd._RECIPROCAL], ids=["as is", "turned"]
)
def test_matrices_make_the_convolution_exactly(points: Points) -> None:
    """Output i is the sum over r of tap r and input i + r: nothing else passes."""
    forth, back = winograd._input_mixtures(points), winograd._output_mixtures(points)
    kernel = kernel_mixtures(points)
    assert (len(back), len(kernel), len(forth)) == (4, 6, 6)
    for i in range(4):
        for r in range(3):
            for k in range(6):
                passes = sum(back[i][j] * kernel[j][r] * forth[j][k] for j in range(6))
                assert passes == (k == i + r), (i, r, k)


def test_a_turned_kernel_is_the_kernel_at_the_reciprocal_points_exactly() -> None:
    """In one dimension but for the sign, which is the same at all points and squared in two."""
    rows, reciprocal = kernel_mixtures(winograd._POINTS), kernel_mixtures(winograd._RECIPROCAL)
    assert [row[::-1] for row in rows] == [[-value for value in row] for row in reciprocal]
    turned = [row[::-1] for row in in_two_dimensions(rows)]
    assert turned == in_two_dimensions(reciprocal)


def test_kernels_are_mixed_as_the_matrices_say() -> None:
    """Nine kernels, each with another tap of 1, hold the matrix."""
    taps = np.eye(9, dtype=np.float32).reshape(3, 3, 1, 9)
    expected = np.array(in_two_dimensions(kernel_mixtures(winograd._POINTS)), np.float64)
    mixed = winograd.mix_kernel(taps).numpy()[:, 0]
    np.testing.assert_allclose(mixed, expected, rtol=1e-7, atol=0)


# Mixing a kernel


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (3, 64), (64, 5)])
def test_there_are_36_mixtures(inputs: int, outputs: int) -> None:
    mixed = winograd.mix_kernel(random(3, 3, inputs, outputs))
    assert mixed.shape == (36, inputs, outputs)
    assert mixed.dtype == tf.float32


@pytest.mark.parametrize("block", [1, 4, 5, 11, 12])
def test_kernels_mixed_in_blocks_are_those_mixed_at_once(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = random(3, 3, 3, 4)
    at_once = winograd.mix_kernel(kernel).numpy()
    monkeypatch.setattr(winograd, "_BLOCK", block)
    np.testing.assert_allclose(winograd.mix_kernel(kernel), at_once, rtol=1e-6, atol=1e-7)


# Convolving


@pytest.mark.parametrize(("size", "channels"), CASES)
def test_values_and_gradients(
    size: Size, channels: tuple[int, int], check_convolution: Any
) -> None:
    check_convolution(size, channels, "winograd")


@pytest.mark.parametrize(
    ("size", "channels"), [((1, 9), (3, 64)), ((5, 8), (64, 128)), ((17, 30), (64, 64))]
)
def test_compiled_values_and_gradients(
    size: Size, channels: tuple[int, int], check_convolution: Any
) -> None:
    check_convolution(size, channels, "winograd", compiled=True)


@pytest.mark.parametrize("size", [(1, 1), (5, 8), (6, 7)])
def test_turned_mixtures_are_those_of_the_turned_kernel(size: Size, assert_close: Any) -> None:
    """`turned` turns by 180° and swaps the channels: 24 channels to 16 with a kernel of 16 → 24."""
    kernel, x = random(3, 3, 16, 24, seed=1), tf.constant(random(1, *size, 24))
    turned = np.ascontiguousarray(kernel[::-1, ::-1].swapaxes(2, 3))
    got = winograd.convolve(x, winograd.mix_kernel(kernel), turned=True).numpy()
    same = winograd.convolve(x, winograd.mix_kernel(turned)).numpy()
    exact = tf.nn.conv2d(tf.cast(x, tf.float64), turned.astype(np.float64), 1, "SAME").numpy()
    assert_close(got, same.astype(np.float64))
    assert_close(got, exact)


def test_convolutions_of_one_shape_are_traced_once() -> None:
    winograd._program.cache_clear()
    x = tf.constant(random(1, 3, 5, 2))
    for seed in (1, 2):
        winograd.convolve(x, winograd.mix_kernel(random(3, 3, 2, 6, seed=seed)))
    program = winograd._program((1, 3, 5, 2), (36, 2, 6), False)
    assert winograd._program.cache_info().currsize == 1
    assert program.experimental_get_tracing_count() == 1
    winograd.convolve(x[:, :2], winograd.mix_kernel(random(3, 3, 2, 6)))
    assert winograd._program.cache_info().currsize == 2
