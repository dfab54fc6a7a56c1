"""From the bytes of an image file to RGB in [0, 1], without losing what can be kept.

Pillow reads most files right. What it does not: 16-bit grey is clipped by `convert`, 16-bit colour
is cut to 8 bits. So 16-bit grey is divided by 65535 here, 16-bit RGB TIFF read by tifffile; for
16-bit RGB PNG the loss is said.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nstflow import NstflowWarning, Size

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    from numpy.typing import NDArray

    Pixels = NDArray[np.float32]

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
_ORIENTATION, _BITS_PER_SAMPLE = 274, 258  # tags of EXIF and TIFF
_PNG_BIT_DEPTH_AT = 24  # the offset of the bit depth in a PNG file
_SIXTEEN_BITS = 65535


class UnreadableImageError(Exception):
    """The file is no image that can be read; the text says why, `hint` what to do."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.hint = hint


def header_size(path: Path, max_megapixels: float) -> Size:
    """Return `(height, width)` as seen upright, reading the header alone.

    Raises:
        UnreadableImageError: No image of a known format, or more than `max_megapixels`.
    """
    with _open(path) as image:
        width, height = image.size
        orientation = image.getexif().get(_ORIENTATION, 1)
        # Pillow swaps the sides of a TIFF by itself
        turned = image.format != "TIFF" and orientation in (5, 6, 7, 8)
    if width * height > max_megapixels * 1e6:
        raise UnreadableImageError(
            f"'{path.name}' has {width * height / 1e6:.1f} million pixels ({width}×{height}),"
            f" more than max_megapixels: {max_megapixels:g}.",
            "Raise max_megapixels if you trust the file.",
        )
    return (width, height) if turned else (height, width)


def decode(path: Path) -> tuple[Pixels, Pixels | None]:
    """Return float32 `(h, w, 3)` in [0, 1], sRGB, and alpha `(h, w)` or None if all is opaque.

    Raises:
        UnreadableImageError: The file is damaged.
    """
    import numpy as np

    try:
        pixels, alpha = _decode(path)
    except UnreadableImageError:
        raise
    except Exception as error:  # decoders raise anything on damaged bytes
        raise UnreadableImageError(
            f"'{path.name}' is damaged and can't be decoded ({error}).", "Save or copy it again."
        ) from error
    if alpha is not None and bool((alpha == 1).all()):
        alpha = None
    return np.ascontiguousarray(pixels, np.float32), alpha


def _open(path: Path) -> PIL.Image.Image:
    import PIL.Image

    try:
        with warnings.catch_warnings():
            # the limit is `max_megapixels`, and broken EXIF is only metadata
            warnings.simplefilter("ignore")
            return PIL.Image.open(path, formats=FORMATS)
    except PIL.Image.DecompressionBombError as error:
        raise UnreadableImageError(f"'{path.name}' is too large: {error}") from error
    except PIL.UnidentifiedImageError as error:
        known = ", ".join(FORMATS)
        raise UnreadableImageError(f"'{path.name}' is not an image of {known}.") from error
    except Exception as error:  # as in decode
        raise UnreadableImageError(f"'{path.name}' can't be read ({error}).") from error


def _decode(path: Path) -> tuple[Pixels, Pixels | None]:
    import numpy as np
    import PIL.ImageOps

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = _open(path)
        deep = _deep_tiff(path, image)
        if deep is not None:
            return deep
        image.load()
    if image.format == "PNG" and image.mode in ("RGB", "RGBA") and _png_depth(path) == 16:  # noqa: PLR2004 - bits
        _notice(f"{path.name} has 16 bits a channel, of which Pillow reads 8: TIFF keeps them all")
    image = PIL.ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        return _rgb(np.asarray(image, np.float32) / np.float32(_SIXTEEN_BITS)), None
    if image.mode in ("I", "F"):
        return _rgb(_unit(np.asarray(image, np.float32), path)), None
    alpha = None
    if "transparency" in image.info or image.mode in ("LA", "PA", "RGBA", "La", "RGBa"):
        icc = image.info.get("icc_profile")
        image = image.convert("RGBA")
        image.info["icc_profile"] = icc
        alpha = np.asarray(image.getchannel("A"), np.float32) / np.float32(255)
    return np.asarray(_to_srgb(image, path), np.float32) / np.float32(255), alpha


def _deep_tiff(path: Path, image: PIL.Image.Image) -> tuple[Pixels, Pixels | None] | None:
    """Read a 16-bit colour TIFF, or return None where Pillow serves as well or better."""
    import numpy as np
    import tifffile

    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, ())
    if image.format != "TIFF" or len(bits) not in (3, 4) or set(bits) != {16}:
        return None
    if image.mode not in ("RGB", "RGBA", "RGBX") or not _is_srgb(image.info.get("icc_profile")):
        _notice(f"{path.name} is read with 8 of its 16 bits, to convert its colours to sRGB")
        return None
    orientation = getattr(image, "tag_v2", {}).get(_ORIENTATION, 1)
    try:
        array = tifffile.imread(path)
    except Exception:  # noqa: BLE001 - a compression that tifffile lacks: Pillow may have it
        _notice(f"{path.name} is read with 8 of its 16 bits: tifffile lacks its compression")
        return None
    if array.ndim != 3:  # noqa: PLR2004 - rows, columns, channels; pages and volumes are Pillow's
        return None
    if array.shape[0] in (3, 4) and array.shape[-1] not in (3, 4):
        array = np.moveaxis(array, 0, -1)  # one plane a channel
    values = _upright(array.astype(np.float32) / np.float32(_SIXTEEN_BITS), orientation)
    return values[..., :3], values[..., 3] if values.shape[-1] == 4 else None  # noqa: PLR2004 - RGBA


def _upright(values: Pixels, orientation: int) -> Pixels:
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return values


def _to_srgb(image: PIL.Image.Image, path: Path) -> PIL.Image.Image:
    from PIL import ImageCms

    profile = image.info.get("icc_profile")
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    if profile and not _is_srgb(profile):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            srgb = ImageCms.createProfile("sRGB")
            converted: Any = ImageCms.profileToProfile(image, source, srgb, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            _notice(f"{path.name} has a colour profile that does not fit: taken as sRGB")
        else:
            return converted  # type: ignore[no-any-return]  # only in-place conversion gives None
    return image.convert("RGB")


def _is_srgb(profile: bytes | None) -> bool:
    """Say whether pixels under this profile are sRGB already, as they are without one."""
    from PIL import ImageCms

    if not profile:
        return True
    try:
        opened = ImageCms.getOpenProfile(io.BytesIO(profile))
        return "srgb" in ImageCms.getProfileDescription(opened).lower()
    except (ImageCms.PyCMSError, OSError):
        return False


def _png_depth(path: Path) -> int:
    with path.open("rb") as file:
        return file.read(_PNG_BIT_DEPTH_AT + 1)[-1]


def _rgb(grey: Pixels) -> Pixels:
    return grey[..., None].repeat(3, axis=-1)


def _unit(grey: Pixels, path: Path) -> Pixels:
    low, high = float(grey.min()), float(grey.max())
    if not (low >= 0 and high <= 1):
        raise UnreadableImageError(
            f"'{path.name}' has grey values from {low:g} to {high:g} of unknown scale.",
            "Save it with 8 or 16 bits, or as floats in [0, 1].",
        )
    return grey


def _notice(text: str) -> None:
    warnings.warn(text, NstflowWarning, stacklevel=3)
