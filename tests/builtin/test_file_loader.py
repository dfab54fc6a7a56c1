"""The loader `file`: formats, sizes from the header, and what it says of files it can't read."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from PIL import BmpImagePlugin, ImageFile, JpegImagePlugin, TiffImagePlugin, WebPImagePlugin
from pydantic import ValidationError

from nstflow import NstflowError, Problem
from nstflow.builtin.loaders.file import File

Refused = Callable[[pytest.ExceptionInfo[NstflowError]], Problem]

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
    name: str, picture: PIL.Image.Image, tmp_path: Path, refused: Refused
) -> None:
    picture.save(tmp_path / name, **LOSSLESS.get(name, {}))
    file = File(path=Path(name), max_megapixels=208e-6)  # the picture has 209 pixels
    for method in (file.size, file.load):
        with pytest.raises(NstflowError, match="max_megapixels") as raised:
            method(tmp_path)
        assert "19×11" in refused(raised).got


def test_the_limit_itself_is_allowed(picture: PIL.Image.Image, tmp_path: Path) -> None:
    picture.save(tmp_path / "a.png")
    assert File(path=Path("a.png"), max_megapixels=209e-6).load(tmp_path).size == (11, 19)


def test_a_bomb_is_refused(write_png: Callable[..., str], tmp_path: Path, refused: Refused) -> None:
    name = write_png("bomb.png", np.zeros((1, 1), np.uint8), 0)
    data = bytearray((tmp_path / name).read_bytes())
    data[16:24] = (60000).to_bytes(4, "big") * 2  # 3.6 billion pixels, it says
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (tmp_path / name).write_bytes(data)
    for method in (File(path=Path(name)).size, File(path=Path(name)).load):
        with pytest.raises(NstflowError, match="too large") as raised:
            method(tmp_path)
        refused(raised)


def test_a_missing_file_is_refused_with_the_nearest_name(
    picture: PIL.Image.Image, tmp_path: Path, refused: Refused
) -> None:
    picture.save(tmp_path / "coffee.png")
    for method in (File(path=Path("cofee.png")).size, File(path=Path("cofee.png")).load):
        with pytest.raises(NstflowError, match="no file") as raised:
            method(tmp_path)
        assert refused(raised).hint == "Did you mean 'coffee.png'?"


def test_a_missing_folder_is_said(tmp_path: Path, refused: Refused) -> None:
    with pytest.raises(NstflowError, match="no file") as raised:
        File(path=Path("nowhere/a.png")).size(tmp_path)
    assert refused(raised).hint == f"There is no folder '{tmp_path / 'nowhere'}' either."


def test_a_path_that_starts_elsewhere_is_explained(
    picture: PIL.Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    (tmp_path / "recipes").mkdir()
    picture.save(tmp_path / "here.png")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NstflowError, match="no file") as raised:
        File(path=Path("here.png")).size(tmp_path / "recipes")
    hint = refused(raised).hint
    assert "recipe's folder" in hint
    assert str(tmp_path / "here.png") in hint


def test_an_absolute_path_and_a_home_are_found(
    picture: PIL.Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture.save(tmp_path / "a.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert File(path=tmp_path / "a.png").size(Path("/nowhere")) == (11, 19)
    assert File(path=Path("~/a.png")).size(Path("/nowhere")) == (11, 19)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (".", "folder"),
        ("~no_such_user_here/a.png", "looked up"),
        ("n" * 300 + ".png", "looked up"),
        ("a\0b.png", "no file"),
    ],
)
def test_what_is_no_file_is_refused(path: str, says: str, tmp_path: Path, refused: Refused) -> None:
    for method in (File(path=Path(path)).size, File(path=Path(path)).load):
        with pytest.raises(NstflowError, match=says) as raised:
            method(tmp_path)
        refused(raised)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this platform has no named pipes")
def test_a_pipe_is_refused_unread(tmp_path: Path, refused: Refused) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for method in (File(path=Path("pipe.png")).size, File(path=Path("pipe.png")).load):
        with pytest.raises(NstflowError, match="not a regular file") as raised:
            method(tmp_path)
        refused(raised)


def test_a_gif_is_refused(picture: PIL.Image.Image, tmp_path: Path, refused: Refused) -> None:
    picture.save(tmp_path / "a.gif")
    with pytest.raises(NstflowError, match="not an image of PNG, JPEG, WEBP, TIFF, BMP") as raised:
        File(path=Path("a.gif")).size(tmp_path)
    refused(raised)


@pytest.mark.parametrize("limit", [0, -1, 179, float("nan"), float("inf")])
def test_the_limit_has_bounds(limit: float) -> None:
    with pytest.raises(ValidationError, match="max_megapixels"):
        File(path=Path("a.png"), max_megapixels=limit)
