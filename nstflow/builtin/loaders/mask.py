"""Masks: images whose opacity says where a loss counts."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from nstflow import Image, Loader, NstflowError, Problem, Size
from nstflow.builtin.loaders.decode import Decoded, decode
from nstflow.builtin.loaders.file import File
from nstflow.builtin.loaders.header import MOST_MEGAPIXELS
from nstflow.toolkit import to_grey

_NEAR = 1.5 / 255  # colours are compared after rounding, also of a profile's conversion

Color = Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$")]


class Mask(Loader):
    """Read a mask, from an image that any program has painted.

    The mask is where the image is opaque, if it has transparency; else where it is white, and grey
    is between. With `color`, the mask is where a labelled picture has this colour. A loss names the
    mask as its `region` or `image_region`. It covers the whole image, so prepare both alike.

    Errors: a file that is missing, not an image, damaged, or larger than `max_megapixels`; a colour
    that the image does not have.
    """

    use: Literal["mask"] = "mask"
    path: Path = Field(
        description="The file; a relative path starts where it is written.", examples=["mask.png"]
    )
    color: Color | None = Field(None, description="The colour of the region, such as '#ff0000'.")
    invert: bool = Field(False, description="Everything but the region.")
    feather: float = Field(
        0, ge=0, le=1000, description="How soft the edge is: σ of a Gaussian, in the file's pixels."
    )
    max_megapixels: float = Field(
        64,
        gt=0,
        le=MOST_MEGAPIXELS,
        description="Largest size to decode, in million pixels; each takes up to 45 MB of memory.",
    )

    def size(self, folder: Path) -> Size:
        """Return `(height, width)` after EXIF orientation, from the header alone."""
        return self._file().size(folder)

    def load(self, folder: Path) -> Image:
        """Return white with the mask as alpha."""
        import numpy as np

        self.size(folder)  # which refuses a file that is too large
        mask = self._mask(decode(self._file().found(folder)))
        if self.invert:
            mask = 1 - mask
        if self.feather:
            mask = _blurred(mask, self.feather)
        mask = np.ascontiguousarray(mask, np.float32)
        return Image(np.ones((*mask.shape, 3), np.float32), mask)

    def _file(self) -> File:
        return File(path=self.path, max_megapixels=self.max_megapixels)

    def _mask(self, file: Decoded) -> Any:
        import numpy as np

        pixels, alpha = file.pixels, file.alpha
        if self.color is None:
            return to_grey(Image(pixels)).pixels[..., 0] if alpha is None else alpha
        wanted = np.frombuffer(bytes.fromhex(self.color[1:]), np.uint8) / np.float32(255)
        near = (np.abs(pixels - wanted) <= _NEAR).all(-1)
        if alpha is not None:
            near &= alpha > 0
        if not near.any():
            got = f"no pixel of '{self.path.name}' has the colour {self.color}."
            raise NstflowError(Problem("", "color", got, _colors_of(pixels)))
        return near.astype(np.float32)


def _blurred(mask: Any, sigma: float) -> Any:
    """Return a mask of 8 bits, smoothed by nearly a Gaussian."""
    import numpy as np
    import PIL.Image
    import PIL.ImageFilter

    image = PIL.Image.fromarray(np.rint(mask * 255).astype(np.uint8))
    return np.asarray(image.filter(PIL.ImageFilter.GaussianBlur(sigma)), np.float32) / 255


def _colors_of(pixels: Any) -> str:
    """Return the most frequent colours of a picture."""
    import numpy as np

    values = np.rint(pixels * 255).astype(np.uint32)
    codes = values[..., 0] << 16 | values[..., 1] << 8 | values[..., 2]
    found, counts = np.unique(codes, return_counts=True)
    most = found[np.argsort(-counts)][:5]
    return f"Its most frequent colours are {', '.join(f'#{code:06x}' for code in most)}."
