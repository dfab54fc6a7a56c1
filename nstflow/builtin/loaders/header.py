"""The header of an image file: size, orientation and depth, without decoding the pixels."""

from __future__ import annotations

import contextlib
import io
import math
import os
import struct
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nstflow import NstflowError, Problem, Size
from nstflow.builtin.loaders import tiff

if TYPE_CHECKING:
    import PIL.Image

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
_AVIF, _HEIC = (b"avif", b"avis"), (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
_BRANDS_AT, _MOST_BRANDS, _MOST_META = 8, 64, 1 << 16  # bytes of an AVIF or HEIC file
_PNG_FIRST_CHUNK_AT, _PNG_BIT_DEPTH_AT = 8, 24  # offsets in the file
_MOST_CHUNK = 1 << 20  # bytes of a PNG's chunk that is read by itself
_COPIED = (270, 271, 272, 306, 315, 33432)  # description, maker, model, time, artist, copyright
_COPIED_BLOCKS = (0x8769, 0x8825)  # how the photograph was taken, and where
_MOST_EXIF = 65_000  # bytes, of what a JPEG can have
_PHOTOGRAPHIC = frozenset(  # tags of the first block that are true of another file as well
    (
        *(0x829A, 0x829D, 0x8822, 0x8827, 0x8830, 0x8831, 0x8832),  # exposure, aperture, ISO
        *(0x9000, 0x9003, 0x9004, 0x9010, 0x9011, 0x9012, 0x9290, 0x9291, 0x9292),  # when
        *range(0x9201, 0x920B),  # shutter to focal length
        *range(0xA401, 0xA40D),  # modes, white balance, zoom, scene
        *range(0xA430, 0xA436),  # owner, camera and lens
    )
)
_LARGE_READ = 1 << 20

MOST_MEGAPIXELS = 1000
"""Million pixels of the largest image that can be read."""

_BYTES_A_PIXEL = 45  # measured: 23 for RGB, 44 with alpha, of 8 bits

_pillow = threading.Lock()


class _File(io.BufferedReader):
    """A file that never reads beyond its end: a damaged length may ask for gigabytes."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _LARGE_READ:
            size = min(size, max(os.fstat(self.fileno()).st_size - self.tell(), 0))
        return super().read(size)


def unreadable(text: str, hint: str = "") -> NstflowError:
    """Return the error of a file that can't be read as an image."""
    return NstflowError(Problem("", "path", text, hint))


def header_size(path: Path, max_megapixels: float) -> Size:
    """Return `(height, width)` as seen upright, reading the header alone.

    Raises:
        NstflowError: No image of a known format, or more than `max_megapixels`.
    """
    with open_image(path) as image:
        width, height = image.size
        turned = (orientation(image, path) in tiff.SIDEWAYS) != tiff.has_swapped_sides(image)
    pixels = width * height
    if pixels > max_megapixels * 1e6:
        raise unreadable(
            f"'{path.name}' has {pixels / 1e6:.1f} million pixels ({width}×{height}),"
            f" more than max_megapixels: {max_megapixels:g}.",
            f"Set max_megapixels to {math.ceil(pixels / 1e6)} if you trust the file: reading it"
            f" takes up to {pixels * _BYTES_A_PIXEL / 1e9:.1f} GB of memory.",
        )
    return (width, height) if turned else (height, width)


@contextlib.contextmanager
def open_image(path: Path) -> Iterator[PIL.Image.Image]:
    """Open an image without decoding its pixels; the file is closed at the end of the context.

    Raises:
        NstflowError: No image of a known format, or one larger than can be read.
    """
    import PIL.Image

    with contextlib.ExitStack() as stack:
        try:
            # not the path: Pillow would map the file into memory, and garble a TIFF on its side
            file = stack.enter_context(_File(io.FileIO(os.fspath(path))))
            with warnings.catch_warnings():
                # the limit is `max_megapixels`, and broken EXIF is only metadata
                warnings.simplefilter("ignore")
                formats = _formats(file, path)
                with _any_size():
                    image = stack.enter_context(PIL.Image.open(file, formats=formats))
        except NstflowError:
            raise
        except PIL.UnidentifiedImageError as error:
            known = ", ".join((*FORMATS, "AVIF", "HEIC"))
            raise unreadable(
                f"'{path.name}' is not an image in one of the formats {known}.",
                "Save it as one of these, with 8 or 16 bits a channel.",
            ) from error
        except MemoryError:
            raise
        except Exception as error:  # decoders raise anything on damaged bytes
            raise unreadable(f"'{path.name}' can't be read ({error}).") from error
        if (pixels := image.width * image.height) > MOST_MEGAPIXELS * 1e6:
            got = f"'{path.name}' is too large: it has {pixels / 1e6:,.0f} million pixels, and at"
            hint = "Scale it down first, in another program."
            raise unreadable(f"{got} most {MOST_MEGAPIXELS:,} million can be read.", hint)
        yield image


@contextlib.contextmanager
def _any_size() -> Iterator[None]:
    """Let Pillow open images of any size: it decodes nothing yet."""
    import PIL.Image

    with _pillow:  # its limit is one for all threads
        limit, PIL.Image.MAX_IMAGE_PIXELS = PIL.Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            PIL.Image.MAX_IMAGE_PIXELS = limit


def _formats(file: io.BufferedReader, path: Path) -> tuple[str, ...]:
    """Return Pillow's names of the formats that a file may have.

    Raises:
        NstflowError: It has one for which a package is missing.
    """
    head = file.read(_MOST_BRANDS)
    file.seek(0)
    brands = head[_BRANDS_AT:] if head[4:8] == b"ftyp" else b""
    if any(brand in brands for brand in _AVIF):
        from PIL import features

        if "avif" in features.modules and features.check("avif"):
            return ("AVIF",)
        got = f"'{path.name}' is an AVIF file, which this Pillow can't read."
        raise unreadable(got, "Get a newer one: pip install -U pillow")
    if any(brand in brands for brand in _HEIC):
        try:
            import pi_heif
        except ImportError:
            got = f"'{path.name}' is a HEIC file, which needs the package pi-heif."
            raise unreadable(got, "Install it: pip install pi-heif") from None
        pi_heif.register_heif_opener()
        return ("HEIF",)
    return FORMATS


def container_bits(path: Path) -> int:
    """Return how many bits a channel of an AVIF or HEIC file has, by its first box `pixi`."""
    with path.open("rb") as file:
        _, found, box = file.read(_MOST_META).partition(b"pixi")
    return box[5] if found and len(box) > 5 else 8  # noqa: PLR2004 - version, flags, channels


def orientation(image: PIL.Image.Image, path: Path) -> int:
    """Return the EXIF orientation, 1 to 8, without decoding; broken EXIF is taken as upright."""
    try:
        return int(_exif(image, path).get(tiff.ORIENTATION, 1))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - decoders raise anything on damaged bytes
        return 1


def camera_exif(image: PIL.Image.Image, path: Path) -> bytes | None:
    """Return a new block of EXIF with what is true of another file too; None if there is nothing.

    That is how, when, where and by whom a photograph was taken: not its size, orientation and
    thumbnail, and not a maker's notes.
    """
    import PIL.Image

    try:
        there, made = _exif(image, path), PIL.Image.Exif()
        for tag in _COPIED:
            if tag in there:
                made[tag] = there[tag]
        for block in _COPIED_BLOCKS:
            values = there.get_ifd(block)
            if block == _COPIED_BLOCKS[0]:
                values = {tag: each for tag, each in values.items() if tag in _PHOTOGRAPHIC}
            if values:
                made[block] = values
        data = made.tobytes() if made else b""
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - as above
        return None
    return data if 0 < len(data) <= _MOST_EXIF else None


def _exif(image: PIL.Image.Image, path: Path) -> PIL.Image.Exif:
    import PIL.Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if image.format == "PNG" and "exif" not in image.info:
            late = png_chunk(path, b"eXIf")  # behind the pixels, where ExifTool puts it
            image.info |= {"exif": late} if late else {}
        # PNG's own getexif decodes the pixels first, for what may lie behind them
        return PIL.Image.Image.getexif(image)


def png_chunk(path: Path, name: bytes) -> bytes | None:
    """Return the first chunk of a name in a PNG; None if there is none, or a huge one."""
    with path.open("rb") as file:
        file.seek(_PNG_FIRST_CHUNK_AT)
        while len(head := file.read(8)) == 8:  # noqa: PLR2004 - its length and its name
            length, found = struct.unpack(">I4s", head)
            if found == b"IEND" or (found == name and length > _MOST_CHUNK):
                return None
            if found == name:
                return file.read(length)
            file.seek(length + 4, 1)  # and its checksum
    return None


def png_depth(path: Path) -> int:
    """Return how many bits a channel of a PNG file has."""
    with path.open("rb") as file:
        return file.read(_PNG_BIT_DEPTH_AT + 1)[-1]
