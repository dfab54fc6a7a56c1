"""Exchange brightness and colours between the picture and one of the recipe's images."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from nstflow import Image, ImageRef, Postprocessor
from nstflow.toolkit import ColorSpace, resize_image, with_colors_of


class KeepColor(Postprocessor):
    """Combine the brightness of the picture with the colours of one of the recipe's images.

    `space` says what brightness is: BT.601 luma (`yiq`), the luminance of linear light (`linear`),
    L* of CIE Lab (`lab`), or L of OKLab (`oklab`). The other two coordinates are the colours.
    Colours out of range are clipped.

    Source: Gatys, Bethge, Hertzmann and Shechtman, "Preserving Color in Neural Artistic Style
    Transfer", 2016, section 4 (luminance-only transfer).
    """

    use: Literal["keep_color"] = "keep_color"
    image: ImageRef = Field("content", description="The image whose colours to keep.")
    space: ColorSpace = Field("yiq", description="How brightness and colours are told apart.")
    amount: float = Field(
        1.0, ge=0, le=1, description="1: the colours of `image`; 0: the picture's own; or between."
    )

    def apply(self, image: Image, images: Mapping[str, Image]) -> Image:
        """Return the picture with the image's colours."""
        reference = resize_image(images[self.image], image.size).pixels
        return _mixed(image, with_colors_of(image.pixels, reference, self.space), self.amount)


class OnlyColor(Postprocessor):
    """Combine the brightness of one of the recipe's images with the colours of the picture.

    So the photograph keeps its forms, and only its palette is that of the style. `space` is that of
    `keep_color`. Colours out of range are clipped.
    """

    use: Literal["only_color"] = "only_color"
    image: ImageRef = Field("content", description="The image whose brightness to keep.")
    space: ColorSpace = Field("yiq", description="How brightness and colours are told apart.")
    amount: float = Field(
        1.0, ge=0, le=1, description="1: the brightness of `image`; 0: the picture; or between."
    )

    def apply(self, image: Image, images: Mapping[str, Image]) -> Image:
        """Return the image with the picture's colours."""
        reference = resize_image(images[self.image], image.size).pixels
        return _mixed(image, with_colors_of(reference, image.pixels, self.space), self.amount)


def _mixed(image: Image, other: Any, amount: float) -> Image:
    """Return a mixture of the picture and other pixels, clipped to [0, 1]."""
    import numpy as np

    mixed = (1 - amount) * image.pixels + amount * other
    return Image(np.clip(mixed, 0, 1, dtype=np.float32), image.alpha)
