"""From an image file to RGB in [0, 1], with as little loss as possible.

Pillow reads most files correctly. It clips 16-bit grey in `convert` and cuts 16-bit colour to 8
bits. So 16-bit grey is divided by its largest value here, 16-bit colour is read by tifffile from
TIFF and by TensorFlow from PNG, and where 8 bits are lost all the same, a warning says so.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nstflow import NstflowError, NstflowWarning
from nstflow.builtin.loaders import gamma, header, png, profile, tiff
from nstflow.builtin.loaders.header import unreadable

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    from numpy.typing import NDArray

    Pixels = NDArray[np.float32]

_ANIMATED = ("PNG", "GIF", "WEBP", "AVIF")  # where several images are no pages
_WITH_ALPHA = ("LA", "PA", "RGBA", "La", "RGBa")


class Decoded(NamedTuple):
    """What an image file holds.

    Attributes:
        pixels: The colours without regard to alpha: float32 `(h, w, 3)` in [0, 1].
        alpha: `(h, w)`; None if all is opaque.
        bits: How many a channel has, as they were read: 8, or 16 for all that has more.
        profile: The RGB profile of the colours, if it was to be kept; None if they are sRGB.
        exif: What the camera wrote.
    """

    pixels: Pixels
    alpha: Pixels | None
    bits: int
    profile: bytes | None
    exif: bytes | None

    def on_white(self) -> Pixels:
        """Return what is seen on white."""
        if self.alpha is None:
            return self.pixels
        alpha = self.alpha[..., None]
        return self.pixels * alpha + (1 - alpha)


def decode(path: Path, *, keep_profile: bool = False) -> Decoded:
    """Decode a file.

    Args:
        path: The file.
        keep_profile: Leave the colours in their RGB profile, if they have one.

    Raises:
        NstflowError: The file is damaged.
    """
    import numpy as np

    try:
        with header.open_image(path) as image:
            icc = image.info.get("icc_profile")
            kept = keep_profile and profile.can_be_kept(icc, image.mode)
            if kept:
                image.info["icc_profile"] = b""  # so that nothing is converted
            exif = header.camera_exif(image, path)
            pixels, alpha, bits = _decode(image, path)
    # a warning: where Python makes errors of them
    except (NstflowError, NstflowWarning, MemoryError):
        raise
    except Exception as error:  # decoders raise anything on damaged bytes
        raise unreadable(
            f"'{path.name}' is damaged and can't be decoded ({error}).", "Save or copy it again."
        ) from error
    if alpha is not None and bool((alpha == 1).all()):
        alpha = None
    return Decoded(
        np.ascontiguousarray(pixels, np.float32), alpha, bits, icc if kept else None, exif
    )


def _decode(image: PIL.Image.Image, path: Path) -> tuple[Pixels, Pixels | None, int]:
    """Return colours, alpha, and how many bits they were read with."""
    orientation = header.orientation(image, path)
    if image.format in _ANIMATED and getattr(image, "is_animated", False):
        _notice(f"{path.name} is animated: its first frame is read")
    if image.format in ("AVIF", "HEIF") and (stored := header.container_bits(path)) > 8:  # noqa: PLR2004
        _notice(f"{path.name} is read with 8 of its {stored} bits")
    deep = _deep_colour(image, path)
    bits = 8 if deep is None else 16
    if deep is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.load()
        deep = _values(image, path)
        if image.format == "TIFF":  # which Pillow has turned by itself
            orientation = 1
        if image.mode.startswith(("I", "F")):
            bits = 16
    pixels, alpha = deep
    if image.format == "PNG" and image.info.get("icc_profile") is None:
        pixels = _by_numbers(pixels, image, path)
    alpha = None if alpha is None else _upright(_unit(alpha, path), orientation)
    return _upright(_unit(pixels, path), orientation), alpha, bits


def _deep_colour(image: PIL.Image.Image, path: Path) -> tuple[Pixels, Pixels | None] | None:
    """Return colours of 16 bits, of which Pillow would cut 8, or None where it is to do so."""
    if tiff.is_deep_colour(image):
        read, library = tiff.read_deep_colour, "tifffile"
    elif png.is_deep_colour(image, path):
        read, library = png.read_deep_colour, "TensorFlow"
    else:
        return None
    cut = f"{path.name} is read with 8 of its 16 bits"
    if tiff.photometric(image) not in (None, tiff.RGB) or _conversion(image, "RGB", path):
        _notice(f"{cut}, to convert its colours to sRGB")
        return None
    deep = read(path, image)
    if deep is None:
        _notice(f"{cut}: {library} can't read it")
    return deep


def _values(image: PIL.Image.Image, path: Path) -> tuple[Pixels, Pixels | None]:
    """Return what a loaded image holds: RGB, sRGB, and alpha."""
    import numpy as np
    import PIL.Image

    if image.mode.startswith("I;16"):
        grey = np.asarray(image, np.float32) / np.float32(tiff.whole(image))
        if _conversion(image, "L", path) is None:
            key = image.info.get("transparency")
            opaque = None if key is None else (np.asarray(image) != key).astype(np.float32)
            return _rgb(_black_is_zero(grey, image)), opaque
        _notice(f"{path.name} is read with 8 of its 16 bits, to convert its greys to sRGB")
        info = image.info
        image = PIL.Image.fromarray(np.rint(_black_is_zero(grey, image) * 255).astype(np.uint8))
        image.info = {"icc_profile": info["icc_profile"]}
    if image.mode in ("I", "F"):
        return _rgb(_black_is_zero(np.asarray(image, np.float32), image)), None
    alpha = None
    colours = "L" if image.mode in ("1", "L", "LA") else "RGB"
    if "transparency" in image.info or image.mode in _WITH_ALPHA:
        icc = image.info.get("icc_profile")
        image = image.convert("RGBA")
        image.info["icc_profile"] = icc
        alpha = np.asarray(image.getchannel("A"), np.float32) / np.float32(255)
    if image.mode != "CMYK":
        image = image.convert(colours)
    conversion = _conversion(image, image.mode, path)
    if conversion is None:
        image = image.convert("RGB")
    else:
        image = conversion.apply(image.convert(conversion.input_mode))
    return np.asarray(image, np.float32) / np.float32(255), alpha


def _conversion(image: PIL.Image.Image, mode: str, path: Path) -> Any:
    """Return littleCMS's conversion to sRGB, or None where the pixels stay as they are."""
    try:
        return profile.conversion(image.info.get("icc_profile"), mode)
    except profile.UnfitProfileError:
        _notice(
            f"{path.name} has a colour profile that is damaged or does not fit its pixels: its"
            " colours are read as sRGB"
        )
        return None


def _by_numbers(pixels: Pixels, image: PIL.Image.Image, path: Path) -> Pixels:
    """Return the pixels of a PNG without a profile as sRGB."""
    try:
        colours = gamma.colours_of(image.info, header.png_chunk(path, b"cICP"))
        return pixels if colours is None else gamma.to_srgb(pixels, colours)
    except gamma.UnknownColoursError as error:
        _notice(f"{path.name} has colours of a kind that is not converted ({error}): read as sRGB")
        return pixels


def _upright(values: Pixels, orientation: int) -> Pixels:
    if orientation in tiff.SIDEWAYS:
        values = values.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return values


def _rgb(grey: Pixels) -> Pixels:
    return grey[..., None].repeat(3, axis=-1)


def _black_is_zero(grey: Pixels, image: PIL.Image.Image) -> Pixels:
    """Turn a negative around: Pillow does so for 8 bits only."""
    return 1 - grey if tiff.photometric(image) == tiff.WHITE_IS_ZERO else grey


def _unit(values: Pixels, path: Path) -> Pixels:
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):
        raise unreadable(
            f"'{path.name}' has values from {low:g} to {high:g} of unknown scale.",
            "Save it with 8 or 16 bits, or as floats in [0, 1].",
        )
    return values


def _notice(text: str) -> None:
    warnings.warn(text, NstflowWarning, stacklevel=3)
