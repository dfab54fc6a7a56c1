"""The files that a run leaves."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tifffile
from numpy.typing import NDArray
from pydantic import ValidationError

from nstflow import Image, NstflowWarning, Output, tf
from nstflow.builtin.loaders.file import File
from nstflow.builtin.outputs.jpeg import Jpeg
from nstflow.builtin.outputs.png import Png
from nstflow.builtin.outputs.tiff import Tiff
from nstflow.builtin.outputs.webp import Webp
from png_files import chunks_of
from profiles import make_profile
from refusals import refused

CLEAR = np.random.default_rng(2).integers(0, 256, (9, 14, 4), dtype=np.uint8)
CLEAR[0, :5, 3] = 0, 1, 128, 254, 255


def result(pixels: object, alpha: Any = None) -> SimpleNamespace:
    """Return as much of a result as an output looks at."""
    return SimpleNamespace(image=Image(np.asarray(pixels, np.float32), alpha), record="")


def clear(levels: NDArray[np.generic], whole: int = 255) -> SimpleNamespace:
    """Return the result that has these levels of red, green, blue and opacity, seen on white."""
    shares = levels / whole
    alpha = shares[..., 3:]
    pixels = shares[..., :3] * alpha + 1 - alpha
    return result(pixels.clip(0, 1), np.float32(alpha[..., 0]))


def in_the_file(levels: NDArray[np.generic], whole: int = 255) -> NDArray[np.generic]:
    """Return the levels with white where nothing is seen."""
    return np.where(levels[..., 3:] > 0, levels, np.array([whole, whole, whole, 0], levels.dtype))


def test_png_gives_exact_bytes_back(tmp_path: Path) -> None:
    """Every level of every channel."""
    levels = np.random.default_rng(0).permuted(
        np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, -1), axis=0
    )
    path = Png().write(result(np.float32(levels) / np.float32(255)), tmp_path)
    assert path == tmp_path / "result.png"
    with PIL.Image.open(path) as written:
        assert (written.format, written.mode) == ("PNG", "RGB")
        np.testing.assert_array_equal(np.asarray(written), levels)


def test_png_rounds_to_the_nearest_level(tmp_path: Path) -> None:
    row = [[0, 0.49 / 255, 0.51 / 255], [1.49 / 255, 254.49 / 255, 254.51 / 255], [1, 0.5, 0.25]]
    path = Png(name="rounded").write(result([row]), tmp_path)
    assert path == tmp_path / "rounded.png"
    with PIL.Image.open(path) as written:
        assert np.asarray(written).tolist() == [[[0, 0, 1], [1, 254, 255], [255, 128, 64]]]


@pytest.mark.parametrize(
    "stage", [Png(), Webp(lossless=True), Tiff(bits=8)], ids=["png", "webp", "tiff"]
)
def test_a_transparent_picture_comes_back_to_the_bit(stage: Output, tmp_path: Path) -> None:
    """The colours are those of the picture alone, without the white behind it."""
    with PIL.Image.open(stage.write(clear(CLEAR), tmp_path)) as written:
        assert written.mode == "RGBA"
        np.testing.assert_array_equal(np.asarray(written), in_the_file(CLEAR))


WORDS = np.random.default_rng(4).integers(0, 65536, (33, 40, 4), dtype=np.uint16)
WORDS[..., 3] |= 1 << 12  # where almost nothing is seen, float32 has too few digits


@pytest.mark.parametrize("clearly", [False, True], ids=["opaque", "transparent"])
@pytest.mark.parametrize("stage", [Png(bits=16), Tiff()], ids=["png", "tiff"])
def test_16_bits_come_back_to_the_bit(stage: Output, clearly: bool, tmp_path: Path) -> None:
    """Read by libpng and tifffile, and by the loader."""
    words = WORDS if clearly else WORDS[..., :3]
    made = clear(words, 65535) if clearly else result(words / 65535)
    made.record = "# how it was made"
    path = stage.write(made, tmp_path)
    data = path.read_bytes()
    if path.suffix == ".png":
        stored = tf.io.decode_png(data, dtype=tf.uint16).numpy()
        with PIL.Image.open(path) as opened:
            opened.load()
            assert opened.info["nstflow"] == "# how it was made"
        assert [name for name, _ in chunks_of(data)][:3] == [b"IHDR", b"iTXt", b"IDAT"]
    else:
        assert path.name == "result.tif"
        with tifffile.TiffFile(path) as file:
            assert file.pages[0].compression.name == "ADOBE_DEFLATE"
            stored = file.asarray()
    np.testing.assert_array_equal(stored, words)
    loaded = File(path=path).load(tmp_path)
    assert (loaded.alpha is None) == (not clearly)
    np.testing.assert_allclose(loaded.pixels, made.image.pixels, atol=1e-6)


@pytest.mark.parametrize("stage", [Png(bits=16), Tiff(), Tiff(bits=8)], ids=str)
def test_the_same_picture_has_the_same_bytes(stage: Output, tmp_path: Path) -> None:
    first = stage.write(clear(CLEAR), tmp_path).read_bytes()
    assert stage.write(clear(CLEAR), tmp_path).read_bytes() == first


@pytest.mark.parametrize(
    "stage", [Png(), Png(bits=16), Tiff(), Tiff(bits=8), Jpeg(), Webp()], ids=str
)
def test_the_profile_is_in_the_file(stage: Output, tmp_path: Path) -> None:
    profile = make_profile("wide", 1.8)
    made = result(CLEAR[..., :3] / 255)
    with PIL.Image.open(stage.write(made, tmp_path)) as written:
        assert not written.info.get("icc_profile")
    made.image = replace(made.image, profile=profile)
    with PIL.Image.open(stage.write(made, tmp_path)) as written:
        assert written.info["icc_profile"] == profile
        written.load()


@pytest.mark.parametrize("stage", [Png(), Png(bits=16), Jpeg(), Webp()], ids=str)
def test_exif_is_in_the_file_if_asked(stage: Output, tmp_path: Path) -> None:
    made = result(CLEAR[..., :3] / 255)
    written = PIL.Image.Exif()
    written[271] = "a maker of cameras"
    made.image = replace(made.image, exif=written.tobytes())
    for asked, expected in ((False, {}), (True, {271: "a maker of cameras"})):
        path = stage.model_copy(update={"exif": asked}).write(made, tmp_path)
        with PIL.Image.open(path) as opened:
            assert dict(opened.getexif()) == expected
            opened.load()


@pytest.mark.parametrize("stage", [Png, Tiff])
@pytest.mark.parametrize("bits", [1, 12, 32, "8"])
def test_other_numbers_of_bits_are_refused(stage: Any, bits: object) -> None:
    with pytest.raises(ValidationError, match="bits"):
        stage(bits=bits)


def test_a_jpeg_of_a_transparent_picture_is_on_white(tmp_path: Path) -> None:
    blocks = CLEAR[:2, :3].repeat(8, 0).repeat(8, 1)
    with pytest.warns(NstflowWarning, match=r"result\.jpg can't be transparent: put on white"):
        path = Jpeg(quality=100).write(clear(blocks), tmp_path)
    white = PIL.Image.new("RGBA", (24, 16), "white")
    white.alpha_composite(PIL.Image.fromarray(blocks))
    with PIL.Image.open(path) as written:
        expected = np.asarray(white.convert("RGB"), np.int16)
        np.testing.assert_allclose(np.asarray(written, np.int16), expected, atol=4)


def test_colours_that_white_alone_can_not_give_are_clipped(tmp_path: Path) -> None:
    """Black where only half can be: a postprocessor may have painted it."""
    dark = result(np.zeros((1, 1, 3)), np.full((1, 1), 0.5, np.float32))
    with PIL.Image.open(Png().write(dark, tmp_path)) as written:
        assert written.getpixel((0, 0)) == (0, 0, 0, 128)


def test_lossless_webp_gives_exact_bytes_back(tmp_path: Path) -> None:
    path = Webp(lossless=True).write(result(np.float32(CLEAR[..., :3]) / np.float32(255)), tmp_path)
    assert path == tmp_path / "result.webp"
    with PIL.Image.open(path) as written:
        assert (written.format, written.mode) == ("WEBP", "RGB")
        np.testing.assert_array_equal(np.asarray(written), CLEAR[..., :3])


def test_jpeg_is_near_and_keeps_its_colours_apart(tmp_path: Path) -> None:
    """Single columns of red and blue: with chroma subsampling they would run into one another."""
    stripes = np.zeros((16, 16, 3), np.float32)
    stripes[:, ::2, 0] = stripes[:, 1::2, 2] = 1
    path = Jpeg(quality=100).write(result(stripes), tmp_path)
    assert path == tmp_path / "result.jpg"
    with PIL.Image.open(path) as written:
        assert written.format == "JPEG"
        np.testing.assert_allclose(np.asarray(written) / 255, stripes, atol=4 / 255)


@pytest.mark.parametrize("stage", [Jpeg, Webp])
def test_a_better_quality_is_nearer_and_larger(stage: Any, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).random((32, 32, 3), np.float32)
    sizes, distances = [], []
    for quality in (10, 50, 95):
        path = stage(quality=quality).write(result(pixels), tmp_path)
        sizes.append(path.stat().st_size)
        with PIL.Image.open(path) as written:
            distances.append(np.abs(np.asarray(written) / 255 - pixels).mean())
    assert sizes == sorted(sizes)
    assert distances == sorted(distances, reverse=True)


@pytest.mark.parametrize("quality", [80, 92, 94, 100])
def test_noise_fits_into_a_jpeg(quality: int, tmp_path: Path) -> None:
    """A file of more than a byte a pixel, larger than 64 KiB: more than Pillow's buffers expect."""
    noise = np.random.default_rng(0).integers(0, 2, (256, 256, 3))
    path = Jpeg(quality=quality).write(result(noise), tmp_path)
    assert path.stat().st_size > 256 * 256
    with PIL.Image.open(path) as written:
        assert np.asarray(written).shape == (256, 256, 3)


@pytest.mark.parametrize("stage", [Png, Tiff, Jpeg, Webp])
@pytest.mark.parametrize("name", ["../result", "a/b", "Result", "result.png", ""])
def test_a_name_can_not_leave_the_folder(stage: type[Output], name: str) -> None:
    with pytest.raises(ValidationError, match="name"):
        stage(name=name)


@pytest.mark.parametrize(
    ("stage", "quality"), [(Jpeg, 0), (Jpeg, 101), (Jpeg, 92.5), (Webp, -1), (Webp, 101)]
)
def test_quality_has_bounds(stage: Any, quality: float) -> None:
    with pytest.raises(ValidationError, match="quality"):
        stage(quality=quality)


@pytest.mark.parametrize("shape", [(65_501, 1), (1, 65_501), (1, 65_536)])
def test_a_side_that_no_jpeg_can_have(shape: tuple[int, int], tmp_path: Path) -> None:
    problem = refused(Jpeg().write, result(np.zeros((*shape, 3))), tmp_path)
    assert (problem.where, problem.what, problem.hint) == ("", "use", "Write it as png.")
    assert "at most 65500 pixels a side" in problem.got
    assert f"{shape[1]}×{shape[0]}" in problem.got
    assert not list(tmp_path.iterdir())


def test_the_longest_side_of_a_jpeg(tmp_path: Path) -> None:
    path = Jpeg().write(result(np.zeros((1, 65_500, 3))), tmp_path)
    with PIL.Image.open(path) as written:
        assert written.size == (65_500, 1)


@pytest.mark.parametrize("shape", [(16_384, 1), (1, 16_384)])
def test_a_side_that_no_webp_can_have(shape: tuple[int, int], tmp_path: Path) -> None:
    problem = refused(Webp().write, result(np.zeros((*shape, 3))), tmp_path)
    assert (problem.where, problem.what, problem.hint) == ("", "use", "Write it as png or tiff.")
    assert "at most 16383 pixels a side" in problem.got
    assert f"{shape[1]}×{shape[0]}" in problem.got


def test_the_longest_side_of_a_webp(tmp_path: Path) -> None:
    with PIL.Image.open(Webp().write(result(np.zeros((1, 16_383, 3))), tmp_path)) as written:
        assert written.size == (16_383, 1)
