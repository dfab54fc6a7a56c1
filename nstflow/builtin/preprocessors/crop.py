"""Crop images."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from nstflow import Image, Preprocessor, Size


class Crop(Preprocessor):
    """Crop images to the largest rectangle with a given aspect ratio.

    `left` and `top` choose the part that is kept: 0 the left or top edge, 0.5 the middle, 1 the
    opposite edge.
    """

    use: Literal["crop"] = "crop"
    aspect: float = Field(1.0, gt=0, le=100, description="Width divided by height.")
    left: float = Field(0.5, ge=0, le=1, description="0 keeps the left edge, 1 the right edge.")
    top: float = Field(0.5, ge=0, le=1, description="0 keeps the top edge, 1 the bottom edge.")

    def size(self, size: Size) -> Size:
        """Return the size of the largest rectangle with the aspect."""
        height, width = size
        if width > height * self.aspect:
            return height, max(1, round(height * self.aspect))
        return max(1, min(height, round(width / self.aspect))), width

    def apply(self, image: Image, images: Mapping[str, Image]) -> Image:  # noqa: ARG002 - the contract
        """Return the rectangle."""
        height, width = self.size(image.size)
        top = round((image.size[0] - height) * self.top)
        left = round((image.size[1] - width) * self.left)
        window = slice(top, top + height), slice(left, left + width)
        return Image(image.pixels[window], None if image.alpha is None else image.alpha[window])
