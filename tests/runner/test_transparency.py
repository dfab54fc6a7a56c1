"""The picture is transparent where its content image is."""

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

import nstflow
from nstflow import Image, NstflowWarning
from nstflow.recipe.reader import load_recipe
from nstflow.runner.images import finish
from nstflow.stages.result import Result
from nstflow.toolkit import resize_image, to_integers

TINY = (Path(__file__).parents[1] / "tiny.yaml").read_text()
RECIPE = TINY.replace("{use: noise, height: 32, width: 24}", "logo.png") + (
    "outputs: [{use: png}, {use: webp, lossless: true}, {use: jpeg}]\n"
)


def logo() -> Any:
    """Return red, green, blue and opacity: random, and half of it clear."""
    levels = np.random.default_rng(3).integers(0, 256, (32, 24, 4), np.uint8)
    levels[:, 12:, 3] = 0
    return levels


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clear")
    PIL.Image.fromarray(logo()).save(folder / "logo.png")
    (folder / "recipe.yaml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="module")
def ended(folder: Path) -> Result:
    with pytest.warns(NstflowWarning, match="jpg can't be transparent"):
        return nstflow.run(load_recipe(folder / "recipe.yaml"), folder / "out")


def test_every_file_that_can_be_transparent_is(ended: Result) -> None:
    assert ended.image is not None
    assert ended.image.alpha is not None
    np.testing.assert_array_equal(np.rint(ended.image.alpha * 255), logo()[..., 3])
    assert (ended.image.pixels[:, 12:] == 1).all()  # on white, whatever was painted there
    for name in ("result.png", "result.webp"):
        with PIL.Image.open(ended.folder / name) as picture:
            np.testing.assert_array_equal(np.asarray(picture)[..., 3], logo()[..., 3])
            assert (np.asarray(picture)[:, 12:, :3] == 255).all()


def test_a_finished_run_is_read_with_its_transparency(folder: Path, ended: Result) -> None:
    again = nstflow.run(load_recipe(folder / "recipe.yaml"), folder / "out", resume=True)
    assert again.already
    assert again.image is not None
    assert ended.image is not None
    np.testing.assert_array_equal(again.image.alpha, ended.image.alpha)
    np.testing.assert_allclose(again.image.pixels, ended.image.pixels, atol=0.51 / 255)


def test_the_colours_of_an_unchanged_picture_are_the_content_s(folder: Path) -> None:
    """Without the white that the network saw behind them, so that no rim is left."""
    recipe = load_recipe(folder / "recipe.yaml")
    content = recipe.images["content"].load(folder)
    picture = finish(recipe, Image(content.pixels), {"content": content})
    expected = np.where(logo()[..., 3:] > 0, logo(), np.array([255, 255, 255, 0], np.uint8))
    np.testing.assert_array_equal(to_integers(picture), expected)


def test_no_rim_of_white_is_left_by_resizing() -> None:
    """A red disc with a soft edge is red wherever anything is seen of it."""
    y, x = np.mgrid[:128, :128] - 63.5
    alpha = np.clip(50 - np.hypot(y, x), 0, 1).astype(np.float32)
    red = np.float32([1, 0, 0]) * alpha[..., None] + (1 - alpha[..., None])
    for side in (64, 300):
        small = resize_image(Image(red, alpha), (side, side))
        shown = to_integers(small)
        assert shown[shown[..., 3] > 8][:, 1].max() <= 1


def test_the_opacity_has_the_picture_s_size(folder: Path) -> None:
    recipe = load_recipe(folder / "recipe.yaml", ["postprocess=[{use: resize, longest_side: 64}]"])
    content = recipe.images["content"].load(folder)
    half = Image(np.zeros((16, 12, 3), np.float32))
    picture = finish(recipe, half, {"content": content})
    assert picture.size == (64, 48)
    assert picture.alpha is not None
    assert (picture.alpha[:, 30:] < 0.1).all()
    assert picture.alpha[:, :18].mean() == pytest.approx(logo()[:, :12, 3].mean() / 255, abs=0.05)
