"""Start from noise in the colours of a style."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from nstflow import Image, ImageRef, Size, Start
from nstflow.toolkit import match_colors, uniform_noise


class FromStyleStatistics(Start):
    """Start from independent random colours with the mean and covariance of an image's colours.

    The recipe's seed sets the noise. Values out of [0, 1] are clipped.
    """

    use: Literal["style_statistics"] = "style_statistics"
    image: ImageRef = Field("style", description="The image whose colours to take.")

    def paint(self, images: Mapping[str, Image], size: Size, seed: int) -> Image:
        """Return the noise at `size`."""
        return Image(match_colors(Image(uniform_noise(size, seed)), images[self.image]))
