"""Formats that some installations lack, and files of several images."""

import base64
import sys
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from PIL import features

from nstflow import NstflowWarning
from nstflow.builtin.loaders import header
from nstflow.builtin.loaders.file import File
from pictures import saved

Y, X = np.mgrid[:16, :24]
RAMP = np.stack([X * 10, Y * 15, (X + Y) * 5], -1).astype(np.uint8)

HEIC = base64.b64decode("""
AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAcdtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAA
AAAAADRpbG9jAAAAAERAAAIAAQAAAAAB6wABAAAAAAAAANYAAgAAAAACwQABAAAAAAAAADYAAAA4aWluZgAAAAAAAgAAABVp
bmZlAgAAAAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAABBmlwcnAAAADlaXBjbwAAAHVo
dmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQApQgEBA3AAAAMAkAAA
AwAAAwAeoCCBBZbqrprm4CGgwIAAAAyAAAADAIRiAAEABkQBwXPBiQAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAA
AABAAAAAQAAAAChjbGFwAAAAGAAAAAEAAAAQAAAAAf///9gAAAAC////0AAAAAIAAAAQcGl4aQAAAAADCAgIAAAACWlyb3QD
AAAAGWlwbWEAAAAAAAAAAQABBoECAwWEhgAAABppcmVmAAAAAAAAAA5jZHNjAAIAAQABAAABFG1kYXQAAADSKAGvBjIfagPw
iQASsBEwK/zRCBwq9DoHBSW+/+Cfb+s8MK84s/aN1fz85olcQefsIlvk/+x63uNDcy3yFL95HNmyP3dfnBIaiLyWS4YVjZak
zouhgWF/BJjHT4mkjNVMexrFJw5vKPJ6PTXqr9Z5XO8J+rIt/0By/iyrk6WpRJ89fIJDH/bS9iEJC9EIxPVdpehWrWeoH0Ck
ajlJ2tJRUlXz6n1MC9tY/vENsS5iwMEY1XlLxsLA2uJSLbxgby7zqxvhwiCoN1pqBUGjs6bulm7YAAAABkV4aWYAAE1NACoA
AAAIAAIBDwACAAAABgAAACYBEgADAAAAAQAGAAAAAAAAbWFrZXIA
""")
"""RAMP at a quality of 90, which the EXIF turns to the right: written by pillow-heif 1.8.1."""

has_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


def avif(**options: Any) -> bytes:
    return saved(PIL.Image.fromarray(RAMP), "AVIF", quality=100, subsampling="4:4:4", **options)


@has_avif
def test_avif(tmp_path: Path) -> None:
    turned = PIL.Image.Exif()
    turned[274] = 6  # the stored left is seen at the top
    (tmp_path / "a.jpg").write_bytes(avif())
    (tmp_path / "b.avif").write_bytes(avif(exif=turned))
    for name, expected in (("a.jpg", RAMP), ("b.avif", np.rot90(RAMP, -1))):
        file = File(path=Path(name))
        assert file.size(tmp_path) == expected.shape[:2]
        np.testing.assert_allclose(file.load(tmp_path).pixels, expected / 255, atol=3 / 255)


@has_avif
def test_avif_with_transparency(tmp_path: Path) -> None:
    alpha = np.where(X < 12, 255, 0).astype(np.uint8)
    picture = PIL.Image.fromarray(np.concatenate([RAMP, alpha[..., None]], -1))
    picture.save(tmp_path / "a.avif", quality=100)
    image = File(path=Path("a.avif")).load(tmp_path)
    assert image.alpha is not None
    np.testing.assert_allclose(image.alpha, alpha / 255, atol=2 / 255)


@has_avif
def test_a_large_avif_is_refused_before_it_is_decoded(tmp_path: Path, refused: Any) -> None:
    (tmp_path / "a.avif").write_bytes(avif())
    refused(File(path=Path("a.avif"), max_megapixels=383e-6), "24×16.*max_megapixels")


@has_avif
@pytest.mark.parametrize("length", [40, 200, 500])
def test_a_truncated_avif(length: int, tmp_path: Path, refused: Any) -> None:
    (tmp_path / "a.avif").write_bytes(avif()[:length])
    refused("a.avif", "damaged|not an image|can't be read", decoding=True)


@has_avif
def test_bits_that_pillow_cuts_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.avif").write_bytes(avif())
    assert header.container_bits(tmp_path / "a.avif") == 8
    whole = avif()
    at = whole.index(b"pixi") + 9
    (tmp_path / "deep").write_bytes(whole[:at] + bytes([10]) + whole[at + 1 :])
    assert header.container_bits(tmp_path / "deep") == 10
    (tmp_path / "cut").write_bytes(whole[: at - 3])
    assert header.container_bits(tmp_path / "cut") == 8
    monkeypatch.setattr(header, "container_bits", lambda _: 10)
    with pytest.warns(NstflowWarning, match=r"a\.avif is read with 8 of its 10 bits"):
        File(path=Path("a.avif")).load(tmp_path)


def test_avif_without_a_pillow_that_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Any
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B")
    monkeypatch.delitem(features.modules, "avif", raising=False)
    hint = refused("a.jpg", "'a.jpg' is an AVIF file, which this Pillow can't read").hint
    assert hint == "Get a newer one: pip install -U pillow"


def test_heic(tmp_path: Path) -> None:
    pytest.importorskip("pi_heif")
    (tmp_path / "a.jpg").write_bytes(HEIC)
    file = File(path=Path("a.jpg"))
    assert file.size(tmp_path) == (24, 16)
    expected = np.rot90(RAMP, -1) / 255
    assert np.abs(file.load(tmp_path).pixels - expected).mean() < 4 / 255


@pytest.mark.parametrize("length", [30, 300, 700])
def test_a_truncated_heic(length: int, tmp_path: Path, refused: Any) -> None:
    pytest.importorskip("pi_heif")
    (tmp_path / "a.heic").write_bytes(HEIC[:length])
    refused("a.heic", "damaged|not an image|can't be read", decoding=True)


def test_heic_without_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Any
) -> None:
    (tmp_path / "a.jpg").write_bytes(HEIC)
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    hint = refused("a.jpg", "'a.jpg' is a HEIC file, which needs the package pi-heif").hint
    assert hint == "Install it: pip install pi-heif"


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", pytest.param("AVIF", marks=has_avif)])
def test_the_first_frame_of_an_animation_is_read_and_said(kind: str, tmp_path: Path) -> None:
    red, blue = (PIL.Image.new("RGB", (8, 6), colour) for colour in ("red", "blue"))
    red.save(tmp_path / "a", kind, save_all=True, append_images=[blue], duration=100)
    with pytest.warns(NstflowWarning, match="a is animated: its first frame is read"):
        image = File(path=Path("a")).load(tmp_path)
    assert image.size == (6, 8)
    expected = np.broadcast_to(np.array([1, 0, 0]), (6, 8, 3))
    np.testing.assert_allclose(image.pixels, expected, atol=3 / 255)


def test_gif(tmp_path: Path) -> None:
    palette = np.random.default_rng(2).integers(0, 256, (9, 3), np.uint8)
    indices = ((X + Y) % 9).astype(np.uint8)
    picture = PIL.Image.fromarray(indices)
    picture.putpalette(palette.tobytes())
    picture.save(tmp_path / "a.gif", transparency=4, optimize=False)
    file = File(path=Path("a.gif"))
    assert file.size(tmp_path) == (16, 24)
    image = file.load(tmp_path)
    assert image.alpha is not None
    np.testing.assert_array_equal(image.alpha, indices != 4)
    seen = np.where((indices == 4)[..., None], 255, palette[indices]) / 255
    np.testing.assert_allclose(image.pixels, seen, atol=1e-6)
