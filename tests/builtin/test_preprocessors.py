"""`resize` and `crop`: what `size` says is what `apply` makes; `only` says of which images."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from nstflow import Image, Preprocessor, Size, load_recipe, make_plan
from nstflow.builtin.preprocessors.crop import Crop
from nstflow.builtin.preprocessors.resize import Resize
from nstflow.runner import images
from nstflow.runner.cache import RunCache

METHODS = ("nearest", "area", "bilinear", "bicubic", "lanczos3", "mitchellcubic")
SIZES = [(1, 1), (1, 2), (2, 1), (1, 64), (64, 1), (3, 50), (17, 16), (33, 64), (64, 64)]


def picture(size: Size, *, alpha: bool = False) -> Image:
    generator = np.random.default_rng(size)
    pixels = generator.random((*size, 3), np.float32)
    return Image(pixels, generator.random(size, np.float32) if alpha else None)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("longest", [1, 2, 16, 63])
def test_resize_makes_the_size_that_it_says(size: Size, longest: int) -> None:
    stage = Resize(longest_side=longest)
    height, width = stage.size(size)
    assert max(height, width) == longest
    for side, before in ((height, size[0]), (width, size[1])):
        assert side == 1 or abs(side - before * longest / max(size)) <= 0.5
    assert stage.apply(picture(size), {}).size == (height, width)


def test_the_scale_is_a_factor_on_the_longest_side() -> None:
    assert Resize(longest_side=512, scale=0.5).size((600, 800)) == (192, 256)
    assert Resize(longest_side=100, scale=2.006).size((30, 60)) == (100, 201)
    assert Resize(longest_side=100, scale=2, enlarge=False).size((30, 60)) == (30, 60)
    assert Resize(longest_side=1, scale=0.1).size((4, 4)) == (1, 1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize(("size", "longest"), [((1, 1), 7), ((31, 20), 9), ((5, 8), 24)])
def test_every_method_scales_both_ways(
    method: str, antialias: bool, size: Size, longest: int
) -> None:
    stage = Resize(longest_side=longest, method=method, antialias=antialias)
    image = stage.apply(picture(size, alpha=True), {})
    assert image.size == stage.size(size)
    assert image.alpha is not None
    assert image.alpha.shape == image.size


@pytest.mark.parametrize("method", METHODS)
def test_an_even_colour_stays(method: str) -> None:
    even = Image(np.full((13, 30, 3), (0.2, 0.5, 0.9), np.float32), np.full((13, 30), 0.25, "f4"))
    for longest in (7, 29, 64):
        image = Resize(longest_side=longest, method=method).apply(even, {})
        np.testing.assert_allclose(image.pixels - np.float32((0.2, 0.5, 0.9)), 0, atol=2e-6)
        np.testing.assert_allclose(image.alpha, 0.25, atol=2e-6)


@pytest.mark.parametrize("method", METHODS)
def test_resize_to_the_same_size_keeps_every_bit(method: str) -> None:
    before = picture((21, 34), alpha=True)
    after = Resize(longest_side=34, method=method).apply(before, {})
    np.testing.assert_array_equal(after.pixels, before.pixels)
    np.testing.assert_array_equal(after.alpha, before.alpha)


@pytest.mark.parametrize(("longest", "expected"), [(33, (20, 33)), (34, (21, 34)), (35, (21, 34))])
def test_a_small_image_can_stay_as_it_is(longest: int, expected: Size) -> None:
    before = picture((21, 34), alpha=True)
    stage = Resize(longest_side=longest, enlarge=False)
    assert stage.size(before.size) == expected
    after = stage.apply(before, {})
    assert after.size == expected
    assert (after is before) == (longest >= 34)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("aspect", [1e-6, 0.1, 0.75, 1, 4 / 3, 33 / 64, 100])
def test_crop_makes_the_largest_rectangle(size: Size, aspect: float) -> None:
    stage = Crop(aspect=aspect)
    height, width = stage.size(size)
    assert 1 <= height <= size[0]
    assert 1 <= width <= size[1]
    assert height == size[0] or width == size[1]
    wide = size[1] > size[0] * aspect
    exact = (size[0], size[0] * aspect) if wide else (size[1] / aspect, size[1])
    assert height == pytest.approx(max(1, exact[0]), abs=0.5)
    assert width == pytest.approx(max(1, exact[1]), abs=0.5)
    image = stage.apply(picture(size, alpha=True), {})
    assert image.size == (height, width)
    assert image.alpha is not None


@pytest.mark.parametrize(
    ("settings", "rows", "columns"),
    [
        ({}, slice(None), slice(5, 15)),
        ({"left": 0}, slice(None), slice(0, 10)),
        ({"left": 1}, slice(None), slice(10, 20)),
        ({"left": 0.25, "top": 1}, slice(None), slice(2, 12)),  # 2.5 is rounded to even
        ({"aspect": 4}, slice(2, 7), slice(None)),
        ({"aspect": 4, "top": 0}, slice(0, 5), slice(None)),
        ({"aspect": 4, "top": 1, "left": 0}, slice(5, 10), slice(None)),
        ({"aspect": 2}, slice(None), slice(None)),
    ],
)
def test_crop_keeps_the_part_that_it_names(
    settings: dict[str, float], rows: slice, columns: slice
) -> None:
    before = picture((10, 20), alpha=True)
    after = Crop(**settings).apply(before, {})
    np.testing.assert_array_equal(after.pixels, before.pixels[rows, columns])
    assert before.alpha is not None
    np.testing.assert_array_equal(after.alpha, before.alpha[rows, columns])


@pytest.mark.parametrize(
    ("stage", "settings"),
    [
        (Resize, {"longest_side": 0}),
        (Resize, {"longest_side": 16385}),
        (Resize, {"method": "gaussian"}),
        (Crop, {"aspect": 0}),
        (Crop, {"aspect": float("nan")}),
        (Crop, {"left": -0.1}),
        (Crop, {"top": 1.1}),
    ],
)
def test_settings_have_bounds(stage: type[Preprocessor], settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(settings))):
        stage(**settings)


RECIPE = """\
name: only
images:
  content: {{use: noise, height: 30, width: 40}}
  style: {{use: noise, height: 24, width: 16, seed: 1}}
preprocess:
  - {{use: crop, aspect: 1{crop}}}
  - {{use: resize, longest_side: 10{resize}}}
extractor: {{weights: random}}
losses:
  look: {{use: gram, image: style, layers: [image]}}
"""


@pytest.mark.parametrize(
    ("crop", "resize", "expected"),
    [
        ("", "", {"content": (10, 10), "style": (10, 10)}),
        (", only: [style]", "", {"content": (8, 10), "style": (10, 10)}),
        (", only: [content]", ", only: [style]", {"content": (30, 30), "style": (10, 7)}),
        (", only: []", ", only: [content, style]", {"content": (8, 10), "style": (10, 7)}),
    ],
)
def test_only_names_the_images(
    crop: str, resize: str, expected: dict[str, Size], write: Any
) -> None:
    recipe = load_recipe(write(RECIPE.format(crop=crop, resize=resize)))
    assert dict(make_plan(recipe).sizes) == expected
    prepared = images.prepare(make_plan(recipe), RunCache())
    assert {name: image.size for name, image in prepared.items()} == expected


def test_an_image_that_is_left_out_keeps_every_bit(write: Any) -> None:
    recipe = load_recipe(write(RECIPE.format(crop=", only: [style]", resize=", only: [style]")))
    loaded = recipe.images["content"].load(recipe.folder)
    np.testing.assert_array_equal(
        images.prepare(make_plan(recipe), RunCache())["content"].pixels, loaded.pixels
    )
