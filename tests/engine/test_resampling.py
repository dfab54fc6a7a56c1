"""Resampling against the definition of each filter, in float64."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nstflow import Image, Size, Tensor, tf
from nstflow.engine.resampling import fit_longest_side, resample, resize_canvas, resize_image

Array = NDArray[np.float64]

METHODS = ("nearest", "area", "bilinear", "bicubic", "lanczos3", "mitchellcubic")
PAIRS = [((13, 17), (5, 7)), ((13, 17), (26, 51)), ((13, 17), (9, 30)), ((1, 6), (3, 4))]


def cubic(b: float, c: float) -> Callable[[Array], Array]:
    """Return Mitchell and Netravali's family of filters (1988): (0, ½) is Keys's."""

    def kernel(x: Array) -> Array:
        x = np.abs(x)
        near = (12 - 9 * b - 6 * c) * x**3 + (-18 + 12 * b + 6 * c) * x**2 + (6 - 2 * b)
        far = (-b - 6 * c) * x**3 + (6 * b + 30 * c) * x**2 - (12 * b + 48 * c) * x + 8 * b + 24 * c
        return np.where(x < 1, near, np.where(x < 2, far, 0)) / 6

    return kernel


KERNELS: dict[str, Callable[[Array], Array]] = {
    "bilinear": lambda x: np.maximum(0, 1 - np.abs(x)),
    "bicubic": cubic(0, 0.5),
    "mitchellcubic": cubic(1 / 3, 1 / 3),
    "lanczos3": lambda x: np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0),
}


def matrix(method: str, before: int, after: int, *, antialias: bool) -> Array:
    """Return how much each of `before` pixels counts in each of `after`, rows summing to 1."""
    scale = before / after
    if method == "area":
        start = np.arange(after)[:, None] * scale
        left = np.arange(before)[None]
        weights = np.minimum(left + 1, start + scale) - np.maximum(left, start)
        return np.maximum(weights, 0) / scale
    centres = (np.arange(after)[:, None] + 0.5) * scale
    if method == "nearest":
        return np.float64(np.floor(centres) == np.arange(before)[None])
    width = max(scale, 1) if antialias else 1
    weights = KERNELS[method]((np.arange(before)[None] + 0.5 - centres) / width)
    return weights / weights.sum(1, keepdims=True)


def resampled(x: Array, size: Size, method: str, *, antialias: bool) -> Array:
    rows, columns = (
        matrix(method, before, after, antialias=antialias)
        for before, after in zip(x.shape, size, strict=False)
    )
    return np.einsum("ai,bj,ij...->ab...", rows, columns, x)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("antialias", [True, False], ids=["soft", "sharp"])
@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_every_filter_is_what_its_name_says(
    before: Size, after: Size, method: str, antialias: bool
) -> None:
    generator = np.random.default_rng(0)
    image = Image(generator.random((*before, 3), np.float32))
    got = resize_image(image, after, method, antialias=antialias)
    clear = Image(image.pixels, generator.random(before, np.float32))
    smooth = method if method in ("nearest", "area") else "bilinear"
    # TensorFlow looks its sharp cubic up in a table of 1024 entries
    tolerance = 2e-3 if method == "bicubic" and not antialias else 5e-6
    seen = resize_image(clear, after, method, antialias=antialias)
    for mine, theirs, filtered in (
        *((got.pixels, image.pixels, method), (seen.pixels, image.pixels, smooth)),
        (seen.alpha, clear.alpha, smooth),
    ):
        exact = resampled(np.float64(theirs), after, filtered, antialias=antialias)
        np.testing.assert_allclose(mine, np.clip(exact, 0, 1), atol=tolerance)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("antialias", [True, False], ids=["soft", "sharp"])
@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_tensors_are_resampled_alike_in_a_compiled_program(
    before: Size, after: Size, method: Any, antialias: bool
) -> None:
    """Without a clip, and with the gradient Rᵀ."""
    x = np.random.default_rng(1).normal(size=(1, *before, 2)).astype(np.float32)

    @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
    def program(x: Tensor) -> tuple[Tensor, Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = resample(x, after, method, antialias=antialias)
        return y, tape.gradient(y, x)

    got, gradient = program(tf.constant(x))
    expected = resampled(np.float64(x[0]), after, method, antialias=antialias)
    np.testing.assert_allclose(got[0], expected, atol=5e-6)
    rows, columns = (
        matrix(method, *sides, antialias=antialias).sum(0)
        for sides in zip(before, after, strict=True)
    )
    np.testing.assert_allclose(gradient[0, ..., 0], np.outer(rows, columns), atol=2e-5)


def test_the_default_is_lanczos_and_soft() -> None:
    image = Image(np.random.default_rng(0).random((20, 30, 3), np.float32))
    got = resize_image(image, (7, 11)).pixels
    expected = resampled(np.float64(image.pixels), (7, 11), "lanczos3", antialias=True)
    expected = np.clip(expected, 0, 1)
    np.testing.assert_allclose(got, expected, atol=5e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(16, 22), (40, 61), (1, 1), (64, 2)])
def test_the_result_stays_in_range(method: str, size: Size) -> None:
    """Stripes of black and white: what overshoots is clipped."""
    stripes = np.zeros((16, 22, 3), np.float32)
    stripes[:, ::4] = stripes[::4] = 1
    image = resize_image(Image(stripes, stripes[..., 0]), size, method)
    assert image.size == size
    assert image.alpha is not None
    canvas = resize_canvas(tf.constant(stripes[None]), size, method)
    assert canvas.dtype == tf.float32
    assert 0 <= float(tf.reduce_min(canvas)) <= float(tf.reduce_max(canvas)) <= 1


def test_lanczos_does_overshoot_without_the_clip() -> None:
    """So that the test above tests something."""
    stripes = np.zeros((16, 22, 3), np.float32)
    stripes[:, ::4] = stripes[::4] = 1
    raw = tf.image.resize(stripes[None], (40, 61), "lanczos3", antialias=True)
    assert float(tf.reduce_max(raw)) > 1.01
    assert float(tf.reduce_min(raw)) < -0.01


def test_the_same_size_is_the_image_itself() -> None:
    image = Image(np.random.default_rng(0).random((5, 6, 3), np.float32))
    for method in METHODS:
        assert resize_image(image, (5, 6), method) is image
        canvas = tf.constant(image.pixels[None])
        np.testing.assert_array_equal(resize_canvas(canvas, (5, 6), method), canvas)


def test_an_opaque_image_stays_opaque() -> None:
    assert resize_image(Image(np.zeros((4, 4, 3), np.float32)), (2, 2)).alpha is None


@pytest.mark.parametrize(
    ("size", "longest", "expected"),
    [
        ((300, 400), 200, (150, 200)),
        ((400, 300), 200, (200, 150)),
        ((3, 4), 512, (384, 512)),
        ((1, 1000), 100, (1, 100)),
        ((1000, 1), 16384, (16384, 16)),
        ((7, 7), 7, (7, 7)),
        ((333, 500), 512, (341, 512)),  # 340.99
    ],
)
def test_the_longest_side_decides(size: Size, longest: int, expected: Size) -> None:
    assert fit_longest_side(size, longest) == expected
