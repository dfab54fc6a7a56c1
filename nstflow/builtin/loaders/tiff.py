"""TIFF with 16 bits a channel in colour: tifffile keeps them all, where Pillow keeps 8."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    from numpy.typing import NDArray

    Pixels = NDArray[np.float32]

ORIENTATION = 274  # a tag of EXIF and TIFF
SIDEWAYS = (5, 6, 7, 8)  # orientations whose upright height is the stored width
_BITS_PER_SAMPLE, _PHOTOMETRIC, _PLANAR_CONFIGURATION, _EXTRA_SAMPLES = 258, 262, 284, 338
WHITE_IS_ZERO, RGB = 0, 2  # photometric interpretations
_ONE_PLANE_A_CHANNEL = 2  # a planar configuration
_UNSPECIFIED, _PREMULTIPLIED, _PLAIN_ALPHA = 0, 1, 2  # what the fourth channel is


def is_deep_colour(image: PIL.Image.Image) -> bool:
    """Say whether an opened image is a TIFF with 16 bits in each of 3 or 4 channels."""
    bits = _tags(image).get(_BITS_PER_SAMPLE, ())
    return len(bits) in (3, 4) and set(bits) == {16}


def whole(image: PIL.Image.Image) -> int:
    """Return the largest value of grey: 65535, or that of the bits that a TIFF has."""
    return int(2 ** _tags(image).get(_BITS_PER_SAMPLE, (16,))[0] - 1)


def photometric(image: PIL.Image.Image) -> Any:
    """Return how the numbers of a TIFF are colours, or None of another format."""
    return _tags(image).get(_PHOTOMETRIC)


def has_swapped_sides(image: PIL.Image.Image) -> bool:
    """Say whether an opened image is a TIFF whose sides Pillow gives as seen upright already."""
    return _tags(image).get(ORIENTATION) in SIDEWAYS


def read_deep_colour(path: Path, image: PIL.Image.Image) -> tuple[Pixels, Pixels | None] | None:
    """Return the first page as it is stored, in [0, 1], with its alpha.

    None where tifffile can't read it: an unsupported compression, a volume.
    """
    import numpy as np
    import tifffile

    tags = _tags(image)
    count = math.prod(image.size) * len(tags[_BITS_PER_SAMPLE])
    try:
        with tifffile.TiffFile(path) as file:
            if math.prod(file.pages[0].shape) != count:
                return None  # before there is memory for it
            array = file.asarray(key=0)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - any error: Pillow may read it
        return None
    if tags.get(_PLANAR_CONFIGURATION) == _ONE_PLANE_A_CHANNEL:
        array = np.moveaxis(array, 0, -1)
    if array.shape[:-1] != (image.size if has_swapped_sides(image) else image.size[::-1]):
        return None
    values = array.astype(np.float32) / np.float32(65535)
    colours, rest = values[..., :3], values[..., 3:]
    extra = tags.get(_EXTRA_SAMPLES, (_PLAIN_ALPHA,))[0]
    if not rest.size or extra == _UNSPECIFIED:
        return colours, None
    if extra == _PREMULTIPLIED:
        colours = np.clip(colours / np.where(rest > 0, rest, 1), 0, 1)
    return colours, rest[..., 0]


def _tags(image: PIL.Image.Image) -> Any:
    return getattr(image, "tag_v2", {})
