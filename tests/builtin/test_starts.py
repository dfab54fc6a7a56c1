"""What the first step sees: an image, noise, or both."""

import numpy as np
import pytest
from numpy.typing import NDArray

from nstflow import Image, Size, Start
from nstflow.builtin.starts.blend import Blend
from nstflow.builtin.starts.image import FromImage
from nstflow.builtin.starts.noise import FromNoise


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
