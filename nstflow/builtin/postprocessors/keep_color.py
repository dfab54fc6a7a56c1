"""Keep the photograph's colours."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from nstflow import Image, ImageRef, Postprocessor
from nstflow.toolkit import resize_image


class KeepColor(Postprocessor):
    """Combine the luminance of the picture with the colours of one of the recipe's images.

    sRGB values are split into BT.601 luma and chroma (YCbCr). Colours out of range are clipped.

    Source: Gatys, Bethge, Hertzmann and Shechtman, "Preserving Color in Neural Artistic Style
    Transfer", 2016, section 4 (luminance-only transfer).
    """

    use: Literal["keep_color"] = "keep_color"
    image: ImageRef = Field("content", description="The image whose colours to keep.")
    amount: float = Field(
        1.0, ge=0, le=1, description="1: the colours of `image`; 0: the picture's own; or between."
    )

    def apply(self, image: Image, images: Mapping[str, Image]) -> Image:
        """Return the picture with the image's chroma."""
        import numpy as np

        luma = np.array([0.299, 0.587, 0.114], np.float32)
        reference = resize_image(images[self.image], image.size).pixels
        # Chroma is a colour without its luma, so only the lumas are exchanged.
        kept = reference + ((image.pixels - reference) @ luma)[..., None]
        mixed = (1 - self.amount) * image.pixels + self.amount * kept
        return Image(np.clip(mixed, 0, 1, dtype=np.float32), image.alpha)
