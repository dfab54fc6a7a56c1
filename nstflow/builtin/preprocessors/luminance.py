"""Make images grey, with one brightness and contrast."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from nstflow import Image, ImageRef, Preprocessor, Size
from nstflow.toolkit import match_colors, to_grey


class Luminance(Preprocessor):
    """Make images grey, and match their mean and standard deviation to those of another image.

    With `keep_color` after the run, only the brightness is stylised. `keep_color` then needs the
    photograph in its colours: load it as one more image and leave it out of `only`.

    Source: Gatys, Bethge, Hertzmann and Shechtman, "Preserving Color in Neural Artistic Style
    Transfer", 2016, section 4.
    """

    use: Literal["luminance"] = "luminance"
    image: ImageRef = Field("content", description="The image whose brightness to take.")

    def size(self, size: Size) -> Size:
        """Return the size: it does not change."""
        return size

    def apply(self, image: Image, images: Mapping[str, Image]) -> Image:
        """Return the luma in all three channels, `(h, w, 3)`."""
        grey = to_grey(image)
        if image is images[self.image]:
            return grey
        return Image(match_colors(grey, to_grey(images[self.image])), image.alpha)
