"""Give images the colours of another before the run."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from nstflow import Image, ImageRef, Preprocessor, Size
from nstflow.toolkit import ColorMatch, match_colors


class MatchColor(Preprocessor):
    """Give images the mean and spread of the colours of another image.

    With the default, styles get the colours of the content, so the picture keeps them too. For the
    reverse, a photograph in the colours of the style, set `image: style` and `only: [content]`.

    The covariance of the colours is matched by a matrix (`optimal`, `pca` or `cholesky`), or each
    channel's values are replaced rank by rank (`histogram`). `optimal` changes the colours least;
    `cholesky` depends on the order of the channels. Transparent positions count by their opacity.
    Values out of [0, 1] are clipped.

    Source: Gatys, Bethge, Hertzmann and Shechtman, "Preserving Color in Neural Artistic Style
    Transfer", 2016, section 3; Pitié and Kokaram, 2007, for `optimal`.
    """

    use: Literal["match_color"] = "match_color"
    image: ImageRef = Field("content", description="The image whose colours to take.")
    method: ColorMatch = Field("optimal", description="How colours are matched.")

    def size(self, size: Size) -> Size:
        """Return the size: it does not change."""
        return size

    def apply(self, image: Image, images: Mapping[str, Image]) -> Image:
        """Return the image with the other colours; the other image itself stays."""
        reference = images[self.image]
        if image is reference:
            return image
        return Image(match_colors(image, reference, self.method), image.alpha)
