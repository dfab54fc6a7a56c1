"""Small pictures."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import tifffile


def draw(path: Path, seed: int = 0) -> Path:
    """Write an image of 24×32 random pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 24, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(path)
    return path


def saved(picture: PIL.Image.Image, kind: str, **options: Any) -> bytes:
    """Return the file that Pillow writes."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def written(values: Any, **options: Any) -> bytes:
    """Return the TIFF that tifffile writes."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()
