"""Colour profiles: pixels converted to sRGB."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import PIL.Image

_FITTING = {"RGB ": ("RGB", "L"), "GRAY": ("L",), "CMYK": ("CMYK",)}
_AS_GOOD_AS_EQUAL = 2  # of 255: profiles of sRGB differ in their last digits


class UnfitProfileError(Exception):
    """The profile is damaged, or is for another colour space than the image's."""


def is_srgb(profile: bytes | None, mode: str) -> bool:
    """Say whether images of a mode (L, RGB, CMYK) are sRGB already under a profile.

    Raises:
        UnfitProfileError: The profile can't be used.
    """
    return _way_to_srgb(profile, mode) is None


def to_srgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """Return an image of mode L, RGB or CMYK as RGB, its colours converted to sRGB.

    Raises:
        UnfitProfileError: The image's profile can't be used.
    """
    from PIL import ImageCms

    way = _way_to_srgb(image.info.get("icc_profile"), image.mode)
    if way is None:
        return image.convert("RGB")
    converted: Any = ImageCms.applyTransform(image.convert(way.input_mode), way)
    return converted  # type: ignore[no-any-return]  # only in-place conversion gives None


def _way_to_srgb(profile: bytes | None, mode: str) -> Any:
    """Return littleCMS's conversion, or None where it would leave the colours as they are."""
    import numpy as np
    import PIL.Image
    from PIL import ImageCms

    if not profile:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space
        if mode not in _FITTING.get(space, ()):
            raise UnfitProfileError(f"a profile for {space} on {mode}")
        mode = _FITTING[space][0]
        srgb = ImageCms.createProfile("sRGB")
        # its shortcut for grey is off by up to ten levels in the shadows
        flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
        way = ImageCms.buildTransform(source, srgb, mode, "RGB", flags=flags)
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise UnfitProfileError(str(error)) from error
    if mode == "CMYK":
        return way
    # A name says little ("sRGB linear" is a profile too), so a grid of colours is converted.
    levels = np.linspace(0, 255, 18 if mode == "RGB" else 256).astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), -1) if mode == "RGB" else levels
    probe = PIL.Image.fromarray(grid.reshape(1, -1, 3) if mode == "RGB" else grid[None])
    there = np.asarray(ImageCms.applyTransform(probe, way), np.int16)
    here = np.asarray(probe.convert("RGB"), np.int16)
    return None if np.abs(there - here).max() <= _AS_GOOD_AS_EQUAL else way
