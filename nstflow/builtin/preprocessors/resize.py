"""Resize images."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from nstflow import Image, Preprocessor, Size
from nstflow.toolkit import ResizeMethod, fit_longest_side, resize_image


class Resize(Preprocessor):
    """Scale images, down or up, so that the longest side has a given length.

    This is `longest_side` times `scale`, rounded. The other side is rounded to a whole number of
    pixels, at least 1. An image that already has this size is not changed.
    """

    use: Literal["resize"] = "resize"
    longest_side: int = Field(
        512, ge=1, le=16384, description="Length of the longest side, in pixels."
    )
    scale: float = Field(
        1.0, gt=0, le=16, description="Factor on `longest_side`: 0.5 on a style halves its strokes."
    )
    method: ResizeMethod = Field("lanczos3", description="Filter, by its name in tf.image.resize.")
    antialias: bool = Field(True, description="Use an antialiasing filter to scale down.")
    enlarge: bool = Field(True, description="Also scale up; if not, a small image stays as it is.")

    def size(self, size: Size) -> Size:
        """Return the size whose longest side is `longest_side` times `scale`."""
        longest = max(1, round(self.longest_side * self.scale))
        if not self.enlarge and max(size) < longest:
            return size
        return fit_longest_side(size, longest)

    def apply(self, image: Image, images: Mapping[str, Image]) -> Image:  # noqa: ARG002 - the contract
        """Return the image at its new size."""
        return resize_image(image, self.size(image.size), self.method, antialias=self.antialias)
