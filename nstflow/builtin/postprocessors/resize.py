"""Resize the picture."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from nstflow import Image, Postprocessor
from nstflow.toolkit import ResizeMethod, fit_longest_side, resize_image


class ResizeResult(Postprocessor):
    """Scale the picture so that its longest side has a given length."""

    use: Literal["resize"] = "resize"
    longest_side: int = Field(
        1024, ge=1, le=16384, description="Length of the longest side, in pixels."
    )
    method: ResizeMethod = Field("lanczos3", description="Filter, by its name in tf.image.resize.")
    antialias: bool = Field(True, description="Use an antialiasing filter to scale down.")

    def apply(self, image: Image, images: Mapping[str, Image]) -> Image:  # noqa: ARG002 - the contract
        """Return the picture at its new size."""
        size = fit_longest_side(image.size, self.longest_side)
        return resize_image(image, size, self.method, antialias=self.antialias)
