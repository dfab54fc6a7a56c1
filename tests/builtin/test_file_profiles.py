"""Colour profiles are converted to sRGB: closed forms of curves and primaries, and littleCMS."""

import io
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import ImageCms

from nstflow import NstflowWarning
from nstflow.builtin.loaders import profile
from nstflow.builtin.loaders.file import File

# The primaries of sRGB, seen under D50
RED, GREEN, BLUE = (0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)
BYTES = np.random.default_rng(5).integers(0, 256, (10, 13, 3), dtype=np.uint8)
LEVEL = 1.5 / 255  # a rounding of littleCMS's, and one of ours


def encode(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sRGB value of linear light (IEC 61966-2-1)."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def load(name: str, folder: Path, **settings: object) -> NDArray[np.float32]:
    return File(path=Path(name), **settings).load(folder).pixels


@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_srgb_leaves_the_pixels_alone(mode: str, name: str, tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = PIL.Image.fromarray(BYTES).convert(mode)
    picture.save(tmp_path / name, icc_profile=profile)
    expected = np.asarray(picture.convert("RGB"), np.float32) / np.float32(255)
    np.testing.assert_array_equal(load(name, tmp_path), expected)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_swapped_primaries(name: str, make_profile: Any, tmp_path: Path) -> None:
    """A profile whose red is sRGB's green: v → light v^1.8, red and green trade places."""
    profile = make_profile("swapped", 1.8, (GREEN, RED, BLUE))
    options = {"lossless": True} if name == "a.webp" else {}
    PIL.Image.fromarray(BYTES).save(tmp_path / name, icc_profile=profile, **options)
    expected = encode((BYTES / 255) ** 1.8)[..., [1, 0, 2]]
    np.testing.assert_allclose(load(name, tmp_path), expected, atol=LEVEL)


def test_wide_gamut_as_littlecms_says(make_profile: Any, tmp_path: Path) -> None:
    """Adobe RGB's primaries and exponent; what sRGB can't show is clipped."""
    primaries = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
    profile = make_profile("wide", 2.19921875, primaries)
    picture = PIL.Image.fromarray(BYTES)
    picture.save(tmp_path / "a.png", icc_profile=profile)
    said = ImageCms.profileToProfile(
        picture, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    pixels = load("a.png", tmp_path)
    np.testing.assert_allclose(pixels, np.asarray(said) / 255, atol=1e-6)
    assert np.abs(pixels - BYTES / 255).max() > 0.1


def test_a_name_does_not_make_a_profile_srgb(make_profile: Any, tmp_path: Path) -> None:
    """Profiles called "sRGB linear" exist, and are not sRGB."""
    picture = PIL.Image.fromarray(BYTES)
    picture.save(tmp_path / "a.png", icc_profile=make_profile("sRGB linear", 1.0))
    np.testing.assert_allclose(load("a.png", tmp_path), encode(BYTES / 255), atol=LEVEL)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
def test_grey_under_a_grey_profile(name: str, make_profile: Any, tmp_path: Path) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    options = {"quality": 100} if name == "a.jpg" else {}
    profile = make_profile("linear grey", 1.0, None)
    PIL.Image.fromarray(grey).save(tmp_path / name, icc_profile=profile, **options)
    stored = np.asarray(PIL.Image.open(tmp_path / name), np.float64) if name == "a.jpg" else grey
    expected = encode(stored[..., None] / 255).repeat(3, -1)
    np.testing.assert_allclose(load(name, tmp_path), expected, atol=LEVEL)


def test_grey_under_a_profile_of_colours(make_profile: Any, tmp_path: Path) -> None:
    PIL.Image.fromarray(BYTES[..., 0]).save(
        tmp_path / "a.png", icc_profile=make_profile("linear", 1.0)
    )
    expected = encode(BYTES[..., :1] / 255).repeat(3, -1)
    np.testing.assert_allclose(load("a.png", tmp_path), expected, atol=LEVEL)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_colours_under_alpha_are_converted(mode: str, make_profile: Any, tmp_path: Path) -> None:
    primaries = None if mode == "LA" else (RED, GREEN, BLUE)
    picture = PIL.Image.fromarray(BYTES).convert(mode)
    picture.putalpha(128)
    picture.save(tmp_path / "a.png", icc_profile=make_profile("linear", 1.0, primaries))
    colours = np.asarray(picture.convert("RGB")) / 255
    expected = encode(colours) * 128 / 255 + 127 / 255
    pixels = load("a.png", tmp_path, transparency="weight")
    np.testing.assert_allclose(pixels, expected, atol=LEVEL)


def test_a_palette_is_converted(make_profile: Any, tmp_path: Path) -> None:
    picture = PIL.Image.fromarray(BYTES).quantize(9)
    picture.save(tmp_path / "a.png", icc_profile=make_profile("linear", 1.0))
    expected = encode(np.asarray(picture.convert("RGB")) / 255)
    np.testing.assert_allclose(load("a.png", tmp_path), expected, atol=LEVEL)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("RGB", "garbage"), ("RGB", "grey"), ("CMYK", "garbage"), ("CMYK", "grey"), ("CMYK", "rgb")],
)
def test_a_profile_that_does_not_fit_is_said_and_left(
    mode: str, kind: str, make_profile: Any, tmp_path: Path
) -> None:
    primaries = None if kind == "grey" else (RED, GREEN, BLUE)
    profile = b"garbage " * 40 if kind == "garbage" else make_profile(kind, 1.0, primaries)
    picture = PIL.Image.fromarray(BYTES).convert(mode)
    picture.save(tmp_path / "a.tif", icc_profile=profile)
    with pytest.warns(NstflowWarning, match="does not fit its pixels"):
        pixels = load("a.tif", tmp_path)
    np.testing.assert_allclose(pixels, np.asarray(picture.convert("RGB")) / 255, atol=1e-6)


@pytest.mark.parametrize("damaged", [False, True])
def test_16_bits_survive_a_profile_that_changes_nothing(damaged: bool, tmp_path: Path) -> None:
    words = np.random.default_rng(6).integers(0, 65536, (9, 8, 3), dtype=np.uint16)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = b"garbage " * 40 if damaged else srgb
    tifffile.imwrite(tmp_path / "a.tif", words, photometric="rgb", iccprofile=profile)
    with pytest.warns(NstflowWarning, match="does not fit") if damaged else nullcontext():
        pixels = load("a.tif", tmp_path)
    np.testing.assert_array_equal(np.rint(np.float64(pixels) * 65535), words)


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_that_are_cut_for_a_profile_are_said(
    channels: int, make_profile: Any, tmp_path: Path
) -> None:
    words = np.random.default_rng(6).integers(16384, 65536, (9, 8, channels), dtype=np.uint16)
    profile = make_profile("linear", 1.0, None if channels == 1 else (RED, GREEN, BLUE))
    kind = "minisblack" if channels == 1 else "rgb"
    stored = words[..., 0] if channels == 1 else words
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric=kind, iccprofile=profile)
    with pytest.warns(NstflowWarning, match="8 of its 16 bits"):
        pixels = load("a.tif", tmp_path)
    expected = np.broadcast_to(encode(words / 65535), (9, 8, 3))
    np.testing.assert_allclose(pixels, expected, atol=3 * LEVEL)


# kept profiles


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_colours_stay_in_their_profile(name: str, make_profile: Any, tmp_path: Path) -> None:
    linear = make_profile("linear", 1.0)
    options = {"lossless": True} if name == "a.webp" else {}
    PIL.Image.fromarray(BYTES).save(tmp_path / name, icc_profile=linear, **options)
    image = File(path=Path(name), profile="keep").load(tmp_path)
    assert image.profile == linear
    np.testing.assert_array_equal(image.pixels, np.float32(BYTES) / np.float32(255))
    assert File(path=Path(name)).load(tmp_path).profile is None


def test_16_bits_stay_in_their_profile(make_profile: Any, tmp_path: Path) -> None:
    """Where a conversion would cut them."""
    words = np.random.default_rng(6).integers(0, 65536, (9, 8, 3), dtype=np.uint16)
    linear = make_profile("linear", 1.0)
    tifffile.imwrite(tmp_path / "a.tif", words, photometric="rgb", iccprofile=linear)
    image = File(path=Path("a.tif"), profile="keep").load(tmp_path)
    assert image.profile == linear
    np.testing.assert_array_equal(np.rint(np.float64(image.pixels) * 65535), words)


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_what_can_not_be_kept_is_converted_as_ever(
    mode: str, make_profile: Any, tmp_path: Path
) -> None:
    """Grey, inks, and damage."""
    icc = make_profile("linear grey", 1.0, None) if mode == "L" else b"garbage " * 40
    PIL.Image.fromarray(BYTES).convert(mode).save(tmp_path / "a.tif", icc_profile=icc)
    loaded = []
    for setting in ("keep", "srgb"):
        with nullcontext() if mode == "L" else pytest.warns(NstflowWarning, match="does not fit"):
            loaded.append(File(path=Path("a.tif"), profile=setting).load(tmp_path))
    assert loaded[0].profile is None
    np.testing.assert_array_equal(loaded[0].pixels, loaded[1].pixels)


def test_colours_in_srgb_are_converted_to_a_profile(make_profile: Any) -> None:
    srgb = np.float32(BYTES) / np.float32(255)
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    pixels = profile.converted(srgb, None, make_profile("linear", 1.0))
    np.testing.assert_allclose(pixels, linear, atol=LEVEL)
    swapped = make_profile("swapped", 1.0, (GREEN, RED, BLUE))
    pixels = profile.converted(srgb, make_profile("linear", 1.0), swapped)
    np.testing.assert_allclose(pixels, srgb[..., [1, 0, 2]], atol=LEVEL)
