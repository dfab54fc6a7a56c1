"""Start from an image with noise mixed in."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from nstflow import Image, ImageRef, Size, Start
from nstflow.toolkit import resize_image, uniform_noise


class Blend(Start):
    """Start from an image with noise: `(1 - noise) · image + noise · random colours`."""

    use: Literal["blend"] = "blend"
    image: ImageRef = Field("content", description="The image to start from.")
    noise: float = Field(0.3, ge=0, le=1, description="The share of noise.")

    def paint(self, images: Mapping[str, Image], size: Size, seed: int) -> Image:
        """Return the mixture at `size`."""
        image = resize_image(images[self.image], size).pixels
        return Image((1 - self.noise) * image + self.noise * uniform_noise(size, seed))
