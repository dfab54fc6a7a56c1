"""A run in the profile of its content image."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile

import nstflow
from nstflow import Image, NstflowError, NstflowWarning
from nstflow.builtin.loaders.file import File
from nstflow.plan import make_plan
from nstflow.recipe.reader import load_recipe
from nstflow.runner.cache import RunCache
from nstflow.runner.images import prepare
from nstflow.runner.verify import verify
from profiles import make_profile

RECIPE = """
name: wide
images:
  content: {path: content.tif, profile: keep}
  style: style.png
preprocess: [{use: resize, longest_side: 12}]
extractor: {weights: random}
losses:
  keep: {use: content, layers: [image], weight: 10}
  look: {use: gram, image: style, layers: [image], weight: 7}
schedule: {epochs: 1, steps_per_epoch: 2}
outputs: [{use: png, bits: 16}, {use: tiff}, {use: webp, lossless: true}]
postprocess: [{use: resize, longest_side: 8}]
"""
LINEAR = make_profile("linear", 1.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    words = np.random.default_rng(1).integers(0, 65536, (9, 12, 3), np.uint16)
    tifffile.imwrite(tmp_path / "content.tif", words, photometric="rgb", iccprofile=LINEAR)
    PIL.Image.new("RGB", (12, 9), (188, 188, 188)).save(tmp_path / "style.png")  # half the light
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


def test_outputs_have_the_content_s_profile(folder: Path) -> None:
    """Also behind stages that make new images, and when the run is read again."""
    result = nstflow.run(load_recipe(folder / "recipe.yaml"), folder / "out")
    assert result.image is not None
    assert result.image.profile == LINEAR
    for file in result.files:
        with PIL.Image.open(file) as written:
            assert written.info["icc_profile"] == LINEAR
    again = nstflow.run(load_recipe(folder / "recipe.yaml"), folder / "out", resume=True)
    assert again.image is not None
    assert again.image.profile == LINEAR
    np.testing.assert_allclose(again.image.pixels, result.image.pixels, atol=0.51 / 65535)
    found = verify(folder / "out")
    assert found is not None
    assert all(each.equal for each in found)
    assert [each.levels for each in found] == [65535, 65535, 255]


def test_the_camera_s_exif_is_copied_if_asked(folder: Path) -> None:
    """That of the content, behind stages that make new images."""
    for name, maker in (("content.png", "Maker"), ("style.png", "Other")):
        exif = PIL.Image.Exif()
        exif[271] = maker
        PIL.Image.new("RGB", (12, 9)).save(folder / name, exif=exif)
    outputs = "outputs=[{use: png, exif: true}, {use: jpeg, exif: true}, {use: webp}]"
    settings = [f"images.content='{folder / 'content.png'}'", outputs]
    result = nstflow.run(load_recipe(folder / "recipe.yaml", settings), folder / "copied")
    makers = []
    for file in result.files:
        with PIL.Image.open(file) as written:
            makers.append(written.getexif().get(271))
    assert makers == ["Maker", "Maker", None]


def test_other_images_are_converted_to_it(folder: Path) -> None:
    images = prepare(make_plan(load_recipe(folder / "recipe.yaml")), RunCache())
    assert [image.profile for image in images.values()] == [LINEAR, LINEAR]
    np.testing.assert_allclose(images["style"].pixels, 128 / 255, atol=1.5 / 255)


def test_images_are_srgb_where_the_content_is(folder: Path) -> None:
    PIL.Image.new("RGB", (12, 9), (128, 128, 128)).save(folder / "style.png", icc_profile=LINEAR)
    settings = ["images.content.profile=srgb", "images.style.profile=keep"]
    with pytest.warns(NstflowWarning, match=r"content\.tif is read with 8 of its 16 bits"):
        images = prepare(make_plan(load_recipe(folder / "recipe.yaml", settings)), RunCache())
    assert [image.profile for image in images.values()] == [None, None]
    np.testing.assert_allclose(images["style"].pixels, 188 / 255, atol=1.5 / 255)


def test_bits_that_a_conversion_cuts_are_said(folder: Path) -> None:
    tifffile.imwrite(folder / "deep.tif", np.full((9, 12, 3), 30000, np.uint16), photometric="rgb")
    recipe = load_recipe(folder / "recipe.yaml", [f"images.style='{folder / 'deep.tif'}'"])
    with pytest.warns(NstflowWarning, match="of 'style' are converted to the picture's profile"):
        prepare(make_plan(recipe), RunCache())


def test_a_damaged_profile_of_a_loader_is_an_error_at_its_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(load_recipe(folder / "recipe.yaml"))
    broken = Image(np.zeros((9, 12, 3), np.float32), profile=b"nonsense")
    monkeypatch.setattr(
        File, "load", lambda stage, _: Image(broken.pixels) if stage.profile == "keep" else broken
    )
    with pytest.raises(NstflowError, match=r"yaml:5:.*\n.*colour profile can't be used"):
        prepare(plan, RunCache())
