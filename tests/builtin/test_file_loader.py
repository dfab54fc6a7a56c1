"""The loader `file`: formats, sizes from the header, and which files it refuses."""

import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from PIL import BmpImagePlugin, ImageFile, JpegImagePlugin, TiffImagePlugin, WebPImagePlugin
from pydantic import ValidationError

from nstflow.builtin.loaders.file import File

LOSSLESS = {
    "a.png": {},
    "a.bmp": {},
    "a.tif": {},
    "lzw.tif": {"compression": "tiff_lzw"},
    "zip.tif": {"compression": "tiff_deflate"},
    "a.webp": {"lossless": True},
}


@pytest.fixture
def picture() -> PIL.Image.Image:
    levels = np.random.default_rng(7).integers(0, 256, (11, 19, 3), dtype=np.uint8)
    return PIL.Image.fromarray(levels)


@pytest.fixture
def decoding_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make any decoding of pixels fail the test."""

    def load(self: object) -> None:
        pytest.fail(f"{self!r} was decoded")

    for plugin in (
        ImageFile.ImageFile,
        BmpImagePlugin.BmpImageFile,
        JpegImagePlugin.JpegImageFile,
        TiffImagePlugin.TiffImageFile,
        WebPImagePlugin.WebPImageFile,
    ):
        monkeypatch.setattr(plugin, "load", load)


@pytest.mark.parametrize(("name", "options"), LOSSLESS.items())
def test_lossless_formats_come_back_to_the_bit(
    name: str, options: dict[str, object], picture: PIL.Image.Image, tmp_path: Path
) -> None:
    picture.save(tmp_path / name, **options)
    image = File(path=Path(name)).load(tmp_path)
    assert image.pixels.dtype == np.float32
    assert image.alpha is None
    np.testing.assert_array_equal(image.pixels, np.asarray(picture, np.float32) / np.float32(255))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.jpg", {"quality": 100, "subsampling": 0}),
        ("progressive.jpg", {"quality": 100, "subsampling": 0, "progressive": True}),
        ("a.mpo", {"quality": 100, "subsampling": 0, "save_all": True}),
    ],
)
def test_jpeg_comes_back_nearly(
    name: str, options: dict[str, object], picture: PIL.Image.Image, tmp_path: Path
) -> None:
    if name.endswith("mpo"):  # what cameras write: a JPEG with a second one behind
        options["append_images"] = [picture]
    picture.save(tmp_path / name, **options)
    image = File(path=Path(name)).load(tmp_path)
    np.testing.assert_allclose(image.pixels, np.asarray(picture) / 255, atol=4 / 255)


def test_the_suffix_does_not_matter(picture: PIL.Image.Image, tmp_path: Path) -> None:
    picture.save(tmp_path / "photo.jpg", format="PNG")
    loaded = File(path=Path("photo.jpg")).load(tmp_path)
    np.testing.assert_array_equal(loaded.pixels, np.asarray(picture, np.float32) / np.float32(255))


@pytest.mark.parametrize("name", [*LOSSLESS, "a.jpg"])
@pytest.mark.usefixtures("decoding_fails")
def test_size_comes_from_the_header(name: str, picture: PIL.Image.Image, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as undone:
        undone.setattr(ImageFile.ImageFile, "load", PIL.Image.Image.load)  # what save needs
        picture.save(tmp_path / name, **LOSSLESS.get(name, {}))
    assert File(path=Path(name)).size(tmp_path) == (11, 19)


@pytest.mark.parametrize("name", [*LOSSLESS, "a.jpg"])
@pytest.mark.usefixtures("decoding_fails")
def test_a_large_image_is_refused_before_it_is_decoded(
    name: str, picture: PIL.Image.Image, tmp_path: Path, refused: Any
) -> None:
    picture.save(tmp_path / name, **LOSSLESS.get(name, {}))
    refused(File(path=Path(name), max_megapixels=208e-6), "19×11.*max_megapixels")  # it has 209


def test_the_limit_itself_is_allowed(picture: PIL.Image.Image, tmp_path: Path) -> None:
    picture.save(tmp_path / "a.png")
    assert File(path=Path("a.png"), max_megapixels=209e-6).load(tmp_path).size == (11, 19)


def say_size(file: Path, side: int) -> None:
    """Have the header of a PNG say another size: a square."""
    data = bytearray(file.read_bytes())
    data[16:24] = side.to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    file.write_bytes(data)


def test_a_bomb_is_refused(write_png: Any, tmp_path: Path, refused: Any) -> None:
    name = write_png("bomb.png", np.zeros((1, 1), np.uint8), 0)
    say_size(tmp_path / name, 60000)
    refused(name, "too large: it has 3,600 million pixels, and at most 1,000 million")


def test_a_photograph_of_200_megapixels_can_be_allowed(
    write_png: Any, tmp_path: Path, refused: Any
) -> None:
    name = write_png("large.png", np.zeros((1, 1), np.uint8), 0)
    say_size(tmp_path / name, 14143)
    limit = PIL.Image.MAX_IMAGE_PIXELS
    hint = refused(name, r"200\.0 million pixels .14143×14143., more than max_megapixels: 64").hint
    assert hint.startswith("Set max_megapixels to 201 if you trust the file")
    assert File(path=Path(name), max_megapixels=201).size(tmp_path) == (14143, 14143)
    assert limit == PIL.Image.MAX_IMAGE_PIXELS == 89478485  # other code has it still


def test_a_missing_file_is_refused_with_the_nearest_name(tmp_path: Path, refused: Any) -> None:
    (tmp_path / "coffee.png").touch()
    assert refused("cofee.png", "no file").hint == "Did you mean 'coffee.png'?"
    hint = f"There is no folder '{tmp_path / 'nowhere'}' either."
    assert refused("nowhere/a.png", "no file").hint == hint


def test_a_path_that_starts_elsewhere_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Any
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "here.png").touch()
    monkeypatch.chdir(tmp_path / "elsewhere")
    hint = refused("here.png", "no file").hint
    assert "recipe's folder" in hint
    assert str(tmp_path / "elsewhere" / "here.png") in hint


def test_an_absolute_path_and_a_home_are_found(
    picture: PIL.Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture.save(tmp_path / "a.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert File(path=tmp_path / "a.png").size(Path("/nowhere")) == (11, 19)
    assert File(path=Path("~/a.png")).size(Path("/nowhere")) == (11, 19)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (".", "folder"),
        ("~no_such_user_here/a.png", "looked up"),
        ("n" * 300 + ".png", "looked up"),
        ("a\0b.png", "no file"),
        ("pipe.png", "not a regular file"),
        ("a.ppm", "not an image in one of the formats PNG, JPEG"),
    ],
)
def test_other_files_are_refused(
    path: str, words: str, picture: PIL.Image.Image, tmp_path: Path, refused: Any
) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    picture.save(tmp_path / "a.ppm")
    refused(path, words)


@pytest.mark.parametrize("limit", [0, -1, 1001, float("nan"), float("inf")])
def test_the_limit_has_bounds(limit: float) -> None:
    with pytest.raises(ValidationError, match="max_megapixels"):
        File(path=Path("a.png"), max_megapixels=limit)
