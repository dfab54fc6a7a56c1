"""The loader `noise`: the same numbers everywhere, uniform, no file needed."""

from pathlib import Path

import numpy as np
import pytest

from nstflow.builtin.loaders.noise import NoiseImage
from nstflow.toolkit import uniform_noise

NOWHERE = Path("/nowhere")


def test_it_has_the_size_that_it_says() -> None:
    stage = NoiseImage(height=5, width=9)
    assert stage.size(NOWHERE) == (5, 9)
    image = stage.load(NOWHERE)
    assert image.size == (5, 9)
    assert image.alpha is None


@pytest.mark.parametrize("seed", [0, 1, 2**32 + 5])
def test_the_numbers_are_pcg64s(seed: int) -> None:
    """Each 64-bit draw makes two floats, low half first, of 24 bits each."""
    raw = np.random.PCG64(seed).random_raw(3 * 4 * 3 // 2)
    halves = np.stack([raw & 0xFFFFFFFF, raw >> 32], -1).astype(np.uint32).reshape(3, 4, 3)
    expected = (halves >> 8) / 2**24
    np.testing.assert_array_equal(
        NoiseImage(height=3, width=4, seed=seed).load(NOWHERE).pixels, expected
    )


def test_it_is_the_same_every_time_and_another_for_another_seed() -> None:
    first, again = (NoiseImage(height=8, width=8, seed=3).load(NOWHERE).pixels for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = NoiseImage(height=8, width=8, seed=4).load(NOWHERE).pixels
    assert (other != first).mean() > 0.99


def test_it_is_uniform_and_its_channels_independent() -> None:
    """4096 draws a channel: the mean within 5σ = 5/√(12 · 4096), each tenth within 5σ = 96."""
    pixels = NoiseImage(height=64, width=64, seed=1).load(NOWHERE).pixels.reshape(-1, 3)
    assert np.abs(pixels.mean(0) - 0.5).max() < 5 / np.sqrt(12 * 4096)
    for channel in pixels.T:
        counts, _ = np.histogram(channel, 10, (0, 1))
        assert np.abs(counts - 409.6).max() < 96
    correlation = np.corrcoef(pixels.T)
    assert np.abs(correlation - np.eye(3)).max() < 5 / 64


@pytest.mark.parametrize(("low", "high"), [(0.2, 0.8), (0.5, 0.5), (0.0, 1.0)])
def test_a_narrower_range_is_kept(low: float, high: float) -> None:
    values = uniform_noise((32, 32), 0, low, high)
    assert values.dtype == np.float32
    assert values.min() >= np.float32(low)
    assert values.max() <= np.float32(high)
    assert np.ptp(values) >= 0.99 * (high - low)
