"""Matching and exchanging colours, against closed forms and published values."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nstflow import Image
from nstflow.builtin.postprocessors.keep_color import KeepColor, OnlyColor
from nstflow.builtin.postprocessors.match_color import MatchResult
from nstflow.builtin.preprocessors.luminance import Luminance
from nstflow.builtin.preprocessors.match_color import MatchColor
from nstflow.engine import colors
from nstflow.testing import check_stage

MATRICES = ["optimal", "pca", "cholesky"]
SPACES = ["yiq", "linear", "lab", "oklab"]


def picture(seed: int, mix: float = 0.1) -> Image:
    """Return correlated colours around grey: nothing that is matched to another such one clips."""
    generator = np.random.default_rng(seed)
    values = generator.uniform(-1, 1, (40, 30, 3)) @ (np.eye(3) + 0.5 * generator.random((3, 3)))
    return Image((0.5 + 0.04 * generator.random(3) + mix * values).astype(np.float32))


def moments(image: Image, weights: Any = None) -> tuple[NDArray[Any], NDArray[Any]]:
    values = image.pixels.reshape(-1, 3).astype(np.float64)
    mean = np.average(values, 0, weights)
    return mean, np.cov(values, rowvar=False, ddof=0, aweights=weights)


@pytest.mark.parametrize("method", MATRICES)
def test_mean_and_covariance_are_the_others(method: str) -> None:
    style, content = picture(1), picture(2)
    matched = MatchColor(method=method).apply(style, {"style": style, "content": content})
    for got, expected in zip(moments(matched), moments(content), strict=True):
        np.testing.assert_allclose(got, expected, atol=3e-5)


def test_the_optimal_matrix_changes_least() -> None:
    style, images = picture(1), {"content": picture(2)}
    cost = {
        method: np.square(
            MatchColor(method=method).apply(style, images).pixels - style.pixels
        ).sum()
        for method in MATRICES
    }
    assert cost["optimal"] == min(cost.values())
    assert cost["optimal"] < 0.999 * max(cost.values())


def test_of_variances_alone_it_is_the_ratio_of_deviations() -> None:
    """Channels that are not correlated: x → r + σ_R / σ_S (x - m), by every matrix."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    style, content = (
        Image((mean + corners.reshape(2, 4, 3) * spread).astype(np.float32))
        for mean, spread in (((0.5,) * 3, (0.1, 0.2, 0.05)), ((0.4, 0.5, 0.6), (0.2, 0.1, 0.1)))
    )
    for method in MATRICES:
        matched = MatchColor(method=method).apply(style, {"content": content})
        np.testing.assert_allclose(matched.pixels, content.pixels, atol=2e-4)


def test_ranks_take_the_others_values() -> None:
    style, content = picture(1), picture(2)
    matched = MatchColor(method="histogram").apply(style, {"content": content}).pixels
    for channel in range(3):
        one, other = (each.pixels[..., channel].ravel() for each in (style, content))
        got = matched[..., channel].ravel()
        np.testing.assert_allclose(np.sort(got), np.sort(other), atol=1e-3)  # of equal values
        assert (np.diff(got[np.argsort(one)]) >= 0).all()


def test_equal_values_stay_equal() -> None:
    flat = np.array([[[0.2] * 3], [[0.6] * 3]], np.float32).repeat(8, 1)
    matched = MatchColor(method="histogram").apply(Image(flat), {"content": picture(3)}).pixels
    assert len(np.unique(matched[..., 0])) == 2


@pytest.mark.parametrize("method", [*MATRICES, "histogram"])
@pytest.mark.parametrize("first", ["even", "grey", "coloured"])
@pytest.mark.parametrize("second", ["even", "grey", "coloured"])
def test_grey_and_even_images(method: str, first: str, second: str) -> None:
    images = {
        "even": Image(np.full((5, 4, 3), 0.25, np.float32)),
        "grey": Image(np.random.default_rng(0).random((5, 4, 1), np.float32).repeat(3, -1)),
        "coloured": picture(4),
    }
    source, content = images[first], images[second]
    matched = MatchColor(method=method).apply(Image(source.pixels.copy()), {"content": content})
    assert np.isfinite(matched.pixels).all()
    if second == "even" and method != "histogram":
        assert np.abs(matched.pixels - 0.25).max() < 0.02
    if second == "grey" and method != "histogram":
        assert np.ptp(matched.pixels, -1).max() < 0.02


def on_white(image: Image, alpha: Any) -> Image:
    return Image(image.pixels * alpha[..., None] + (1 - alpha[..., None]), alpha)


def test_transparent_positions_count_for_nothing() -> None:
    """Neither does the white behind what is half transparent."""
    style, content = picture(1), picture(2)
    alpha = np.zeros((40, 30), np.float32)
    alpha[:, :11] = 0.7
    alpha[:5] = 0.1
    masked = on_white(content, alpha)
    matched = MatchColor().apply(style, {"content": masked})
    expected = moments(content, alpha.ravel())
    for got, wanted in zip(moments(matched), expected, strict=True):
        np.testing.assert_allclose(got, wanted, atol=3e-5)
    recoloured = MatchColor().apply(masked, {"content": style})
    np.testing.assert_array_equal(recoloured.alpha, alpha)
    assert recoloured.pixels[alpha == 0].min() == 1  # the white stays


def test_a_histogram_has_no_values_of_transparent_positions() -> None:
    alpha = np.ones((40, 30), np.float32)
    alpha[:, 15:] = 0
    grey = Image(np.full((40, 30, 3), 0.4, np.float32))
    matched = MatchColor(method="histogram").apply(picture(1), {"content": on_white(grey, alpha)})
    np.testing.assert_allclose(matched.pixels, 0.4, atol=1e-6)


def test_the_image_itself_stays_and_an_equal_one_nearly() -> None:
    content = picture(2)
    assert MatchColor().apply(content, {"content": content}) is content
    for method in [*MATRICES, "histogram"]:
        same = MatchResult(method=method).apply(Image(content.pixels), {"content": content})
        np.testing.assert_allclose(same.pixels, content.pixels, atol=1e-6)


def test_luminance_is_grey_with_the_contents_mean_and_deviation() -> None:
    style, content = picture(1), picture(2)
    images = {"style": style, "content": content}
    grey, matched = (Luminance().apply(image, images).pixels for image in (content, style))
    luma = content.pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    np.testing.assert_allclose(grey, luma[..., None].repeat(3, -1), atol=1e-6)
    assert np.ptp(matched, -1).max() < 1e-6
    assert matched.mean() == pytest.approx(luma.mean(), abs=1e-5)
    assert matched.std() == pytest.approx(luma.std(), abs=1e-4)


def test_published_values() -> None:
    """sRGB red, green, blue and white: CIE Lab by its definition, OKLab by its author's page."""
    light = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]], float)
    lab = [[53.24, 80.09, 67.20], [87.73, -86.18, 83.18], [32.30, 79.19, -107.86], [100, 0, 0]]
    np.testing.assert_allclose(colors._to_lab(light), np.array(lab), atol=0.02)
    oklab = [[0.628, 0.225, 0.126], [0.866, -0.234, 0.179], [0.452, -0.032, -0.312], [1, 0, 0]]
    np.testing.assert_allclose(colors._to_oklab(light), np.array(oklab), atol=1e-3)


@pytest.mark.parametrize("space", SPACES)
def test_brightness_of_one_colours_of_the_other(space: str) -> None:
    canvas, reference = picture(5, 0.05), picture(6, 0.05)
    kept = KeepColor(space=space).apply(canvas, {"content": reference})
    same = OnlyColor(space=space).apply(reference, {"content": canvas})
    np.testing.assert_allclose(same.pixels, kept.pixels, atol=1e-6)
    parts: dict[str, Any] = {
        "lab": lambda pixels: colors._to_lab(colors.srgb_to_linear(pixels)) / 100,
        "oklab": lambda pixels: colors._to_oklab(colors.srgb_to_linear(pixels)),
    }
    if space in parts:
        one, other, got = (parts[space](each.pixels) for each in (canvas, reference, kept))
        np.testing.assert_allclose(got[..., 0], one[..., 0], atol=1e-5)
        np.testing.assert_allclose(got[..., 1:], other[..., 1:], atol=1e-5)
        return
    weights: Any = {"yiq": (0.299, 0.587, 0.114), "linear": colors._TO_XYZ[1]}[space]
    one, other, got = (
        each.pixels if space == "yiq" else colors.srgb_to_linear(each.pixels)
        for each in (canvas, reference, kept)
    )
    np.testing.assert_allclose(got @ weights, one @ weights, atol=1e-5)
    hue, expected = (each - (each @ weights)[..., None] for each in (got, other))
    np.testing.assert_allclose(hue, expected, atol=1e-5)


@pytest.mark.parametrize("space", SPACES)
def test_a_canvas_that_is_the_reference_nearly_stays(space: str) -> None:
    canvas = Image(np.random.default_rng(3).random((9, 7, 3), np.float32))
    kept = KeepColor(space=space).apply(canvas, {"content": canvas})
    np.testing.assert_allclose(kept.pixels, canvas.pixels, atol=2e-6)


@pytest.mark.parametrize(
    "stage", [MatchColor, Luminance, MatchResult, OnlyColor, KeepColor], ids=lambda s: s.__name__
)
def test_they_meet_their_contracts(stage: Any) -> None:
    check_stage(stage)
    if stage in (OnlyColor, KeepColor):
        check_stage(stage, space="oklab")
