"""A PNG that says by numbers how its values are colours: closed forms, and littleCMS."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray
from PIL import ImageCms

from nstflow import NstflowWarning
from nstflow.builtin.loaders.file import File

COLOUR, GREY, COLOUR_ALPHA = 2, 0, 6
BYTES = np.random.default_rng(5).integers(0, 256, (10, 13, 3), dtype=np.uint8)
WORDS = np.random.default_rng(6).integers(0, 65536, (10, 13, 4), dtype=np.uint16)
WHITE, RED, GREEN, BLUE = (0.3127, 0.3290), (0.64, 0.33), (0.30, 0.60), (0.15, 0.06)
D50 = (0.3457, 0.3585)


def encode(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sRGB value of linear light (IEC 61966-2-1)."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def gama(exponent: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(exponent * 100000))


def chrm(*points: tuple[float, float]) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *(round(v * 100000) for point in points for v in point))


@pytest.fixture
def load(write_png: Any, tmp_path: Path) -> Any:
    def load(rows: Any, colour: int, *chunks: tuple[bytes, bytes]) -> NDArray[np.float32]:
        name = write_png("a.png", rows, colour, before=chunks)
        return File(path=Path(name), transparency="white").load(tmp_path).pixels

    return load


@pytest.mark.parametrize("exponent", [1.0, 0.55556, 0.3])
@pytest.mark.parametrize("rows", [BYTES, WORDS[..., :3]], ids=["8", "16"])
def test_values_of_another_exponent(exponent: float, rows: Any, load: Any) -> None:
    expected = encode((rows / np.iinfo(rows.dtype).max) ** (1 / exponent))
    np.testing.assert_allclose(load(rows, COLOUR, gama(exponent)), expected, atol=1e-5)


def test_linear_grey_of_16_bits(load: Any) -> None:
    expected = encode(WORDS[..., :1] / 65535).repeat(3, -1)
    np.testing.assert_allclose(load(WORDS[..., 0], GREY, gama(1.0)), expected, atol=1e-5)


def test_colours_are_converted_without_what_is_behind_them(load: Any) -> None:
    alpha = WORDS[..., 3:] / 65535
    expected = encode(WORDS[..., :3] / 65535) * alpha + 1 - alpha
    np.testing.assert_allclose(load(WORDS, COLOUR_ALPHA, gama(1.0)), expected, atol=1e-5)


@pytest.mark.parametrize(
    "chunks",
    [
        [gama(0.45455)],
        [gama(0.45455), chrm(WHITE, RED, GREEN, BLUE)],
        [chrm(WHITE, RED, GREEN, BLUE)],
        [gama(1.0), (b"sRGB", b"\0")],
        [gama(1.0), (b"cICP", bytes([1, 13, 0, 1]))],
    ],
    ids=str,
)
def test_what_means_srgb_leaves_the_values_alone(chunks: Any, load: Any) -> None:
    np.testing.assert_array_equal(load(BYTES, COLOUR, *chunks), np.float32(BYTES) / np.float32(255))


def test_swapped_primaries(load: Any) -> None:
    pixels = load(BYTES, COLOUR, chrm(WHITE, GREEN, RED, BLUE))
    np.testing.assert_allclose(pixels, BYTES[..., [1, 0, 2]] / 255, atol=1e-4)
    pixels = load(BYTES, COLOUR, gama(1.0), chrm(WHITE, GREEN, RED, BLUE))
    np.testing.assert_allclose(pixels, encode(BYTES[..., [1, 0, 2]] / 255), atol=1e-4)


@pytest.mark.parametrize("white", [D50, (0.25, 0.25), (0.4476, 0.4074)])
def test_white_and_greys_stay_so(white: tuple[float, float], load: Any) -> None:
    grey = BYTES[..., :1].repeat(3, -1)
    pixels = load(grey, COLOUR, chrm(white, RED, GREEN, BLUE))
    np.testing.assert_allclose(pixels, grey / 255, atol=1e-4)


def test_wide_gamut_as_littlecms_says(make_profile: Any, load: Any) -> None:
    """Adobe RGB's primaries, under D65 here, and as a profile has them under D50."""
    adapted = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
    profile = make_profile("wide", 1 / 0.55556, adapted)
    said = ImageCms.profileToProfile(
        PIL.Image.fromarray(BYTES),
        io.BytesIO(profile),
        ImageCms.createProfile("sRGB"),
        outputMode="RGB",
    )
    pixels = load(BYTES, COLOUR, gama(0.55556), chrm(WHITE, RED, (0.21, 0.71), BLUE))
    np.testing.assert_allclose(pixels, np.asarray(said) / 255, atol=2.5 / 255)


def test_a_profile_counts_more(make_profile: Any, tmp_path: Path) -> None:
    PIL.Image.fromarray(BYTES).save(tmp_path / "a.png", icc_profile=make_profile("linear", 1.0))
    whole = (tmp_path / "a.png").read_bytes()
    extra = b"gAMA" + struct.pack(">I", 30000)
    chunk = struct.pack(">I", 4) + extra + struct.pack(">I", zlib.crc32(extra))
    (tmp_path / "a.png").write_bytes(whole[:33] + chunk + whole[33:])
    pixels = File(path=Path("a.png")).load(tmp_path).pixels
    np.testing.assert_allclose(pixels, encode(BYTES / 255), atol=1.5 / 255)


def test_display_p3_by_numbers(load: Any) -> None:
    """Its red is beyond sRGB's, and so is clipped; its greys are sRGB's."""
    rows = np.array([[[255, 0, 0], [128, 128, 128], [200, 180, 160]]], np.uint8)
    pixels = load(rows, COLOUR, (b"cICP", bytes([12, 13, 0, 1])))
    np.testing.assert_allclose(pixels[0, 0], [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(pixels[0, 1], 128 / 255, atol=1e-5)
    # the matrix from P3 to sRGB, as CSS Color 4 and others publish it, to four digits
    light = ((rows[0, 2] / 255 + 0.055) / 1.055) ** 2.4
    matrix = [[1.2249, -0.2247, 0], [-0.0420, 1.0419, 0], [-0.0197, -0.0786, 1.0979]]
    np.testing.assert_allclose(pixels[0, 2], encode(np.array(matrix) @ light), atol=1e-3)


@pytest.mark.parametrize(
    ("chunk", "said"),
    [
        ((b"cICP", bytes([9, 16, 0, 1])), "cICP 9 16 0 1"),  # HDR: PQ
        ((b"cICP", bytes([9, 18, 0, 1])), "cICP 9 18 0 1"),  # HDR: HLG
        ((b"cICP", bytes([200, 13, 0, 1])), "cICP 200 13 0 1"),
        ((b"cICP", b"\x0c"), "cICP 12"),
        (gama(0), "gAMA 0"),
        (chrm(WHITE, RED, RED, BLUE), "cHRM"),
        (chrm((0.3, 0), RED, GREEN, BLUE), "cHRM"),
    ],
    ids=str,
)
def test_colours_that_are_not_converted_are_said(chunk: Any, said: str, load: Any) -> None:
    with pytest.warns(NstflowWarning, match=rf"not converted \({said}\): read as sRGB"):
        pixels = load(BYTES, COLOUR, chunk)
    np.testing.assert_array_equal(pixels, np.float32(BYTES) / np.float32(255))
