"""Every kind of pixel becomes RGB in [0, 1], with a warning where something is lost."""

import struct
import zlib
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import PIL.Image
import pytest
import tifffile
from numpy.typing import NDArray

from nstflow import Image, NstflowWarning
from nstflow.builtin.loaders.file import File

GREY, COLOUR, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 4, 6  # PNG's colour types

generator = np.random.default_rng(11)
BROKEN = zlib.compress(b"no profile at all" * 10)
BYTES = generator.integers(0, 256, (9, 14, 4), dtype=np.uint8)
WORDS = generator.integers(0, 65536, (40, 41, 4), dtype=np.uint16)


def load(name: str, folder: Path, **settings: object) -> Image:
    return File(path=Path(name), **settings).load(folder)


def on_white(colours: NDArray[np.generic], alpha: NDArray[np.generic]) -> NDArray[np.float64]:
    return colours * np.float64(alpha)[..., None] + 1.0 - np.float64(alpha)[..., None]


def assert_grey(image: Image, expected: NDArray[np.generic], atol: float = 1e-7) -> None:
    np.testing.assert_allclose(image.pixels, np.float64(expected)[..., None].repeat(3, -1), 0, atol)


def assert_words(image: Image, expected: NDArray[np.uint16]) -> None:
    """Assert that all 65536 levels are distinct again, and the right ones."""
    np.testing.assert_array_equal(np.rint(np.float64(image.pixels) * 65535), expected)


# Grey, palettes, inks


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp"])
def test_grey_and_one_bit(name: str, tmp_path: Path) -> None:
    for values, expected in ((BYTES[..., 0], BYTES[..., 0] / 255), (BYTES[..., 0] > 127,) * 2):
        PIL.Image.fromarray(values).save(tmp_path / name)
        assert_grey(load(name, tmp_path), expected)


def test_a_palette(tmp_path: Path) -> None:
    indices = BYTES[..., 0] % 7
    palette = BYTES[0, :7, :3]
    picture = PIL.Image.fromarray(indices)
    picture.putpalette(palette.tobytes())
    picture.save(tmp_path / "a.png")
    np.testing.assert_allclose(load("a.png", tmp_path).pixels, palette[indices] / 255, atol=1e-7)


@pytest.mark.parametrize("transparent", [2, bytes([255, 255, 0, 128])], ids=["index", "table"])
def test_a_palette_with_transparency(transparent: int | bytes, tmp_path: Path) -> None:
    indices = BYTES[..., 0] % 7
    palette = BYTES[0, :7, :3]
    opacity = np.ones(7)
    if isinstance(transparent, int):
        opacity[transparent] = 0
    else:
        opacity[:4] = np.array(list(transparent)) / 255
    picture = PIL.Image.fromarray(indices)
    picture.putpalette(palette.tobytes())
    picture.save(tmp_path / "a.png", transparency=transparent)
    image = load("a.png", tmp_path)
    expected = on_white(palette[indices] / 255, opacity[indices])
    np.testing.assert_allclose(image.pixels, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["a.tif", "a.jpg"])
def test_inks_mix_as_if_printed(name: str, tmp_path: Path) -> None:
    """Without a profile: R = (1 - C)(1 - K), and so on; Photoshop stores JPEG's inks inverted."""
    inks = np.array([[0, 0, 0, 0], [255, 0, 0, 0], [0, 128, 0, 64], [10, 20, 30, 200]], np.uint8)
    tiles = inks.reshape(2, 2, 4).repeat(8, axis=0).repeat(8, axis=1)
    picture = PIL.Image.frombytes("CMYK", (16, 16), tiles.tobytes())
    picture.save(tmp_path / name, **({"quality": 100} if name == "a.jpg" else {}))
    share = tiles / 255
    expected = (1 - share[..., :3]) * (1 - share[..., 3:])
    tolerance = (5 if name == "a.jpg" else 1) / 255
    np.testing.assert_allclose(load(name, tmp_path).pixels, expected, atol=tolerance)


# Transparency


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_alpha_is_flattened_on_white(mode: str, name: str, tmp_path: Path) -> None:
    colours = BYTES[..., :3] if mode == "RGBA" else BYTES[..., :1].repeat(3, -1)
    bands = [*range(3), 3] if mode == "RGBA" else [0, 3]
    picture = PIL.Image.frombytes(mode, (14, 9), BYTES[..., bands].tobytes())
    picture.save(tmp_path / name, **({"lossless": True, "exact": True} if "webp" in name else {}))
    image = load(name, tmp_path, transparency="white")
    assert image.alpha is None
    expected = on_white(colours / 255, BYTES[..., 3] / 255)
    np.testing.assert_allclose(image.pixels, expected, atol=1e-6)


def test_alpha_is_kept(tmp_path: Path) -> None:
    PIL.Image.fromarray(BYTES).save(tmp_path / "a.png")
    image = load("a.png", tmp_path)
    assert image.alpha is not None
    np.testing.assert_array_equal(image.alpha, np.float32(BYTES[..., 3]) / np.float32(255))
    expected = on_white(BYTES[..., :3] / 255, BYTES[..., 3] / 255)
    np.testing.assert_allclose(image.pixels, expected, atol=1e-6)


def test_every_colour_under_every_alpha_stays_in_range(tmp_path: Path) -> None:
    colour, alpha = np.mgrid[:256, :256].astype(np.uint8)
    PIL.Image.fromarray(np.stack([colour, colour, colour, alpha], -1)).save(tmp_path / "a.png")
    image = load("a.png", tmp_path, transparency="weight")
    assert_grey(image, on_white(colour[..., None] / 255, alpha / 255)[..., 0], atol=1e-6)


@pytest.mark.parametrize("transparency", ["white", "weight"])
def test_an_opaque_alpha_is_none(transparency: str, tmp_path: Path) -> None:
    opaque = BYTES.copy()
    opaque[..., 3] = 255
    PIL.Image.fromarray(opaque).save(tmp_path / "a.png")
    image = load("a.png", tmp_path, transparency=transparency)
    assert image.alpha is None
    np.testing.assert_allclose(image.pixels, opaque[..., :3] / 255, atol=1e-7)


def test_an_image_that_nowhere_counts_is_white(tmp_path: Path) -> None:
    hidden = BYTES.copy()
    hidden[..., 3] = 0
    PIL.Image.fromarray(hidden).save(tmp_path / "a.png")
    with pytest.warns(NstflowWarning, match="transparent everywhere: it is read as white"):
        image = load("a.png", tmp_path)
    assert image.alpha is None
    np.testing.assert_array_equal(image.pixels, 1)


# 16 bits a channel


def test_grey_png_of_16_bits(write_png: Any, tmp_path: Path) -> None:
    image = load(write_png("a.png", WORDS[..., 0], GREY), tmp_path)
    assert_words(image, WORDS[..., :1].repeat(3, -1))
    assert len(np.unique(image.pixels)) > 256


def test_grey_png_of_16_bits_with_a_transparent_level(write_png: Any, tmp_path: Path) -> None:
    grey = WORDS[..., 0].copy()
    grey[:5] = 40000
    grey[5:9] = 40001  # the same in 8 bits
    name = write_png("a.png", grey, GREY, before=[(b"tRNS", struct.pack(">H", 40000))])
    image = load(name, tmp_path, transparency="weight")
    assert image.alpha is not None
    np.testing.assert_array_equal(image.alpha, grey != 40000)


@pytest.mark.parametrize(
    ("colour", "bands"), [(COLOUR, [0, 1, 2]), (COLOUR_ALPHA, [0, 1, 2, 3]), (GREY_ALPHA, [0, 3])]
)
def test_colour_png_of_16_bits(
    colour: int, bands: list[int], write_png: Any, tmp_path: Path
) -> None:
    """And grey with alpha, which Pillow cuts too."""
    image = load(write_png("a.png", WORDS[..., bands], colour), tmp_path)
    expected = WORDS[..., :3] if colour != GREY_ALPHA else WORDS[..., :1].repeat(3, -1)
    if colour == COLOUR:
        assert image.alpha is None
        assert_words(image, expected)
    else:
        assert image.alpha is not None
        np.testing.assert_array_equal(np.rint(np.float64(image.alpha) * 65535), WORDS[..., 3])
        seen = on_white(expected / 65535, WORDS[..., 3] / 65535)
        np.testing.assert_allclose(image.pixels, seen, atol=1e-6)


def test_colour_png_of_16_bits_with_a_transparent_colour(write_png: Any, tmp_path: Path) -> None:
    words = WORDS[..., :3].copy()
    words[0, 0], words[0, 1] = (40000, 1, 2), (40001, 1, 2)  # the same in 8 bits
    key = (b"tRNS", struct.pack(">HHH", 40000, 1, 2))
    image = load(write_png("a.png", words, COLOUR, before=[key]), tmp_path)
    assert image.alpha is not None
    assert image.alpha[0, :3].tolist() == [0, 1, 1]
    assert image.alpha.sum() == image.alpha.size - 1


def test_a_deep_png_that_tensorflow_can_not_read_is_said(
    write_png: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = write_png("a.png", WORDS[..., :3], COLOUR)
    lacking = Mock(**{"io.decode_png.side_effect": ValueError("invalid")})
    monkeypatch.setattr("nstflow.builtin.loaders.png.tf", lacking)
    with pytest.warns(NstflowWarning, match="8 of its 16 bits: TensorFlow can't read it"):
        image = load(name, tmp_path)
    np.testing.assert_allclose(image.pixels, WORDS[..., :3] / 65535, atol=1 / 255)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_grey_tiff_of_16_bits(byteorder: str, tmp_path: Path) -> None:
    options = {"photometric": "minisblack", "byteorder": byteorder}
    tifffile.imwrite(tmp_path / "a.tif", WORDS[..., 0], **options)
    assert_words(load("a.tif", tmp_path), WORDS[..., :1].repeat(3, -1))


@pytest.mark.parametrize("bits", [1, 2, 4, 12])
def test_grey_tiff_of_few_bits(bits: int, tmp_path: Path) -> None:
    """12 bits in the range of 16 would be dark. Packed here, as tifffile does not."""
    values = WORDS[..., 0] >> (16 - bits)
    places = np.arange(bits - 1, -1, -1)
    packed = np.packbits((values[..., None] >> places & 1).reshape(len(values), -1), axis=1)
    tags = {256: 41, 257: 40, 258: bits, 259: 1, 262: 1, 273: 122, 277: 1, 278: 40}
    tags[279] = packed.size
    head = b"II*\0" + struct.pack("<IH", 8, len(tags))
    for tag, value in tags.items():
        head += struct.pack("<HHII", tag, 4, 1, value)
    (tmp_path / "a.tif").write_bytes(head + b"\0" * 4 + packed.tobytes())
    assert_grey(load("a.tif", tmp_path), values / (2**bits - 1))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, bool])
def test_a_negative_tiff_is_turned_around(dtype: type[np.generic], tmp_path: Path) -> None:
    share = WORDS[..., 0] / 65535
    whole = {np.uint8: 255, np.uint16: 65535}.get(dtype, 1)
    stored = (share > 0.5) if dtype is bool else (share * whole).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite")
    assert_grey(load("a.tif", tmp_path), 1 - np.float64(stored) / whole)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": True},
        {"tile": (16, 16)},
        {"rowsperstrip": 7},
        {"bigtiff": True},
        {"planarconfig": "separate"},
    ],
    ids=str,
)
def test_colour_tiff_of_16_bits(options: dict[str, object], tmp_path: Path) -> None:
    expected = WORDS[..., :3]
    stored = np.moveaxis(expected, -1, 0) if "planarconfig" in options else expected
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", **options)
    assert_words(load("a.tif", tmp_path), expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1), (3, 3), (4, 4), (5, 3), (3, 5), (9, 4)])
@pytest.mark.parametrize("planes", [False, True])
def test_a_tiff_of_few_pixels_is_not_mistaken_for_channels(
    size: tuple[int, int], planes: bool, tmp_path: Path
) -> None:
    expected = WORDS[: size[0], : size[1], :3]
    stored = np.moveaxis(expected, -1, 0) if planes else expected
    config = "separate" if planes else "contig"
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=config)
    file = File(path=Path("a.tif"))
    assert file.size(tmp_path) == size
    assert_words(file.load(tmp_path), expected)


@pytest.mark.parametrize("pages", [2, 3, 4])
def test_the_first_page_is_read(pages: int, tmp_path: Path) -> None:
    stack = np.stack([np.roll(WORDS[..., :3], page, 0) for page in range(pages)])
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="rgb")
    assert_words(load("a.tif", tmp_path), WORDS[..., :3])


def test_alpha_of_16_bits(tmp_path: Path) -> None:
    options = {"photometric": "rgb", "extrasamples": ["unassalpha"]}
    tifffile.imwrite(tmp_path / "a.tif", WORDS, **options)
    image = load("a.tif", tmp_path, transparency="weight")
    assert image.alpha is not None
    np.testing.assert_allclose(image.alpha, WORDS[..., 3] / 65535, atol=1e-7)
    expected = on_white(WORDS[..., :3] / 65535, WORDS[..., 3] / 65535)
    np.testing.assert_allclose(image.pixels, expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colours_multiplied_by_alpha_already_are_not_again(
    dtype: type[np.uint8 | np.uint16], tmp_path: Path
) -> None:
    """Half red, premultiplied: (0.5, 0, 0, 0.5) over white is (1, 0.5, 0.5)."""
    half = np.iinfo(dtype).max // 2
    stored = np.zeros((2, 3, 4), dtype)
    stored[..., 0] = stored[..., 3] = half
    stored[0, 0] = 0  # nothing at all is white
    options = {"photometric": "rgb", "extrasamples": ["assocalpha"]}
    tifffile.imwrite(tmp_path / "a.tif", stored, **options)
    image = load("a.tif", tmp_path)
    np.testing.assert_allclose(image.pixels[1, 1], [1, 0.5, 0.5], atol=3e-3)
    np.testing.assert_array_equal(image.pixels[0, 0], 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_fourth_channel_of_no_known_meaning_is_not_alpha(
    dtype: type[np.uint8 | np.uint16], tmp_path: Path
) -> None:
    stored = WORDS if dtype is np.uint16 else BYTES
    options = {"photometric": "rgb", "extrasamples": ["unspecified"]}
    tifffile.imwrite(tmp_path / "a.tif", stored, **options)
    expected = stored[..., :3] / np.iinfo(dtype).max
    np.testing.assert_allclose(load("a.tif", tmp_path).pixels, expected, atol=1e-7)


def test_a_compression_that_tifffile_lacks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = Mock(side_effect=ValueError("requires the 'imagecodecs' package"))
    tifffile.imwrite(tmp_path / "a.tif", WORDS[..., :3], photometric="rgb")
    monkeypatch.setattr(tifffile.TiffFile, "asarray", lacking)
    with pytest.warns(NstflowWarning, match="8 of its 16 bits"):
        image = load("a.tif", tmp_path)
    np.testing.assert_allclose(image.pixels, WORDS[..., :3] / 65535, atol=1 / 255)


# Floats and other numbers


def test_grey_floats_are_taken_as_they_are(tmp_path: Path) -> None:
    grey = np.linspace(0, 1, 63, dtype=np.float32).reshape(7, 9)
    tifffile.imwrite(tmp_path / "a.tif", grey, photometric="minisblack")
    image = load("a.tif", tmp_path)
    np.testing.assert_array_equal(image.pixels, grey[..., None].repeat(3, -1))


@pytest.mark.parametrize("strange", [-0.25, 1.5, np.nan, np.inf])
def test_floats_of_unknown_scale_are_refused(strange: float, tmp_path: Path, refused: Any) -> None:
    grey = np.full((3, 4), 0.5, np.float32)
    grey[1, 1] = strange
    tifffile.imwrite(tmp_path / "a.tif", grey, photometric="minisblack")
    assert "floats in [0, 1]" in refused("a.tif", "unknown scale", decoding=True).hint


def test_words_that_a_damaged_header_calls_floats_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Any
) -> None:
    """Pillow passes over a damaged sample format, which tifffile reads."""
    tifffile.imwrite(tmp_path / "a.tif", WORDS[..., :3], photometric="rgb")
    nan = np.full(WORDS[..., :3].shape, np.nan, np.float16)
    monkeypatch.setattr(tifffile.TiffFile, "asarray", Mock(return_value=nan))
    refused("a.tif", "from nan to nan of unknown scale", decoding=True)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint32])
def test_whole_numbers_of_unknown_scale_are_refused(
    dtype: type[np.generic], tmp_path: Path, refused: Any
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((3, 4), 9000, dtype), photometric="minisblack")
    refused("a.tif", "from 9000 to 9000 of unknown scale", decoding=True)


def test_an_unsupported_kind_of_tiff_has_a_hint(tmp_path: Path, refused: Any) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 4, 3), np.float32), photometric="rgb")
    hint = "Save it as one of these, with 8 or 16 bits a channel."
    assert refused("a.tif", "not an image in").hint == hint


def test_a_warning_made_an_error_stays_what_it_is(write_png: Any, tmp_path: Path) -> None:
    """Under `python -W error`, which these tests run under, a notice is not called damage."""
    hidden = np.zeros((2, 2, 4), np.uint8)
    name = write_png("a.png", hidden, COLOUR_ALPHA, before=[(b"iCCP", b"a\0\0" + BROKEN)])
    with pytest.raises(NstflowWarning, match="profile"):
        load(name, tmp_path)
