"""Colour profiles: pixels converted to sRGB."""

import io
from typing import Any

_FITTING = {"RGB ": ("RGB", "L"), "GRAY": ("L",), "CMYK": ("CMYK",)}
_TOLERANCE = 2  # of 255: profiles of sRGB differ in their last digits


class UnfitProfileError(Exception):
    """The profile is damaged, or is for another colour space than the image's."""


def conversion(profile: bytes | None, mode: str) -> Any:
    """Return littleCMS's conversion of a mode (L, RGB, CMYK) from a profile to sRGB.

    None where it would leave the colours as they are.

    Raises:
        UnfitProfileError: The profile can't be used.
    """
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
        conversion = ImageCms.buildTransform(source, srgb, mode, "RGB", flags=flags)
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise UnfitProfileError(str(error)) from error
    if mode == "CMYK":
        return conversion
    # A name says little ("sRGB linear" is a profile too), so a grid of colours is converted.
    levels = np.linspace(0, 255, 18 if mode == "RGB" else 256).astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), -1) if mode == "RGB" else levels
    probe = PIL.Image.fromarray(grid.reshape(1, -1, 3) if mode == "RGB" else grid[None])
    converted = np.asarray(ImageCms.applyTransform(probe, conversion), np.int16)
    unchanged = np.asarray(probe.convert("RGB"), np.int16)
    return None if np.abs(converted - unchanged).max() <= _TOLERANCE else conversion
