"""Cut images."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from nstflow import Image, Preprocessor, Size


class Crop(Preprocessor):
    """Cut the largest rectangle of a given aspect out of an image.

    `left` and `top` say which part stays: 0 keeps that edge, 0.5 the middle, 1 the opposite edge.
    """

    use: Literal["crop"] = "crop"
    aspect: float = Field(1.0, gt=0, le=100, description="Width divided by height.")
    left: float = Field(0.5, ge=0, le=1, description="Share of what is cut that the left loses.")
    top: float = Field(0.5, ge=0, le=1, description="Share of what is cut that the top loses.")

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
