"""What the first step sees: an image, noise, or both."""

import numpy as np
import pytest
from numpy.typing import NDArray

from nstflow import Image, Size, Start
from nstflow.builtin.starts.blend import Blend
from nstflow.builtin.starts.image import FromImage
from nstflow.builtin.starts.low_pass import LowPass
from nstflow.builtin.starts.noise import FromNoise
from nstflow.builtin.starts.style_statistics import FromStyleStatistics


def noise(size: Size, seed: int) -> NDArray[np.float64]:
    """Return PCG64's floats, as the loader's test derives them."""
    raw = np.random.PCG64(seed).random_raw(-(-size[0] * size[1] * 3 // 2))
    halves = np.stack([raw & 0xFFFFFFFF, raw >> 32], -1).astype(np.uint32).reshape(-1)
    return ((halves >> 8) / 2**24)[: size[0] * size[1] * 3].reshape(*size, 3)


@pytest.fixture
def images() -> dict[str, Image]:
    generator = np.random.default_rng(0)
    alpha = generator.random((6, 9), np.float32)
    return {
        "content": Image(generator.random((6, 9, 3), np.float32), alpha),
        "style": Image(np.full((4, 4, 3), (0.1, 0.6, 0.9), np.float32)),
    }


def test_an_image_starts_as_it_is_and_opaque(images: dict[str, Image]) -> None:
    canvas = FromImage().paint(images, (6, 9), 0)
    np.testing.assert_array_equal(canvas.pixels, images["content"].pixels)
    assert canvas.alpha is None


def test_another_image_is_scaled_to_the_canvas(images: dict[str, Image]) -> None:
    canvas = FromImage(image="style").paint(images, (6, 9), 0)
    assert canvas.size == (6, 9)
    np.testing.assert_allclose(canvas.pixels - np.float32((0.1, 0.6, 0.9)), 0, atol=2e-6)


@pytest.mark.parametrize("amplitude", [0.5, 0.3, 0.125, 0.0])
def test_noise_lies_around_grey(amplitude: float, images: dict[str, Image]) -> None:
    canvas = FromNoise(amplitude=amplitude).paint(images, (7, 5), 12)
    expected = 0.5 + amplitude * (2 * noise((7, 5), 12) - 1)
    np.testing.assert_allclose(canvas.pixels, expected, atol=1e-7)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_blend_is_a_mixture(share: float, images: dict[str, Image]) -> None:
    canvas = Blend(noise=share).paint(images, (6, 9), 5)
    expected = (1 - share) * images["content"].pixels + share * noise((6, 9), 5)
    np.testing.assert_allclose(canvas.pixels, expected, atol=1e-7)
    assert canvas.alpha is None


def test_a_blend_of_white_stays_in_range() -> None:
    """Rounding could carry a mixture of ones above 1, which no image may hold."""
    white = {"content": Image(np.ones((64, 64, 3), np.float32))}
    for share in np.random.default_rng(0).random(50):
        Blend(noise=float(share)).paint(white, (64, 64), 1)


@pytest.mark.parametrize("stage", [FromNoise(), Blend()])
def test_the_recipes_seed_decides(stage: Start, images: dict[str, Image]) -> None:
    first, again, other = (stage.paint(images, (6, 9), seed).pixels for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.9


def test_noise_with_the_colours_of_a_style() -> None:
    generator = np.random.default_rng(1)
    mix = np.eye(3) + 0.5 * generator.random((3, 3))
    colours = 0.5 + 0.05 * (generator.uniform(-1, 1, (40, 30, 3)) @ mix)
    style = Image(colours.astype(np.float32))
    canvas = FromStyleStatistics().paint({"style": style}, (25, 33), 4)
    got, expected = (each.pixels.reshape(-1, 3).astype(float) for each in (canvas, style))
    np.testing.assert_allclose(got.mean(0), expected.mean(0), atol=1e-5)
    np.testing.assert_allclose(np.cov(got.T, ddof=0), np.cov(expected.T, ddof=0), atol=2e-5)
    other = FromStyleStatistics().paint({"style": style}, (25, 33), 5)
    assert np.abs(other.pixels - canvas.pixels).max() > 0.05


def test_low_pass_keeps_large_forms_alone() -> None:
    """A wave of 64 pixels stays, one of 4 pixels goes."""
    x = np.arange(128)
    slow, fast = 0.2 * np.sin(2 * np.pi * x / 64), 0.2 * np.sin(2 * np.pi * x / 4)
    row = (0.5 + slow + fast).astype(np.float32)
    image = Image(np.broadcast_to(row[None, :, None], (32, 128, 3)).copy())
    canvas = LowPass(pixels=8).paint({"content": image}, (32, 128), 0)
    np.testing.assert_allclose(canvas.pixels[0, 8:-8, 0], (0.5 + slow)[8:-8], atol=0.02)
    kept = LowPass(pixels=1).paint({"content": image}, (32, 128), 0)
    np.testing.assert_array_equal(kept.pixels, image.pixels)
