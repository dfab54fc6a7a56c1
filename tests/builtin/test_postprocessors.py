"""`keep_color` and `resize`: finishing the picture."""

import numpy as np
import pytest
from numpy.typing import NDArray

from nstflow import Image, Size
from nstflow.builtin.postprocessors.keep_color import KeepColor
from nstflow.builtin.postprocessors.resize import ResizeResult

# ITU-R BT.601: Y = 0.299 R + 0.587 G + 0.114 B, Cb = (B - Y) / 1.772, Cr = (R - Y) / 1.402


def luma(pixels: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.float64(pixels) @ (0.299, 0.587, 0.114)


def chroma(pixels: NDArray[np.generic]) -> NDArray[np.float64]:
    y = luma(pixels)
    return np.stack([(pixels[..., 2] - y) / 1.772, (pixels[..., 0] - y) / 1.402], -1)


def picture(seed: int, size: Size = (12, 17), spread: float = 0.15) -> Image:
    """Return colours around grey: with so small a spread, nothing that is mixed of them clips."""
    values = np.random.default_rng(seed).random((*size, 3), np.float32)
    return Image(np.float32(0.5) + np.float32(2 * spread) * (values - np.float32(0.5)))


def test_luma_is_the_canvass_and_chroma_the_references() -> None:
    canvas, reference = picture(1), picture(2)
    kept = KeepColor().apply(canvas, {"content": reference})
    np.testing.assert_allclose(luma(kept.pixels), luma(canvas.pixels), atol=1e-6)
    np.testing.assert_allclose(chroma(kept.pixels), chroma(reference.pixels), atol=1e-6)


@pytest.mark.parametrize("amount", [0.25, 0.5])
def test_the_amount_mixes(amount: float) -> None:
    canvas, reference = picture(1), picture(2)
    kept = KeepColor(amount=amount).apply(canvas, {"content": reference})
    np.testing.assert_allclose(luma(kept.pixels), luma(canvas.pixels), atol=1e-6)
    expected = (1 - amount) * chroma(canvas.pixels) + amount * chroma(reference.pixels)
    np.testing.assert_allclose(chroma(kept.pixels), expected, atol=1e-6)


def test_no_amount_changes_no_bit() -> None:
    canvas = picture(1, spread=0.5)
    kept = KeepColor(amount=0).apply(canvas, {"content": picture(2, spread=0.5)})
    np.testing.assert_array_equal(kept.pixels, canvas.pixels)


def test_a_canvas_that_is_the_reference_stays() -> None:
    canvas = picture(1, spread=0.5)
    kept = KeepColor().apply(canvas, {"content": canvas})
    np.testing.assert_array_equal(kept.pixels, canvas.pixels)


def test_a_grey_reference_takes_the_colour_away() -> None:
    grey = Image(np.random.default_rng(0).random((12, 17, 1), np.float32).repeat(3, -1))
    canvas = picture(1, spread=0.5)
    kept = KeepColor(image="grey").apply(canvas, {"grey": grey})
    expected = luma(canvas.pixels)[..., None].repeat(3, -1)
    np.testing.assert_allclose(kept.pixels, expected, atol=1e-6)


def test_colours_out_of_range_are_clipped() -> None:
    """Pure blue on white: 1 - 0.114 more of each channel; on black, none is left of red."""
    blue = Image(np.broadcast_to(np.float32((0, 0, 1)), (2, 3, 3)).copy())
    white, black = (Image(np.full((2, 3, 3), level, np.float32)) for level in (1, 0))
    on_white = KeepColor().apply(white, {"content": blue})
    np.testing.assert_allclose(on_white.pixels[0, 0], [0.886, 0.886, 1], atol=1e-6)
    on_black = KeepColor().apply(black, {"content": blue})
    np.testing.assert_allclose(on_black.pixels[0, 0], [0, 0, 0.886], atol=1e-6)


def test_a_reference_of_another_size_is_scaled() -> None:
    even = Image(np.full((5, 4, 3), (0.6, 0.5, 0.4), np.float32))
    canvas = picture(1)
    kept = KeepColor().apply(canvas, {"content": even})
    assert kept.size == canvas.size
    expected = np.broadcast_to(chroma(even.pixels)[0, 0], (*canvas.size, 2))
    np.testing.assert_allclose(chroma(kept.pixels), expected, atol=3e-6)


def test_the_canvass_alpha_is_kept() -> None:
    alpha = np.random.default_rng(0).random((12, 17), np.float32)
    kept = KeepColor().apply(Image(picture(1).pixels, alpha), {"content": picture(2)})
    np.testing.assert_array_equal(kept.alpha, alpha)


@pytest.mark.parametrize(
    ("size", "longest", "expected"),
    [((12, 16), 32, (24, 32)), ((16, 12), 8, (8, 6)), ((1, 64), 32, (1, 32)), ((1, 1), 5, (5, 5))],
)
def test_the_picture_is_scaled(size: Size, longest: int, expected: Size) -> None:
    assert ResizeResult(longest_side=longest).apply(picture(1, size), {}).size == expected


def test_nearest_repeats_pixels() -> None:
    small = picture(1, (3, 4))
    large = ResizeResult(longest_side=12, method="nearest").apply(small, {})
    np.testing.assert_array_equal(large.pixels, small.pixels.repeat(3, 0).repeat(3, 1))


def test_the_same_size_keeps_every_bit() -> None:
    before = picture(1, (9, 20), spread=0.5)
    after = ResizeResult(longest_side=20).apply(before, {})
    np.testing.assert_array_equal(after.pixels, before.pixels)
