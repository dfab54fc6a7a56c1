"""Damaged image files: what is refused, in which words, and what it may cost."""

import contextlib
import gc
import time
import warnings
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import PIL.Image
import pytest
import tifffile

from nstflow import NstflowError, NstflowWarning
from nstflow.builtin.loaders import header
from nstflow.builtin.loaders.file import File
from pictures import saved, written


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    """Return a file of each decoder; `tests/properties` has more, and damages them in all ways."""
    generator = np.random.default_rng(1)
    picture = PIL.Image.fromarray(generator.integers(0, 256, (13, 17, 3), dtype=np.uint8))
    words = generator.integers(0, 65536, (13, 17, 3), dtype=np.uint16)
    files = {f"a.{kind}": saved(picture, kind.upper()) for kind in ("png", "webp", "bmp", "tiff")}
    return files | {
        "a.jpg": saved(picture, "JPEG"),
        "fax.tif": saved(picture.convert("1"), "TIFF", compression="group4"),
        "deep.tif": written(words, photometric="rgb", extratags=[(274, 3, 1, 6, True)]),
    }


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tiff", "deep.tif"])
def test_a_truncated_file_is_called_damaged(
    name: str, whole: dict[str, bytes], tmp_path: Path, refused: Any
) -> None:
    data = whole[name]
    (tmp_path / name).write_bytes(data[: len(data) * 9 // 10])
    assert File(path=Path(name)).size(tmp_path) in {(13, 17), (17, 13)}
    with warnings.catch_warnings(action="ignore", category=NstflowWarning):
        problem = refused(name, "damaged and can't be decoded", decoding=True)
    assert problem.hint == "Save or copy it again."


@pytest.mark.parametrize("text", [b"", b"\n", b"Not a picture.\n", b"<svg></svg>", b"\x89PNG"])
def test_a_file_that_is_not_an_image(text: bytes, tmp_path: Path, refused: Any) -> None:
    (tmp_path / "a.png").write_bytes(text)
    refused("a.png", "not an image in one of the formats PNG, JPEG")


def test_a_path_that_can_not_be_opened_is_shown_as_such(tmp_path: Path) -> None:
    wanted = pytest.raises(NstflowError, match=rf"can't be read \(.*: '{tmp_path}'\)\.")
    with wanted, header.open_image(tmp_path):
        pass


def test_a_file_is_closed_again(whole: dict[str, bytes], tmp_path: Path) -> None:
    """On Windows an open file can't be replaced; elsewhere Python warns of it, here an error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for name, data in whole.items():
            for length in (len(data), len(data) // 2):
                (tmp_path / name).write_bytes(data[:length])
                with contextlib.suppress(NstflowError):
                    File(path=Path(name)).load(tmp_path)
        gc.collect()
    assert not [warning for warning in caught if issubclass(warning.category, ResourceWarning)]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tiff", "deep.tif", "a.bmp"])
@pytest.mark.parametrize("where", ["PIL.Image.open", "PIL.Image.Image.getexif", "numpy.asarray"])
def test_too_little_memory_is_not_called_damage(
    name: str, where: str, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Mock(side_effect=MemoryError)
    (tmp_path / name).write_bytes(whole[name])
    monkeypatch.setattr(where, full)
    if name == "deep.tif":
        monkeypatch.setattr(tifffile.TiffFile, "asarray", full)
    with pytest.raises(MemoryError):
        File(path=Path(name)).load(tmp_path)


def test_a_length_beyond_the_end_takes_no_memory(whole: dict[str, bytes], tmp_path: Path) -> None:
    """A machine with less memory than a damaged length asks for would call it too little."""
    (tmp_path / "a.png").write_bytes(whole["a.png"])
    with header.open_image(tmp_path / "a.png") as image:
        image.fp.seek(3)
        assert image.fp.read(1 << 45) == whole["a.png"][3:]
        assert image.fp.read(1 << 45) == b""
        image.fp.seek(1 << 20)
        assert image.fp.read(1 << 45) == b""
    at = whole["a.png"].index(b"IDAT") - 4
    data = whole["a.png"][:at] + b"\xff\xff\xff\xf0" + whole["a.png"][at + 4 :]
    (tmp_path / "a.png").write_bytes(data)
    assert File(path=Path("a.png")).load(tmp_path).size == (13, 17)


def test_a_volume_is_not_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose depth may be any number: a few bytes then ask for all the memory there is."""

    def read(*_: object, **__: object) -> None:
        pytest.fail("all of it was read")

    words = np.zeros((4, 16, 16, 3), np.uint16)
    data = written(words, photometric="rgb", volumetric=True, tile=(4, 16, 16))
    (tmp_path / "volume.tif").write_bytes(data)
    monkeypatch.setattr(tifffile.TiffFile, "asarray", read)
    with (
        warnings.catch_warnings(action="ignore", category=NstflowWarning),
        contextlib.suppress(NstflowError),
    ):
        File(path=Path("volume.tif")).load(tmp_path)


def test_a_name_is_sought_in_a_large_folder_for_a_while_only(tmp_path: Path) -> None:
    for number in range(3000):
        (tmp_path / f"picture{number}.png").touch()
    start = time.process_time()
    for _ in range(20):
        with pytest.raises(NstflowError, match="Did you mean 'picture"):
            File(path=Path("pictuer.png")).size(tmp_path)
    assert time.process_time() - start < 4
