"""PNG with 16 bits a channel in colour: libpng in TensorFlow keeps them, where Pillow keeps 8."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nstflow import tf
from nstflow.builtin.loaders import header

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    from numpy.typing import NDArray

    Pixels = NDArray[np.float32]


def is_deep_colour(image: PIL.Image.Image, path: Path) -> bool:
    """Say whether an opened image is a PNG with 16 bits a channel that Pillow would cut."""
    deep = image.format == "PNG" and image.mode in ("RGB", "RGBA")
    return deep and header.png_depth(path) == 16  # noqa: PLR2004 - bits


def read_deep_colour(path: Path, image: PIL.Image.Image) -> tuple[Pixels, Pixels | None] | None:
    """Return the image as it is stored, in [0, 1], with its alpha; None where it can't be read."""
    import numpy as np

    try:
        words = tf.io.decode_png(path.read_bytes(), channels=4, dtype=tf.uint16).numpy()
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - any error: Pillow may read it
        return None
    if words.shape[:2] != image.size[::-1]:
        return None
    values = words.astype(np.float32) / np.float32(65535)
    return values[..., :3], values[..., 3]
