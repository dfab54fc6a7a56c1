"""NAME: a preprocessor for nstflow."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from nstflow import Image, Preprocessor, hookimpl

LUMA = (0.299, 0.587, 0.114)


class CLASS(Preprocessor):
    """Fade the colours of images towards gray."""

    use: Literal["USE"] = "USE"
    amount: float = Field(0.5, ge=0, le=1, description="0 leaves the colours, 1 is gray.")

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the size that an image of a size has afterwards."""
        return size

    def apply(self, image: Image, images: Mapping[str, Image]) -> Image:
        """Return the faded image."""
        gray = (image.pixels * LUMA).sum(axis=-1, keepdims=True)
        faded = (1 - self.amount) * image.pixels + self.amount * gray
        return Image(faded.clip(0, 1).astype("float32"), image.alpha)


@hookimpl
def nstflow_stages():
    return [CLASS]
