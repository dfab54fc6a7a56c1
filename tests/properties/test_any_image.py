"""Any bytes for an image file: a picture of the size that its header says, or words."""

import struct
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.features
import PIL.Image
import PIL.ImageCms
import pytest
from hypothesis import strategies as some

from nstflow import NstflowError, NstflowWarning
from nstflow.builtin.loaders.file import File
from pictures import saved, written
from png_files import SIGNATURE, chunks_of, png_of

pytestmark = pytest.mark.fuzz

Outcome = Callable[[bytes], str]

MAGIC = [b"", SIGNATURE, SIGNATURE + b"\0\0\0\rIHDR", b"\xff\xd8\xff", b"II*\0\x08\0\0\0"]
MAGIC += [b"\xff\xd8\xff\xe0\0\x10JFIF\0", b"\xff\xd8\xff\xe1\0\x40Exif\0\0", b"MM\0*\0\0\0\x08"]
MAGIC += [b"RIFF\x40\0\0\0WEBPVP8" + kind for kind in (b" ", b"X", b"L")]
MAGIC += [b"MM\0+\0\x08\0\0", b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0"]
MAGIC += [b"BM\x40\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"]


def deep_png(words: Any) -> bytes:
    """Return a PNG of 16 bits a channel, which Pillow does not write."""
    height, width, _ = words.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in words)
    head = struct.pack(">IIBBBBB", width, height, 16, 6, 0, 0, 0)
    return png_of([(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")])


def whole_files() -> list[bytes]:
    generator = np.random.default_rng(4)
    picture = PIL.Image.fromarray(generator.integers(0, 256, (11, 14, 3), dtype=np.uint8))
    clear = PIL.Image.fromarray(generator.integers(0, 256, (11, 14, 4), dtype=np.uint8))
    words = generator.integers(0, 65536, (11, 14, 4), dtype=np.uint16)
    turned = PIL.Image.Exif()
    turned[274], turned[271] = 6, "a maker of cameras"
    exif = turned.tobytes()
    lab = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("LAB")).tobytes()
    srgb = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    files = [
        saved(picture, "PNG", exif=exif, icc_profile=srgb),
        saved(clear, "PNG"),
        saved(picture.quantize(9), "PNG", transparency=2),
        saved(PIL.Image.fromarray(words[..., 0]), "PNG", icc_profile=lab),
        deep_png(words),
        saved(picture, "JPEG", exif=exif, icc_profile=srgb),
        saved(picture.convert("L"), "JPEG", icc_profile=srgb),
        saved(picture, "JPEG", icc_profile=lab),
        saved(picture.convert("CMYK"), "JPEG", progressive=True),
        saved(picture, "WEBP", exif=exif, icc_profile=srgb),
        saved(clear, "WEBP", lossless=True),
        saved(picture, "GIF", save_all=True, append_images=[picture.rotate(180)]),
        saved(picture, "BMP"),
        saved(picture.quantize(16), "BMP"),
        saved(picture, "TIFF", exif=exif, icc_profile=srgb),
        saved(picture.convert("1"), "TIFF", compression="group4"),
        written(words[..., :3], photometric="rgb", extratags=[(274, 3, 1, 6, True)]),
        written(words, photometric="rgb", extrasamples=["assocalpha"], compression="zlib"),
        written(np.moveaxis(words[..., :3], -1, 0), photometric="rgb", planarconfig="separate"),
        written(words[..., 0], photometric="minisblack", bigtiff=True),
        written((words[..., 0] / 65535).astype("f4"), photometric="minisblack", tile=(16, 16)),
    ]
    if PIL.features.check("avif"):
        files.append(saved(clear, "AVIF", exif=exif))
    return files + [
        saved(picture, "TIFF", compression=kind)
        for kind in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
    ]


FILES = whole_files()
ODD = [(1 << n) + k for n in (0, 1, 2, 3, 4, 7, 8, 15, 16, 24, 31, 32, 63, 64) for k in (-1, 0)]

blobs = some.builds(bytes.__add__, some.sampled_from(MAGIC), some.binary(max_size=300))

PNGS = [chunks_of(data) for data in FILES if data.startswith(SIGNATURE)]
KINDS = b"IHDR PLTE tRNS iCCP eXIf IDAT gAMA cHRM pHYs sRGB tEXt zTXt iTXt".split()
KINDS += b"acTL fcTL fdAT IEND xxxx XXXX".split()


@some.composite
def odd_pngs(draw: Any) -> bytes:
    """Return a PNG whose checksums are right, so that its chunks are looked into."""
    parts = list(draw(some.sampled_from(PNGS)))
    for _ in range(draw(some.integers(1, 3))):
        at = draw(some.integers(0, len(parts) - 1))
        kind, body = parts[at]
        match draw(some.sampled_from(["head", "body", "poke", "new", "zip", "lose", "double"])):
            case "head":
                size = struct.pack(">II", *(draw(some.sampled_from(ODD)) % (1 << 32) for _ in "hw"))
                rest = bytes(draw(some.sampled_from([0, 1, 2, 3, 4, 6, 8, 16])) for _ in range(5))
                kept = draw(some.sampled_from([0, 4, 8, 9]))
                parts[0] = parts[0][0], parts[0][1][:kept] + (size + rest)[kept:]
            case "body":
                parts[at] = kind, draw(some.binary(max_size=40))
            case "poke" if body:
                place = draw(some.integers(0, len(body) - 1))
                put = draw(some.binary(min_size=1, max_size=4))
                parts[at] = kind, body[:place] + put + body[place + len(put) :]
            case "new":
                new = draw(some.sampled_from(KINDS)), draw(some.binary(max_size=60))
                parts.insert(at + 1, new)
            case "zip":
                packed = zlib.compress(
                    draw(some.binary(max_size=100)) * draw(some.integers(1, 900))
                )
                head = draw(some.sampled_from([b"", b"name\0\0", b"name\0\1", b"a\0\1\0\0\0"]))
                parts.insert(at + 1, (draw(some.sampled_from(KINDS)), head + packed))
            case "lose":
                del parts[at]
                if not parts:
                    return SIGNATURE
            case "double":
                parts.insert(at, parts[at])
    return png_of(parts)


@pytest.fixture(scope="module")
def picture_or_refused() -> Iterator[Outcome]:
    """Say what became of the bytes of an image file."""

    def picture_or_refused(data: bytes) -> str:
        path.write_bytes(data)
        file = File(path=Path(path.name), max_megapixels=2, transparency="weight")
        size = None
        with warnings.catch_warnings(action="ignore", category=NstflowWarning):
            try:
                size = file.size(path.parent)
                image = file.load(path.parent)
            except NstflowError as error:
                message = str(error)
            else:
                assert image.size == size
                return "picture"
        assert path.name in message
        return "no size" if size is None else "no pixels"

    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "a.image")
        yield picture_or_refused


def test_whole_files_are_pictures(picture_or_refused: Outcome) -> None:
    assert {picture_or_refused(data) for data in FILES} == {"picture"}
    assert {picture_or_refused(png_of(parts)) for parts in PNGS} == {"picture"}


def test_any_bytes(tried: Any, picture_or_refused: Outcome) -> None:
    assert tried(picture_or_refused, blobs, 60).keys() <= {"no size", "no pixels"}


def test_edited_files(tried: Any, edited_bytes: Any, picture_or_refused: Outcome) -> None:
    outcomes = tried(picture_or_refused, edited_bytes(FILES), 150)
    for kind in ("picture", "no size", "no pixels"):
        assert outcomes[kind] > outcomes.total() // 40


def test_odd_png_chunks(tried: Any, picture_or_refused: Outcome) -> None:
    outcomes = tried(picture_or_refused, odd_pngs(), 60)
    for kind in ("picture", "no size", "no pixels"):
        assert outcomes[kind] > outcomes.total() // 40
