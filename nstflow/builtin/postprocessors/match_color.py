"""Give the picture the colours of an image."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from nstflow import Image, ImageRef, Postprocessor
from nstflow.toolkit import ColorMatch, match_colors


class MatchResult(Postprocessor):
    """Give the picture the mean and spread of the colours of one of the recipe's images.

    As the preprocessor `match_color`, but after the run.
    """

    use: Literal["match_color"] = "match_color"
    image: ImageRef = Field("content", description="The image whose colours to take.")
    method: ColorMatch = Field("optimal", description="How colours are matched.")

    def apply(self, image: Image, images: Mapping[str, Image]) -> Image:
        """Return the picture with the image's colours."""
        return Image(match_colors(image, images[self.image], self.method), image.alpha)
