"""Image files of the common formats, with the right colours and orientation."""

import os
import warnings
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import Field

from nstflow import Image, Loader, NstflowError, NstflowWarning, Problem, Size
from nstflow.builtin.loaders.decode import decode
from nstflow.builtin.loaders.header import MOST_MEGAPIXELS, header_size
from nstflow.toolkit import suggest

_MOST_NAMES = 2000  # of a folder that are compared with that of a missing file


class File(Loader):
    """Read a PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF or HEIC file.

    AVIF needs Pillow 11.3 or later, HEIC the package pi-heif. Of an animated file the first frame
    is read, with a warning.

    The EXIF orientation is applied, and colours with an ICC profile are converted to sRGB. All
    kinds of pixels (grey, palette, CMYK, 16 bits per channel, alpha) are converted to RGB in
    [0, 1], with a warning if information is lost.

    Errors: a file that is missing, not an image, damaged, or larger than `max_megapixels`.
    """

    use: Literal["file"] = "file"
    path: Path = Field(
        description="The file; a relative path starts where it is written.",
        examples=["photo.jpg"],
    )
    max_megapixels: float = Field(
        64,
        gt=0,
        le=MOST_MEGAPIXELS,
        description="Largest size to decode, in million pixels; each takes up to 45 MB of memory.",
    )
    transparency: Literal["white", "weight"] = Field(
        "weight",
        description="weight: losses count each position by its opacity, and the picture is"
        " transparent where the content image is; white: put it on white.",
    )
    profile: Literal["srgb", "keep"] = Field(
        "srgb",
        description="srgb: convert colours to sRGB; keep: leave them in the file's RGB profile. The"
        " run works in the content image's: other images are converted to it, and outputs have it.",
    )

    def size(self, folder: Path) -> Size:
        """Return `(height, width)` after EXIF orientation, from the header alone."""
        return header_size(self.found(folder), self.max_megapixels)

    def load(self, folder: Path) -> Image:
        """Decode the file."""
        path = self.found(folder)
        header_size(path, self.max_megapixels)
        decoded = decode(path, keep_profile=self.profile == "keep")
        alpha = decoded.alpha if self.transparency == "weight" else None
        if alpha is not None and not alpha.any():
            text = f"{path.name} is transparent everywhere: it is read as white"
            warnings.warn(text, NstflowWarning, 2)
            alpha = None
        return Image(decoded.on_white(), alpha, decoded.profile, decoded.exif)

    def found(self, folder: Path) -> Path:
        """Return the path of the file, which exists."""
        try:
            path = folder / self.path.expanduser()
            if path.is_file():
                return path
            problem = self._no_file(path)
        except (OSError, RuntimeError) as error:  # the name is too long, or `~user` is unknown
            problem = Problem("", "path", f"'{self.path}' can't be looked up ({error}).")
        raise NstflowError(problem)

    def _no_file(self, path: Path) -> Problem:
        if path.is_dir():
            return Problem("", "path", f"'{self.path}' is a folder.", "Name one image file.")
        if path.exists():
            return Problem("", "path", f"'{self.path}' is not a regular file.")
        if self.path.exists():
            hint = f"Paths start at the recipe's folder; there is one at '{self.path.absolute()}'."
        else:
            hint = _nearest(path)
        return Problem("", "path", f"there is no file '{os.path.normpath(path)}'.", hint)


def _nearest(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"There is no folder '{folder}' either."
    return suggest(path.name, (entry.name for entry in islice(folder.iterdir(), _MOST_NAMES)))
