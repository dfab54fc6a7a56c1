"""Start from an image without its fine detail."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from nstflow import Image, ImageRef, Size, Start
from nstflow.toolkit import resize_image


class LowPass(Start):
    """Start from an image without detail smaller than some pixels: made smaller, then larger again.

    Fine texture then comes from the style alone, and large forms from the image.
    """

    use: Literal["low_pass"] = "low_pass"
    image: ImageRef = Field("content", description="The image to start from.")
    pixels: float = Field(
        8, ge=1, le=1024, description="Detail smaller than about this many pixels is removed."
    )

    def paint(self, images: Mapping[str, Image], size: Size, seed: int) -> Image:  # noqa: ARG002 - the contract
        """Return the image at `size`."""
        small = max(1, round(size[0] / self.pixels)), max(1, round(size[1] / self.pixels))
        coarse = resize_image(Image(images[self.image].pixels), small, "area")
        return resize_image(coarse, size, "bicubic")
