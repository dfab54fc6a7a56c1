"""What of a photograph's EXIF can be copied to a picture."""

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from nstflow.builtin.loaders.file import File
from pictures import saved

CAMERA, PLACE = 0x8769, 0x8825  # the blocks of EXIF and of GPS
PICTURE = PIL.Image.fromarray(np.zeros((8, 12, 3), np.uint8))


def block(**more: Any) -> PIL.Image.Exif:
    made = PIL.Image.Exif()
    made[271], made[272], made[306] = "Maker", "Model 1", "2026:01:02 03:04:05"
    made[274], made[282] = 6, 300.0  # turned to the right; pixels an inch
    made[CAMERA] = {0x829A: 0.004, 0xA002: 12, 0xA003: 8, 0x927C: b"notes of the maker"}
    made[PLACE] = {1: "N", 2: (48.0, 30.0, 15.0)}
    made.update(more.get("tags", {}))
    return made


def read(data: bytes, tmp_path: Path) -> bytes | None:
    (tmp_path / "a").write_bytes(data)
    return File(path=Path("a")).load(tmp_path).exif


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_what_is_true_of_the_picture_too(kind: str, tmp_path: Path) -> None:
    data = read(saved(PICTURE, kind, exif=block().tobytes()), tmp_path)
    assert data is not None
    copied = PIL.Image.Exif()
    copied.load(data)
    assert {k: v for k, v in copied.items() if k not in (CAMERA, PLACE)} == {
        271: "Maker",
        272: "Model 1",
        306: "2026:01:02 03:04:05",
    }
    assert dict(copied.get_ifd(CAMERA)) == {0x829A: pytest.approx(0.004)}
    assert dict(copied.get_ifd(PLACE)) == {1: "N", 2: (48, 30, 15)}


def test_a_file_without_any(tmp_path: Path) -> None:
    for kind in ("PNG", "JPEG", "TIFF", "BMP"):
        assert read(saved(PICTURE, kind), tmp_path) is None
    turned = PIL.Image.Exif()
    turned[274] = 6
    assert read(saved(PICTURE, "PNG", exif=turned), tmp_path) is None


def test_more_than_a_jpeg_can_have_is_left_out(tmp_path: Path) -> None:
    large = block(tags={270: "a" * 65_000})
    assert read(saved(PICTURE, "PNG", exif=large), tmp_path) is None


def test_broken_exif_is_left_out_or_copied_whole(tmp_path: Path) -> None:
    generator, whole = np.random.default_rng(0), block().tobytes()
    copied = 0
    for _ in range(100):
        damaged = bytearray(whole)
        for position in generator.integers(6, len(whole), 4):
            damaged[position] = generator.integers(0, 256)
        data = read(saved(PICTURE, "PNG", exif=bytes(damaged)), tmp_path)
        if data is not None:
            copied += 1
            again = PIL.Image.Exif()
            again.load(data)
            assert set(again) <= {270, 271, 272, 306, 315, 33432, CAMERA, PLACE}
            assert saved(PICTURE, "JPEG", exif=data)
    assert copied
