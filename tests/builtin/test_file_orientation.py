"""Every picture comes in as a person would see it, and its size is known before it is read."""

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tifffile
from numpy.typing import NDArray

from nstflow import Size
from nstflow.builtin.loaders.file import File

ORIENTATION = 274

# Exif 2.32, table 5: where the stored row 0 and column 0 are seen
SEEN = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}
every_orientation = pytest.mark.parametrize("orientation", SEEN)


def stored(upright: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """Return what a camera stores so that `upright` is seen."""
    row, column = SEEN[orientation]
    values = upright if row in ("top", "bottom") else upright.swapaxes(0, 1)
    if row in ("bottom", "right"):
        values = values[::-1]
    return np.ascontiguousarray(values[:, ::-1] if column in ("bottom", "right") else values)


def read(name: str, folder: Path) -> tuple[NDArray[np.float32], Size]:
    file = File(path=Path(name))
    image, size = file.load(folder), file.size(folder)
    assert image.size == size
    return image.pixels, size


@pytest.fixture
def upright() -> NDArray[np.uint8]:
    """Tiles of 8×8 pixels, each of its own colour: what JPEG keeps."""
    tiles = np.random.default_rng(3).integers(0, 256, (3, 5, 3), dtype=np.uint8)
    return tiles.repeat(8, axis=0).repeat(8, axis=1)


@pytest.fixture
def grey() -> NDArray[np.uint16]:
    return np.random.default_rng(4).integers(0, 65536, (7, 12), dtype=np.uint16)


def exif(orientation: int) -> bytes:
    made = PIL.Image.Exif()
    made[ORIENTATION] = orientation
    return made.tobytes()


@every_orientation
@pytest.mark.parametrize(
    ("name", "options"),
    [("a.jpg", {"quality": 100, "subsampling": 0}), ("a.webp", {"lossless": True}), ("a.png", {})],
)
def test_exif_orientation(
    orientation: int,
    name: str,
    options: dict[str, object],
    upright: NDArray[np.uint8],
    tmp_path: Path,
) -> None:
    picture = PIL.Image.fromarray(stored(upright, orientation))
    picture.save(tmp_path / name, exif=exif(orientation), **options)
    pixels, size = read(name, tmp_path)
    assert size == (24, 40)
    np.testing.assert_allclose(pixels, upright / 255, atol=3 / 255)


@every_orientation
def test_exif_behind_the_pixels_of_a_png(
    orientation: int, upright: NDArray[np.uint8], write_png: Any, tmp_path: Path
) -> None:
    late = (b"eXIf", exif(orientation).removeprefix(b"Exif\0\0"))
    name = write_png("a.png", stored(upright, orientation), 2, after=[late])
    pixels, size = read(name, tmp_path)
    assert size == (24, 40)
    np.testing.assert_allclose(pixels, upright / 255, atol=1e-6)


@every_orientation
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "CMYK", "1", "P"])
def test_tiff_of_8_bits(
    orientation: int,
    compression: str | None,
    mode: str,
    upright: NDArray[np.uint8],
    tmp_path: Path,
) -> None:
    picture = PIL.Image.fromarray(upright).convert(mode)
    expected = np.asarray(picture.convert("RGB"), np.float32) / 255
    raw = stored(np.asarray(picture), orientation)
    packed = np.packbits(raw, axis=1) if mode == "1" else raw
    turned = PIL.Image.frombytes(mode, raw.shape[1::-1], packed.tobytes())
    if mode == "P":
        turned.putpalette(picture.getpalette())
    turned.save(tmp_path / "a.tif", compression=compression, tiffinfo={ORIENTATION: orientation})
    pixels, size = read("a.tif", tmp_path)
    assert size == (24, 40)
    np.testing.assert_allclose(pixels, expected, atol=1e-6)


@every_orientation
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("kind", ["grey", "float", "colour", "planes", "alpha"])
def test_tiff_of_more_than_8_bits(
    orientation: int,
    compression: str | None,
    kind: str,
    grey: NDArray[np.uint16],
    tmp_path: Path,
) -> None:
    values: NDArray[np.generic] = grey
    options: dict[str, object] = {"photometric": "minisblack"}
    if kind == "float":
        values = (grey / 65535).astype(np.float32)
    elif kind != "grey":
        values = np.stack([grey, grey[::-1], grey // 2], -1)
        options = {"photometric": "rgb"}
    if kind == "alpha":  # opaque, so that only the alpha's turning could go wrong, by its size
        values = np.concatenate([values, np.full((7, 12, 1), 65535, np.uint16)], -1)
        options["extrasamples"] = ["unassalpha"]
    expected = values[..., :3] if values.ndim == 3 else values[..., None].repeat(3, -1)
    expected = expected / (1 if kind == "float" else 65535)
    data = stored(values, orientation)
    if kind == "planes":
        data, options["planarconfig"] = np.moveaxis(data, -1, 0), "separate"
    tags = [(ORIENTATION, 3, 1, orientation, True)]
    tifffile.imwrite(tmp_path / "a.tif", data, extratags=tags, compression=compression, **options)
    pixels, size = read("a.tif", tmp_path)
    assert size == (7, 12)
    np.testing.assert_allclose(pixels, expected, atol=1e-7)


@every_orientation
@pytest.mark.parametrize("depth", [8, 16])
def test_tiff_that_says_it_in_xmp_alone(
    orientation: int, depth: int, upright: NDArray[np.uint8], tmp_path: Path
) -> None:
    xmp = f'<rdf:Description tiff:Orientation="{orientation}"/>'.encode()
    data = stored(upright, orientation).astype(np.uint8 if depth == 8 else np.uint16)
    if depth == 16:
        data = data * 257
    tags = [(700, 1, len(xmp), xmp, True)]
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", extratags=tags)
    pixels, size = read("a.tif", tmp_path)
    with PIL.Image.open(tmp_path / "a.tif") as opened:
        if opened.getexif().get(ORIENTATION) != orientation:
            pytest.skip("this version of Pillow does not read XMP")
    assert size == (24, 40)
    np.testing.assert_allclose(pixels, upright / 255, atol=1e-6)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_changes_nothing(
    orientation: int, upright: NDArray[np.uint8], tmp_path: Path
) -> None:
    PIL.Image.fromarray(upright).save(tmp_path / "a.png", exif=exif(orientation))
    pixels, size = read("a.png", tmp_path)
    assert size == (24, 40)
    np.testing.assert_allclose(pixels, upright / 255, atol=1e-6)


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.png"])
def test_broken_exif_is_only_metadata(
    name: str, upright: NDArray[np.uint8], tmp_path: Path
) -> None:
    """Each of 100 damaged EXIF blocks leaves the pixels readable, and says nothing of it."""
    generator = np.random.default_rng(0)
    made = PIL.Image.Exif()
    made[ORIENTATION], made[271], made[282] = 6, "a maker of cameras", 1.5
    whole = made.tobytes()
    for _ in range(100):
        damaged = bytearray(whole)
        for position in generator.integers(6, len(whole), 4):
            damaged[position] = generator.integers(0, 256)
        PIL.Image.fromarray(upright[:16, :8]).save(tmp_path / name, exif=bytes(damaged))
        _, size = read(name, tmp_path)
        assert size in {(16, 8), (8, 16)}
