"""Colour profiles: pixels converted from one to another, or to sRGB."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FITTING = {"RGB ": ("RGB", "L"), "GRAY": ("L",), "CMYK": ("CMYK",)}
_TOLERANCE = 2  # of 255: profiles of sRGB differ in their last digits


class UnfitProfileError(Exception):
    """The profile is damaged, or is for another colour space than the image's."""


def conversion(profile: bytes | None, mode: str, target: bytes | None = None) -> Any:
    """Return littleCMS's conversion of a mode (L, RGB, CMYK) from one profile to another.

    None where it would leave the colours as they are.

    Args:
        profile: That of the pixels; None for sRGB.
        mode: Pillow's name of what a pixel is.
        target: An RGB profile; None for sRGB.

    Raises:
        UnfitProfileError: A profile can't be used.
    """
    import numpy as np
    import PIL.Image
    from PIL import ImageCms

    if not profile and not target:
        return None
    try:
        source, wanted = _opened(profile), _opened(target)
        space = source.profile.xcolor_space
        if mode not in _FITTING.get(space, ()):
            raise UnfitProfileError(f"a profile for {space} on {mode}")
        mode = _FITTING[space][0]
        # its shortcut for grey is off by up to ten levels in the shadows
        flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
        conversion = ImageCms.buildTransform(source, wanted, mode, "RGB", flags=flags)
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


def can_be_kept(profile: bytes | None, mode: str) -> bool:
    """Say whether pixels can stay in a profile: an RGB one that littleCMS converts from and to."""
    if not profile or mode == "CMYK":
        return False
    try:
        conversion(profile, "RGB")
        conversion(None, "RGB", profile)
    except UnfitProfileError:
        return False
    return True


def converted(
    pixels: NDArray[np.float32], profile: bytes | None, target: bytes | None
) -> NDArray[np.float32]:
    """Return RGB in [0, 1] of one profile as that of another, by 8 bits; None is sRGB.

    Raises:
        UnfitProfileError: A profile can't be used.
    """
    import numpy as np
    import PIL.Image

    if profile == target or (change := conversion(profile, "RGB", target)) is None:
        return pixels
    levels = PIL.Image.fromarray(np.rint(pixels * 255).astype(np.uint8))
    return np.asarray(change.apply(levels), np.float32) / np.float32(255)


def _opened(profile: bytes | None) -> Any:
    from PIL import ImageCms

    if profile:
        return ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
