"""Start from one of the images."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from nstflow import Image, ImageRef, Size, Start
from nstflow.toolkit import resize_image


class FromImage(Start):
    """Start from one of the recipe's images, scaled to the size of the canvas."""

    use: Literal["image"] = "image"
    image: ImageRef = Field("content", description="The image to start from.")

    def paint(self, images: Mapping[str, Image], size: Size, seed: int) -> Image:  # noqa: ARG002 - the contract
        """Return the image at `size`."""
        return Image(resize_image(images[self.image], size).pixels)
